"""The embedded PostgreSQL: closed to strangers, its role bound by policies, back after any kill, also as root."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from embedded import postgres, postgres_programs
from embedded.keeper import PartFailed
from embedded.part import Part
from embedded.postgres_programs import Server
from embedded.state import StateFolder
from embedded.supervisor import Supervisor
from shared.clock import SystemClock
from shared.crypto.secret import Secret
from tests.fixtures.processes import children_of, is_running

SUPERUSER = Secret("marker-superuser-9f")
PASSWORD = Secret("marker-'@/:password-9f")
TOOLS = "/usr/bin:/bin"
NOWHERE = Path("/nowhere")
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run it as somebody else")

SleeperIn = Callable[[Path], "subprocess.Popen[bytes]"]
Until = Callable[[Callable[[], bool]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Running:
    """A server under the supervisor, settled."""

    supervisor: Supervisor
    server: Server
    part: Part
    port: int

    @property
    def url(self) -> str:
        return postgres.url(self.port, PASSWORD).reveal_text()

    async def status(self) -> dict[str, Any]:
        (row,) = (await self.supervisor.answer({"do": "status"}))["parts"]
        return dict(row)

    async def superuser(self) -> asyncpg.Connection:
        password = SUPERUSER.reveal_text()
        return await asyncpg.connect(host="127.0.0.1", port=self.port, user="postgres", password=password, ssl=False)


async def run(supervisor: Supervisor, server: Server, port: int) -> Running:
    await postgres.initialise(server, SUPERUSER, fsync=False)
    part = postgres.part(server, port, SUPERUSER, fsync=False)
    await supervisor.start(part)
    await postgres.settle(port, SUPERUSER, PASSWORD)
    return Running(supervisor, server, part, port)


def of_machine(state: StateFolder) -> Server:
    server = postgres_programs.find(os.environ["PATH"], state.root / "postgres")
    if postgres_programs.WHEEL in server.programs.parts:
        pytest.skip("this machine has no PostgreSQL of its own")
    return server


def of_wheel(state: StateFolder) -> Server:
    return postgres_programs.find(TOOLS, state.root / "postgres", installed=NOWHERE)


def of_few_rights(state: StateFolder) -> Server:
    """As where root can make no namespace: as another user, in a folder everybody may pass through."""
    if os.geteuid() != 0:
        pytest.skip("only root has to run it as somebody else")
    unshare = state.root / "bin" / "unshare"
    unshare.parent.mkdir()
    unshare.write_text("#!/bin/sh\nexit 1\n")
    unshare.chmod(0o755)
    reachable = Path(tempfile.mkdtemp())
    path = f"{unshare.parent}:{TOOLS}"
    return postgres_programs.find(path, state.root / "postgres", installed=NOWHERE, reachable=reachable)


@pytest.fixture
def server(request: pytest.FixtureRequest, state: StateFolder) -> Iterator[Server]:
    """The wheel's, which is always there, unless the test is marked EITHER."""
    server: Server = getattr(request, "param", of_wheel)(state)
    yield server
    if server.runs_as.owner is not None:
        shutil.rmtree(server.home, ignore_errors=True)
        # Of others' data, if there is any, the folder stays.
        with suppress(OSError):
            server.home.parent.rmdir()


EITHER = pytest.mark.parametrize("server", [of_machine, of_wheel], indirect=True)
EVERY_WAY = pytest.mark.parametrize("server", [of_machine, of_wheel, of_few_rights], indirect=True)


@pytest.fixture
def sleeper_in() -> Iterator[SleeperIn]:
    """Starts a process that is no PostgreSQL, in the folder given."""
    with ExitStack() as sleepers:

        def start(folder: Path) -> "subprocess.Popen[bytes]":
            process = sleepers.enter_context(subprocess.Popen(("sleep", "600"), cwd=folder))
            sleepers.callback(process.kill)
            return process

        yield start


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
async def supervisor(state: StateFolder, said: list[str]) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(state, SystemClock(), said.append)
    yield supervisor
    await supervisor.stop()


@pytest.fixture
async def running(supervisor: Supervisor, server: Server, free_port: int) -> Running:
    return await run(supervisor, server, free_port)


@pytest.fixture
async def connection(running: Running) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(running.url)
    yield connection
    await connection.close()


