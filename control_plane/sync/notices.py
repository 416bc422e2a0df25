"""Wakes who waits for news of an organisation: by PostgreSQL's notices and, should one be lost, by a look at all heads.

One connection listens for the whole process. Before anybody is answered, and each time the connection was lost, the
database's timeline is compared with that of the shards: after a failover that lost commits their epochs move first.
"""

import asyncio
from collections.abc import Mapping, Set
from contextlib import AbstractContextManager, suppress
from types import MappingProxyType
from typing import Protocol

import asyncpg
import structlog

from control_plane.data_keys import INSTANCE
from control_plane.db.errors import DatabaseUnfit, renamed, renamed_while_connecting
from control_plane.db.pool import CONNECT_S_MAX, Database
from control_plane.errors import Unavailable
from control_plane.snapshots.change import CHANNEL
from control_plane.snapshots.read import ShardReader
from control_plane.sync.waiting import Waiting
from shared.crypto.secret import Secret

POLL_S = 5.0
RETRY_S = 0.5
READY_S_MAX = 5.0
"""How long a node's request waits for the listener before it is sent away."""

log = structlog.get_logger("sync.notices")


class Listener(Protocol):
    """Another room's, on a channel of its own."""

    def heard(self, payload: str) -> None: ...

    def back(self) -> None:
        """There is a connection again: of what was said meanwhile nothing was heard."""
        ...


class Notices:
    def __init__(
        self,
        url: Secret,
        database: Database,
        reader: ShardReader,
        *,
        others: Mapping[str, Listener] = MappingProxyType({}),
        poll_s: float = POLL_S,
        answer_s_max: float = CONNECT_S_MAX,
    ) -> None:
        """`url` of the primary, past any pooler: a pooled connection hears nothing. `others`: by channel.

        `answer_s_max`: a connection on which nothing comes for so long although it was asked is lost.
        """
        self._url = url
        self._database = database
        self._reader = reader
        self._others = others
        self._poll_s = poll_s
        self._answer_s_max = answer_s_max
        self._waiting = Waiting()
        self._owners: dict[str, str] = {}
        self._places: dict[str, tuple[int, int]] = {}
        self._ready = asyncio.Event()
        self._said = ""
        self.ended = False
        """There will be no news any more; whoever waits is to stop."""

    async def run(self) -> None:
        """Listen until cancelled; then nobody is left waiting."""
        try:
            while True:
                try:
                    await self._listen()
                except (Unavailable, DatabaseUnfit) as error:
                    self._say(str(error))
                except Exception:  # The process's only listener: without it no node is answered.
                    log.exception("listener_failed")
                self._ready.clear()
                await asyncio.sleep(RETRY_S)
        finally:
            self.ended = True
            self._ready.clear()
            self._waiting.wake_all()

    async def require_ready(self) -> None:
        """Raises Unavailable while the database's timeline is not known to be the shards'."""
        try:
            async with asyncio.timeout(READY_S_MAX):
                await self._ready.wait()
        except TimeoutError:
            raise Unavailable("the listener has no connection to the database") from None

    @property
    def waiting_for(self) -> Set[str]:
        """Organisations that somebody waits for news of."""
        return self._waiting.organisations

    def waiting(self, organisation: str) -> AbstractContextManager[asyncio.Event]:
        """An event that is set by whatever may concern this organisation from now on; also by what turns out not to."""
        return self._waiting.event(organisation)

    async def _listen(self) -> None:
        with renamed_while_connecting():
            connection = await asyncpg.connect(
                self._url.reveal_text(),
                timeout=CONNECT_S_MAX,
                command_timeout=self._answer_s_max,
                server_settings={"application_name": "gatehouse listener"},
            )
        self._reader.forget()
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        try:
            with renamed(connection):
                await connection.add_listener(CHANNEL, self._heard)
                for channel in self._others:
                    await connection.add_listener(channel, self._heard_by_another)
            for other in self._others.values():
                other.back()
            while not lost.is_set():
                # One that somebody on the way dropped in silence, as for being idle, hears nothing and is not told.
                with renamed(connection):
                    await connection.execute("select 1")
                await self._compare()
                self._said = ""
                self._ready.set()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_s):
                        await lost.wait()
        finally:
            connection.terminate()

    def _heard(self, _connection: object, _pid: int, _channel: str, shard: object) -> None:
        owner = self._owners.get(str(shard))
        if owner is None:  # New since the last look: nobody knows yet whom it concerns.
            self._waiting.wake_all()
        else:
            self._wake(owner)

    def _heard_by_another(self, _connection: object, _pid: int, channel: str, payload: object) -> None:
        self._others[channel].heard(str(payload))

    async def _compare(self) -> None:
        """Wake whom a shard concerns that is not where it was at the last look."""
        async with self._database.instance() as connection:
            await _follow_timeline(connection)
            rows = await connection.fetch("select shard, organisation, epoch, revision from shard_head")
        for shard, owner, epoch, revision in rows:
            self._owners[shard] = owner
            if self._places.get(shard) != (epoch, revision):
                self._places[shard] = (epoch, revision)
                self._wake(owner)

    def _say(self, detail: str) -> None:
        """Once, until it was back."""
        if detail != self._said:
            log.warning("listener_away", detail=detail)
        self._said = detail

    def _wake(self, owner: str) -> None:
        if owner == INSTANCE:
            self._waiting.wake_all()
        else:
            self._waiting.wake(owner)


async def _follow_timeline(connection: asyncpg.Connection) -> None:
    """A new epoch for every shard of another timeline than the database's (GHS/1 10.6).

    Where the role may not ask, only a node's lease can show that commits were lost (`snapshots/lease.py`).
    """
    if not await connection.fetchval("select has_function_privilege('pg_control_checkpoint()', 'execute')"):
        return
    moved = await connection.fetch(
        "update shard_head set epoch = epoch + 1, timeline = now.timeline_id"
        " from pg_control_checkpoint() now where timeline <> now.timeline_id returning shard"
    )
    if moved:
        log.error("timeline_moved", shards=len(moved))
