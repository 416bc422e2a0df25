"""The client: takes a request, gives an answer whose head has come. The hot path of every call out.

A call on a kept connection makes no task, no timer and no future: there is one sweep in a tenth of a second
for the deadlines of all calls, which passes over those that cannot be due.
"""

import asyncio
import ssl
from collections.abc import Sequence

import msgspec

from gateway.upstream.address import Network
from gateway.upstream.connect import Connector
from gateway.upstream.connection import Connection, Stale
from gateway.upstream.egress import Egress
from gateway.upstream.errors import ConnectFailed, TotalTimeout
from gateway.upstream.exchange import Exchange
from gateway.upstream.messages import Origin, UpstreamRequest
from gateway.upstream.pool import Pool
from gateway.upstream.resolve import Resolver
from gateway.upstream.turn import Turn
from shared.clock import Clock

STALE_S = 2.0
"""How soon a kept connection has to end for us to say that the request crossed with the server's close."""


class Limits(msgspec.Struct, frozen=True):
    idle_s: float = 60.0
    idle_per_origin_max: int = 256
    sweep_s: float = 0.1


class Client:
    """An UpstreamClient. Made inside the event loop that it is used in, and ended by `close()`."""

    __slots__ = ("_clock", "_closed", "_connector", "_free", "_loop", "_lost", "_pool", "_sweep_s", "_timer", "_turn")

    def __init__(
        self,
        limits: Limits,
        *,
        allow_cidrs: Sequence[Network],
        tls: ssl.SSLContext,
        resolver: Resolver,
        clock: Clock,
        egress: Egress | None = None,
    ) -> None:
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._turn = Turn(self._loop)
        self._connector = Connector(resolver, allow_cidrs, tls, egress)
        self._pool = Pool(clock, idle_s=limits.idle_s, idle_per_origin_max=limits.idle_per_origin_max)
        self._free, self._lost = self._pool.free, self._pool.lost  # Bound once, not for each connection.
        self._sweep_s = limits.sweep_s
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def send(self, request: UpstreamRequest) -> Exchange:
        began_s = self._clock.monotonic_s()
        connection = self._pool.take(request.origin)
        if connection is not None:
            exchange = connection.send(request, began_s, began_s)
            try:
                await exchange.head()
            except Stale:
                # The server closed a connection that had idled too long for it, and our request crossed with that on
                # the way: nobody looked at it, so sending it once more is safe. After a longer wait somebody may have.
                if self._clock.monotonic_s() - began_s > STALE_S:
                    raise
                if request.upload is not None and not request.upload.restart():
                    raise
            else:
                return exchange
        connection = await self._connect(request, began_s + min(request.deadlines.total_s, request.deadlines.head_s))
        exchange = connection.send(request, self._clock.monotonic_s(), began_s)
        await exchange.head()
        return exchange

    def sweep(self, now_s: float) -> None:
        """Hold all deadlines as of `now_s`. The client calls it itself as long as a connection is open."""
        self._pool.sweep(now_s)

    async def close(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        await self._pool.close()

    async def _connect(self, request: UpstreamRequest, due_s: float) -> Connection:
        if self._closed:
            raise ConnectFailed("the client is closed")
        origin = request.origin
        left_s = due_s - self._clock.monotonic_s()
        if left_s <= 0:
            raise TotalTimeout(f"{origin.authority}: the call's time was over before it was connected")
        connection = await self._connector.connect(
            origin, lambda: self._new_connection(origin), min(request.deadlines.connect_s, left_s)
        )
        if self._closed:
            connection.abort()
            raise ConnectFailed("the client was closed meanwhile")
        self._pool.add(connection)
        if self._timer is None:
            self._tick_later()
        return connection

    def _new_connection(self, origin: Origin) -> Connection:
        return Connection(origin, self._turn, free=self._free, lost=self._lost)

    def _tick_later(self) -> None:
        self._timer = self._loop.call_later(self._sweep_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.sweep(self._clock.monotonic_s())
        if len(self._pool):
            self._tick_later()
