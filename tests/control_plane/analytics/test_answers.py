"""Any question, answered by a real engine from roll-ups and records, is what plain Python counts over the records."""

import math
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from control_plane.analytics import dimensions, sql, times
from control_plane.analytics.answer import Analyst, Answer, Group, Order
from control_plane.analytics.dimensions import DIMENSIONS
from control_plane.analytics.measures import MEASURES, Family, Unit
from control_plane.analytics.question import Key, Question, Visible
from control_plane.analytics.sources import HOURS, MINUTES, RECORD, SPREAD, Kept
from control_plane.analytics.times import Range
from control_plane.filters.parse import parse
from control_plane.filters.records import VOCABULARY
from control_plane.telemetry.retention import Retention
from shared.clock import FakeClock
from shared.models.record import Record
from tests.fixtures.clickhouse import ClickhouseServer
from tests.fixtures.measured import EPOCH, Records, failed, key_of, measure, started
from tests.fixtures.recorded import recorded_in
from tests.fixtures.traffic import traffic

pytestmark = pytest.mark.asyncio(loop_scope="module")

FROM_MS = 1_792_801_200_000
"""2026-10-24 at 00:20 UTC: in the time traffic takes, clocks in Europe are set back."""
HOUR_MS = 3_600_000
TO_MS = FROM_MS + 60 * HOUR_MS
NOW_MS = TO_MS + 90_000
ALL = tuple(MEASURES.values())
QUANTILES = {m.name for m in ALL if m.family is Family.SPREAD}
FILTERS = {
    "": lambda r: True,
    "model:gpt-4o*": lambda r: (r.model or "").startswith("gpt-4o"),
    "-provider:openai status:4xx,5xx": lambda r: r.provider != "openai" and r.status is not None and r.status >= 400,
    "cache:hit,miss": lambda r: r.cache in ("hit", "miss"),
    "workspace:ws_1 -door:chat": lambda r: r.workspace == "ws_1" and r.door != "chat",
    "failed:true": failed,
    "stream:true": lambda r: r.stream,
    "cost>0.001": lambda r: r.cost_picousd is not None and r.cost_picousd > 10**9,
    "meta.team=search user:*": lambda r: r.metadata.get("team") == "search" and r.user is not None,
    "model:nobody": lambda r: False,
}


