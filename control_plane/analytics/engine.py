"""The ClickHouse that answers questions about records: bounded questions, and errors renamed at this one border.

It is asked for only when there is a question: a control plane starts and goes on without it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import clickhouse_connect
import structlog
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import ClickHouseError, Error

from control_plane.errors import Invalid, Unavailable
from control_plane.filters.clickhouse import Parameters
from shared.crypto.secret import Secret

QUESTION_S_MAX = 20
"""Of the engine's time; then it gives up by itself."""
ANSWER_S_MAX = 30
"""After this an engine that says nothing at all counts as away."""
CONNECT_S_MAX = 5
QUESTION_BYTES_MAX = 1_000_000_000
"""Of the engine's memory. An engine that allows a question less than that keeps its own limit."""
ROWS_MAX = 200_000
"""Of an answer."""
QUESTIONS_MAX = 8
"""At once, of this process; further ones wait."""
WAIT_S_MAX = 10.0

_TOO_MUCH = {
    158: "it would read too many rows",
    159: f"it took longer than {QUESTION_S_MAX} s",
    160: f"it would take longer than {QUESTION_S_MAX} s",
    241: "it needs too much memory",
    307: "it would read too many bytes",
    394: f"it took longer than {QUESTION_S_MAX} s",
    396: "its answer is too long",
}
"""ClickHouse's error codes for questions that are too large, in words."""
_AWAY = "analytics_unavailable"

Row = Mapping[str, Any]

log = structlog.get_logger("analytics")


class Engine:
    """Rows for questions. Raises Unavailable when it is away or none is set, Invalid for what is too much to ask."""

    def __init__(self, url: Secret | None) -> None:
        self._url = url
        self._client: AsyncClient | None = None
        self._connecting = asyncio.Lock()
        self._room = asyncio.Semaphore(QUESTIONS_MAX)

    async def rows(self, sql: str, parameters: Parameters, **settings: int) -> Sequence[Row]:
        """Cancelled, it is dropped by the engine too. `settings` are ClickHouse's, within the limits of this room."""
        await self._enter()
        try:
            client = await self._connected()
            limits = {
                "max_execution_time": QUESTION_S_MAX,
                "max_memory_usage": QUESTION_BYTES_MAX,
                "max_result_rows": ROWS_MAX,
            }
            found = await client.query(sql, parameters=parameters.values, settings=limits | settings)
        except Error as error:
            raise _told(error) from None
        except (ClickHouseError, aiohttp.ClientError, OSError, TimeoutError):
            raise _away() from None
        finally:
            self._room.release()
        return list(found.named_results())

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _enter(self) -> None:
        try:
            async with asyncio.timeout(WAIT_S_MAX):
                await self._room.acquire()
        except TimeoutError:
            raise Unavailable("too many questions are being answered; ask again in a moment", code="busy") from None

    async def _connected(self) -> AsyncClient:
        if self._url is None:
            raise Unavailable("no ClickHouse is set: GATEHOUSE_CLICKHOUSE_URL says where records are kept", code=_AWAY)
        async with self._connecting:
            if self._client is None:
                self._client = await clickhouse_connect.get_async_client(
                    dsn=self._url.reveal_text(),
                    connect_timeout=CONNECT_S_MAX,
                    send_receive_timeout=ANSWER_S_MAX,
                    autogenerate_session_id=False,
                    # What stands in a filter may be longer than a line of HTTP.
                    form_encode_query_params=True,
                    query_retries=0,
                    show_clickhouse_errors=True,
                    tz_mode="aware",
                )
        return self._client


def _told(error: Error) -> Invalid | Unavailable:
    if error.code in _TOO_MUCH:
        told = f"this question is too large: {_TOO_MUCH[error.code]}; ask for a shorter time, or filter"
        return Invalid(told, code="question_too_large")
    if error.code is None:
        return _away()
    log.error("question_failed", code=error.code, name=error.name, detail=str(error)[:500])
    return Unavailable("the ClickHouse that answers this cannot; the log of the control plane says why", code=_AWAY)


def _away() -> Unavailable:
    return Unavailable("the ClickHouse that answers this is away; records wait at the gateways", code=_AWAY)
