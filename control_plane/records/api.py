"""`/api/v1/records`: lists of records, and each of them."""

from collections.abc import Mapping, Sequence

from control_plane.analytics import names, times
from control_plane.analytics.api import FILTER, RANGE, WORKSPACE, ZONE
from control_plane.analytics.engine import Engine, Row
from control_plane.analytics.scope import visible
from control_plane.db.pool import Database
from control_plane.errors import Invalid, NotFound
from control_plane.filters.parse import parse
from control_plane.filters.records import VOCABULARY
from control_plane.records import store, view
from control_plane.records.feed import ArrivalsView, Feed
from control_plane.records.store import SORT_DEFAULT, SORTS, Sort
from control_plane.records.view import RecordPage, RecordView
from control_plane.web.listing import QUERY, page_limit
from control_plane.web.route import Call, EventsReply, Route
from shared.clock import Clock

_PATH = "/api/v1/records"
_SORT = ("sort", f"`-` for descending, unknown ones last: {', '.join(SORTS)}; `{SORT_DEFAULT}` by default")
_TIMES = (("last", "How long before now, or before `to`: `30d`, of m, h, d and w; all by default"), *RANGE[1:], ZONE)


class Records:
    def __init__(self, database: Database, engine: Engine, feed: Feed, clock: Clock) -> None:
        self._database = database
        self._engine = engine
        self._feed = feed
        self._clock = clock

    def routes(self) -> list[Route]:
        query = (FILTER, WORKSPACE, *_TIMES, _SORT, *QUERY[2:])
        return [
            Route("GET", _PATH, "logs.list", self.list, "List records", answer=RecordPage, query=query, abandons=True),
            Route(
                "GET",
                f"{_PATH}/feed",
                "logs.list",
                self.follow,
                "Records as they come",
                query=(FILTER, WORKSPACE),
                operation="logs_feed",
                events=(("record", RecordView), ("arrivals", ArrivalsView)),
            ),
            Route("GET", f"{_PATH}/{{record}}", "logs.view", self.read, "Read a record", answer=RecordView),
        ]

    async def list(self, call: Call) -> RecordPage:
        given, organisation = call.query, call.principal.organisation
        asked = times.read(given, self._clock.wall_ms(), times.zone(given.get("time_zone")), default=None)
        sort, limit = _sort(given.get("sort", SORT_DEFAULT)), page_limit(given.get("limit"))
        filter_ = parse(given.get("filter", ""), VOCABULARY)
        async with self._database.tenant(organisation) as connection:
            seen = await visible(connection, call.principal, given.get("workspace"))
            found = await names.resolved(connection, organisation, filter_)
        rows, cursor = await store.page(self._engine, seen, found, asked, sort, limit=limit, cursor=given.get("cursor"))
        return RecordPage(data=await self._told(organisation, rows), next_cursor=cursor)

    async def read(self, call: Call) -> RecordView:
        organisation, id_ = call.principal.organisation, call.path["record"]
        async with self._database.tenant(organisation) as connection:
            seen = await visible(connection, call.principal, None)
        row = await store.find(self._engine, seen, id_)
        if row is None:
            raise NotFound(f"no record {id_!r}")
        return (await self._told(organisation, [row]))[0]

    async def follow(self, call: Call) -> EventsReply:
        organisation = call.principal.organisation
        filter_ = parse(call.query.get("filter", ""), VOCABULARY)
        async with self._database.tenant(organisation) as connection:
            seen = await visible(connection, call.principal, call.query.get("workspace"))
            found = await names.resolved(connection, organisation, filter_)
        return await self._feed.open(call.principal, seen, found, call.last_event)

    async def _told(self, organisation: str, rows: Sequence[Row]) -> tuple[RecordView, ...]:
        plain: list[Mapping[str, object]] = [{name: row[name] for name in view.COLUMNS} for row in rows]
        async with self._database.tenant(organisation) as connection:
            known = await names.of(connection, organisation, view.ids(plain))
        return view.views(plain, known)


def _sort(text: str) -> Sort:
    name = text.removeprefix("-")
    if name not in SORTS:
        raise Invalid(f"no field {name!r} to sort by; there are {', '.join(SORTS)}", pointer="sort")
    return Sort(name, text.startswith("-"))