class World:
    def __init__(self, analyst: Analyst, records: list[Record]) -> None:
        self.analyst = analyst
        self.records = records

    def of(self, question: Question, filter_text: str) -> list[Record]:
        places = question.visible.workspaces
        return [
            record
            for record in self.records
            if question.range.start <= started(record) < question.range.end
            and (places is None or record.workspace in places)
            and FILTERS[filter_text](record)
        ]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(clickhouse_engine: ClickhouseServer) -> AsyncIterator[World]:
    random = Random(11)
    records = traffic(random, 500, FROM_MS, TO_MS)
    # A busy minute, and records at the very edges of minutes and hours.
    records += traffic(random, 40, FROM_MS + 5 * HOUR_MS, FROM_MS + 5 * HOUR_MS + 60_000)
    edges = [(FROM_MS // HOUR_MS + hours) * HOUR_MS + by for hours in (3, 30, 31) for by in (-1, 0, 1, 60_000)]
    timeless = traffic(random, len(edges), 0, 1)
    records += [record._replace(started_at_ms=edge) for record, edge in zip(timeless, edges, strict=True)]
    others = traffic(random, 200, FROM_MS, TO_MS)
    async with recorded_in(clickhouse_engine) as recorded:
        for part in range(0, len(records), 100):
            await recorded.store("org", records[part : part + 100])
        await recorded.store("another", others)
        yield World(Analyst(recorded.engine, FakeClock(NOW_MS), Retention()), records)


MOMENTS = st.one_of(
    st.integers(FROM_MS - HOUR_MS, TO_MS),
    st.integers(0, 61).map(lambda hours: (FROM_MS // HOUR_MS + hours) * HOUR_MS),
    st.integers(0, 3600).map(lambda minutes: FROM_MS + minutes * 60_000),
)


class Case:
    def __init__(self, question: Question, filter_text: str, order: Order) -> None:
        self.question = question
        self.filter_text = filter_text
        self.order = order

    def __repr__(self) -> str:
        asked, order = self.question, self.order
        measures = "all" if asked.measures == ALL else [m.name for m in asked.measures]
        by, points = [d.name for d in asked.dimensions], [f"{point:%dT%H:%M}" for point in asked.points[:3]]
        sort = f"{'-' if order.descending else ''}{order.measure.name}"
        return f"{measures} by {by} in {asked.range} {points} {self.filter_text!r} {asked.visible} {sort} {order.limit}"


@st.composite
def cases(draw: st.DrawFn) -> Case:
    one, other = draw(MOMENTS), draw(MOMENTS)
    asked = Range(at(min(one, other)), at(max(one, other) + 1))
    names = draw(st.lists(st.sampled_from([*DIMENSIONS, "meta.team", "meta.none"]), max_size=3, unique=True))
    text = draw(st.sampled_from(sorted(FILTERS)))
    zone = ZoneInfo(draw(st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York"])))
    fitting = [name for name, length in times.STEPS.items() if asked.length / length <= 80]
    step = draw(st.none() | st.sampled_from(fitting))
    wanted = draw(st.just(ALL) | st.lists(st.sampled_from(ALL), min_size=1, max_size=4, unique=True).map(tuple))
    question = Question(
        Visible("org", draw(st.sampled_from([None, ("ws_1",), ("ws_1", "ws_2"), ()]))),
        asked,
        wanted,
        tuple(dimensions.find(name) for name in names),
        parse(text, VOCABULARY),
        () if step is None else times.points(asked, step, zone),
    )
    order = Order(draw(st.sampled_from(ALL)), draw(st.booleans()), draw(st.integers(1, 12)))
    return Case(question, text, order)


def at(ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=ms)


def kept(minutes_ms: int) -> Kept:
    """Where sums by the minute are kept since then, and all else for ever."""
    return Kept(EPOCH, at(minutes_ms), EPOCH)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(cases(), st.booleans())
async def test_every_measure_by_every_dimension_is_what_the_records_sum_to(
    world: World, case: Case, compare: bool
) -> None:
    question = case.question
    note(repr(case))
    answer, previous = await world.analyst.ask(question, case.order, compare=compare)
    records = world.of(question, case.filter_text)
    check(question, answer, records)
    check_order(question, case.order, answer, records)
    assert (previous is not None) == compare
    if previous is not None:
        moved = -question.range.length
        earlier = Question(
            question.visible,
            question.range.previous,
            question.measures,
            question.dimensions,
            question.filter,
            tuple(point + moved for point in question.points),
        )
        check(earlier, previous, world.of(earlier, case.filter_text), shown=list(answer.by_key))


def check(question: Question, answer: Answer, records: Records, shown: Sequence[Key] | None = None) -> None:
    check_group(question, answer.totals, records)
    by_key: dict[Key, list[Record]] = {}
    for record in records:
        by_key.setdefault(tuple(key_of(d.name, record) for d in question.dimensions), []).append(record)
    if not question.dimensions:
        assert answer.by_key == {}
        assert answer.other is None
        return
    for key, group in answer.by_key.items():
        check_group(question, group, by_key.get(key, []))
    if shown is None:
        assert answer.by_key.keys() <= by_key.keys()
    rest = [record for key, found in by_key.items() if key not in answer.by_key for record in found]
    assert (answer.other is not None) == bool(rest) or not seen(question, rest)
    if answer.other is not None:
        check_group(question, answer.other, rest)


def seen(question: Question, rest: Records) -> bool:
    """Whether these records show in any family that is asked for: of some nobody knows how long they took."""
    if any(m.family is not Family.SPREAD for m in question.measures):
        return bool(rest)
    return any(measure(m.name, rest) is not None for m in question.measures)


def check_group(question: Question, group: Group, records: Records) -> None:
    check_values(group.values, records)
    assert group.values.keys() == {m.name for m in question.measures}
    points = question.points
    for place, begin in enumerate(points):
        end = points[place + 1] if place + 1 < len(points) else question.range.end
        inside = [record for record in records if begin <= started(record) < end]
        check_values({name: values[place] for name, values in group.points.items()}, inside)
    assert all(len(values) == len(points) for values in group.points.values())


def check_values(values: dict[str, object], records: Records) -> None:
    for name, value in values.items():
        expected = measure(name, records)
        if name in QUANTILES and expected is not None:
            assert isinstance(value, int)
            assert math.isclose(value, expected, rel_tol=0.0225, abs_tol=1), name
        elif MEASURES[name].unit is Unit.MICROSECONDS and expected is not None:
            assert value == pytest.approx(expected, abs=1), name
        else:
            assert value == expected, name


def check_order(question: Question, order: Order, answer: Answer, records: Records) -> None:
    """The keys shown are as many as wanted, and none that is left out should have come before one that is shown."""
    if not question.dimensions:
        return
    by_key: dict[Key, list[Record]] = {}
    for record in records:
        by_key.setdefault(tuple(key_of(d.name, record) for d in question.dimensions), []).append(record)
    assert len(answer.by_key) == min(order.limit, len(by_key))
    sign = -1 if order.descending else 1

    def rank(key: Key) -> tuple[bool, float]:
        value = measure(order.measure.name, by_key[key])
        if value is None:
            return True, 0.0
        if isinstance(value, str) and order.measure.unit is Unit.TIME:
            return False, sign * datetime.fromisoformat(value).timestamp()
        return False, sign * float(value)

    ranks = [rank(key) for key in answer.by_key]
    if order.measure.name in QUANTILES:
        return  # Keys within a bucket of each other may change places.
    assert ranks == sorted(ranks)
    left = [rank(key) for key in by_key if key not in answer.by_key]
    assert not left or ranks[-1] <= min(left)


async def test_roll_ups_are_used_where_they_can_be(world: World) -> None:
    def tables(by: str, text: str = "", family: Family = Family.SUMS, step: str | None = None) -> list[str]:
        asked = Range(at(FROM_MS), at(TO_MS))
        found = (dimensions.find(by),) if by else ()
        points = () if step is None else times.points(asked, step, ZoneInfo("UTC"))
        question = Question(Visible("org", None), asked, ALL, found, parse(text, VOCABULARY), points)
        return [piece.table for piece in sql.pieces(question, family, kept(FROM_MS - HOUR_MS))]

    assert tables("model") == [RECORD, HOURS, RECORD]
    assert tables("api_key", "status:5xx", step="1d") == [RECORD, HOURS, RECORD]
    assert tables("model", step="15m") == [MINUTES]
    assert tables("model", "cost>1") == [RECORD]
    assert tables("user") == [RECORD]
    assert tables("meta.team") == [RECORD]
    assert tables("model", "stream:true", Family.SPREAD) == [RECORD, SPREAD, RECORD]
    assert tables("api_key", family=Family.SPREAD) == [RECORD]
    assert tables("", family=Family.RECORDS) == [RECORD]


async def test_minutes_that_are_not_kept_any_more_are_counted_from_records(world: World) -> None:
    asked = Range(at(FROM_MS), at(FROM_MS + 2 * HOUR_MS))
    points = times.points(asked, "15m", ZoneInfo("UTC"))
    question = Question(Visible("org", None), asked, (MEASURES["requests"],), points=points)
    assert [p.table for p in sql.pieces(question, Family.SUMS, kept(FROM_MS + 1))] == [RECORD]


async def test_a_step_that_begins_within_a_second_holds_what_began_since(
    clickhouse_engine: ClickhouseServer,
) -> None:
    """As those of the time before do, where a range is not whole seconds long."""
    random = Random(3)
    moments = [FROM_MS + by for by in (0, 59_999, 60_000, 60_499, 60_500, 119_000)]
    made = [record._replace(started_at_ms=ms) for record, ms in zip(traffic(random, 6, 0, 1), moments, strict=True)]
    asked = Range(at(FROM_MS + 121_000), at(FROM_MS + 241_500))
    points = tuple(at(FROM_MS + ms) for ms in (121_000, 181_000))
    question = Question(Visible("org", None), asked, (MEASURES["requests"],), points=points)
    async with recorded_in(clickhouse_engine) as recorded:
        await recorded.store("org", made)
        analyst = Analyst(recorded.engine, FakeClock(NOW_MS), Retention())
        _, previous = await analyst.ask(question, Order(MEASURES["requests"], True, 1), compare=True)
    assert previous is not None
    assert previous.question.points == (at(FROM_MS + 500), at(FROM_MS + 60_500))
    assert previous.totals.points["requests"] == [3, 2]


async def test_nothing_at_all_is_an_answer_too(world: World) -> None:
    asked = Range(at(FROM_MS - 48 * HOUR_MS), at(FROM_MS - 24 * HOUR_MS))
    points = times.points(asked, "1h", ZoneInfo("UTC"))
    question = Question(Visible("org", None), asked, ALL, (dimensions.find("model"),), points=points)
    answer, _ = await world.analyst.ask(question, Order(MEASURES["requests"], True, 10), compare=False)
    check(question, answer, [])
    assert answer.totals.values["cost_usd"] == "0"
    assert answer.totals.values["duration_p95_us"] is None
