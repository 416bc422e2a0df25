"""One segment as far as it is read: frames that are in no batch yet, and what was damaged between them."""

import os
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gateway.telemetry import segments
from gateway.telemetry.segments import Segment, Stretch

SLICE_BYTES = 1024 * 1024
"""Read at a time."""
_HEAD_BYTES_MAX = 128 * 1024
"""Beyond the longest head there may be."""


@dataclass(slots=True)
class Tail:
    segment: Segment
    at: int
    """Everything before is in batches."""
    sealed: bool = False
    """Nobody writes to it any more."""
    ended: bool = False
    """Sealed, and read to its end."""
    read_to: int = 0
    fields: tuple[str, ...] | None = None
    """Of its records; empty if its head is damaged, so that nobody knows; None: the head is not there yet."""
    stretches: deque[Stretch] = field(default_factory=deque)
    """Frames that are read, and in no batch yet."""
    since_s: float = 0.0
    """When the oldest of them was read, by the monotonic clock."""

    @property
    def pending(self) -> bool:
        return bool(self.stretches) or self.damaged_end

    @property
    def frame_count(self) -> int:
        return sum(len(stretch.payloads) for stretch in self.stretches)

    @property
    def payload_bytes(self) -> int:
        return sum(stretch.payload_bytes for stretch in self.stretches)

    @property
    def damaged_end(self) -> bool:
        """Behind its last frame there is something that is none."""
        return self.ended and (self.stretches[-1].end if self.stretches else self.at) < self.read_to

    @property
    def finished(self) -> bool:
        """All of it is in batches, and nothing will come."""
        return self.ended and not self.pending


def grow(tail: Tail, folder: Path, now_s: float) -> bool:
    """Read on for at most SLICE_BYTES, or as far as damage reaches; whether there was anything. Raises OSError.

    What is read is on the disk first: a record that a batch holds must not be one that a power cut takes from its
    segment.
    """
    # A Path's parts are interned. A name that nothing else holds would take a place in the interpreter's table of names
    # at each look, four times a second for each worker, and none is free again before the whole table is made anew.
    with open(f"{folder}/{tail.segment.name}", "rb", buffering=0) as file:  # noqa: PTH123
        size = os.fstat(file.fileno()).st_size
        if size <= tail.read_to:
            tail.ended = tail.sealed
            return False
        with suppress(OSError):  # A disk that takes nothing any more can still be read.
            os.fdatasync(file.fileno())
        if tail.fields is None and not _read_head(tail, file.fileno()):
            return False
        before = tail.read_to
        slice_bytes = SLICE_BYTES
        while tail.read_to == before:
            data = os.pread(file.fileno(), slice_bytes, tail.read_to)
            at_end = tail.read_to + len(data) >= size
            _take(tail, segments.read(data, tail.read_to, sealed=tail.sealed and at_end), now_s)
            if at_end:
                break
            slice_bytes *= 2
        tail.ended = tail.sealed and tail.read_to >= size
        return tail.read_to > before


def _read_head(tail: Tail, descriptor: int) -> bool:
    """Whether the frames can be read now."""
    start = os.pread(descriptor, _HEAD_BYTES_MAX, 0)
    found = segments.read_head(start)
    if found is None and not tail.sealed and len(start) < _HEAD_BYTES_MAX:
        return False
    tail.fields, begin = found or ((), 0)
    tail.at = tail.read_to = max(tail.at, begin)
    return True


def _take(tail: Tail, found: segments.Read, now_s: float) -> None:
    if found.stretches and not tail.stretches:
        tail.since_s = now_s
        if tail.at == 0:  # No head: it is what is damaged, and no frame before the first one.
            tail.at = found.stretches[0].start
    tail.stretches.extend(found.stretches)
    tail.read_to = found.end
