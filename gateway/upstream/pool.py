"""The connections: who is idle, by origin, newest first; who is open at all."""

import asyncio

from gateway.upstream.connection import Connection
from gateway.upstream.errors import Cut
from gateway.upstream.messages import Origin
from shared.clock import Clock


class Pool:
    """Last in, first out: what is used stays warm, and what a quiet hour does not need grows old and is closed."""

    __slots__ = ("_clock", "_emptied", "_idle", "_idle_per_origin_max", "_idle_s", "_open")

    def __init__(self, clock: Clock, *, idle_s: float, idle_per_origin_max: int) -> None:
        self._clock = clock
        self._idle_s = idle_s
        self._idle_per_origin_max = idle_per_origin_max
        self._idle: dict[tuple[object, ...], list[Connection]] = {}
        """By the key of their origin."""
        self._open: set[Connection] = set()
        self._emptied: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._open)

    def take(self, origin: Origin) -> Connection | None:
        """The idle connection used last, None if there is none."""
        idle = self._idle.get(origin.key)
        while idle:
            connection = idle.pop()
            if connection.is_usable:
                return connection
        return None

    def add(self, connection: Connection) -> None:
        """Count a new connection, until `lost` is called for it; one already closed is not counted at all."""
        if connection.is_usable:
            self._open.add(connection)

    def free(self, connection: Connection) -> None:
        key = connection.origin.key
        idle = self._idle.get(key)
        if idle is None:
            idle = self._idle[key] = []
        if len(idle) >= self._idle_per_origin_max:
            connection.abort()
            return
        connection.idle_since_s = self._clock.monotonic_s()
        idle.append(connection)

    def lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        key = connection.origin.key
        idle = self._idle.get(key)
        if idle is not None:
            if connection in idle:
                idle.remove(connection)
            if not idle:
                del self._idle[key]
        if self._emptied is not None and not self._open and not self._emptied.done():
            self._emptied.set_result(None)

    def sweep(self, now_s: float) -> None:
        for connection in tuple(self._open):
            if connection.quiet_until_s <= now_s:
                connection.sweep(now_s, self._idle_s)

    async def close(self) -> None:
        """Close every connection and wait until the sockets have gone. What is added later is closed on its return."""
        self._idle_per_origin_max = 0
        self._emptied = self._emptied or asyncio.get_running_loop().create_future()
        for connection in tuple(self._open):
            connection.fail(Cut("the client is closing"))
        if self._open:
            await asyncio.shield(self._emptied)
