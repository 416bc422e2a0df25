"""A line to Redis for the request path: every wait is bounded, and what is written goes out in the same turn.

One connection carries all commands, one behind the other. A reply that is late ends the line: until Redis answers a
PING in time again, everybody is told at once that it is down, and nobody waits. The client library has no such bound
on a whole command and writes one turn of the loop later; its reading of URLs, TLS and passwords is used here.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import cast

import structlog
from redis.asyncio.connection import Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection

REPLY_S = 0.02
"""How long a call waits for Redis."""
LATE_S = 0.003
"""More, for a reply that is there and was not read yet since the loop itself was late."""
WRITE_S = 2.0
CONNECT_S = 2.0
AGAIN_S = 0.25
"""Between two looks whether Redis is back."""
UNSENT_BYTES_MAX = 16 * 1024 * 1024
"""Of what Redis has not taken yet; whoever has more is told that the line is down."""

Reply = bytes | int | None

log = structlog.get_logger("cache.redis")


class LineDown(Exception):
    """Redis cannot be asked now, or did not answer in time."""


class Refused(Exception):
    """Redis answered that it will not: it is read-only, full, or starting."""


class Writes:
    """Says once, not at each call, that Redis does not take what is written, as when it is full; and when it does."""

    __slots__ = ("_again", "_lost", "_said")

    def __init__(self, lost: str, again: str) -> None:
        """The events that are logged."""
        self._lost = lost
        self._again = again
        self._said = ""

    def ended(self, refusal: str = "") -> None:
        """`refusal`: what Redis said instead of taking it."""
        if refusal == self._said:
            return
        self._said = refusal
        if refusal:
            log.warning(self._lost, redis=refusal)
        else:
            log.info(self._again)


class Replies:
    """Replies as they come in, in any pieces: RESP2 without arrays, which no command here is answered with."""

    __slots__ = ("_buffer", "_wanted")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._wanted = 0
        """So many bytes have to be there before looking again is of use."""

    def feed(self, data: bytes) -> Iterator[Reply | Refused]:
        """Raises ValueError for what is no reply."""
        buffer = self._buffer
        buffer += data
        while len(buffer) > self._wanted:
            end = buffer.find(b"\r\n")
            if end < 0:
                return
            kind, rest = buffer[:1], bytes(buffer[1:end])
            start = end + 2
            if kind == b"$" and rest != b"-1":
                size = int(rest)
                if size < 0:
                    raise ValueError("a length below zero")
                stop = start + size
                if len(buffer) < stop + 2:
                    self._wanted = stop + 1
                    return
                reply: Reply | Refused = bytes(memoryview(buffer)[start:stop])
                start = stop + 2
            elif kind == b"$":
                reply = None
            elif kind == b":":
                reply = int(rest)
            elif kind == b"+":
                reply = rest
            elif kind == b"-":
                reply = Refused(rest.decode("utf-8", "replace").partition(" ")[0])
            else:
                raise ValueError(f"no reply begins with {bytes(kind)!r}")
            self._wanted = 0
            del buffer[:start]
            yield reply


class Line(asyncio.Protocol):
    """One connection; pending replies in the order of their commands."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._replies = Replies()
        self._pending: deque[asyncio.Future[Reply]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has the methods but not the base class.

    def begin(self, command: tuple[bytes, ...]) -> "asyncio.Future[Reply]":
        """The command is written; its reply will be the future's. Raises LineDown."""
        transport = self._transport
        if transport is None or transport.is_closing() or transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
            raise LineDown
        pending: asyncio.Future[Reply] = self._loop.create_future()
        self._pending.append(pending)
        transport.write(packed(command))
        return pending

    def data_received(self, data: bytes) -> None:
        try:
            for reply in self._replies.feed(data):
                pending = self._pending.popleft()
                if pending.done():
                    continue  # Whoever asked has gone.
                if isinstance(reply, Refused):
                    pending.set_exception(reply)
                    pending.exception()  # Nobody may wait for it, which is no fault.
                else:
                    pending.set_result(reply)
        except (ValueError, IndexError):  # Not Redis, or not in step.
            self.drop()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._end()

    def drop(self) -> None:
        """Everybody who waits is told that it is down."""
        if self._transport is not None:
            self._transport.abort()
        self._end()

    def _end(self) -> None:
        while self._pending:
            pending = self._pending.popleft()
            if not pending.done():
                pending.set_exception(LineDown())
                pending.exception()
        if not self.lost.done():
            self.lost.set_result(None)


class RedisLine:
    """`run` keeps it up; until it is, and whenever it is not, everybody is told so at once."""

    __slots__ = ("_line", "_place", "_reply_s", "_said")

    def __init__(self, url: str, *, reply_s: float = REPLY_S) -> None:
        # Whoever connects says which version of which library it is, and reading its own takes it milliseconds.
        places = ConnectionPool.from_url(url, driver_info=None)
        self._place: Connection = places.make_connection()  # type: ignore[no-untyped-call]
        """Never connected: it has read the URL."""
        self._reply_s = reply_s
        self._line: Line | None = None
        self._said = ""

    @property
    def is_up(self) -> bool:
        return self._line is not None

    def begin(self, *command: bytes) -> "asyncio.Future[Reply]":
        """The command goes out in this turn of the loop. Raises LineDown."""
        if self._line is None:
            raise LineDown
        return self._line.begin(command)

    async def reply(self, pending: "asyncio.Future[Reply]", wait_s: float | None = None) -> Reply:
        """Raises LineDown, Refused."""
        line = self._line
        if not pending.done():
            await asyncio.wait({pending}, timeout=self._reply_s if wait_s is None else wait_s)
        if not pending.done():
            await asyncio.wait({pending}, timeout=LATE_S)
        if not pending.done():
            if line is not None and line is self._line:
                self._line = None
                line.drop()
            raise LineDown
        return pending.result()

    async def ask(self, *command: bytes) -> Reply:
        """Raises LineDown, Refused."""
        return await self.reply(self.begin(*command))

    async def run(self) -> None:
        """Keep the line up until cancelled."""
        try:
            while True:
                try:
                    async with asyncio.timeout(CONNECT_S):
                        line = await self._connected()
                except (OSError, LineDown, Refused, TimeoutError) as error:
                    self._say(type(error).__name__ if not isinstance(error, Refused) else str(error))
                else:
                    self._say("")
                    self._line = line
                    await line.lost
                    self._line = None
                await asyncio.sleep(AGAIN_S)
        finally:
            if self._line is not None:
                line, self._line = self._line, None
                line.drop()

    async def _connected(self) -> Line:
        """A line that has answered in time. Raises OSError, LineDown, Refused."""
        loop, place = asyncio.get_running_loop(), self._place
        if isinstance(place, UnixDomainSocketConnection):
            _, line = await loop.create_unix_connection(Line, place.path)
        else:
            tls = place.ssl_context.get() if isinstance(place, SSLConnection) else None
            _, line = await loop.create_connection(Line, place.host, place.port, ssl=tls)
        try:
            if place.password is not None:
                words = [place.username, place.password] if place.username else [place.password]
                await line.begin((b"AUTH", *(word.encode() for word in words)))
            if place.db:
                await line.begin((b"SELECT", b"%d" % int(place.db)))
            await line.begin((b"PING",))  # Whatever has to be thought of only once is behind it.
            pending = line.begin((b"PING",))
            await asyncio.wait({pending}, timeout=self._reply_s)
            if not pending.done():
                raise LineDown
            pending.result()
        except BaseException:
            line.drop()
            raise
        return line

    def _say(self, why: str) -> None:
        if why != self._said:
            self._said = why
            if why:
                log.warning("cache_redis_away", detail=why)
            else:
                log.info("cache_redis_back")


def packed(command: tuple[bytes, ...]) -> bytes:
    """The command as Redis reads it."""
    parts = [b"*%d\r\n" % len(command)]
    for word in command:
        parts += (b"$%d\r\n" % len(word), word, b"\r\n")
    return b"".join(parts)


async def ended(task: "asyncio.Task[None]") -> None:
    """Cancel it, and wait until it is over."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
