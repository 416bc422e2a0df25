"""A store of records that fails when it is told to, before or after the block is there; else the one behind it."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from control_plane.telemetry.errors import AnalyticsUnavailable
from control_plane.telemetry.ingest import Store

Failure = Literal["before", "after"]


class UnsureStore:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.failures: list[Failure] = []
        """One for each insert to come, in order; when there are none left, inserts succeed."""
        self._inserts = 0
        self._progress = asyncio.Condition()

    async def insert(self, table: str, columns: Sequence[str], rows: bytes, settings: Mapping[str, Any]) -> None:
        failure = self.failures.pop(0) if self.failures else None
        if failure == "before":
            raise AnalyticsUnavailable("nothing was inserted")
        await self.store.insert(table, columns, rows, settings)
        async with self._progress:
            self._inserts += 1
            self._progress.notify_all()
        if failure == "after":
            raise AnalyticsUnavailable("nobody knows whether anything was inserted")

    async def inserted(self, number: int) -> None:
        """Return when so many more blocks are there."""
        async with self._progress:
            wanted = self._inserts + number
            await self._progress.wait_for(lambda: self._inserts >= wanted)
