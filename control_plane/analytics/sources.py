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

GRAINS = {MINUTES: timedelta(minutes=1), **dict.fromkeys((HOURS, SPREAD, SPREAD_OF_WORKSPACES), timedelta(hours=1))}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Piece:
    """From `start_ms` on, up to and without `end_ms`, milliseconds since 1970."""

    table: str
    start_ms: int
    end_ms: int


def pieces(
    asked: Range, points: Sequence[datetime], tables: Sequence[str], *, minutes_since: datetime
) -> tuple[Piece, ...]:
    """`tables`: the roll-ups that could answer, the one with the fewest rows first. A point may stand between their
    steps, but none within one. `minutes_since`: from when on `record_minute` is whole.
    """
    inner = [point for point in points if asked.start < point < asked.end]
    for table in tables:
        grain = GRAINS[table]
        first, last = _up(asked.start, grain), _down(asked.end, grain)
        whole = table != MINUTES or first >= minutes_since
        if first < last and whole and all(point == _down(point, grain) for point in inner):
            found = (Piece(RECORD, _ms(asked.start), _ms(first)), Piece(table, _ms(first), _ms(last)))
            rest = Piece(RECORD, _ms(last), _ms(asked.end))
            return tuple(piece for piece in (*found, rest) if piece.start_ms < piece.end_ms)
    return (Piece(RECORD, _ms(asked.start), _ms(asked.end)),)


def _down(at: datetime, grain: timedelta) -> datetime:
    return at - (at - _EPOCH) % grain


def _up(at: datetime, grain: timedelta) -> datetime:
    down = _down(at, grain)
    return down if down == at else down + grain


def _ms(at: datetime) -> int:
    return (at - _EPOCH) // _MILLISECOND
