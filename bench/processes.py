"""Processes of the bench: started on chosen cores with a small environment, ended by pid."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

END_WAIT_S = 10.0
READY_WAIT_S = 30.0
LOOK_WAIT_S = 0.05
LOG_TAIL_BYTES = 2_000

Cores = frozenset[int]


class PartFailed(Exception):
    """A process ended or did not become ready; says which, and shows the end of what it printed."""


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    process: asyncio.subprocess.Process
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def failure(self, what: str) -> PartFailed:
        tail = self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
        return PartFailed(f"{self.name} {what}\n{tail}")


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
async def running(
    name: str, command: Sequence[str], environment: Mapping[str, str], cores: Cores, folder: Path
) -> AsyncIterator[Part]:
    """The process while inside. It has a session of its own, so that Ctrl-C reaches only the bench, which ends it."""
    log = folder / f"{name}.log"
    with log.open("wb") as output, on_cores(cores):
        process = await asyncio.create_subprocess_exec(
            *command,
            env=dict(environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield Part(name, process, log)
    finally:
        await end(process)


async def end(process: asyncio.subprocess.Process) -> None:
    """Ask, wait, insist."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), END_WAIT_S)
    except TimeoutError:
        process.kill()
        await process.wait()


async def run_to_end(
    name: str, command: Sequence[str], environment: Mapping[str, str], cores: Cores, given: bytes = b""
) -> bytes:
    """What the command printed. Raises PartFailed if it ends with an error; ended if we are cancelled."""
    with on_cores(cores):
        process = await asyncio.create_subprocess_exec(
            *command,
            env=dict(environment),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    try:
        printed, complaints = await process.communicate(given)
    finally:
        await end(process)
    if process.returncode != 0:
        raise PartFailed(f"{name} ended with {process.returncode}\n{complaints.decode(errors='replace')}")
    return printed


async def until_listening(part: Part, port: int) -> None:
    await _until(part, lambda: _connects(port), f"does not listen on port {port}")


async def until_ready(part: Part, port: int) -> None:
    """Until `GET /readyz` is answered with 200."""
    await _until(part, lambda: _ready(port), "is not ready")


async def until_written(part: Part, path: Path) -> None:
    async def written() -> bool:
        return path.exists()  # noqa: ASYNC240 (one stat)

    await _until(part, written, f"does not write {path.name}")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def _until(part: Part, holds: Callable[[], Awaitable[bool]], otherwise: str) -> None:
    deadline_s = time.monotonic() + READY_WAIT_S
    while not await holds():
        if part.process.returncode is not None:
            raise part.failure(f"ended with {part.process.returncode}")
        if time.monotonic() >= deadline_s:
            raise part.failure(f"{otherwise} after {READY_WAIT_S:.0f} s")
        await asyncio.sleep(LOOK_WAIT_S)


async def _connects(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def _ready(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        writer.write(f"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        return (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False
    finally:
        writer.close()
