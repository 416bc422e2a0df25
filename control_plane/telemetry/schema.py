"""Keeps the tables of ClickHouse as this build needs them: at the start, or as soon as ClickHouse can be reached."""

import asyncio

import structlog

from control_plane.db.errors import DatabaseUnfit
from control_plane.db.migrate import MigrationError
from control_plane.db.pool import Database
from control_plane.errors import Unavailable
from control_plane.telemetry.clickhouse import ClickHouse
from control_plane.telemetry.migrate import Engines, migrate
from control_plane.telemetry.retention import Retention, hold

RETRY_S = 2.0

log = structlog.get_logger("telemetry.schema")


class Schema:
    def __init__(self, clickhouse: ClickHouse, database: Database, retention: Retention, engines: Engines) -> None:
        self._clickhouse = clickhouse
        self._database = database
        self._retention = retention
        self._engines = engines
        self._said = ""

    async def run(self) -> None:
        """Work until cancelled. Without a ClickHouse there is nothing to do."""
        while self._clickhouse.is_set:
            try:
                await self.bring_up()
            except (Unavailable, DatabaseUnfit, MigrationError) as error:
                self._say(str(error))
            except Exception as error:  # Without it there are no analytics; everything else goes on.
                if self._say(type(error).__name__):
                    log.exception("analytics_schema_failed")
            else:
                self._said = ""
                await self._clickhouse.shut()
            await asyncio.sleep(RETRY_S)

    async def bring_up(self) -> list[str]:
        """The tables are there when this returns what had to be applied. Raises Unavailable, MigrationError."""
        applied = await migrate(self._clickhouse, self._database, self._engines)
        for name in applied:
            log.info("analytics_migration_applied", name=name)
        for name in await hold(self._clickhouse, self._retention, self._engines):
            log.info("analytics_retention_changed", table=name)
        self._clickhouse.open()
        log.info("analytics_ready")
        return applied

    def _say(self, detail: str) -> bool:
        """Once, until it was well; whether it was said now."""
        new = detail != self._said
        if new:
            log.warning("analytics_away", detail=detail)
        self._said = detail
        return new
