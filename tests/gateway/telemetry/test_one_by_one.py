"""Records are read, checked and counted many at a time: what comes of it is what would come of one after the other."""

from collections.abc import Sequence
from struct import Struct
from typing import Any, NamedTuple
from unittest.mock import patch
from zlib import crc32

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.telemetry import batches, segments, tails
from gateway.telemetry.batches import Columns, Draft, Watch, merged
from gateway.telemetry.segments import PAYLOAD_BYTES_MAX, Kind, Segment
from gateway.telemetry.tails import Tail
from shared.protocol.canonical import INTEGER_MAX
from shared.protocol.drop import Drop

SEGMENT = Segment("worker-0", 1)
FIELDS = ("id", "started_at_ms")
HEAD = segments.head(FIELDS)
MAGIC = b"\xf7GHR"
FRAME = Struct("<4sIIB")
NOW_MS = 1_795_000_000_000

TIMES = st.integers(-3, 10_000) | st.sampled_from([None, True, "x", 0.5, INTEGER_MAX, INTEGER_MAX + 1])
ROWS = (
    st.lists(st.integers(0, 9), max_size=3) | st.tuples(st.text(max_size=9), TIMES) | st.dictionaries(st.text(), TIMES)
)
DROPS = st.builds(
    Drop, reason=st.sampled_from(["one", "other"]), count=st.integers(1, 9), from_ms=st.just(3), to_ms=st.just(9)
)
GOOD = st.tuples(st.text(max_size=9), st.integers(0, 10_000)).map(
    lambda row: segments.frame(Kind.RECORD, orjson.dumps(row))
)
PIECE = st.one_of(
    GOOD,
    GOOD,
    ROWS.map(lambda row: segments.frame(Kind.RECORD, orjson.dumps(row))),
    st.sampled_from([b"", b"[1", b"2]", b"[1],[2", b'["a",1],["b",2]', b"null"]).map(
        lambda p: segments.frame(Kind.RECORD, p)
    ),
    DROPS.map(lambda drop: segments.frame(Kind.DROP, drop.model_dump_json().encode())),
    st.binary(max_size=9).map(lambda payload: segments.frame(Kind.DROP, payload)),
    st.binary(max_size=9).map(lambda payload: segments.frame(99, payload)),
    st.binary(min_size=1, max_size=30),
    st.binary(max_size=20).map(lambda junk: MAGIC + junk),
    st.tuples(GOOD, st.integers(0, 30)).map(lambda cut: cut[0][: cut[1]]),
)


class Frame(NamedTuple):
    kind: int
    payload: bytes
    start: int
    end: int


def frames_one_by_one(data: bytes, at: int) -> list[Frame]:
    """By the format alone: at each place, is there a whole frame?"""
    found = []
    while at <= len(data) - FRAME.size:
        magic, length, check, kind = FRAME.unpack_from(data, at)
        end = at + FRAME.size + length
        payload = data[at + FRAME.size : end]
        if magic == MAGIC and length <= PAYLOAD_BYTES_MAX and end <= len(data) and crc32(payload, kind) == check:
            found.append(Frame(kind, payload, at, end))
            at = end
        else:
            at += 1
    return found


class OneByOne:
    """The batches of a sealed segment."""

    def __init__(self, data: bytes) -> None:
        self.frames = frames_one_by_one(data, len(HEAD))
        self.at = len(HEAD)
        self.end = len(data)

    def draft(self, rows_max: int, bytes_max: int) -> tuple[Draft, list[list[Any]]]:
        made, seen, times, damaged = Draft(FIELDS), [], [], 0
        while self.frames and len(made.rows) < rows_max and sum(map(len, made.rows)) < bytes_max:
            frame = self.frames.pop(0)
            damaged += frame.start > self.at
            self.at = frame.end
            values, drop = _record(frame), _drop(frame)
            if values is not None:
                made.rows.append(frame.payload)
                seen.append(values)
                if type(values[1]) is int and 0 <= values[1] <= INTEGER_MAX:
                    times.append(values[1])
            elif drop is not None:
                made.drops.append(drop)
            else:
                damaged += 1
        if not self.frames and self.at < self.end:
            damaged += 1
            self.at = self.end
        made.cursors[SEGMENT.name] = self.at
        made.first_ms, made.last_ms = min(times, default=NOW_MS), max(times, default=NOW_MS)
        if damaged:
            made.drops.append(Drop(reason="damaged", count=damaged, from_ms=made.first_ms, to_ms=made.last_ms))
        made.drops = merged(made.drops)
        return made, seen


def _record(frame: Frame) -> list[Any] | None:
    if frame.kind != Kind.RECORD:
        return None
    try:
        values = orjson.loads(frame.payload)
    except orjson.JSONDecodeError:
        return None
    return values if isinstance(values, list) and len(values) == len(FIELDS) else None


def _drop(frame: Frame) -> Drop | None:
    try:
        return Drop.model_validate_json(frame.payload) if frame.kind == Kind.DROP else None
    except ValidationError:
        return None


@given(st.lists(PIECE, max_size=20), st.integers(1, 12), st.integers(10, 200), st.integers(1, 6), st.integers(8, 300))
def test_batches_are_those_of_frames_taken_one_by_one(
    tmp_path_factory: pytest.TempPathFactory,
    pieces: Sequence[bytes],
    rows_max: int,
    bytes_max: int,
    at_once: int,
    slice_bytes: int,
) -> None:
    """GHS/1 17.8."""
    folder = tmp_path_factory.getbasetemp()
    data = HEAD + b"".join(pieces)
    (folder / SEGMENT.name).write_bytes(data)
    tail, plain = Tail(SEGMENT, at=0, sealed=True), OneByOne(data)
    with patch.object(tails, "SLICE_BYTES", slice_bytes):
        while tails.grow(tail, folder, 0.0):
            pass
    while tail.pending:
        seen: list[list[Any]] = []

        def see(columns: Columns, seen: list[list[Any]] = seen) -> None:
            seen += map(list, zip(*columns, strict=True))

        with (
            patch.object(batches, "ROWS_MAX", rows_max),
            patch.object(batches, "ROWS_BYTES_MAX", bytes_max),
            patch.object(batches, "READ_AT_ONCE", at_once),
        ):
            made = batches.draft([tail], NOW_MS, Watch(FIELDS, see))
        made.apply()
        made.taken.clear()
        assert (made, seen) == plain.draft(rows_max, bytes_max)
    assert plain.frames == []
    assert tail.at == plain.at == len(data)
