"""The table of running requests: what is under way is in it, whoever died, and nothing else is."""

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.telemetry import slots
from gateway.telemetry.slots import Left, SlotTable
from tests.fixtures.disk import small_disk


def request_id(number: int) -> str:
    return f"lg_{number:032x}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = slots.path_of(tmp_path, "worker-0")
    path.parent.mkdir()
    return path


def test_a_request_is_there_from_its_beginning_to_its_end(path: Path) -> None:
    table = SlotTable(path, 4)
    first, second = table.take(request_id(1), "chat"), table.take(request_id(2), "embeddings")
    assert first is not None
    assert second is not None
    table.name(second, ("ws_1", "ak_1", True))
    assert slots.left(path) == [
        Left(request_id(1), "chat", None, None, is_anonymous=False),
        Left(request_id(2), "embeddings", "ws_1", "ak_1", is_anonymous=True),
    ]
    table.give_back(first)
    assert [left.id for left in slots.left(path)] == [request_id(2)]
    assert slots.in_use(path.parents[1]) == 1


def test_a_slot_s_next_request_has_nothing_of_the_last_one(path: Path) -> None:
    table = SlotTable(path, 1)
    slot = table.take(request_id(1), "completions")
    assert slot is not None
    table.name(slot, ("ws_1", "ak_1", True))
    table.give_back(slot)
    table.take(request_id(2), "chat")
    assert slots.left(path) == [Left(request_id(2), "chat", None, None, is_anonymous=False)]


def test_a_request_beyond_the_last_slot_is_counted(path: Path) -> None:
    table = SlotTable(path, 1)
    slot = table.take(request_id(1), "chat")
    assert slot is not None
    assert table.take(request_id(2), "chat") is None
    assert table.full_count == 1
    table.give_back(slot)
    assert table.take(request_id(3), "chat") == slot


def test_names_too_long_for_a_slot_do_not_reach_into_the_next(path: Path) -> None:
    table = SlotTable(path, 2)
    first, second = table.take(request_id(1), "chat"), table.take(request_id(2), "chat")
    assert first is not None
    table.name(first, ("w" * 200, "k" * 200, False))
    named, neighbour = sorted(slots.left(path), key=lambda left: left.id)
    assert (named.workspace, named.api_key) == ("w" * 72, "k" * 72)
    assert neighbour == Left(request_id(2), "chat", None, None, is_anonymous=False)
    assert second is not None


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=40))
def test_the_table_holds_exactly_what_was_taken_and_not_given_back(moves: list[tuple[bool, int]]) -> None:
    folder = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else Path("/tmp")
    path = folder / f"slots-{os.getpid()}.slots"
    try:
        table, running, number = SlotTable(path, 4), {}, 0
        for begins, chosen in moves:
            if begins:
                number += 1
                slot = table.take(request_id(number), "chat")
                if slot is not None:
                    running[slot] = request_id(number)
            elif running:
                slot = sorted(running)[chosen % len(running)]
                table.give_back(slot)
                del running[slot]
        assert sorted(left.id for left in slots.left(path)) == sorted(running.values())
        table.close()
    finally:
        path.unlink(missing_ok=True)


def test_what_was_written_outlives_a_kill(path: Path) -> None:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            table = SlotTable(path, 8)
            taken = [table.take(request_id(number), "chat") for number in range(3)]
            table.give_back(taken[1] or 0)
            os.write(write, b"x")
            signal.pause()
        finally:
            os._exit(1)
    assert os.read(read, 1) == b"x"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert [left.id for left in slots.left(path)] == [request_id(0), request_id(2)]
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("data", [b"", b"GHSLOTS1", b"x" * 1_000, b"GHSLOTS1\xff\xff\xff\xff" + b"\0" * 52])
def test_a_file_that_is_no_table_holds_nothing(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    assert slots.left(path) == []


@pytest.mark.parametrize("at", [1, 12, 34])
def test_a_slot_whose_id_was_damaged_is_left_out(path: Path, at: int) -> None:
    table = SlotTable(path, 2)
    slot = table.take(request_id(1), "chat")
    table.take(request_id(2), "chat")
    assert slot is not None
    with path.open("r+b") as file:
        file.seek(slot + 4 + at)
        file.write(b"\xff")
    assert [left.id for left in slots.left(path)] == [request_id(2)]


def test_on_a_disk_without_room_requests_run_all_the_same(tmp_path: Path) -> None:
    """A worker that could not begin for that would carry no call at all."""
    with small_disk(tmp_path / "disk", 1024 * 1024) as disk:
        path = slots.path_of(disk.path, "worker-0")
        path.parent.mkdir()
        elses = disk.fill(leave=256)
        table = SlotTable(path, 64)
        slot = table.take(request_id(1), "chat")
        assert slot is not None
        table.name(slot, ("ws_1", "ak_1", False))
        table.give_back(slot)
        table.close()
        assert list(path.parent.iterdir()) == []
        elses.unlink()
        SlotTable(path, 64).take(request_id(2), "chat")
        assert [left.id for left in slots.left(path)] == [request_id(2)]


def test_a_table_is_its_owner_s_alone(path: Path) -> None:
    SlotTable(path, 1)
    assert path.stat().st_mode & 0o077 == 0
    assert sys.platform == "linux"
