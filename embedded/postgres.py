"""The embedded PostgreSQL: its data and configuration, and the role and database that are ours in it.

A start is `postgres_programs.find`, `initialise`, `part` for the supervisor, and, once it is ready, `settle`.
"""

import asyncio
import shutil
import signal
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import asyncpg

from embedded.child import die_with_parent, kill_stranger, started_at
from embedded.keeper import PartFailed
from embedded.part import Part
from embedded.ports import LOOPBACK
from embedded.postgres_programs import Server, make_enterable
from embedded.state import write_private
from shared.crypto.secret import Secret

SUPERUSER = "postgres"
NAME = "gatehouse"
"""Of the role and of its database."""
INITIALISE_S_MAX = 120.0
CONNECT_S_MAX = 5.0


async def initialise(server: Server, superuser: Secret, *, fsync: bool = True) -> None:
    """Make the data folder unless it is there; `superuser` becomes the superuser's password. Raises PartFailed."""
    if server.data.exists():
        return
    if server.runs_as.owner is None:
        server.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    else:
        make_enterable(server.home)
    # Made beside its place and moved there whole, so that one cut short is never taken for data.
    draft, password_file = server.home / "data.new", server.home / "superuser_password"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    server.hand_over(draft)
    write_private(password_file, superuser.reveal())
    try:
        server.hand_over(password_file)
        await _initdb(server, draft, password_file, fsync=fsync)
        draft.replace(server.data)
    finally:
        password_file.unlink()


def part(server: Server, port: int, superuser: Secret, *, fsync: bool = True) -> Part:
    """Loopback only, with passwords. Without `fsync` a power cut (a `kill -9` does not) loses the data: for tests.

    Whoever calls holds the state folder, so whatever still runs in the data folder is left over, and is ended.
    """
    _end_left_over(server.data)
    rules, configuration = server.home / "pg_hba.conf", server.home / "postgresql.conf"
    for path, text in (
        (rules, f"host all all {LOOPBACK}/32 scram-sha-256\n"),
        (configuration, _configuration(rules, port, fsync=fsync)),
    ):
        write_private(path, text.encode())
        server.hand_over(path)
    return Part(
        name="postgres",
        command=server.command("postgres", "-D", str(server.data), "-c", f"config_file={configuration}"),
        environment={},
        ready=lambda: answers(port, superuser),
        stop_s_max=30.0,
        # SIGTERM would let it wait until every client has left.
        stop_signal=signal.SIGINT,
    )


async def settle(port: int, superuser: Secret, password: Secret) -> None:
    """Make our role and our database in a running server, unless they are there.

    The role owns the database and stands under row-level security: neither superuser nor exempt, and it makes no roles.
    """
    connection = await _connect(port, superuser)
    try:
        # The log repeats a statement that fails, and one of these has the password in it.
        await connection.execute("set log_min_error_statement = panic")
        if not await connection.fetchval("select true from pg_roles where rolname = $1", NAME):
            await connection.execute(f"create role {NAME}")
        # Said at every start: the password file is what counts, and rights that somebody added are taken back.
        quoted = await connection.fetchval("select quote_literal($1)", password.reveal_text())
        await connection.execute(
            f"alter role {NAME} login nosuperuser nocreatedb nocreaterole noreplication nobypassrls password {quoted}"
        )
        if not await connection.fetchval("select true from pg_database where datname = $1", NAME):
            await connection.execute(f"create database {NAME} owner {NAME}")
    finally:
        await connection.close()


def url(port: int, password: Secret) -> Secret:
    credentials = f"{NAME}:{quote(password.reveal_text(), safe='')}"
    return Secret(f"postgresql://{credentials}@{LOOPBACK}:{port}/{NAME}?sslmode=disable")


async def answers(port: int, superuser: Secret) -> bool:
    """Whether a PostgreSQL that knows this password takes commands."""
    try:
        connection = await _connect(port, superuser)
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return False
    await connection.close()
    return True


async def _connect(port: int, superuser: Secret) -> asyncpg.Connection:
    return await asyncpg.connect(
        host=LOOPBACK,
        port=port,
        user=SUPERUSER,
        password=superuser.reveal_text(),
        database="postgres",
        ssl=False,
        timeout=CONNECT_S_MAX,
    )


async def _initdb(server: Server, data: Path, password_file: Path, *, fsync: bool) -> None:
    # The plain locale and checksums are the same on every machine and version.
    arguments = ["--locale=C", "--encoding=UTF8", "--data-checksums", "--auth=scram-sha-256", f"--username={SUPERUSER}"]
    if not fsync:
        arguments.append("--no-sync")
    process = await asyncio.create_subprocess_exec(
        *server.command("initdb", "-D", str(data), f"--pwfile={password_file}", *arguments),
        cwd=server.home,
        env={},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        preexec_fn=die_with_parent(),
    )
    try:
        async with asyncio.timeout(INITIALISE_S_MAX):
            said, _ = await process.communicate()
    except TimeoutError:
        raise PartFailed(f"postgres: its data was not made within {INITIALISE_S_MAX:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise PartFailed(f"postgres: its data could not be made: {said.decode(errors='replace').strip()}")


def _configuration(rules: Path, port: int, *, fsync: bool) -> str:
    durable = "on" if fsync else "off"
    lines = {
        "listen_addresses": LOOPBACK,
        "port": str(port),
        "unix_socket_directories": "",
        "hba_file": str(rules),
        "password_encryption": "scram-sha-256",
        "fsync": durable,
        "full_page_writes": durable,
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    return "".join(f"{name} = {_quoted(value)}\n" for name, value in lines.items())


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _end_left_over(data: Path) -> None:
    """Every process of a server works in its data folder; those of one that was killed may outlive it by a while."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            started = started_at(int(process.name))
            # By its program too: a person's shell may stand in the folder.
            is_postgres = (process / "comm").read_text() == "postgres\n"
            if started is not None and is_postgres and (process / "cwd").samefile(data):
                kill_stranger(int(process.name), started)
    # Its number may have come to be another process's, which the next server would take for the one before.
    (data / "postmaster.pid").unlink(missing_ok=True)
