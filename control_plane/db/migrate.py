"""Migrations: numbered files of SQL, each applied once, whole, in order, by one process at a time.

A file is `0001_name.sql`. What was applied stands in the table `migration` with the file's checksum: an applied file is
history, and a change of it would leave two installations with different schemas under one number.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from control_plane.db.errors import DatabaseUnfit, renamed, renamed_while_connecting
from control_plane.db.pool import CONNECT_S_MAX, require_fit

FOLDER = Path(__file__).with_name("migrations")
LOCK = 0x6761746568_6F7573
"""The number of the advisory lock; it spells “gatehous”."""
TURN_WAIT_MS_MAX = 600_000
"""How long to wait for another process that is migrating."""
LOCK_WAIT_MS_MAX = 10_000
"""How long a file may wait for a table: whoever wants that table afterwards waits behind it."""

_FILE_NAME = re.compile(r"(\d{4})_[a-z0-9_]+")
_TABLE = """
create table if not exists migration (
    number      int primary key,
    name        text not null,
    checksum    text not null,          -- hex SHA-256 of the file's text
    applied_at  timestamptz not null default now()
)
"""


class MigrationError(Exception):
    """The text names the file, or the number, and what is wrong."""


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    """The file's, without `.sql`."""
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Applied:
    number: int
    name: str
    checksum: str


async def migrate(url: str, folder: Path = FOLDER) -> list[str]:
    """Apply what is missing and return its names. Raises MigrationError, DatabaseUnfit, DatabaseUnavailable.

    Files before one that fails stay applied; of the one that fails, nothing does.
    """
    migrations = read(folder)
    with renamed_while_connecting():
        connection = await asyncpg.connect(
            url,
            timeout=CONNECT_S_MAX,
            server_settings={"application_name": "gatehouse migrate", "lock_timeout": str(TURN_WAIT_MS_MAX)},
        )
    try:
        with renamed(connection):
            await require_fit(connection)
            # The lock ends with the connection, however that ends.
            await connection.execute("select pg_advisory_lock($1)", LOCK)
            await connection.execute(f"set lock_timeout = {LOCK_WAIT_MS_MAX}")
            await connection.execute(_TABLE)
            rows = await connection.fetch("select number, name, checksum from migration order by number")
            missing = pending(migrations, [Applied(**row) for row in rows])
            for migration in missing:
                await _apply(connection, migration)
    except asyncpg.InsufficientPrivilegeError as error:
        raise DatabaseUnfit(
            f"{error}: the role of the database's address must own the database, and all that is in it"
        ) from error
    finally:
        await connection.close(timeout=CONNECT_S_MAX)
    return [migration.name for migration in missing]


def read(folder: Path) -> list[Migration]:
    """The files of a folder in order, numbered 1, 2, 3… Raises MigrationError."""
    migrations = []
    for expected, path in enumerate(sorted(folder.glob("*.sql")), start=1):
        name = _FILE_NAME.fullmatch(path.stem)
        if name is None:
            raise MigrationError(f"{path.name}: a migration is called 0001_name.sql")
        if int(name[1]) != expected:
            raise MigrationError(f"{path.name}: number {expected:04} is to come here; numbers neither skip nor repeat")
        migrations.append(Migration(expected, path.stem, path.read_text("utf-8")))
    return migrations


def pending(migrations: Sequence[Migration], applied: Sequence[Applied]) -> Sequence[Migration]:
    """What is still to be applied. `migrations` as `read` returns them, `applied` by number. Raises MigrationError."""
    if len(applied) > len(migrations):
        raise MigrationError(
            f"the database is at {applied[-1].name}, and this build knows {len(migrations)} migrations: "
            "it is older than the database; start a newer one"
        )
    for migration, row in zip(migrations, applied, strict=False):
        if row.number != migration.number:
            raise MigrationError(f"{migration.name} is not in the table `migration`, and {row.name} after it is")
        if (row.name, row.checksum) != (migration.name, migration.checksum):
            raise MigrationError(
                f"{migration.name} is not the file that was applied (as {row.name}): applied files are not changed; "
                "put it back, and say what is new in a new file"
            )
    return migrations[len(applied) :]


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    try:
        async with connection.transaction():
            # The policies bind the tables' owner too, and a migration of data means every organisation's.
            await connection.execute("select set_config('gatehouse.scope', 'instance', true)")
            await connection.execute(migration.sql)
            await connection.execute(
                "insert into migration (number, name, checksum) values ($1, $2, $3)",
                migration.number,
                migration.name,
                migration.checksum,
            )
    except asyncpg.PostgresError as error:
        if connection.is_closed():
            raise  # Not the file's fault.
        raise MigrationError(f"{migration.name}{_line(migration.sql, error)}: {error}") from error


def _line(sql: str, error: asyncpg.PostgresError) -> str:
    """Where in the file, if the server says."""
    return f", line {sql.count(chr(10), 0, int(error.position)) + 1}" if error.position else ""
