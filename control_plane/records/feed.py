"""The feed of new records: those that match a filter, as they come; only how many, where more come than anybody reads.

A record may be in ClickHouse a moment later than one that came after it: each look also goes over the last OVERLAP_S,
and what was told is not told again. One may be there much later, whose batch had to be delivered again until it counted
(ClickHouse was away): the notice of it says when it came first. Whoever comes again with the id of the last event goes
on from there.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from control_plane.analytics import names
from control_plane.analytics.engine import Engine
from control_plane.analytics.question import Visible
from control_plane.db.pool import Database
from control_plane.errors import Invalid, TooMany, Unavailable
from control_plane.filters.tree import Filter
from control_plane.permissions import Principal
from control_plane.records import store, view
from control_plane.web.route import Event, EventsReply, View
from shared.clock import Clock

FEEDS_MAX = 5
"""Of one account or key, in one process."""
RECORDS_MAX = 50
"""Told one by one at once; of more only how many came."""
LOOK_ROWS_MAX = 10_000
"""Seen at once."""
LOOK_S = 10.0
"""Between looks when nobody says that something came: notices may be lost."""
PAUSE_S = 1.0
"""At least, between two looks of one feed."""
OVERLAP_S = 15
TOLD_S = 300
"""Remembered for so long, should a notice of it come late."""
LATE_MAX = 100
"""Batches that counted late, of one look."""
BACK_S_MAX = 3600
"""How far back whoever comes again may go on; what came before that is not told."""

_OVERLAP, _BACK, _TOLD = (timedelta(seconds=s) for s in (OVERLAP_S, BACK_S_MAX, TOLD_S))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

Position = tuple[datetime, str]
"""Of a record in the order in which they came: when, and its id."""


class NewsOf(Protocol):
    received_ms: set[int]
    """When what has come says that it came."""

    def clear(self) -> None: ...

    async def wait(self) -> object: ...


class News(Protocol):
    """`telemetry/arrivals.py`."""

    def waiting(self, organisation: str) -> AbstractContextManager[NewsOf]:
        """Set when records of this organisation may have come."""
        ...


class ArrivalsView(View):
    """More came at once than are told one by one: the list has them."""

    count: int
    at_least: bool
    """There may be more than that."""
    first_at: datetime
    """When the first of them came to the control plane."""
    last_at: datetime


@dataclass(slots=True)
class _State:
    """How far a feed is. Up to `since` all is told but for what counts late, and of what is later those in `told`."""

    visible: Visible
    filter: Filter
    since: datetime
    position: Position
    """The furthest record told of."""
    told: dict[str, datetime] = field(default_factory=dict)


class Feed:
    def __init__(self, database: Database, engine: Engine, news: News, clock: Clock) -> None:
        self._database = database
        self._engine = engine
        self._news = news
        self._clock = clock
        self._open: Counter[str] = Counter()

    async def open(
        self, principal: Principal, visible: Visible, filter_: Filter, last_event: str | None
    ) -> EventsReply:
        """Raises TooMany, Unavailable, Invalid for the id of no event."""
        came_from = None if last_event is None else _position(last_event)
        if self._open[principal.id] >= FEEDS_MAX:
            raise TooMany(f"at most {FEEDS_MAX} feeds at once; end one of them", retry_after_s=5)
        self._open[principal.id] += 1
        try:
            state = await self._begun(visible, filter_, came_from)
        except BaseException:
            self._done(principal.id)
            raise
        return EventsReply(self._events(state), lambda: self._done(principal.id))

    def _done(self, principal: str) -> None:
        self._open[principal] -= 1
        if not self._open[principal]:
            del self._open[principal]

    async def _begun(self, visible: Visible, filter_: Filter, came_from: Position | None) -> _State:
        """What was there before counts as told."""
        now = self._now()
        since = now - _OVERLAP if came_from is None else max(came_from[0] - _MILLISECOND, now - _BACK)
        state = _State(visible, filter_, since, came_from or (now, ""))
        found = await store.arrived(self._engine, visible, filter_, since, LOOK_ROWS_MAX)
        state.told = {id_: at for id_, at in found if came_from is None or (at, id_) <= came_from}
        if came_from is None and len(found) == LOOK_ROWS_MAX:
            state.since = now
        return state

    async def _events(self, state: _State) -> AsyncGenerator[Event, None]:
        with self._news.waiting(state.visible.organisation) as woken:
            while True:
                woken.clear()
                received_ms, woken.received_ms = woken.received_ms, set()
                looked_at = self._clock.monotonic_s()
                try:
                    events = await self._look(state, received_ms)
                except (Unavailable, Invalid):
                    events = []  # ClickHouse is away or has too much to do. What comes meanwhile is told later.
                    woken.received_ms |= received_ms
                for event in events:
                    yield event
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await woken.wait()
                await asyncio.sleep(max(0.0, looked_at + PAUSE_S - self._clock.monotonic_s()))

    async def _look(self, state: _State, received_ms: Collection[int]) -> Sequence[Event]:
        """What has come since the last look, which is told with this."""
        now = self._now()
        found = await store.arrived(self._engine, state.visible, state.filter, state.since, LOOK_ROWS_MAX)
        late = await self._late(state, received_ms, now)
        new = {id_: at for id_, at in (*late, *found) if id_ not in state.told}
        too_many = len(new) > RECORDS_MAX or len(found) == LOOK_ROWS_MAX
        events = self._summary(state, new, at_least=len(found) == LOOK_ROWS_MAX) if too_many else []
        if new and not too_many:
            events = await self._records(state, new)
        state.told |= new
        # What was not even seen among too many is told too, by that there were more.
        state.since = max(state.since, now if len(found) == LOOK_ROWS_MAX else now - _OVERLAP)
        keeps = min(state.since, now - _TOLD) if len(state.told) < LOOK_ROWS_MAX else state.since
        state.told = {id_: at for id_, at in state.told.items() if at > keeps}
        return events

    async def _late(self, state: _State, received_ms: Collection[int], now: datetime) -> Sequence[tuple[str, datetime]]:
        """Of batches that count now and came first before what is looked over anyway."""
        first, last = ((at - _EPOCH) // _MILLISECOND for at in (now - _BACK, state.since))
        late = sorted(ms for ms in received_ms if first <= ms <= last)[-LATE_MAX:]
        if not late:
            return []
        return await store.arrived_at(self._engine, state.visible, state.filter, late, LOOK_ROWS_MAX)

    async def _records(self, state: _State, new: Mapping[str, datetime]) -> list[Event]:
        since = min(state.since, min(new.values()) - _MILLISECOND)
        rows = await store.these(self._engine, state.visible, new.keys(), since)
        organisation = state.visible.organisation
        async with self._database.tenant(organisation) as connection:
            known = await names.of(connection, organisation, view.ids(rows))
        events = []
        for record in view.views(rows, known):
            state.position = max(state.position, (record.received_at, record.id))
            events.append(Event("record", record, _id(state.position)))
        return events

    def _summary(self, state: _State, new: Mapping[str, datetime], *, at_least: bool) -> list[Event]:
        last, first = max(new.values(), default=state.since), min(new.values(), default=state.since)
        state.position = max(state.position, *((at, id_) for id_, at in new.items()), state.position)
        told = ArrivalsView(count=len(new), at_least=at_least, first_at=first, last_at=last)
        return [Event("arrivals", told, _id(state.position))]

    def _now(self) -> datetime:
        return _EPOCH + timedelta(milliseconds=self._clock.wall_ms())


def _id(position: Position) -> str:
    return f"{(position[0] - _EPOCH) // _MILLISECOND}.{position[1]}"


def _position(text: str) -> Position:
    ms, dot, id_ = text.partition(".")
    if not (dot and ms.isascii() and ms.isdecimal() and len(ms) <= 14 and len(id_) <= 100):
        raise Invalid("`Last-Event-ID` is not the id of an event of this feed", pointer="last-event-id")
    return _EPOCH + timedelta(milliseconds=int(ms)), id_
