"""What has to be forgotten now and then: nonces and batches' payloads too old to matter, tombstones nobody needs."""

import asyncio

import structlog

from control_plane.db.pool import Database
from control_plane.errors import Unavailable
from control_plane.snapshots.compact import compact
from control_plane.sync import store
from control_plane.telemetry import ledger

NONCES_S = 60
COMPACT_EVERY = 60
"""In rounds of NONCES_S; payloads are forgotten as seldom."""

log = structlog.get_logger("sync.upkeep")


class Upkeep:
    """Several processes may each run one: what one has done the next finds done."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self) -> None:
        """Work until cancelled."""
        rounds = 0
        while True:
            try:
                await self.turn(compacting=rounds % COMPACT_EVERY == 0)
            except Unavailable as error:
                log.warning("upkeep_put_off", detail=str(error))
            except Exception:  # What could not be forgotten now is tried again, and is in nobody's way.
                log.exception("upkeep_failed")
            rounds += 1
            await asyncio.sleep(NONCES_S)

    async def turn(self, *, compacting: bool) -> None:
        async with self._database.instance() as connection:
            await store.forget_nonces(connection)
        if compacting:
            async with self._database.instance() as connection:
                await ledger.forget_payloads(connection)
            await compact(self._database)
