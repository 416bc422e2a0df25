"""Segments: every whole frame is read once, whatever was cut, damaged or is still being written."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry import segments
from gateway.telemetry.segments import Kind, Segment

payloads = st.lists(st.binary(max_size=60), max_size=8)


def written(parts: list[bytes]) -> bytes:
    return b"".join(segments.frame(Kind.RECORD, part) for part in parts)


def read_whole(data: bytes, *, sealed: bool = True) -> list[bytes]:
    return [frame.payload for frame in segments.read(data, 0, sealed=sealed).frames]


@given(payloads, st.data())
def test_reading_in_pieces_as_they_come_yields_each_frame_once(parts: list[bytes], data: st.DataObject) -> None:
    whole = written(parts)
    stops = [*sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6))), len(whole)]
    got: list[bytes] = []
    at = 0
    for stop in stops:
        found = segments.read(whole[at:stop], at, sealed=False)
        got += [frame.payload for frame in found.frames]
        at = found.end
        assert found.damaged_bytes == 0
    assert got == parts
    assert at == len(whole)


@given(payloads, st.data())
def test_a_cut_costs_only_what_it_cut(parts: list[bytes], data: st.DataObject) -> None:
    whole = written(parts)
    cut = data.draw(st.integers(0, len(whole)))
    before = read_whole(whole[:cut])
    assert before == parts[: len(before)]
    assert read_whole(whole[:cut] + written([b"after"])) == [*before, b"after"]


@given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=6), st.data())
def test_a_changed_byte_costs_one_frame_at_most(parts: list[bytes], data: st.DataObject) -> None:
    whole = bytearray(written(parts))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    got = read_whole(bytes(whole))
    assert len(got) >= len(parts) - 1
    assert all(part in parts for part in got)


@given(st.binary(max_size=300))
def test_what_is_no_segment_is_read_to_its_end_without_a_frame_of_its_own(data: bytes) -> None:
    found = segments.read(data, 0, sealed=True)
    assert found.end == len(data)
    assert found.damaged_bytes + sum(len(written([frame.payload])) for frame in found.frames) == len(data)


def test_the_head_names_the_fields() -> None:
    head = segments.head(("id", "status"))
    assert segments.read_head(head + b"rest") == (("id", "status"), len(head))


@pytest.mark.parametrize("data", [b"", b"GHSPOOL1", b"GHSPOOL2\0\0\0\0", segments.head(("id",))[:-1]])
def test_half_a_head_is_none(data: bytes) -> None:
    assert segments.read_head(data) is None


def test_names_are_read_back_and_nothing_else_is_a_name() -> None:
    segment = Segment("worker-0", 17)
    assert segments.parse_name(segment.name) == segment
    for name in ("worker-0.17.ghspool", "worker-0.ghspool", ".0000000001.ghspool", "worker-0.0000000001", "x.tmp"):
        assert segments.parse_name(name) is None


def test_a_record_survives_byte_for_byte() -> None:
    row = orjson.dumps(["lg_1", None, {"a": "ü"}])
    (frame,) = segments.read(segments.frame(Kind.RECORD, row), 0, sealed=False).frames
    assert (frame.kind, frame.payload) == (Kind.RECORD, row)
