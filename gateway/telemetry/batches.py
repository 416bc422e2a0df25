"""Frames become batches: when one is due, what goes into it, and what was damaged. Pure.

Damage is counted as one lost record for each place that holds none: how many there were nobody can know, only that it
was one at least.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import itemgetter
from typing import Any

import orjson
from pydantic import ValidationError

from gateway.telemetry.segments import Kind, Stretch
from gateway.telemetry.tails import Tail
from shared.models.record import FIELDS
from shared.protocol.batch import ROWS_BYTES_MAX, ROWS_MAX
from shared.protocol.canonical import INTEGER_MAX
from shared.protocol.drop import Drop

WAIT_S = 1.0
"""How long a record waits for others to go with."""
QUEUED_WAIT_S = 10.0
"""The same while batches wait to be sent: of a few large ones more go in a second than of many small ones."""
READ_AT_ONCE = 64
"""Records: few enough that their values are in the processor's cache until they are counted."""
DAMAGED = "damaged"
_TIME = "started_at_ms"
_RECORD, _DROP = int(Kind.RECORD), int(Kind.DROP)

Columns = Sequence[Sequence[Any]]
"""Values of records, by their fields."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is to hear of records, while they are read for a batch."""

    fields: tuple[str, ...]
    seen: Callable[[Columns], None]
    """Called with the values that some records at a time have in these fields: all first ones, all second ones, and so
    on. Nothing keeps the rest: some thousands of lists at a time would cost the agent more than all it does with them.
    """


@dataclass(slots=True)
class Draft:
    """What the next batch holds. Applying it, once it is kept, moves the tails on."""

    fields: tuple[str, ...]
    rows: list[bytes] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    cursors: dict[str, int] = field(default_factory=dict)
    """Where each segment is when this is kept, by its file's name."""
    taken: list[tuple[Tail, int, int]] = field(default_factory=list)
    """How many stretches of each, and how many frames of the next one."""
    first_ms: int = 0
    last_ms: int = 0

    def apply(self) -> None:
        for tail, whole, frames in self.taken:
            for _ in range(whole):
                tail.stretches.popleft()
            if frames:
                tail.stretches[0].cut(frames)
            tail.at = self.cursors[tail.segment.name]


def due(tails: Sequence[Tail], now_s: float, *, last: bool, queued: bool = False) -> list[Tail] | None:
    """Whose frames go into a batch now; None: it is too early. `last`: whatever is there; `queued`: others wait.

    Rows of other fields do not mix, so it is those that have the fields of the one that waits longest.
    """
    pending = [tail for tail in tails if tail.pending]
    for first in sorted(pending, key=lambda tail: tail.since_s):
        group = [tail for tail in pending if tail.fields == first.fields]
        many = sum(tail.frame_count for tail in group) >= ROWS_MAX
        large = sum(tail.payload_bytes for tail in group) >= ROWS_BYTES_MAX
        if last or many or large or now_s - first.since_s >= (QUEUED_WAIT_S if queued else WAIT_S):
            return group
    return None


def draft(group: Sequence[Tail], now_ms: int, watch: Watch | None) -> Draft:
    """A batch of what the tails hold, as far as one batch goes. They stay as they are. `watch` knows of no field that
    they do not have.
    """
    fields = group[0].fields or ()
    made = Draft(fields or FIELDS)
    filling = _Filling(made, fields, watch)
    for tail in group:
        at = tail.at
        whole = frames = 0
        for stretch in tail.stretches:
            if filling.full:
                break
            filling.damaged += stretch.start > at
            frames = filling.take(stretch)
            at = stretch.end_of(frames)
            if frames < len(stretch.payloads):
                break
            whole += 1
            frames = 0
        if whole == len(tail.stretches) and tail.damaged_end:
            filling.damaged += 1
            at = tail.read_to
        if at > tail.at:
            made.cursors[tail.segment.name] = at
            made.taken.append((tail, whole, frames))
    made.first_ms = min(filling.times, default=now_ms)
    made.last_ms = max(filling.times, default=now_ms)
    if filling.damaged:
        made.drops.append(Drop(reason=DAMAGED, count=filling.damaged, from_ms=made.first_ms, to_ms=made.last_ms))
    made.drops = merged(made.drops)
    return made


