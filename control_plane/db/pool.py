"""The database: transactions that see one organisation's rows, or the whole instance's, and nothing without one.

What a transaction may see is said in two settings of its own, which the policies of the schema read:
`gatehouse.organisation`, an id, and `gatehouse.scope`, `instance` for everything. Both end with the transaction.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import asyncpg
import orjson

from control_plane.db.errors import Contended, DatabaseUnavailable, DatabaseUnfit, renamed, renamed_while_connecting

OLDEST = 15
"""PostgreSQL's major version."""
CONNECT_S_MAX = 5.0
ACQUIRE_S_MAX = 5.0
"""How long a transaction waits for a free connection."""
CLOSE_S_MAX = 10.0
STATEMENT_MS_MAX = 30_000
LOCK_WAIT_MS_MAX = 5_000
IDLE_IN_TRANSACTION_MS_MAX = 60_000
ANSWER_S_MAX = 40.0
"""After this a server that says nothing at all counts as away. Beyond STATEMENT_MS_MAX, which it enforces itself."""

ATTEMPTS_MAX = 5
PAUSE_S = 0.01
"""Before the second attempt; twice as long before each further one."""

T = TypeVar("T")

_SEE_ORGANISATION = "select set_config('gatehouse.organisation', $1, true)"
_SEE_INSTANCE = "select set_config('gatehouse.scope', 'instance', true)"


@dataclass(frozen=True, slots=True)
class Database:
    """Every transaction raises what `db/errors.py` lists, and rolls back when its block raises anything."""

    _pool: asyncpg.Pool = field(repr=False)
    _acquire_s_max: float

    @classmethod
    async def connect(cls, url: str, *, connections_max: int, acquire_s_max: float = ACQUIRE_S_MAX) -> "Database":
        """Columns of type json and jsonb are Python values. Raises DatabaseUnfit, DatabaseUnavailable."""
        with renamed_while_connecting():
            pool = await asyncpg.create_pool(
                url,
                min_size=0,
                max_size=connections_max,
                timeout=CONNECT_S_MAX,
                command_timeout=ANSWER_S_MAX,
                init=_read_json,
                server_settings={
                    "application_name": "gatehouse",
                    "statement_timeout": str(STATEMENT_MS_MAX),
                    "lock_timeout": str(LOCK_WAIT_MS_MAX),
                    "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MS_MAX),
                },
            )
        database = cls(pool, acquire_s_max)
        try:
            async with database._acquired(first=True) as connection:
                await require_fit(connection)
        except BaseException:
            pool.terminate()
            raise
        return database

    @classmethod
    def unconnected(cls) -> "Database":
        """One that nothing can be asked, for whoever wants to know what stands on a database without having one."""
        return cls(None, 0.0)

    def tenant(self, organisation: str) -> AbstractAsyncContextManager[asyncpg.Connection]:
        """A transaction that sees and writes this organisation's rows and no other's."""
        return self._transaction(organisation)

    def instance(self) -> AbstractAsyncContextManager[asyncpg.Connection]:
        """A transaction that sees every organisation. Only for login, enrolment, sync and instance commands."""
        return self._transaction(None)

    def snapshot(
        self, organisation: str | None, *, readonly: bool = True
    ) -> AbstractAsyncContextManager[asyncpg.Connection]:
        """Reads that all see one instant. None sees every organisation, as `instance` does.

        Where it also writes, it raises Contended if a row it writes was changed since that instant.
        """
        return self._transaction(organisation, isolation="repeatable_read", readonly=readonly)

    @property
    def connections(self) -> tuple[int, int, int]:
        """How many there are, how many of them are idle, and how many there may be."""
        return self._pool.get_size(), self._pool.get_idle_size(), self._pool.get_max_size()

    async def close(self) -> None:
        """Wait for running transactions, CLOSE_S_MAX at most, and end all connections."""
        try:
            # Not by `asyncio.timeout`: before Python 3.11.3 its end in a cancelled task is one more cancellation.
            await asyncio.wait_for(self._pool.close(), CLOSE_S_MAX)
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def _transaction(
        self,
        organisation: str | None,
        *,
        isolation: Literal["read_committed", "repeatable_read"] = "read_committed",
        readonly: bool = False,
    ) -> AsyncIterator[asyncpg.Connection]:
        async with self._acquired() as connection:
            with renamed(connection, readonly=readonly):
                async with connection.transaction(isolation=isolation, readonly=readonly):
                    if organisation is None:
                        await connection.execute(_SEE_INSTANCE)
                    else:
                        await connection.execute(_SEE_ORGANISATION, organisation)
                    yield connection

    @asynccontextmanager
    async def _acquired(self, *, first: bool = False) -> AsyncIterator[asyncpg.Connection]:
        """`first`: nobody knows yet whether this database will do; later, one that refuses counts as away."""
        try:
            with renamed_while_connecting():
                connection = await self._pool.acquire(timeout=self._acquire_s_max)
        except DatabaseUnfit as error:
            if first:
                raise
            # Not told why: what it says names its roles, and callers read this. The listener's log has it.
            raise DatabaseUnavailable("the database cannot be reached") from error
        try:
            yield connection
        finally:
            with renamed_while_connecting():
                await self._pool.release(connection)


async def require_fit(connection: asyncpg.Connection) -> None:
    """Raises DatabaseUnfit where row-level security would bind nobody, or the server is too old."""
    version = connection.get_server_version()
    if version.major < OLDEST:
        raise DatabaseUnfit(f"PostgreSQL {OLDEST} or newer is needed; this is {version.major}")
    if await connection.fetchval("select rolsuper or rolbypassrls from pg_roles where rolname = current_user"):
        raise DatabaseUnfit(
            "the role of the database's address is a superuser or has BYPASSRLS: row-level security would not bind it; "
            "use a role that has neither and owns the database"
        )


async def retrying(act: Callable[[], Awaitable[T]], *, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> T:
    """Call `act`, which opens its own transaction, again when it lost against another. Raises the last Contended."""
    for attempt in range(ATTEMPTS_MAX - 1):
        try:
            return await act()
        except Contended:
            await pause(PAUSE_S * 2**attempt)
    return await act()


async def _read_json(connection: asyncpg.Connection) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=_json, decoder=orjson.loads, format="text")


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