@EITHER
async def test_stranger_is_refused(running: Running) -> None:
    for user, database in (("gatehouse", "gatehouse"), ("postgres", "postgres"), ("nobody", "postgres")):
        for password in ("other", PASSWORD.reveal_text() if user == "postgres" else SUPERUSER.reveal_text()):
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(
                    host="127.0.0.1", port=running.port, user=user, password=password, database=database, ssl=False
                )
    assert not await postgres.answers(running.port, Secret("other"))


@EITHER
async def test_role_is_bound_by_row_level_security_and_makes_no_roles(connection: asyncpg.Connection) -> None:
    rights = await connection.fetchrow(
        "select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication from pg_roles"
        " where rolname = current_user"
    )
    assert not any(rights)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("alter role current_user bypassrls")
    await connection.execute("create table kept (); alter table kept enable row level security")


async def test_it_listens_on_the_loopback_and_on_no_socket_in_a_folder(running: Running) -> None:
    superuser = await running.superuser()
    assert await superuser.fetchval("show listen_addresses") == "127.0.0.1"
    assert await superuser.fetchval("show unix_socket_directories") == ""
    await superuser.close()


def test_what_is_committed_is_durable_unless_told_otherwise(server: Server, free_port: int) -> None:
    server.home.mkdir(parents=True)
    for arguments, fsync in (({}, "on"), ({"fsync": False}, "off")):
        postgres.part(server, free_port, SUPERUSER, **arguments)
        assert f"\nfsync = '{fsync}'\n" in (server.home / "postgresql.conf").read_text()


async def test_secrets_stand_neither_on_the_command_line_nor_in_log_or_configuration(
    running: Running, state: StateFolder
) -> None:
    written = " ".join(running.part.command) + (state.logs / "postgres.log").read_text()
    for file in running.server.home.glob("*.conf"):
        assert file.stat().st_mode & 0o777 == 0o600
        written += file.read_text()
    assert "listen_addresses" in written
    for secret in (SUPERUSER, PASSWORD):
        assert secret.reveal_text() not in written
    assert not (running.server.home / "superuser_password").exists()


async def test_everything_is_there_after_the_next_start_and_the_file_decides_the_password(
    running: Running, connection: asyncpg.Connection
) -> None:
    await connection.execute("create table kept as select 1 as value")
    await running.supervisor.answer({"do": "hold", "part": "postgres"})
    await running.supervisor.answer({"do": "release", "part": "postgres"})
    await postgres.settle(running.port, SUPERUSER, Secret("another"))
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(running.url)
    again = await asyncpg.connect(postgres.url(running.port, Secret("another")).reveal_text())
    assert await again.fetchval("select value from kept") == 1
    await again.close()


async def test_rights_that_somebody_added_are_taken_back(running: Running) -> None:
    superuser = await running.superuser()
    rights = "select rolsuper, rolbypassrls from pg_roles where rolname = 'gatehouse'"
    await superuser.execute("alter role gatehouse superuser bypassrls")
    assert tuple(await superuser.fetchrow(rights)) == (True, True)
    await postgres.settle(running.port, SUPERUSER, PASSWORD)
    assert tuple(await superuser.fetchrow(rights)) == (False, False)
    await superuser.close()


async def test_password_stays_out_of_the_log_also_when_it_cannot_be_set(running: Running, state: StateFolder) -> None:
    superuser = await running.superuser()
    await superuser.execute("alter role postgres set default_transaction_read_only = on")
    await superuser.close()
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await postgres.settle(running.port, SUPERUSER, Secret("marker-next-9f"))
    log = (state.logs / "postgres.log").read_text()
    assert "cannot execute ALTER ROLE" in log
    assert "marker-next-9f" not in log


async def test_hold_does_not_wait_for_clients(
    running: Running, connection: asyncpg.Connection, state: StateFolder
) -> None:
    assert await connection.fetchval("select 1") == 1
    await running.supervisor.answer({"do": "hold", "part": "postgres"})
    log = (state.logs / "postgres.log").read_text()
    assert "received fast shutdown request" in log
    assert "database system is shut down" in log
    assert not (running.server.data / "postmaster.pid").exists()


@EVERY_WAY
async def test_killed_server_is_started_again_with_what_was_committed(
    running: Running, connection: asyncpg.Connection, until: Until, said: list[str]
) -> None:
    await connection.execute("create table kept as select 1 as value")
    os.kill((await running.status())["pid"], signal.SIGKILL)
    await until(lambda: "postgres was ended by SIGKILL; starting it again in 0.2 s" in said)
    await running.supervisor.answer({"do": "release", "part": "postgres"})
    again = await asyncpg.connect(running.url)
    assert await again.fetchval("select value from kept") == 1
    assert (await running.status())["restarts"] == 1
    await again.close()


