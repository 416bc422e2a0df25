"""A value as it is written, read as its field's type (pure)."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal

from control_plane.filters.fields import Type
from control_plane.filters.tree import (
    DAY,
    INSTANT,
    MINUTE,
    SECOND,
    Duration,
    Flag,
    Moment,
    Money,
    Number,
    StatusClass,
    Text,
    Value,
    utc,
)
from shared.models.record import INTEGER_MAX

_COUNT = re.compile(r"[0-9]{1,19}", re.ASCII)
_STATUS = re.compile(r"([1-9])(?:xx|[0-9]{2})", re.ASCII)
WHOLE_USD = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,12})?", re.ASCII)
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(us|ms|s|m|h)", re.ASCII)
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:T[0-9]{2}:[0-9]{2}(?P<seconds>:[0-9]{2}(?P<fraction>\.[0-9]{1,6})?)?(?:Z|[+-][0-9]{2}:[0-9]{2})?)?",
    re.ASCII,
)
_MICROSECONDS = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}
_YEARS = range(1971, 2200)

WANTED: Mapping[Type, str] = {
    Type.FLAG: "`true` or `false`",
    Type.STATUS: "a status such as `429`, or a class such as `4xx`",
    Type.COUNT: "a whole number",
    Type.MONEY: "US dollars such as `0.01`, with at most 12 decimals",
    Type.DURATION: "a duration with its unit, such as `2s`, `150ms` or `1.5m`",
    Type.TIME: "a time such as `2026-11-01` or `2026-11-01T12:00Z`; without an offset it is UTC",
}
"""What a value of the type looks like; the others take any text."""


def read(type_: Type, text: str) -> Value | None:
    """None: it is no value of this type."""
    return _READERS.get(type_, Text)(text)


def _flag(text: str) -> Flag | None:
    return Flag(text == "true") if text in ("true", "false") else None


def _status(text: str) -> Number | StatusClass | None:
    match = _STATUS.fullmatch(text)
    if match is None:
        return None
    return StatusClass(int(match[1])) if text.endswith("xx") else Number(int(text))


def _count(text: str) -> Number | None:
    return Number(int(text)) if _COUNT.fullmatch(text) and int(text) <= INTEGER_MAX else None


def _money(text: str) -> Money | None:
    return Money(Decimal(text).normalize()) if WHOLE_USD.fullmatch(text) else None


def _duration(text: str) -> Duration | None:
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    us = Decimal(match[1]) * _MICROSECONDS[match[2]]
    return Duration(int(us)) if us == int(us) and us <= INTEGER_MAX else None


def _time(text: str) -> Moment | None:
    match = _TIME.fullmatch(text)
    if match is None or int(text[:4]) not in _YEARS:
        return None
    try:
        at = utc(datetime.fromisoformat(_padded(text, match["fraction"])))
    except ValueError:
        return None
    if "T" not in text:
        return Moment(at, DAY)
    if match["seconds"] is None:
        return Moment(at, MINUTE)
    return Moment(at, SECOND if match["fraction"] is None else INSTANT)


def _padded(text: str, fraction: str | None) -> str:
    """Python 3.11 reads any fraction, and an older one only three or six digits: six are read everywhere."""
    return text if fraction is None else text.replace(fraction, fraction.ljust(7, "0"), 1)


_READERS: Mapping[Type, Callable[[str], Value | None]] = {
    Type.FLAG: _flag,
    Type.STATUS: _status,
    Type.COUNT: _count,
    Type.MONEY: _money,
    Type.DURATION: _duration,
    Type.TIME: _time,
}
