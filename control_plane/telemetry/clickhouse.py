"""ClickHouse, where records are kept and counted: one client, bounded waits, values only as parameters.

Until its tables are made (`telemetry/schema.py`), and whenever it is away, everything raises AnalyticsUnavailable, and
the rest of the control plane goes on.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from clickhouse_connect import get_async_client
from clickhouse_connect.driver.asyncclient import AsyncClient

from control_plane.telemetry.errors import AnalyticsUnavailable, renamed
from shared.crypto.secret import Secret

DATABASE = "gatehouse"
"""Where the address names none."""
CONNECT_S_MAX = 5.0
ANSWER_S_MAX = 30.0
CHANGE_S_MAX = 6 * 3600.0
"""Of a statement that changes the tables: one may make sums of years of records anew."""
PING_S_MAX = 0.5
CONNECTIONS_MAX = 20

_UNSET = "no ClickHouse is set: give its address as GATEHOUSE_CLICKHOUSE_URL, http://user:password@host:port/database"
_NOT_YET = "the tables of ClickHouse are not there yet; the log of the control plane says why"

State = Literal["unset", "away", "ready"]
T = TypeVar("T")


class ClickHouse:
    def __init__(
        self, url: Secret | None, *, connect_s_max: float = CONNECT_S_MAX, answer_s_max: float = ANSWER_S_MAX
    ) -> None:
        """Connects when it is first used."""
        self._url = url
        self._connect_s_max = connect_s_max
        self._answer_s_max = answer_s_max
        self._client: AsyncClient | None = None
        self._connecting = asyncio.Lock()
        self._open = False
        self._shut = asyncio.Event()
        self.failed_count = 0
        """Questions and inserts it did not do."""

    @property
    def is_set(self) -> bool:
        return self._url is not None

    @property
    def database(self) -> str:
        assert self._url is not None
        return urlsplit(self._url.reveal_text()).path.strip("/") or DATABASE

    async def rows(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        settings: Mapping[str, Any] | None = None,
        answer_s_max: float = ANSWER_S_MAX,
    ) -> list[dict[str, Any]]:
        """The answer's rows by column. `sql` is ours, with its values as `{name:Type}`. Raises AnalyticsUnavailable."""
        self._require_open()
        return await self._counting_on_tables(self.ask(sql, parameters, settings=settings, answer_s_max=answer_s_max))

    async def insert(self, table: str, columns: Sequence[str], rows: bytes, settings: Mapping[str, Any]) -> None:
        """`rows` in the format JSONCompactEachRow, as one block. Raises AnalyticsUnavailable."""
        self._require_open()
        await self._counting_on_tables(self._insert(table, columns, rows, settings))

    async def ask(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        settings: Mapping[str, Any] | None = None,
        answer_s_max: float = ANSWER_S_MAX,
    ) -> list[dict[str, Any]]:
        """As `rows`, whether the tables are there or not."""
        limits = {"max_execution_time": answer_s_max, **(settings or {})}
        with renamed():
            async with asyncio.timeout(answer_s_max + self._connect_s_max):
                client = await self._connected()
                result = await client.query(sql, parameters=dict(parameters or {}), settings=limits)
        return list(result.named_results())

    async def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        """A statement without an answer, whether the tables are there or not. Raises AnalyticsUnavailable."""
        with renamed():
            async with asyncio.timeout(self._answer_s_max + self._connect_s_max):
                client = await self._connected()
                await client.command(sql, parameters=dict(parameters or {}))

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[Callable[[str], Awaitable[None]]]:
        """For statements that change the tables: the same, and each takes as long as it takes."""
        with renamed():
            async with asyncio.timeout(self._answer_s_max + self._connect_s_max):
                client = await self._new_client(self.database, CHANGE_S_MAX)

        async def change(sql: str) -> None:
            with renamed():
                async with asyncio.timeout(CHANGE_S_MAX):
                    await client.command(sql)

        try:
            yield change
        finally:
            await client.close()

    async def make_database(self, on_cluster: str) -> None:
        """The database of the address, if it is not there. Raises AnalyticsUnavailable."""
        with renamed():
            async with asyncio.timeout(self._answer_s_max + self._connect_s_max):
                # A client of its own: one that names a database which is not there is refused whatever it asks.
                client = await self._new_client("default")
                try:
                    there = await client.query(
                        "select 1 from system.databases where name = {name:String}", parameters={"name": self.database}
                    )
                    if not there.result_rows:
                        await client.command(f"create database if not exists `{self.database}`{on_cluster}")
                finally:
                    await client.close()

    async def state(self) -> State:
        """As it is now."""
        if self._url is None:
            return "unset"
        if not self._open or self._client is None:
            return "away"
        return "ready" if await self._client.ping(PING_S_MAX) else "away"

    def open(self) -> None:
        """Its tables are there."""
        self._open = True
        self._shut.clear()

    async def shut(self) -> None:
        """Return when its tables turned out not to be there."""
        await self._shut.wait()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    def _require_open(self) -> None:
        if self._url is None:
            raise AnalyticsUnavailable(_UNSET)
        if not self._open:
            raise AnalyticsUnavailable(_NOT_YET)

    async def _counting_on_tables(self, act: Awaitable[T]) -> T:
        try:
            return await act
        except AnalyticsUnavailable as error:
            self.failed_count += 1
            if error.without_tables:
                self._open = False
                self._shut.set()
            raise

    async def _insert(self, table: str, columns: Sequence[str], rows: bytes, settings: Mapping[str, Any]) -> None:
        with renamed():
            async with asyncio.timeout(self._answer_s_max + self._connect_s_max):
                client = await self._connected()
                await client.raw_insert(table, columns, rows, fmt="JSONCompactEachRow", settings=dict(settings))

    async def _connected(self) -> AsyncClient:
        async with self._connecting:
            if self._client is None:
                self._client = await self._new_client(self.database)
            return self._client

    async def _new_client(self, database: str, answer_s_max: float | None = None) -> AsyncClient:
        if self._url is None:
            raise AnalyticsUnavailable(_UNSET)
        url = self._url.reveal_text()
        return await get_async_client(
            dsn=url,
            interface=urlsplit(url).scheme,  # Which the library does not read from the address.
            database=database,
            client_name="gatehouse",
            tz_mode="aware",
            form_encode_query_params=True,  # What is asked with may be longer than a line of HTTP.
            query_retries=0,
            connect_timeout=self._connect_s_max,
            send_receive_timeout=(answer_s_max or self._answer_s_max) + self._connect_s_max,
            connector_limit=CONNECTIONS_MAX,
            connector_limit_per_host=CONNECTIONS_MAX,
        )
