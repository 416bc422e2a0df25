"""The public port: a lane for each caller, one sweep over all their deadlines, and an end that lets calls end."""

import asyncio
from collections.abc import Callable

from gateway.pipeline.exchange import Records
from gateway.pipeline.pipeline import Pipeline
from gateway.serve.http import ColdServer
from gateway.serve.lane import Lane, Limits
from gateway.upstream.turn import Turn
from shared.clock import Clock

SWEEP_PARTS = 10
"""In so many parts all lanes are looked at within `sweep_s`: to look at thousands at once would hold up the calls."""


class Server:
    """Called by the event loop for each accepted socket. Made inside the loop that it is used in."""

    def __init__(
        self,
        pipeline: Pipeline,
        cold: ColdServer,
        records: Records,
        clock: Clock,
        new_id: Callable[[], str],
        limits: Limits,
    ) -> None:
        self.pipeline = pipeline
        self.records = records
        self.clock = clock
        self.limits = limits
        self.draining = False
        self.running = 0
        self.new_id = new_id
        self.lend = cold.lend
        self._loop = asyncio.get_running_loop()
        self.turn = Turn(self._loop, records)
        self._lanes: set[Lane] = set()
        self._to_look_at: list[Lane] = []
        """In this round."""
        self._timer: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Future[None] | None = None

    def __call__(self) -> Lane:
        return Lane(self, self._loop)

    def sweep(self, now_s: float) -> None:
        """Hold all deadlines as of `now_s`. The server does it itself, part by part, as long as a caller is there."""
        for lane in list(self._lanes):
            lane.sweep(now_s)

    async def close(self, drain_s: float) -> None:
        """Take no more requests, and return when those that run have ended; after `drain_s` they are cut off."""
        self.draining = True
        for lane in list(self._lanes):
            lane.drain()
        if not self._lanes:
            return
        self._emptied = self._loop.create_future()
        await asyncio.wait([self._emptied], timeout=drain_s)
        for lane in list(self._lanes):
            lane.abort()
        if self._lanes:
            await self._emptied

    # What the lanes call

    def entered(self, lane: Lane) -> None:
        self._lanes.add(lane)
        if self.draining:
            lane.drain()
        elif self._timer is None:
            self._tick_later()

    def left(self, lane: Lane) -> None:
        self._lanes.discard(lane)
        if self._emptied is not None and not self._lanes and not self._emptied.done():
            self._emptied.set_result(None)

    # The rest

    def _tick_later(self) -> None:
        self._timer = self._loop.call_later(self.limits.sweep_s / SWEEP_PARTS, self._tick)

    def _tick(self) -> None:
        self._timer = None
        waiting = self._to_look_at = self._to_look_at or list(self._lanes)
        now_s, part = self.clock.monotonic_s(), -(-len(self._lanes) // SWEEP_PARTS)
        for lane in waiting[-part:]:  # All of them where nobody is connected any more: none has to be kept.
            lane.sweep(now_s)
        del waiting[-part:]
        if self._lanes:
            self._tick_later()
