"""Processes of the bench: started on chosen cores with a small environment, ended by pid."""

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from embedded.child import Child
from embedded.part import Part

LOOK_WAIT_S = 0.05
LOG_TAIL_BYTES = 2_000
COMMAND_S_MAX = 60.0

Cores = frozenset[int]


class PartFailed(Exception):
    """A process ended or did not become ready; says which, and shows the end of what it printed."""


@dataclass(frozen=True, slots=True)
class Running:
    """A part that was started."""

    part: Part
    child: Child
    log: Path

    @property
    def pid(self) -> int:
        return self.child.pid

    async def until_ready(self) -> None:
        await self.until(self.part.ready)

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Raises PartFailed if the part ends before `condition` holds, or that takes too long."""
        ended = asyncio.create_task(self.child.exited())
        try:
            async with asyncio.timeout(self.part.ready_s_max):
                while not await condition():
                    if ended.done():
                        raise self._failure(f"ended with {ended.result()}")
                    await asyncio.sleep(LOOK_WAIT_S)
        except TimeoutError:
            raise self._failure(f"is not ready after {self.part.ready_s_max:.0f} s") from None
        finally:
            ended.cancel()

    def _failure(self, what: str) -> PartFailed:
        tail = self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
        return PartFailed(f"{self.part.name} {what}\n{tail}")


@contextmanager
def on_cores(cores: Cores) -> Iterator[None]:
    """What is started inside is born on these cores, and so are its children."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@asynccontextmanager
async def running(part: Part, cores: Cores, folder: Path) -> AsyncIterator[Running]:
    """The part while inside; its log is in `folder`. Ctrl-C in a terminal reaches only the bench, which ends it."""
    log = folder / f"{part.name}.log"
    with on_cores(cores):
        child = Child.start(part.command, part.environment, log)
    try:
        yield Running(part, child, log)
    finally:
        await child.stop(part.stop_s_max)


@asynccontextmanager
async def talking(
    command: Sequence[str], environment: Mapping[str, str], cores: Cores
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A command whose output is read while it runs; it is ended when left."""
    with on_cores(cores):
        process = await asyncio.create_subprocess_exec(
            *command,
            env=dict(environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def run_to_end(
    command: Sequence[str], environment: Mapping[str, str], cores: Cores, *, limit_s: float = COMMAND_S_MAX
) -> bytes:
    """What the command printed. Raises PartFailed if it fails or takes too long; it is ended if we are cancelled."""
    name = " ".join(command[:4])
    try:
        async with asyncio.timeout(limit_s), talking(command, environment, cores) as process:
            printed, complaints = await process.communicate()
    except TimeoutError:
        raise PartFailed(f"{name} has not ended after {limit_s:.0f} s") from None
    if process.returncode != 0:
        raise PartFailed(f"{name} ended with {process.returncode}\n{complaints.decode(errors='replace')}")
    return printed


def which(program: str, environment: Mapping[str, str]) -> str | None:
    """Where on the PATH of `environment` the program is."""
    return shutil.which(program, path=environment.get("PATH", os.defpath))


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def accepts(port: int) -> bool:
    """Whether somebody listens on 127.0.0.1:`port`."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
