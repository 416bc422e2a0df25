"""A killed worker's requests: each without a record gets one, and none gets two, however often it is looked at."""

import os
import signal
from pathlib import Path

import orjson
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.telemetry import segments, slots
from gateway.telemetry.ballast import Ballast
from gateway.telemetry.batcher import Batcher, Room
from gateway.telemetry.outbox import Outbox
from gateway.telemetry.recover import Recovery
from gateway.telemetry.segments import Segment
from gateway.telemetry.slots import SlotTable
from gateway.telemetry.spool import Spool
from shared.clock import FakeClock
from shared.models.record import FIELDS, RECORD, Record
from tests.fixtures.disk import small_disk
from tests.fixtures.records import a_record
from tests.fixtures.spool import new_streams, parcels, told

STARTED_MS = 1_795_255_579_808
NAMES = new_streams()
ROOM = Room(bytes_max=8 * 1024**3, disk_share_max=1.0)


def request_id(number: int) -> str:
    return f"lg_{STARTED_MS:012x}{number:020x}"


def records(state_dir: Path) -> list[Record]:
    folder = state_dir / segments.FOLDER
    frames = [frame for segment in segments.listed(folder) for frame in segments.iterate(folder, segment)]
    return [RECORD.validate_json(frame.payload, strict=True) for frame in frames]


class Worker:
    """What a worker does with slots and spool, without its calls."""

    def __init__(self, state_dir: Path, name: str = "worker-0", **options: int) -> None:
        self.slots = SlotTable(slots.path_of(state_dir, name), 8)
        self.spool = Spool(state_dir / segments.FOLDER, name, FIELDS, FakeClock(), **options)

    def write(self, *numbers: int) -> None:
        self.spool.write(*(orjson.dumps(tuple(a_record()._replace(id=request_id(number)))) for number in numbers))


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    Recovery(tmp_path).everybody()
    return tmp_path


def test_requests_without_a_record_are_aborted(state_dir: Path) -> None:
    worker = Worker(state_dir)
    slot = worker.slots.take(request_id(1), "chat")
    assert slot is not None
    worker.slots.name(slot, ("ws_1", "ak_1", False))
    worker.slots.take(request_id(2), "embeddings")
    Recovery(state_dir).ended("worker-0")
    first, second = sorted(records(state_dir))
    assert (first.id, first.ending, first.workspace, first.api_key) == (request_id(1), "aborted", "ws_1", "ak_1")
    assert (first.started_at_ms, first.door) == (STARTED_MS, "chat")
    assert (second.id, second.workspace, second.door) == (request_id(2), None, "embeddings")
    for record in (first, second):
        assert (record.usage, record.cost_picousd, record.duration_us, record.status) == ("unknown", None, None, None)


def test_those_killed_between_their_records_and_their_slots_keep_the_records_they_have(state_dir: Path) -> None:
    worker = Worker(state_dir)
    for number in range(4):
        worker.slots.take(request_id(number), "chat")
    worker.write(0, 1, 2)
    Recovery(state_dir).ended("worker-0")
    endings = [(record.id, record.ending) for record in records(state_dir)]
    assert endings == [(request_id(number), "complete") for number in range(3)] + [(request_id(3), "aborted")]


def test_the_record_is_found_also_if_its_segment_was_full_at_once(state_dir: Path) -> None:
    worker = Worker(state_dir, segment_bytes_max=1)
    worker.slots.take(request_id(2), "chat")
    worker.write(1)
    worker.write(2)
    Recovery(state_dir).ended("worker-0")
    assert [record.ending for record in records(state_dir)] == ["complete", "complete"]


def test_an_anonymous_request_is_told_without_key_and_second(state_dir: Path) -> None:
    worker = Worker(state_dir)
    slot = worker.slots.take(request_id(1), "chat")
    assert slot is not None
    worker.slots.name(slot, ("ws_1", "ak_1", True))
    Recovery(state_dir).ended("worker-0")
    (record,) = records(state_dir)
    assert (record.mode, record.workspace, record.api_key) == ("anonymous", "ws_1", None)
    assert record.started_at_ms % 60_000 == 0
    assert record.id[3:15] == f"{record.started_at_ms:012x}"


def test_every_table_of_a_former_start_is_read_once(state_dir: Path) -> None:
    for number, name in enumerate(("worker-0", "worker-1", "worker-7")):
        Worker(state_dir, name).slots.take(request_id(number), "chat")
    for _ in range(2):
        Recovery(state_dir).everybody()
    assert sorted(record.id for record in records(state_dir)) == [request_id(number) for number in range(3)]
    assert slots.tables(state_dir) == []


def test_a_supervisor_killed_after_the_records_were_written_writes_none_twice(state_dir: Path) -> None:
    worker = Worker(state_dir)
    worker.slots.take(request_id(1), "chat")
    table = slots.path_of(state_dir, "worker-0")
    before = table.read_bytes()
    Recovery(state_dir).ended("worker-0")
    table.write_bytes(before)  # As if it had not come to removing it.
    Recovery(state_dir).everybody()
    assert [record.id for record in records(state_dir)] == [request_id(1)]


