"""Reconciles now and then, and says in the log how it came out."""

import asyncio
from dataclasses import dataclass

import structlog

from control_plane.db.pool import Database
from control_plane.errors import Unavailable
from control_plane.telemetry.clickhouse import ClickHouse
from control_plane.telemetry.reconcile import reconcile, told
from control_plane.telemetry.retention import Retention
from shared.clock import Clock

EVERY_S = 3_600
DAYS = 3
"""The last ones: those that batches still come for."""
TOLD_MAX = 20
"""Places that are told of one look."""


@dataclass(frozen=True, slots=True)
class Looked:
    """How the last look came out."""

    at_ms: int
    differences: int


log = structlog.get_logger("telemetry.reconciling")


class Reconciling:
    """Several processes may each run one: it changes nothing."""

    def __init__(self, database: Database, clickhouse: ClickHouse, retention: Retention, clock: Clock) -> None:
        self._database = database
        self._clickhouse = clickhouse
        self._retention = retention
        self._clock = clock
        self.looked: Looked | None = None
        """None: not yet since the process began."""

    async def run(self) -> None:
        """Work until cancelled. Without a ClickHouse there is nothing to do."""
        while self._clickhouse.is_set:
            await asyncio.sleep(EVERY_S)
            try:
                await self.turn()
            except Unavailable as error:
                log.warning("reconciliation_put_off", detail=str(error))
            except Exception:  # It is done again, and is in nobody's way.
                log.exception("reconciliation_failed")

    async def turn(self) -> None:
        """One look; raises Unavailable."""
        result = await reconcile(self._database, self._clickhouse, self._retention, self._clock, days=DAYS)
        self.looked = Looked(self._clock.wall_ms(), result.count)
        if result.equal:
            log.info("records_reconciled", streams=result.streams, records=result.counted.records, days=DAYS)
        else:
            *places, last = told(result)
            # All of them, as after a ClickHouse that was lost, are too much for a line: the command tells them.
            log.error("records_differ", days=DAYS, count=len(places), told=[*places[:TOLD_MAX], last])
