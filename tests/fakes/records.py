"""Records kept in memory, each held to the allow-list as the control plane would: what began, and how it ended."""

import asyncio

import orjson

from gateway.pipeline.exchange import Exchange
from gateway.pipeline.record import row_of
from shared.clock import Clock
from shared.models.record import RECORD, Record

USER = "0123456789abcdef" * 2
"""What every end user is called."""


class FakeRecords:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.begun: list[str] = []
        self.records: list[Record] = []
        self.ended = asyncio.Event()
        """A record has been written."""
        self.waiting: list[str] = []
        """Of whom the record is to be written yet."""

    def begin(self, exchange: Exchange) -> None:
        self.begun.append(exchange.id)

    def name(self, exchange: Exchange) -> None:
        assert exchange.caller is not None

    def end(self, exchange: Exchange) -> None:
        if exchange.recorded:
            return
        exchange.recorded = True
        row = row_of(exchange, self._clock.monotonic_s(), lambda _: USER)
        self.records.append(RECORD.validate_json(orjson.dumps(row), strict=True))
        self.waiting.append(exchange.id)
        self.ended.set()

    def write(self) -> None:
        self.waiting.clear()

    @property
    def last(self) -> Record:
        return self.records[-1]
