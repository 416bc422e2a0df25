"""What is kept no more is told by the sums that are, and where there are none it is said to be gone; it is never 0."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.analytics import dimensions, sources, times
from control_plane.analytics.answer import Analyst, Answer, Order
from control_plane.analytics.measures import MEASURES
from control_plane.analytics.question import Question, Visible
from control_plane.analytics.sources import GRAINS, HOURS, MINUTES, RECORD, Kept
from control_plane.analytics.times import Range
from control_plane.telemetry.retention import Retention
from shared.clock import FakeClock
from shared.models.record import Record
from tests.fixtures.measured import EPOCH, started
from tests.fixtures.recorded import Recorded
from tests.fixtures.traffic import traffic

NOW = datetime(2026, 11, 28, 10, 0, 0, 123_000, UTC)
NOW_MS = (NOW - EPOCH) // timedelta(milliseconds=1)
DAY_MS = 86_400_000
RECORDS = traffic(Random(5), 400, NOW_MS - 10 * DAY_MS, NOW_MS)
DAYS = Retention(record_days=4, minute_days=2, hour_days=8)
HOUR = timedelta(hours=1)


@pytest.fixture
async def analyst(recorded: Recorded) -> Analyst:
    """Of a world in which nothing is left that is older than it is kept."""
    await recorded.store("org", RECORDS)
    for table, at, days in (
        ("record", "started_at", DAYS.record_days),
        ("record_minute", "at", DAYS.minute_days),
        ("record_hour", "at", DAYS.hour_days),
        ("record_spread", "at", DAYS.hour_days),
        ("record_spread_workspace", "at", DAYS.hour_days),
    ):
        since_s = (NOW - timedelta(days=days) - EPOCH) // timedelta(seconds=1)
        await recorded.client.command(f"delete from {table} where {at} < toDateTime({since_s}, 'UTC')")
    return Analyst(recorded.engine, FakeClock(NOW_MS), DAYS)


async def ask(analyst: Analyst, last: timedelta, *, zone: str, by: str = "", step: str = "1d") -> Answer:
    asked = Range(NOW - last, NOW)
    measured = tuple(MEASURES[name] for name in ("requests", "cost_usd", "duration_p95_us", "users"))
    found = (dimensions.find(by),) if by else ()
    points = times.points(asked, step, ZoneInfo(zone))
    question = Question(Visible("org", None), asked, measured, found, points=points)
    answer, _ = await analyst.ask(question, Order(MEASURES["requests"], True, 100), compare=False)
    answer.without_cut()
    return answer


def between(start: datetime, end: datetime) -> Sequence[Record]:
    return [record for record in RECORDS if start <= started(record) < end]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "Asia/Kathmandu"])
async def test_what_records_are_not_kept_of_is_told_in_whole_hours_wherever_days_begin(
    analyst: Analyst, zone: str
) -> None:
    answer = await ask(analyst, timedelta(days=7), zone=zone)
    first = (NOW - timedelta(days=7)).replace(minute=0, second=0, microsecond=0) + HOUR
    requests = answer.totals.values["requests"]
    assert requests == len(between(first, NOW))
    assert sum(answer.totals.points["requests"]) == requests  # type: ignore[arg-type]
    (since,) = answer.kept_since.values()
    assert since == NOW - timedelta(days=DAYS.record_days) + HOUR


async def test_what_only_records_tell_is_unknown_where_they_are_gone_and_not_nothing(analyst: Analyst) -> None:
    answer = await ask(analyst, timedelta(days=7), zone="UTC", by="user")
    since = NOW - timedelta(days=DAYS.record_days) + HOUR
    assert set(answer.kept_since.values()) == {since}
    for group in (answer.totals, *answer.by_key.values()):
        for point, value in zip(answer.question.points, group.points["requests"], strict=True):
            assert (value is None) == (max(point, answer.question.range.start) < since)
    left = len(between(NOW - timedelta(days=DAYS.record_days), NOW))
    assert answer.totals.values["requests"] == left > 0


async def test_what_is_older_than_every_sum_is_unknown(analyst: Analyst) -> None:
    answer = await ask(analyst, timedelta(days=10), zone="UTC")
    points = answer.totals.points["requests"]
    assert points[:3] == [None, None, None]
    assert None not in points[3:]
    assert set(answer.kept_since.values()) == {
        NOW - timedelta(days=DAYS.hour_days) + HOUR,
        NOW - timedelta(days=DAYS.record_days) + HOUR,
    }


async def test_a_quarter_of_an_hour_long_ago_is_unknown_too(analyst: Analyst) -> None:
    asked = Range(NOW - timedelta(days=7), NOW - timedelta(days=7) + HOUR / 4)
    question = Question(Visible("org", None), asked, (MEASURES["requests"],))
    answer, _ = await analyst.ask(question, Order(MEASURES["requests"], True, 1), compare=False)
    assert list(answer.kept_since.values()) == [asked.end]
    answer.without_cut()
    assert answer.totals.values == {"requests": None}


async def test_of_what_is_kept_nothing_is_said(analyst: Analyst) -> None:
    answer = await ask(analyst, timedelta(days=3), zone="Asia/Kolkata", by="user")
    assert answer.kept_since == {}
    assert answer.totals.values["requests"] == len(between(NOW - timedelta(days=3), NOW))


MOMENTS = st.integers(0, 20 * DAY_MS).map(lambda ms: NOW - timedelta(milliseconds=ms))
TABLES = st.sampled_from([(), (HOURS,), (HOURS, MINUTES)])


@given(MOMENTS, MOMENTS, MOMENTS, MOMENTS, MOMENTS, TABLES, st.sampled_from(["", "15m", "1h", "1d"]))
def test_pieces_neither_overlap_nor_leave_anything_out(
    one: datetime, other: datetime, records: datetime, minutes: datetime, hours: datetime, tables: tuple[str], step: str
) -> None:
    asked = Range(min(one, other), max(one, other) + timedelta(milliseconds=1))
    points = times.points(asked, step, ZoneInfo("Asia/Kolkata")) if step else ()
    kept = Kept(records, minutes, hours)
    found = sources.pieces(asked, points, tables, kept)
    assert all(piece.end_ms == after.start_ms for piece, after in pairwise(found))
    ends = [EPOCH + timedelta(milliseconds=ms) for ms in (found[0].start_ms, found[-1].end_ms)]
    assert ends == [asked.start, asked.end]
    for piece in found:
        grain_ms = 1 if piece.table == RECORD else GRAINS[piece.table] // timedelta(milliseconds=1)
        assert piece.start_ms % grain_ms == piece.end_ms % grain_ms == 0
        assert piece.start_ms < piece.end_ms
    since = sources.kept_since(found, kept)
    best = min([records, *([hours] if tables else [])])
    assert since is None or asked.start < since <= asked.end
    if asked.start >= best + HOUR and asked.start >= records:
        assert since is None
