"""How the engine that holds the records is asked: few questions at once, each bounded in time, memory and rows."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from control_plane.errors import Invalid, Unavailable
from control_plane.filters.clickhouse import Parameters
from control_plane.telemetry.clickhouse import ClickHouse
from control_plane.telemetry.errors import AnalyticsTooMuch

QUESTION_S_MAX = 20
"""Then the engine gives up by itself."""
QUESTION_BYTES_MAX = 1_000_000_000
"""Of the engine's memory. One that allows a question less than that keeps its own limit."""
ROWS_MAX = 200_000
"""Of an answer."""
QUESTIONS_MAX = 8
"""At once, of this process; further ones wait."""
WAIT_S_MAX = 10.0

_LIMITS = {"max_memory_usage": QUESTION_BYTES_MAX, "max_result_rows": ROWS_MAX, "result_overflow_mode": "throw"}

Row = Mapping[str, Any]


class Engine:
    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._room = asyncio.Semaphore(QUESTIONS_MAX)

    async def rows(self, sql: str, parameters: Parameters) -> Sequence[Row]:
        """Cancelled, the engine drops it too. Raises Unavailable; Invalid for a question that is too large."""
        await self._enter()
        try:
            return await self._clickhouse.rows(sql, parameters.values, settings=_LIMITS, answer_s_max=QUESTION_S_MAX)
        except AnalyticsTooMuch:
            told = f"this question takes more than {QUESTION_S_MAX} s, or more memory than there is for one"
            raise Invalid(f"{told}; ask for a shorter time, or filter", code="question_too_large") from None
        finally:
            self._room.release()

    async def _enter(self) -> None:
        try:
            async with asyncio.timeout(WAIT_S_MAX):
                await self._room.acquire()
        except TimeoutError:
            raise Unavailable("too many questions are being answered; ask again in a moment", code="busy") from None