def test_a_disk_that_takes_nothing_gets_them_later(state_dir: Path) -> None:
    worker = Worker(state_dir)
    worker.slots.take(request_id(1), "chat")
    worker.spool.close()
    recovery = Recovery(state_dir)
    folder = state_dir / segments.FOLDER
    away = state_dir / "away"
    folder.rename(away)
    folder.write_bytes(b"in the way")
    recovery.ended("worker-0")
    folder.unlink()
    away.rename(folder)
    recovery.ended("worker-0")
    recovery.retry()
    assert [record.id for record in records(state_dir)] == [request_id(1)]


def beside_a_dead_worker(state_dir: Path) -> Recovery:
    """As it stands when a worker has died that carried one request."""
    recovery = Recovery(state_dir)
    recovery.everybody()
    worker = Worker(state_dir)
    worker.slots.take(request_id(1), "chat")
    worker.spool.close()
    worker.slots.close()
    return recovery


def test_what_is_written_late_takes_no_segment_from_the_worker_that_writes_by_then(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4 * 1024 * 1024) as disk:
        recovery = beside_a_dead_worker(disk.path)
        elses = disk.fill()
        recovery.ended("worker-0")
        assert recovery.waits
        successor = Worker(disk.path)  # Its table has the room of the one before.
        elses.unlink()
        successor.write(2)
        assert successor.spool.flush()
        recovery.retry()
        assert not recovery.waits
        outbox = Outbox(disk.path, Ballast(disk.path, 0), FakeClock(), lambda: next(NAMES), keep=True)
        batcher = Batcher(disk.path, outbox, Ballast(disk.path, 0), ROOM, FakeClock(), lambda _: None)
        batcher.look(last=True)
        successor.write(3)
        batcher.look(last=True)
        assert sorted(told(parcels(outbox))[0]) == [request_id(number) for number in (1, 2, 3)]
        outbox.close()


def test_what_waits_for_the_disk_is_told_of_once(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4 * 1024 * 1024) as disk, structlog.testing.capture_logs() as logs:
        recovery = beside_a_dead_worker(disk.path)
        elses = disk.fill()
        recovery.ended("worker-0")
        for _ in range(3):  # Once a second.
            recovery.retry()
        elses.unlink()
        recovery.retry()
    assert [line["event"] for line in logs] == ["requests_aborted", "aborted_not_written", "aborted_written"]


def test_a_disk_that_takes_no_change_ends_nobody_and_each_request_is_told_once(tmp_path: Path) -> None:
    """The supervisor asks: what it raised would end all of the node's workers."""
    with small_disk(tmp_path / "disk", 4 * 1024 * 1024) as disk:
        recovery = beside_a_dead_worker(disk.path)
        disk.read_only(True)
        for _ in range(3):  # No successor can begin either.
            recovery.ended("worker-0")
        disk.read_only(False)
        recovery.retry()
        recovery.ended("worker-0")
        assert [record.id for record in records(disk.path)] == [request_id(1)]


def test_a_segment_that_the_agent_takes_away_meanwhile_hides_no_request(state_dir: Path) -> None:
    worker = Worker(state_dir)
    worker.slots.take(request_id(1), "chat")
    gone = state_dir / segments.FOLDER / Segment("worker-0", 0).name
    gone.symlink_to(state_dir / "gone")  # It is listed, and not there when it is read.
    Recovery(state_dir).ended("worker-0")
    gone.unlink()
    assert [record.id for record in records(state_dir)] == [request_id(1)]


def test_a_worker_that_never_began_left_nothing(state_dir: Path) -> None:
    Recovery(state_dir).ended("worker-9")
    assert records(state_dir) == []


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 400))
def test_killed_anywhere_every_request_has_exactly_one_record(after: int) -> None:
    """A worker begins requests, ends some of them, and is killed by surprise."""
    folder = Path("/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp") / f"recover-{os.getpid()}-{after}"
    folder.mkdir()
    try:
        Recovery(folder).everybody()
        begun = _work_and_be_killed(folder, after)
        Recovery(folder).ended("worker-0")
        told = [record.id for record in records(folder)]
        assert len(told) == len(set(told)), "none twice"
        assert {request_id(number) for number in range(begun)} <= set(told), "none lost"
        assert len(told) <= begun + 1
    finally:
        for path in sorted(folder.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        folder.rmdir()


def _work_and_be_killed(state_dir: Path, after: int) -> int:
    """How many requests had begun for sure."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            worker, running = Worker(state_dir, segment_bytes_max=2_000), dict[int, int]()
            for number in range(100_000):
                slot = worker.slots.take(request_id(number), "chat")
                assert slot is not None
                running[number] = slot
                os.write(write, b"x")
                if len(running) > 5:
                    ended = sorted(running)[: 1 + number % 4]
                    worker.write(*ended)
                    worker.slots.give_back(*map(running.pop, ended))
        finally:
            os._exit(1)
    os.close(write)
    begun = 0
    while begun <= after:
        begun += len(os.read(read, after + 1 - begun))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while more := os.read(read, 65_536):
        begun += len(more)
    os.close(read)
    return begun
