"""Segments: every whole frame is read once, whatever was cut, damaged or is still being written."""

from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry import segments
from gateway.telemetry.segments import FRAME_BYTES, Kind, Read, Segment

payloads = st.lists(st.binary(max_size=60), max_size=8)


def written(parts: list[bytes]) -> bytes:
    return b"".join(segments.frame(Kind.RECORD, part) for part in parts)


def read_whole(data: bytes, *, sealed: bool = True) -> list[bytes]:
    return payloads_of(segments.read(data, 0, sealed=sealed))


def payloads_of(found: Read) -> list[bytes]:
    return [payload for stretch in found.stretches for payload in stretch.payloads]


@given(payloads, st.data())
def test_reading_in_pieces_as_they_come_yields_each_frame_once(parts: list[bytes], data: st.DataObject) -> None:
    whole = written(parts)
    stops = [*sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6))), len(whole)]
    got: list[bytes] = []
    at = 0
    for stop in stops:
        found = segments.read(whole[at:stop], at, sealed=False)
        got += payloads_of(found)
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
    assert found.damaged_bytes + sum(len(written([payload])) for payload in payloads_of(found)) == len(data)


@given(st.lists(st.tuples(st.sampled_from([*Kind, 99]), st.binary(max_size=9)), min_size=1), st.integers(0, 500))
def test_frames_of_one_kind_are_one_stretch_with_the_places_of_all_of_them(
    frames: list[tuple[int, bytes]], start: int
) -> None:
    data = b"".join(segments.frame(kind, payload) for kind, payload in frames)
    stretches = segments.read(data, start, sealed=False).stretches
    assert [(each.kind, payload) for each in stretches for payload in each.payloads] == frames
    assert all(one.kind != other.kind and one.end == other.start for one, other in pairwise(stretches))
    assert (stretches[0].start, stretches[-1].end) == (start, start + len(data))
    for stretch in stretches:
        assert stretch.payload_bytes == sum(map(len, stretch.payloads))
        ends = [stretch.end_of(count) for count in range(len(stretch.payloads) + 1)]
        assert (ends[0], ends[-1]) == (stretch.start, stretch.end)
        lengths = [FRAME_BYTES + len(payload) for payload in stretch.payloads]
        assert [end - before for before, end in pairwise(ends)] == lengths
        while stretch.payloads:
            payloads = stretch.payloads[1:]
            stretch.cut(1)
            assert stretch.payloads == payloads
            assert stretch.start == ends[-1 - len(payloads)]


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
    (stretch,) = segments.read(segments.frame(Kind.RECORD, row), 0, sealed=False).stretches
    assert (stretch.kind, stretch.payloads) == (Kind.RECORD, [row])
