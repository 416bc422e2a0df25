"""`/api/v1/analytics/query`: any measures by any dimensions, of any time. The address is the whole question."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from control_plane.analytics import dimensions, names, times
from control_plane.analytics.answer import Analyst, Answer, Group, Order, Value, all_kept_since
from control_plane.analytics.dimensions import DIMENSIONS, DIMENSIONS_MAX, Dimension
from control_plane.analytics.measures import MEASURES, Measure
from control_plane.analytics.question import Key, Question
from control_plane.analytics.scope import visible
from control_plane.db.pool import Database
from control_plane.errors import Invalid
from control_plane.filters.parse import parse
from control_plane.filters.records import VOCABULARY
from control_plane.web.listing import number
from control_plane.web.route import Call, Route, View
from shared.clock import Clock

MEASURES_DEFAULT = "requests,errors,tokens,cost_usd"
LIMIT_MAX = 100
LIMIT_DEFAULT = 10
VALUES_MAX = 200_000
"""Of one answer."""

FILTER = ("filter", "In the filter language, of docs/analytics.md: `model:gpt-4o status>=400 meta.team=search`")
WORKSPACE = ("workspace", "Only records of this workspace, by its id or slug")
RANGE = (
    ("last", f"How long before now, or before `to`: `30d`, of m, h, d and w; `{times.LAST_DEFAULT}` by default"),
    ("from", "First instant, instead of `last`; a time without offset is in `time_zone`"),
    ("to", "First instant after the range; now by default"),
)
ZONE = ("time_zone", "In which days begin, `Europe/Berlin`; UTC by default")

QUERY = (
    ("measures", f"What is measured, between commas; `{MEASURES_DEFAULT}` by default. {', '.join(MEASURES)}"),
    ("by", f"At most {DIMENSIONS_MAX} dimensions, between commas: {', '.join(DIMENSIONS)}, meta.<key>"),
    FILTER,
    WORKSPACE,
    *RANGE,
    ("step", f"In steps of {', '.join(times.STEPS)}, `auto` or `none`, which is the default"),
    ZONE,
    (
        "sort",
        "A measure: shown are the keys with the least of it, with `-` with the most; `-requests` by default",
    ),
    ("limit", f"Keys shown, 1 to {LIMIT_MAX}, {LIMIT_DEFAULT} by default; what is left is summed up in `other`"),
    ("compare", "`previous`: the same of the time before, as long"),
)

_PART = re.compile(r'(?:"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[^",])+', re.DOTALL)
"""Takes each character once: quotes that do not end hold the rest."""
_NUMBERS = frozenset({"status"})


class Measured(View):
    values: dict[str, Value]
    """By measure. Money is a decimal string in US dollars, a share 0 to 1, a time ISO 8601; null is unknown."""
    points: dict[str, tuple[Value, ...]] | None
    """By measure, a value for each of `at`; null without steps."""
    previous: dict[str, Value] | None
    """Its `values` in the time before; null where no comparison is asked for."""
    previous_points: dict[str, tuple[Value, ...]] | None


class KeyMeasured(Measured):
    key: dict[str, str | int | bool | None]
    """By dimension; null is unknown."""
    names: dict[str, str]
    """By dimension, what has this id is called; without those that are gone."""


class AnalyticsAnswer(View):
    start: datetime
    end: datetime
    """Without this instant itself."""
    kept_since: datetime | None
    """What lies before is kept no more, and in no value: `values` are of what is left, steps and `previous` are null
    where anything of them is gone, `values` too where all of it is. Null: everything asked for is kept."""
    step: str | None
    time_zone: str
    filter: str
    """As it was understood."""
    measures: tuple[str, ...]
    by: tuple[str, ...]
    at: tuple[datetime, ...]
    """Where each step begins."""
    totals: Measured
    """Of everything."""
    rows: tuple[KeyMeasured, ...]
    """Of each key shown, in the order asked for."""
    other: Measured | None
    """Of all other keys together; null: there are none."""


class Analytics:
    def __init__(self, database: Database, analyst: Analyst, clock: Clock) -> None:
        self._database = database
        self._analyst = analyst
        self._clock = clock

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/api/v1/analytics/query",
                "analytics.view",
                self.query,
                "Measure requests",
                answer=AnalyticsAnswer,
                query=QUERY,
                operation="analytics_query",
                abandons=True,
            )
        ]

    async def query(self, call: Call) -> AnalyticsAnswer:
        given, organisation = call.query, call.principal.organisation
        zone = times.zone(given.get("time_zone"))
        asked = times.read(given, self._clock.wall_ms(), zone)
        assert asked is not None
        step = times.step(given.get("step"), asked)
        points = () if step is None else times.points(asked, step, zone)
        measured = tuple(_measure(name, "measures") for name in listed(given.get("measures") or MEASURES_DEFAULT))
        by = tuple(dimensions.find(name) for name in listed(given.get("by", "")))
        if len(by) > DIMENSIONS_MAX:
            raise Invalid(f"at most {DIMENSIONS_MAX} dimensions", pointer="by")
        order, compare = _order(given), _compare(given.get("compare"))
        groups = order.limit + 2 if by else 1
        if len(measured) * groups * (len(points) + 1) * (1 + compare) > VALUES_MAX:
            raise Invalid(f"more than {VALUES_MAX} values; ask for fewer measures, keys or steps", pointer="measures")
        filter_ = parse(given.get("filter", ""), VOCABULARY)
        async with self._database.tenant(organisation) as connection:
            seen = await visible(connection, call.principal, given.get("workspace"))
            found = await names.resolved(connection, organisation, filter_)
        question = Question(seen, asked, measured, by, found, points)
        answer, previous = await self._analyst.ask(question, order, compare=compare)
        answer.without_cut()
        if previous is not None:  # Beside a time of which something is gone nothing can be compared.
            previous.without_cut(any_of_it=True)
        async with self._database.tenant(organisation) as connection:
            known = await names.of(connection, organisation, _ids(by, answer.by_key))
        return AnalyticsAnswer(
            start=asked.start,
            end=asked.end,
            kept_since=all_kept_since(answer, previous),
            step=step,
            time_zone=zone.key,
            filter=str(filter_),
            measures=tuple(measure.name for measure in measured),
            by=tuple(dimension.name for dimension in by),
            at=points,
            totals=_told(answer.totals, previous.totals if previous else None),
            rows=tuple(_row(by, key, group, previous, known) for key, group in answer.by_key.items()),
            other=_other(question, answer, previous),
        )


def listed(text: str) -> list[str]:
    """What stands between commas, each once; a comma in quotes is none."""
    return list(dict.fromkeys(part for part in (part.strip() for part in _PART.findall(text)) if part))


def _measure(name: str, pointer: str) -> Measure:
    if name not in MEASURES:
        raise Invalid(f"no measure {name!r}; there are {', '.join(MEASURES)}", pointer=pointer)
    return MEASURES[name]


def _order(given: Mapping[str, str]) -> Order:
    sort, limit = given.get("sort", "-requests"), given.get("limit", str(LIMIT_DEFAULT))
    shown = number(limit, 1, LIMIT_MAX, "limit")
    return Order(_measure(sort.removeprefix("-"), "sort"), sort.startswith("-"), shown)


def _compare(text: str | None) -> bool:
    if text not in (None, "previous"):
        raise Invalid("`previous`, or left out", pointer="compare")
    return text is not None


def _ids(by: Sequence[Dimension], keys: Mapping[Key, Group]) -> dict[str, set[str]]:
    found = {dimension.name: {key[place] for key in keys} for place, dimension in enumerate(by) if dimension.names}
    return {name: ids - {""} for name, ids in found.items()}


def _row(by: Sequence[Dimension], key: Key, group: Group, previous: Answer | None, known: names.Names) -> KeyMeasured:
    there = {d.name: known[d.name][id_] for d, id_ in zip(by, key, strict=True) if id_ in known.get(d.name, {})}
    values = {dimension.name: _key_value(dimension, text) for dimension, text in zip(by, key, strict=True)}
    measured = _told(group, previous.by_key[key] if previous else None)
    return KeyMeasured(key=values, names=there, **measured.model_dump())


def _key_value(dimension: Dimension, text: str) -> str | int | bool | None:
    if not text:
        return None
    if dimension.name == "stream":
        return text == "true"
    return int(text) if dimension.name in _NUMBERS else text


def _other(question: Question, answer: Answer, previous: Answer | None) -> Measured | None:
    """There may be others now, or there may have been before."""
    before = None if previous is None else previous.other
    if answer.other is None and before is None:
        return None
    nothing = Group.empty(question)
    return _told(answer.other or nothing, None if previous is None else before or nothing)


def _told(group: Group, before: Group | None) -> Measured:
    return Measured(
        values=group.values,
        points=_points(group),
        previous=before.values if before else None,
        previous_points=_points(before) if before else None,
    )


def _points(group: Group) -> dict[str, tuple[Value, ...]] | None:
    return {name: tuple(values) for name, values in group.points.items()} or None
