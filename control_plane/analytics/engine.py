"""How the engine that holds the records is asked: few questions at once, each bounded in time, memory and rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from control_plane.errors import Invalid, Unavailable
from control_plane.filters.clickhouse import Parameters
from control_plane.places import Places
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
QUESTIONS_EACH_MAX = 6
"""Of one organisation."""
WAIT_S_MAX = 10.0

_LIMITS = {"max_memory_usage": QUESTION_BYTES_MAX, "max_result_rows": ROWS_MAX, "result_overflow_mode": "throw"}

Row = Mapping[str, Any]


class Engine:
    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._places = Places(QUESTIONS_MAX, each_max=QUESTIONS_EACH_MAX, wait_s_max=WAIT_S_MAX)

    async def rows(self, organisation: str, sql: str, parameters: Parameters) -> Sequence[Row]:
        """`organisation`: who asks. Cancelled, the engine drops it too.

        Raises Unavailable; Invalid for a question that is too large.
        """
        busy = Unavailable("too many questions are being answered; ask again in a moment", code="busy")
        async with self._places.place(organisation, busy):
            try:
                return await self._clickhouse.rows(
                    sql, parameters.values, settings=_LIMITS, answer_s_max=QUESTION_S_MAX
                )
            except AnalyticsTooMuch:
                told = f"this question takes more than {QUESTION_S_MAX} s, or more memory than there is for one"
                raise Invalid(f"{told}; ask for a shorter time, or filter", code="question_too_large") from None
