"""Migrations of ClickHouse: numbered files of statements, applied in order, by one process at a time.

As with PostgreSQL's (`db/migrate.py`), an applied file is history, known by its checksum. ClickHouse has no
transactions: a file that was broken off is applied again from its beginning, so each statement may run twice.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from control_plane.db.migrate import Applied, Migration, pending, read
from control_plane.db.pool import Database
from control_plane.telemetry.clickhouse import ClickHouse

FOLDER = Path(__file__).with_name("migrations")
LOCK = 0x6761746568_6F7574
"""Of PostgreSQL, beside that of its own migrations: ClickHouse has none."""

_TABLE = """
create table if not exists migration{on_cluster} (
    number      UInt32,
    name        String,
    checksum    String,
    applied_at  DateTime default now()
)
engine = {replicated}MergeTree
order by number
"""


@dataclass(frozen=True, slots=True)
class Engines:
    """Which family of table engines the tables have."""

    cluster: str | None = None
    """Name of the cluster whose every server holds the same, by Keeper; None: one server."""

    @property
    def on_cluster(self) -> str:
        return f" on cluster `{self.cluster}`" if self.cluster else ""

    def fill(self, sql: str) -> str:
        replicated = "Replicated" if self.cluster else ""
        return sql.replace("{replicated}", replicated).replace("{on_cluster}", self.on_cluster)


async def migrate(clickhouse: ClickHouse, database: Database, engines: Engines, folder: Path = FOLDER) -> list[str]:
    """Apply what is missing and return its names. Raises MigrationError, Unavailable."""
    migrations = read(folder)
    async with database.instance() as connection:
        await connection.execute("select pg_advisory_xact_lock($1)", LOCK)
        # However long ClickHouse takes, the lock is kept: nobody else begins meanwhile.
        await connection.execute("set local idle_in_transaction_session_timeout = 0")
        await clickhouse.make_database(engines.on_cluster)
        await clickhouse.command(engines.fill(_TABLE))
        rows = await clickhouse.ask(
            "select number, any(m.name) as name, any(m.checksum) as checksum from migration as m"
            " group by number order by number"
        )
        missing = pending(migrations, [Applied(**row) for row in rows])
        if missing:
            async with clickhouse.changing() as change:
                for migration in missing:
                    await _apply(change, clickhouse, engines, migration)
    return [migration.name for migration in missing]


def statements(sql: str) -> Iterator[str]:
    """Those of a file: each ends with a semicolon at the end of its line."""
    lines: list[str] = []
    for line in sql.splitlines():
        code = line.split("--")[0].rstrip()
        if code:
            lines.append(code.removesuffix(";"))
        if code.endswith(";"):
            yield "\n".join(lines)
            lines = []
    if lines:
        yield "\n".join(lines)


async def _apply(
    change: Callable[[str], Awaitable[None]], clickhouse: ClickHouse, engines: Engines, migration: Migration
) -> None:
    for statement in statements(engines.fill(migration.sql)):
        await change(statement)
    await clickhouse.command(
        "insert into migration (number, name, checksum) select {number:UInt32}, {name:String}, {checksum:String}",
        {"number": migration.number, "name": migration.name, "checksum": migration.checksum},
    )
