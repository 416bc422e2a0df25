"""The control socket: one line of JSON asks the running supervisor, one line answers."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import orjson

LINE_BYTES_MAX = 64 * 1024
ANSWER_S_MAX = 60.0


class NotRunning(Exception):
    """Nobody listens on the control socket."""


@asynccontextmanager
async def listening(path: Path, answer: Callable[[Any], Awaitable[dict[str, Any]]]) -> AsyncIterator[None]:
    """Answer requests on a socket at `path`, which only its owner can open."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = orjson.loads(await reader.readline())
            writer.write(orjson.dumps(await answer(request)) + b"\n")
            await writer.drain()
        except (ValueError, ConnectionError):
            pass  # Who asks in no language of ours, or leaves, gets no answer.
        finally:
            writer.close()

    server = await asyncio.start_unix_server(serve, sock=_bound(path), limit=LINE_BYTES_MAX)
    try:
        yield
    finally:
        server.close()


def ask(path: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Ask the running supervisor. Raises NotRunning; TimeoutError if it does not answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_S_MAX)
        try:
            with _short(path) as short:
                connection.connect(short)
        except (FileNotFoundError, ConnectionRefusedError):
            raise NotRunning(f"nothing is running in {path.parent}") from None
        connection.sendall(orjson.dumps(request) + b"\n")
        answer: dict[str, Any] = orjson.loads(connection.makefile("rb").readline(LINE_BYTES_MAX))
        return answer


def _bound(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    with _short(path) as short:
        listener.bind(short)
    path.chmod(0o600)
    return listener


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A short name of `path`: a socket's address holds about 100 bytes, a folder's path may be longer."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
