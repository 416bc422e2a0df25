"""A worker's records: each request is marked when it begins, and written before it is answered (design law 4)."""

from collections.abc import Callable

import orjson

from gateway.pipeline.exchange import Exchange
from gateway.pipeline.record import Pseudonym, Row, Writer
from gateway.telemetry.slots import SlotTable
from gateway.telemetry.spool import Spool
from shared.clock import Clock


class Recorder:
    """The `Records` of the corridor. `told` hears of each record too; it must be quick."""

    __slots__ = ("_clock", "_pseudonym", "_slots", "_spool", "_told", "_writer")

    def __init__(
        self,
        slots: SlotTable,
        spool: Spool,
        clock: Clock,
        pseudonym: Pseudonym,
        told: Callable[[Row], None] | None = None,
    ) -> None:
        self._slots = slots
        self._spool = spool
        self._clock = clock
        self._pseudonym = pseudonym
        self._told = told
        self._writer = Writer()

    def begin(self, exchange: Exchange) -> None:
        exchange.slot = self._slots.take(exchange.id, exchange.door)

    def name(self, exchange: Exchange) -> None:
        slot, caller = exchange.slot, exchange.caller
        if slot is not None and caller is not None:
            workspace = caller.workspace
            self._slots.name(slot, (workspace.id, caller.id, workspace.anonymous))

    def end(self, exchange: Exchange) -> None:
        if exchange.recorded:
            return
        exchange.recorded = True
        record = self._writer.record(exchange, self._clock.monotonic_s(), self._pseudonym)
        self._spool.write(record)
        # Nothing may come between the two: `recover.py` rests on it.
        if exchange.slot is not None:
            self._slots.give_back(exchange.slot)
        if self._told is not None:
            self._told(orjson.loads(record))

    def flush(self) -> None:
        """Write what the disk did not take before. Called about once a second."""
        if self._spool.holds:
            self._spool.flush()

    def close(self) -> None:
        self._spool.close()
        self._slots.close()