class _Filling:
    """A draft while frames are put into it."""

    __slots__ = ("_draft", "_pick", "_seen", "_size", "_times", "_width", "damaged", "times")

    def __init__(self, draft: Draft, fields: Sequence[str], watch: Watch | None) -> None:
        self._draft = draft
        self._width = len(fields)
        wanted = () if watch is None else watch.fields
        self._seen = None if watch is None else watch.seen
        self._times = len(wanted) if _TIME in fields else None
        """Which column they are."""
        self._pick = _picking([fields.index(name) for name in (wanted if self._times is None else (*wanted, _TIME))])
        self._size = 0
        """Of its rows, in bytes."""
        self.damaged = 0
        self.times: list[int] = []
        """When the first and the last of the records that were read at once began."""

    @property
    def full(self) -> bool:
        return len(self._draft.rows) >= ROWS_MAX or self._size >= ROWS_BYTES_MAX

    def take(self, stretch: Stretch) -> int:
        """Put in its frames until the draft is full; how many those are."""
        payloads = stretch.payloads
        if stretch.kind == _RECORD:
            return self._take_records(payloads)
        drops = [] if stretch.kind != _DROP else [drop for each in payloads if (drop := _drop(each)) is not None]
        self._draft.drops += drops
        self.damaged += len(payloads) - len(drops)
        return len(payloads)

    def _take_records(self, payloads: Sequence[bytes]) -> int:
        taken = 0
        while taken < len(payloads) and not self.full:
            some = payloads[taken : taken + min(READ_AT_ONCE, ROWS_MAX - len(self._draft.rows))]
            size = sum(map(len, some))
            if self._size + size >= ROWS_BYTES_MAX:  # One of them fills it.
                some = some[:1]
                size = len(some[0])
            self._add(some, size)
            taken += len(some)
        return taken

    def _add(self, payloads: Sequence[bytes], size: int) -> None:
        rows, columns = _records(payloads, self._width, self._pick)
        if len(rows) < len(payloads):
            self.damaged += len(payloads) - len(rows)
            size = sum(map(len, rows))
        if not rows:
            return
        self._draft.rows += rows
        self._size += size
        if self._times is not None:
            self.times += _first_and_last(columns[self._times])
        if self._seen is not None:
            self._seen(columns if self._times is None else columns[: self._times])


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


def _picking(places: Sequence[int]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """What takes these values out of a record."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda values: [values[place] for place in places]  # Of one there it makes no sequence.


def _records(
    payloads: Sequence[bytes], width: int, pick: Callable[[Sequence[Any]], Sequence[Any]]
) -> tuple[Sequence[bytes], Columns]:
    """Those that are records, and what is picked of their values. What is left out is whole and yet no record."""
    try:
        values = list(map(orjson.loads, payloads))
    except orjson.JSONDecodeError:
        values = [_parsed(payload) for payload in payloads]
    if set(map(type, values)) != {list} or set(map(len, values)) != {width} or not width:
        good = [bool(width) and type(each) is list and len(each) == width for each in values]
        payloads, values = list(compress(payloads, good)), list(compress(values, good))
    return payloads, list(zip(*map(pick, values), strict=True))


def _parsed(payload: bytes) -> Any:
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None


def _first_and_last(times: Sequence[Any]) -> Sequence[int]:
    """Of those that are times; nothing, where none is."""
    if set(map(type, times)) != {int} or min(times) < 0 or max(times) > INTEGER_MAX:
        times = [time for time in times if type(time) is int and 0 <= time <= INTEGER_MAX]
    return (min(times), max(times)) if times else ()


def _drop(payload: bytes) -> Drop | None:
    try:
        return Drop.model_validate_json(payload)
    except ValidationError:
        return None
