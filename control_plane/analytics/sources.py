"""Which tables hold a stretch of time: whole hours or minutes of a roll-up, records for what is left over (pure).

The pieces of a range neither overlap nor leave anything out, so their sums are the sums of the range's records.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from control_plane.analytics.times import Range

RECORD = "record"
MINUTES = "record_minute"
HOURS = "record_hour"
SPREAD = "record_spread"
SPREAD_OF_WORKSPACES = "record_spread_workspace"

_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
GRAINS = {MINUTES: _MINUTE, **dict.fromkeys((HOURS, SPREAD, SPREAD_OF_WORKSPACES), _HOUR)}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Kept:
    """From when on each table is whole: what lies before is deleted, or may be."""

    records: datetime
    minutes: datetime
    hours: datetime
    """Of every roll-up by the hour."""

    def since(self, table: str) -> datetime:
        if table == RECORD:
            return self.records
        return self.minutes if table == MINUTES else self.hours


@dataclass(frozen=True, slots=True)
class Piece:
    """From `start_ms` on, up to and without `end_ms`, milliseconds since 1970."""

    table: str
    start_ms: int
    end_ms: int


def pieces(asked: Range, points: Sequence[datetime], tables: Sequence[str], kept: Kept) -> tuple[Piece, ...]:
    """`tables`: the roll-ups that could answer, the one with the fewest rows first. A point may stand between their
    steps, but none within one; only what records are not kept of is told by the hour whatever the points.
    """
    inner = [point for point in points if asked.start < point < asked.end]
    for table in tables:
        grain = GRAINS[table]
        first, last = _up(asked.start, grain), _down(asked.end, grain)
        whole = first >= kept.since(table) or (grain == _HOUR and kept.hours <= kept.records)
        if first < last and whole and all(point == _down(point, grain) for point in inner):
            return _around(asked, table, first, last)
    hours = next((table for table in tables if GRAINS[table] == _HOUR), None)
    if hours is not None and asked.start < kept.records and kept.hours < kept.records:
        first, last = _up(asked.start, _HOUR), _down(min(asked.end, _up(kept.records, _HOUR)), _HOUR)
        if first < last:
            return _around(asked, hours, first, last)
    return (of_records(asked),)


def of_records(asked: Range) -> Piece:
    return Piece(RECORD, ms(asked.start), ms(asked.end))


def kept_since(found: Sequence[Piece], kept: Kept) -> datetime | None:
    """From when on the pieces are known; None: from their beginning on, or from the hour after it."""
    hour_ms = _HOUR // _MILLISECOND
    whole = [piece for piece in found if len(found) == 1 or piece.end_ms - piece.start_ms >= hour_ms]
    short = [piece for piece in whole if piece.start_ms < ms(kept.since(piece.table))]
    ends = [min(piece.end_ms, ms(kept.since(piece.table))) for piece in short]
    return _EPOCH + max(ends) * _MILLISECOND if ends else None


def _around(asked: Range, table: str, first: datetime, last: datetime) -> tuple[Piece, ...]:
    """A roll-up for what it has, and records for what is left over at both ends."""
    found = (Piece(RECORD, ms(asked.start), ms(first)), Piece(table, ms(first), ms(last)))
    rest = Piece(RECORD, ms(last), ms(asked.end))
    return tuple(piece for piece in (*found, rest) if piece.start_ms < piece.end_ms)


def _down(at: datetime, grain: timedelta) -> datetime:
    return at - (at - _EPOCH) % grain


def _up(at: datetime, grain: timedelta) -> datetime:
    down = _down(at, grain)
    return down if down == at else down + grain


def ms(at: datetime) -> int:
    """Milliseconds since 1970."""
    return (at - _EPOCH) // _MILLISECOND
