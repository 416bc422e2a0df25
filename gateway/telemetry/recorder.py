"""A worker's records: each request is marked when it begins, and written before it is answered (design law 4).

What ends in one turn of the event loop is written together: a write for each would be a thirtieth of a call's time.
"""

from collections.abc import Callable

import orjson

from gateway.pipeline.exchange import Exchange
from gateway.pipeline.record import Pseudonym, Row, Writer
from gateway.telemetry.slots import SlotTable
from gateway.telemetry.spool import Spool
from shared.clock import Clock

TOGETHER_MAX = 32
"""Records in one write. What has ended keeps its slot until then, and not many are to spare."""


class Recorder:
    """The `Records` of the corridor. `soon` calls what it is given at the end of this turn. `told` hears of each record
    too; it must be quick.
    """

    __slots__ = ("_clock", "_pseudonym", "_slots", "_soon", "_spool", "_their_slots", "_told", "_writer", "waiting")

    def __init__(
        self,
        slots: SlotTable,
        spool: Spool,
        clock: Clock,
        pseudonym: Pseudonym,
        soon: Callable[[Callable[[], None]], object],
        told: Callable[[Row], None] | None = None,
    ) -> None:
        self._slots = slots
        self._spool = spool
        self._clock = clock
        self._pseudonym = pseudonym
        self._soon = soon
        self._told = told
        self._writer = Writer()
        self.waiting: list[bytes] = []
        """Records that are to be written in this turn yet."""
        self._their_slots: list[int] = []

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
        waiting = self.waiting
        if not waiting:
            self._soon(self.write)
        waiting.append(record)
        if exchange.slot is not None:
            self._their_slots.append(exchange.slot)
        if len(waiting) >= TOGETHER_MAX:
            self.write()
        if self._told is not None:
            self._told(orjson.loads(record))

    def write(self) -> None:
        waiting, slots = self.waiting, self._their_slots
        if not waiting:
            return
        records, self._their_slots = (*waiting,), []
        waiting.clear()
        self._spool.write(*records)
        # Nothing may come between the two: `recover.py` rests on it.
        self._slots.give_back(*slots)

    def flush(self) -> None:
        """Write what the disk did not take before, and nothing to where nobody reads. Called about once a second."""
        self._spool.follow()
        if self._spool.holds:
            self._spool.flush()

    def close(self) -> None:
        self.write()
        self._spool.close()
        self._slots.close()
