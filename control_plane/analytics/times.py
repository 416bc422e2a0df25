"""Of which time is asked, and in which steps: from the words of a query to instants (pure)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from control_plane.errors import Invalid

RANGE_DAYS_MAX = 1_100
POINTS_MAX = 1_500
AUTO_POINTS_MAX = 170
"""Of a step that is chosen for the caller."""
LAST_DEFAULT = "24h"

_LAST = re.compile(r"([1-9][0-9]{0,5})(m|h|d|w)", re.ASCII)
_UNIT = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_YEARS = range(1980, 2200)
"""Steps count the seconds since 1970: that of the longest range before the longest one begins after that."""
_MILLISECOND = timedelta(milliseconds=1)
_DAY = timedelta(days=1)

STEPS: Mapping[str, timedelta] = {
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
    "3h": timedelta(hours=3),
    "6h": timedelta(hours=6),
    "12h": timedelta(hours=12),
    "1d": _DAY,
    "1w": timedelta(weeks=1),
    "1mo": timedelta(days=31),
}
"""How long a step is; days, weeks and months are those of the calendar in the time zone asked for."""
AUTO = ("1m", "5m", "15m", "1h", "6h", "1d", "1w", "1mo")


@dataclass(frozen=True, slots=True)
class Range:
    """From `start` on, up to and without `end`. Both are whole milliseconds, UTC."""

    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        return self.end - self.start

    @property
    def previous(self) -> "Range":
        """As long, and just before."""
        return Range(self.start - self.length, self.start)


def zone(text: str | None) -> ZoneInfo:
    """Raises Invalid."""
    try:
        return ZoneInfo(text or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Invalid("no such time zone; one is named as `Europe/Berlin`", pointer="time_zone") from None


def read(query: Mapping[str, str], now_ms: int, in_zone: ZoneInfo, default: str | None = LAST_DEFAULT) -> Range | None:
    """Of `last`, `from` and `to`. None if none is given and there is no default. Raises Invalid."""
    last, start, end = query.get("last"), query.get("from"), query.get("to")
    if last is None and start is None and end is None:
        if default is None:
            return None
        last = default
    until = datetime.fromtimestamp(now_ms // 1000, UTC) + timedelta(milliseconds=now_ms % 1000)
    if end is not None:
        until = _moment(end, "to", in_zone)
    if last is not None and start is not None:
        raise Invalid("give `last` or `from`, not both", pointer="last")
    found = Range(until - _last(last or LAST_DEFAULT) if start is None else _moment(start, "from", in_zone), until)
    if found.length < _MILLISECOND:
        raise Invalid("the time begins before it ends: `from` is before `to`", pointer="from")
    if found.length > timedelta(days=RANGE_DAYS_MAX):
        raise Invalid(f"at most {RANGE_DAYS_MAX} days at once", pointer="from")
    return found


def step(text: str | None, asked: Range) -> str | None:
    """The step's name; None: none. Raises Invalid."""
    if text in (None, "none"):
        return None
    if text == "auto":
        return next((name for name in AUTO if asked.length / STEPS[name] <= AUTO_POINTS_MAX), AUTO[-1])
    if text not in STEPS:
        raise Invalid(f"a step is one of {', '.join(STEPS)}, auto or none", pointer="step")
    points = asked.length / STEPS[text]
    if points > POINTS_MAX:
        raise Invalid(
            f"that would be {points:.0f} points, more than {POINTS_MAX}; ask for longer steps", pointer="step"
        )
    return text


def points(asked: Range, step_name: str, in_zone: ZoneInfo) -> tuple[datetime, ...]:
    """Where each step begins, UTC. The first one begins at or before the range does."""
    found: list[datetime] = []
    for begin in _steps(asked.start, step_name, in_zone):
        if begin >= asked.end:
            break
        if begin <= asked.start:
            found = [begin]
        elif not found or begin > found[-1]:
            found.append(begin)
    return tuple(found)


def _steps(start: datetime, name: str, in_zone: ZoneInfo) -> Iterator[datetime]:
    """Where steps begin, from some time before `start` on, without end."""
    day = start.astimezone(in_zone).date() - _DAY
    if name == "1mo":
        day = day.replace(day=1)
    elif name == "1w":
        day -= timedelta(days=day.weekday())
    while True:
        next_day = _after(day, name)
        begin, end = _midnight(day, in_zone), _midnight(next_day, in_zone)
        length = STEPS[name]
        yield begin
        if length < _DAY:  # A day that is longer or shorter than others has more or fewer of them.
            begin += length
            while begin < end:
                yield begin
                begin += length
        day = next_day


def _after(day: date, name: str) -> date:
    if name == "1mo":
        return (day + timedelta(days=31)).replace(day=1)
    return day + (timedelta(weeks=1) if name == "1w" else _DAY)


def _midnight(day: date, in_zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=in_zone).astimezone(UTC)


def _last(text: str) -> timedelta:
    match = _LAST.fullmatch(text)
    if match is None:
        raise Invalid("a time such as `30d`; units are m, h, d and w", pointer="last")
    length = int(match[1]) * _UNIT[match[2]]
    if length > timedelta(days=RANGE_DAYS_MAX):
        raise Invalid(f"at most {RANGE_DAYS_MAX} days at once", pointer="last")
    return length


def _moment(text: str, name: str, in_zone: ZoneInfo) -> datetime:
    """What has no offset is in the time zone asked for."""
    try:
        found: datetime | None = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.year not in _YEARS:
        raise Invalid("a time such as `2026-11-01` or `2026-11-01T12:00:00Z`", pointer=name)
    found = (found if found.tzinfo else found.replace(tzinfo=in_zone)).astimezone(UTC)
    return found - timedelta(microseconds=found.microsecond % 1000)
