"""Frames become batches: when one is due, what goes into it, and what was damaged. Pure.

Damage is counted as one lost record for each place that holds none: how many there were nobody can know, only that it
was one at least.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from pydantic import ValidationError

from gateway.telemetry.segments import FRAME_BYTES, Kind
from gateway.telemetry.tails import Tail
from shared.models.record import FIELDS
from shared.protocol.batch import ROWS_BYTES_MAX, ROWS_MAX, Drop
from shared.protocol.canonical import INTEGER_MAX

WAIT_S = 1.0
"""How long a record waits for others to go with."""
QUEUED_WAIT_S = 10.0
"""The same while batches wait to be sent: of a few large ones more go in a second than of many small ones."""
DAMAGED = "damaged"
_TIME = "started_at_ms"
_RECORD, _DROP = int(Kind.RECORD), int(Kind.DROP)


@dataclass(slots=True)
class Draft:
    """What the next batch holds. Applying it, once it is kept, moves the tails on."""

    fields: tuple[str, ...]
    rows: list[bytes] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    cursors: dict[str, int] = field(default_factory=dict)
    """Where each segment is when this is kept, by its file's name."""
    taken: list[tuple[Tail, int]] = field(default_factory=list)
    """How many frames of each."""
    first_ms: int = 0
    last_ms: int = 0

    def apply(self) -> None:
        for tail, count in self.taken:
            for _ in range(count):
                tail.frame_bytes -= len(tail.frames.popleft().payload)
            tail.at = self.cursors[tail.segment.name]


def due(tails: Sequence[Tail], now_s: float, *, last: bool, queued: bool = False) -> list[Tail] | None:
    """Whose frames go into a batch now; None: it is too early. `last`: whatever is there; `queued`: others wait.

    Rows of other fields do not mix, so it is those that have the fields of the one that waits longest.
    """
    pending = [tail for tail in tails if tail.pending]
    for first in sorted(pending, key=lambda tail: tail.since_s):
        group = [tail for tail in pending if tail.fields == first.fields]
        many = sum(len(tail.frames) for tail in group) >= ROWS_MAX
        large = sum(tail.frame_bytes for tail in group) >= ROWS_BYTES_MAX
        if last or many or large or now_s - first.since_s >= (QUEUED_WAIT_S if queued else WAIT_S):
            return group
    return None


def draft(group: Sequence[Tail], now_ms: int, seen: Callable[[Sequence[Any]], None]) -> Draft:
    """A batch of what the tails hold, as far as one batch goes. They stay as they are.

    `seen` is called with the values of each record. They are not kept: some thousands of lists at a time would cost the
    agent more than all it does with them.
    """
    fields = group[0].fields or ()
    made = Draft(fields=fields or FIELDS)
    rows, width = made.rows, len(fields)
    damaged = size = 0
    time = fields.index(_TIME) if _TIME in fields else None
    times: list[int] = []
    for tail in group:
        at = tail.at
        count = 0
        for kind, payload, end in tail.frames:
            if len(rows) >= ROWS_MAX or size >= ROWS_BYTES_MAX:
                break
            length = len(payload)
            if end - FRAME_BYTES - length > at:
                damaged += 1
            at = end
            count += 1
            if kind == _RECORD and (values := _values(payload, width)) is not None:
                rows.append(payload)
                size += length
                seen(values)
                if time is not None and _is_time(values[time]):
                    times.append(values[time])
            elif kind == _DROP and (drop := _drop(payload)) is not None:
                made.drops.append(drop)
            else:
                damaged += 1
        if count == len(tail.frames) and tail.damaged_end:
            damaged += 1
            at = tail.read_to
        if at > tail.at:
            made.cursors[tail.segment.name] = at
            made.taken.append((tail, count))
    made.first_ms = min(times, default=now_ms)
    made.last_ms = max(times, default=now_ms)
    if damaged:
        made.drops.append(Drop(reason=DAMAGED, count=damaged, from_ms=made.first_ms, to_ms=made.last_ms))
    made.drops = merged(made.drops)
    return made


def merged(drops: Sequence[Drop]) -> list[Drop]:
    """One for each reason, over all of their time."""
    by_reason: dict[str, Drop] = {}
    for drop in drops:
        known = by_reason.get(drop.reason)
        by_reason[drop.reason] = drop if known is None else _both(known, drop)
    return list(by_reason.values())


def _both(one: Drop, other: Drop) -> Drop:
    return Drop(
        reason=one.reason,
        count=min(one.count + other.count, INTEGER_MAX),
        from_ms=min(one.from_ms, other.from_ms),
        to_ms=max(one.to_ms, other.to_ms),
    )


def _values(payload: bytes, width: int) -> list[Any] | None:
    """The record's values; None for what is whole and yet no record."""
    try:
        values = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    return values if isinstance(values, list) and len(values) == width and width else None


def _is_time(value: Any) -> bool:
    return type(value) is int and 0 <= value <= INTEGER_MAX


def _drop(payload: bytes) -> Drop | None:
    try:
        return Drop.model_validate_json(payload)
    except ValidationError:
        return None
