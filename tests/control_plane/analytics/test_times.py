"""Of which time is asked, and in which steps: days begin where people live, and steps leave nothing out."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.analytics import times
from control_plane.analytics.times import AUTO_POINTS_MAX, POINTS_MAX, RANGE_DAYS_MAX, STEPS, Range
from control_plane.errors import Invalid

NOW = datetime(2026, 11, 28, 10, 0, 0, 123_000, UTC)
NOW_MS = round(NOW.timestamp() * 1000)
BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia")


def read(**query: str) -> Range:
    found = times.read({name.rstrip("_"): text for name, text in query.items()}, NOW_MS, BERLIN)
    assert found is not None
    return found


def test_a_range_ends_now_unless_it_says_otherwise() -> None:
    assert read() == Range(NOW - timedelta(hours=24), NOW)
    assert read(last="30d") == Range(NOW - timedelta(days=30), NOW)
    assert read(last="90m", to="2026-11-01T00:00:00Z").start == datetime(2026, 10, 31, 22, 30, tzinfo=UTC)
    assert read(from_="2026-11-27T00:00:00Z") == Range(datetime(2026, 11, 27, tzinfo=UTC), NOW)


def test_a_time_without_offset_is_one_of_the_time_zone() -> None:
    assert read(from_="2026-10-01", to="2026-11-01").start == datetime(2026, 9, 30, 22, tzinfo=UTC)
    assert read(from_="2026-10-01", to="2026-11-01").end == datetime(2026, 10, 31, 23, tzinfo=UTC)


def test_without_a_default_nothing_asked_is_no_range() -> None:
    assert times.read({}, NOW_MS, BERLIN, default=None) is None


def test_the_time_before_is_as_long() -> None:
    asked = read(last="7d")
    assert asked.previous == Range(NOW - timedelta(days=14), NOW - timedelta(days=7))


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"last": "30"}, "last"),
        ({"last": "0d"}, "last"),
        ({"last": "999999w"}, "last"),
        ({"last": "1d", "from_": "2026-11-01"}, "last"),
        ({"from_": "yesterday"}, "from"),
        ({"from_": "0001-01-01"}, "from"),
        ({"from_": "2026-13-01"}, "from"),
        ({"to": "9999-12-31"}, "to"),
        ({"from_": "2026-11-29"}, "from"),
        ({"from_": "2026-11-01", "to": "2026-11-01"}, "from"),
        ({"from_": "2020-01-01"}, "from"),
    ],
)
def test_what_is_no_range_is_refused_by_name(query: dict[str, str], pointer: str) -> None:
    with pytest.raises(Invalid) as caught:
        read(**query)
    assert caught.value.pointer == pointer


@pytest.mark.parametrize("text", ["Mars/Base", "../etc/passwd", "/etc/passwd", "", "Europe", "\0"])
def test_only_a_time_zone_is_one(text: str) -> None:
    if text == "":
        assert times.zone(text).key == "UTC"
        return
    with pytest.raises(Invalid) as caught:
        times.zone(text)
    assert caught.value.pointer == "time_zone"


def test_a_step_is_chosen_that_gives_a_chart_its_points() -> None:
    chosen = {last: times.step("auto", read(last=last)) for last in ("30m", "1h", "24h", "7d", "30d", "90d", "1000d")}
    assert chosen == {"30m": "1m", "1h": "1m", "24h": "15m", "7d": "1h", "30d": "6h", "90d": "1d", "1000d": "1w"}
    assert times.step(None, read()) is times.step("none", read()) is None


def test_more_points_than_anybody_can_see_are_refused() -> None:
    with pytest.raises(Invalid, match="43200 points"):
        times.step("1m", read(last="30d"))
    with pytest.raises(Invalid, match="a step is one of"):
        times.step("2m", read())


def test_a_day_in_which_clocks_are_set_back_is_longer() -> None:
    asked = Range(datetime(2026, 10, 24, 5, tzinfo=UTC), datetime(2026, 10, 27, tzinfo=UTC))
    assert [point.astimezone(BERLIN).isoformat() for point in times.points(asked, "1d", BERLIN)] == [
        "2026-10-24T00:00:00+02:00",
        "2026-10-25T00:00:00+02:00",
        "2026-10-26T00:00:00+01:00",
        "2026-10-27T00:00:00+01:00",
    ]
    sunday = Range(datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 23, tzinfo=UTC))
    assert len(times.points(sunday, "1h", BERLIN)) == 25
    assert [f"{p.astimezone(BERLIN):%H}" for p in times.points(sunday, "6h", BERLIN)] == ["00", "05", "11", "17", "23"]


def test_weeks_begin_on_mondays_and_months_on_their_first() -> None:
    asked = Range(datetime(2026, 1, 31, 12, tzinfo=UTC), datetime(2026, 4, 2, tzinfo=UTC))
    assert {point.astimezone(BERLIN).weekday() for point in times.points(asked, "1w", BERLIN)} == {0}
    assert [f"{point.astimezone(BERLIN):%Y-%m-%d}" for point in times.points(asked, "1mo", BERLIN)] == [
        "2026-01-01",
        "2026-02-01",
        "2026-03-01",
        "2026-04-01",
    ]


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001
    st.floats(0.01, 200),
    st.sampled_from(sorted(STEPS)),
    st.sampled_from(ZONES),
)
def test_steps_leave_nothing_out_from_midnight_on(start: datetime, steps: float, name: str, zone: str) -> None:
    begin = start.replace(tzinfo=UTC, microsecond=start.microsecond // 1000 * 1000)
    length = min(STEPS[name] * steps, timedelta(days=RANGE_DAYS_MAX))
    asked = Range(begin, begin + timedelta(milliseconds=max(1, length // timedelta(milliseconds=1))))
    points = times.points(asked, name, ZoneInfo(zone))
    assert points[0] <= asked.start
    assert len(points) == 1 or points[1] > asked.start
    assert points[-1] < asked.end
    assert list(points) == sorted(set(points))
    longest = STEPS[name] + timedelta(hours=2)
    assert all(after - before <= longest for before, after in pairwise((*points, asked.end)))
    assert len(points) <= POINTS_MAX
    if STEPS[name] >= timedelta(days=1):
        midnights = {point.astimezone(ZoneInfo(zone)).time().hour for point in points}
        assert midnights <= {0, 1}  # Where clocks are set forward at midnight, the day begins at one.


@given(st.integers(1, RANGE_DAYS_MAX * 86_400_000))
def test_a_chosen_step_is_never_refused(length_ms: int) -> None:
    asked = Range(NOW - timedelta(milliseconds=length_ms), NOW)
    name = times.step("auto", asked)
    assert name is not None
    assert len(times.points(asked, name, BERLIN)) <= AUTO_POINTS_MAX + 2
    assert times.step(name, asked) == name
