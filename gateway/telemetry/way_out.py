"""The way of records out of this node, as the agent runs it: batcher, outbox, shipper."""

import asyncio

import structlog

from gateway.telemetry.batcher import Batcher
from gateway.telemetry.outbox import Outbox, OutboxUnavailable
from gateway.telemetry.ship import Shipped, Shipper
from shared.protocol.heartbeat import DROP_REASONS_MAX, RecordsHealth

log = structlog.get_logger("telemetry.way_out")


class WayOut:
    def __init__(self, outbox: Outbox, batcher: Batcher, shipper: Shipper | None) -> None:
        """`shipper`: None where there is no control plane to send to."""
        self._outbox = outbox
        self._batcher = batcher
        self._shipper = shipper

    async def run(self, drain_s: float) -> None:
        """Work until cancelled; then put what is there in batches, and send for `drain_s` at most. The rest stays."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._batcher.run())
                if self._shipper is not None:
                    group.create_task(self._shipper.run())
        finally:
            await self._finish(drain_s)

    @property
    def shipped(self) -> Shipped | None:
        """What was sent so far; None where there is nobody to send to."""
        return None if self._shipper is None else self._shipper.shipped

    def health(self) -> RecordsHealth | None:
        """What waits, and what was lost; None while nobody can say. Blocks."""
        try:
            waiting, dropped = self._outbox.waiting(), self._outbox.dropped()
        except OutboxUnavailable:
            return None
        return RecordsHealth(
            waiting=waiting.records,
            waiting_bytes=waiting.bytes + self._batcher.unread_bytes(),
            oldest_ms=waiting.oldest_ms,
            dropped=dict(sorted(dropped.items(), key=lambda entry: -entry[1])[:DROP_REASONS_MAX]),
        )

    async def _finish(self, drain_s: float) -> None:
        await asyncio.to_thread(self._batcher.look, last=True)
        if self._shipper is not None:
            try:
                # Not by `asyncio.timeout`: before Python 3.11.3 its end in a cancelled task is one more cancellation.
                await asyncio.wait_for(self._shipper.drain(), drain_s)
            except TimeoutError:
                log.info("records_stay", waited_s=drain_s)
        await asyncio.to_thread(self._outbox.close)
