"""Segments are read on as they grow, each frame once, whatever was cut or damaged, and wherever reading began."""

import sys
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry import batches, segments, tails
from gateway.telemetry.batches import Draft
from gateway.telemetry.segments import Kind, Segment
from gateway.telemetry.tails import SLICE_BYTES, Tail

SEGMENT = Segment("worker-0", 1)
HEAD = segments.head(("id",))
PIECE = st.one_of(
    st.integers(0, 999).map(lambda number: ("frame", f"[{number}]".encode())),
    st.binary(min_size=1, max_size=40).map(lambda junk: ("junk", junk.replace(b"\xf7", b"\0"))),
)


def frame(payload: bytes) -> bytes:
    return segments.frame(Kind.RECORD, payload)


def read_all(tail: Tail, folder: Path) -> list[bytes]:
    while tails.grow(tail, folder, 0.0):
        pass
    return [payload for stretch in tail.stretches for payload in stretch.payloads]


def drafted(group: list[Tail], now_ms: int) -> Draft:
    return batches.draft(group, now_ms, None)


def on(folder: Path, data: bytes, *, at: int = 0, sealed: bool = True) -> Tail:
    (folder / SEGMENT.name).write_bytes(data)
    return Tail(SEGMENT, at=at, read_to=at, sealed=sealed)


def test_an_open_segment_is_read_on_and_never_ends(tmp_path: Path) -> None:
    tail = on(tmp_path, HEAD[:-1], sealed=False)
    assert read_all(tail, tmp_path) == []
    with (tmp_path / SEGMENT.name).open("ab") as file:
        file.write(HEAD[-1:] + frame(b"[1]") + frame(b"[2]")[:-1])
    assert read_all(tail, tmp_path) == [b"[1]"]
    with (tmp_path / SEGMENT.name).open("ab") as file:
        file.write(frame(b"[2]")[-1:])
    assert read_all(tail, tmp_path) == [b"[1]", b"[2]"]
    assert not tail.ended
    tail.sealed = True
    assert read_all(tail, tmp_path) == [b"[1]", b"[2]"]
    assert tail.ended
    assert not tail.finished


@given(st.lists(PIECE, max_size=12), st.integers(1, 12))
def test_damage_is_counted_by_place_once_wherever_batches_are_cut(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[str, bytes]], rows_max: int
) -> None:
    """GHS/1 17.8."""
    folder = tmp_path_factory.getbasetemp()
    data = HEAD + b"".join(frame(body) if kind == "frame" else body for kind, body in pieces)
    places = sum(kind == "junk" and (i == 0 or pieces[i - 1][0] == "frame") for i, (kind, _) in enumerate(pieces))
    rows: list[bytes] = []
    damaged = 0
    at = 0
    while True:
        # Each batch by a reader that begins where the cursor is, as after a crash.
        tail = on(folder, data, at=at)
        read_all(tail, folder)
        if not tail.pending:
            break
        with patch.object(batches, "ROWS_MAX", rows_max):
            made = drafted([tail], 0)
        rows += made.rows
        damaged += sum(drop.count for drop in made.drops)
        at = made.cursors[SEGMENT.name]
    assert rows == [body for kind, body in pieces if kind == "frame"]
    assert damaged == places
    assert tail.finished


def test_looking_at_a_segment_makes_no_names_for_the_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tail = on(tmp_path, HEAD + frame(b"[1]"), sealed=False)
    names: list[str] = []
    monkeypatch.setattr(sys, "intern", lambda name: names.append(name) or name)
    assert read_all(tail, tmp_path) == [b"[1]"]
    assert not names


def test_more_than_a_slice_is_read_in_slices(tmp_path: Path) -> None:
    payload = b'["' + b"x" * 50_000 + b'"]'
    tail = on(tmp_path, HEAD + frame(payload) * 60)
    assert tails.grow(tail, tmp_path, 0.0)
    assert 0 < tail.payload_bytes <= SLICE_BYTES
    assert not tail.ended
    assert len(read_all(tail, tmp_path)) == 60
    assert tail.ended


def test_damage_longer_than_a_slice_is_passed(tmp_path: Path) -> None:
    tail = on(tmp_path, HEAD + frame(b"[1]") + b"\0" * (3 * SLICE_BYTES) + frame(b"[2]"), sealed=False)
    assert read_all(tail, tmp_path) == [b"[1]", b"[2]"]
    made = drafted([tail], 0)
    assert [drop.count for drop in made.drops] == [1]


def test_a_head_that_is_damaged_costs_the_segment_and_is_counted(tmp_path: Path) -> None:
    tail = on(tmp_path, b"x" + HEAD[1:] + frame(b"[1]") + frame(b"[2]"))
    read_all(tail, tmp_path)
    made = drafted([tail], 0)
    assert (made.rows, [drop.count for drop in made.drops]) == ([], [2])
    made.apply()
    assert tail.finished


@pytest.mark.parametrize("data", [b"GHS", b"nothing at all"])
def test_a_sealed_segment_without_a_head_or_a_frame_is_one_loss(tmp_path: Path, data: bytes) -> None:
    tail = on(tmp_path, data)
    read_all(tail, tmp_path)
    made = drafted([tail], 0)
    assert [drop.count for drop in made.drops] == [1]
    made.apply()
    assert tail.finished


@pytest.mark.parametrize("data", [b"", HEAD])
def test_a_segment_nothing_was_written_to_lost_nothing(tmp_path: Path, data: bytes) -> None:
    tail = on(tmp_path, data)
    read_all(tail, tmp_path)
    assert tail.finished