async def test_lock_of_a_killed_server_whose_number_is_another_process_now_stops_no_start(
    running: Running, sleeper_in: SleeperIn, tmp_path: Path
) -> None:
    lock = running.server.data / "postmaster.pid"
    lines = lock.read_text().splitlines()
    await running.supervisor.answer({"do": "hold", "part": "postgres"})
    stranger = sleeper_in(tmp_path)
    lock.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
    postgres.part(running.server, running.port, SUPERUSER, fsync=False)
    await running.supervisor.answer({"do": "release", "part": "postgres"})
    status = await running.status()
    assert (status["state"], status["restarts"]) == ("running", 0)
    assert stranger.poll() is None


async def test_helpers_that_outlive_their_server_are_ended_and_other_processes_in_the_folder_spared(
    running: Running, sleeper_in: SleeperIn, gone: Callable[[int], bool]
) -> None:
    pid = (await running.status())["pid"]
    helper = min(children_of(pid))
    # It does not see that its server has died.
    os.kill(helper, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    await running.supervisor.stop()
    shell = sleeper_in(running.server.data)
    assert is_running(helper)
    again = await run(running.supervisor, running.server, running.port)
    assert gone(helper)
    assert shell.poll() is None
    assert (await again.status())["restarts"] == 0


async def test_making_of_data_that_was_cut_short_is_begun_again(
    server: Server, supervisor: Supervisor, free_port: int
) -> None:
    draft = server.home / "data.new"
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("15\n")
    running = await run(supervisor, server, free_port)
    assert not draft.exists()
    connection = await asyncpg.connect(running.url)
    await connection.close()


async def test_data_that_cannot_be_made_says_why(server: Server) -> None:
    with pytest.raises(PartFailed, match=r"(?s)postgres: its data could not be made: .*password file"):
        await postgres.initialise(server, Secret(""))
    assert not server.data.exists()


@dataclass(frozen=True, slots=True)
class Seen:
    """A process as the kernel shows it to the rest of the machine."""

    user: int
    namespace: str
    capabilities: int

    @classmethod
    def of(cls, pid: int) -> "Seen":
        process = Path(f"/proc/{pid}")
        status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines())
        return cls(
            int(status["Uid"].split()[0]), str((process / "ns" / "user").readlink()), int(status["CapEff"], base=16)
        )


@AS_ROOT
async def test_root_runs_it_below_a_private_folder_and_opens_none(running: Running, state: StateFolder) -> None:
    if running.server.runs_as.owner is not None:
        pytest.skip("no user namespaces here")
    seen = Seen.of((await running.status())["pid"])
    assert running.server.data.is_relative_to(state.root)
    assert state.root.stat().st_mode & 0o777 == 0o700
    assert seen.namespace != Seen.of(os.getpid()).namespace
    assert seen.capabilities == 0


@pytest.mark.parametrize("server", [of_few_rights], indirect=True)
async def test_root_without_namespaces_runs_it_as_a_user_with_few_rights(
    running: Running, connection: asyncpg.Connection, state: StateFolder
) -> None:
    await connection.execute("create table kept ()")
    server, seen = running.server, Seen.of((await running.status())["pid"])
    assert seen.user == server.data.stat().st_uid != 0
    assert seen.capabilities == 0
    assert server.data.stat().st_mode & 0o777 == 0o700
    assert server.home.stat().st_uid == 0
    assert not (state.root / "postgres").exists()


@EVERY_WAY
def test_server_dies_with_a_supervisor_that_is_killed(
    server: Server, free_port: int, tmp_path: Path, gone: Callable[[int], bool]
) -> None:
    program = f"""
import asyncio
from pathlib import Path, PosixPath
from embedded import postgres
from embedded.child import Child
from embedded.postgres_programs import RunsAs, Server
from shared.crypto.secret import Secret

async def main():
    server, password = {server!r}, Secret("x")
    await postgres.initialise(server, password, fsync=False)
    part = postgres.part(server, {free_port}, password, fsync=False)
    child = Child.start(part.command, part.environment, Path({str(tmp_path / "log")!r}))
    while not await part.ready():
        await asyncio.sleep(0.01)
    print(child.pid, flush=True)
    await child.exited()

asyncio.run(main())
"""
    with subprocess.Popen((sys.executable, "-c", program), stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        helpers = children_of(pid)
        assert helpers
        parent.kill()
    assert gone(pid)
    assert all(gone(helper) for helper in helpers)
