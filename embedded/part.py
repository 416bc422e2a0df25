"""A part of the stack: how it is started, and how one sees that it is ready."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from embedded.ports import LOOPBACK
from shared.crypto.secret import Secret

ANSWER_S_MAX = 5.0
ANSWER_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    """All of it: a part inherits nothing."""
    ready: Callable[[], Awaitable[bool]]
    ready_s_max: float = 60.0
    stop_s_max: float = 10.0
    stop_signal: signal.Signals = signal.SIGTERM
    """What asks it to end, before it is killed after `stop_s_max`."""


async def get(host: str, port: int, path: str) -> tuple[int, bytes]:
    """Status and body of `GET path`; status 0 if nobody answers."""
    request = f"GET {path} HTTP/1.1\r\nhost: {LOOPBACK}\r\nconnection: close\r\n\r\n"
    head, _, body = (await exchange(host, port, request.encode())).partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1:2]
    return (int(status[0]) if status else 0), body


async def answers_redis(port: int, password: Secret) -> bool:
    """Whether a Redis that knows this password answers, and has loaded its data."""
    request = b"AUTH " + password.reveal() + b"\r\nPING\r\nQUIT\r\n"
    return (await exchange(LOOPBACK, port, request)).startswith(b"+OK\r\n+PONG\r\n")


async def exchange(host: str, port: int, request: bytes) -> bytes:
    """Send `request` on a connection of its own; all that comes until the other side closes it, or nothing."""
    try:
        async with asyncio.timeout(ANSWER_S_MAX):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request)
                return await reader.read(ANSWER_BYTES_MAX)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return b""
