"""The batcher: every frame that a worker wrote is in exactly one batch, and only then its segment goes."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from queue import Queue
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from structlog.testing import capture_logs

from gateway.telemetry.ballast import Ballast
from gateway.telemetry.batcher import AHEAD_MAX, OLD_MAX, Batcher, Room
from gateway.telemetry.batches import QUEUED_WAIT_S, WAIT_S, Watch
from gateway.telemetry.outbox import FULL, Outbox
from gateway.telemetry.segments import Segment
from gateway.telemetry.spool import RETRY_S, Spool
from shared.clock import Clock, FakeClock, SystemClock
from shared.models.record import FIELDS
from shared.protocol import batch
from shared.protocol.batch import ROWS_MAX
from shared.protocol.drop import Drop
from tests.fixtures.disk import no_writes, small_disk
from tests.fixtures.records import a_record
from tests.fixtures.spool import SpoolWriter, new_streams, parcels, some_records, told

NAMES = new_streams()
ROOM = Room(bytes_max=8 * 1024**3, disk_share_max=1.0)


class Seen:
    """What was said of records that are in batches."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def __call__(self, fields: Sequence[str]) -> Watch:
        assert "id" in fields
        return Watch(("id",), lambda columns: self.see(columns[0]))

    def see(self, ids: Sequence[str]) -> None:
        self.ids += ids


class Bench:
    """A batcher on a folder, with a clock turned by hand."""

    def __init__(
        self,
        folder: Path,
        room: Room = ROOM,
        clock: Clock | None = None,
        seen: Seen | None = None,
        *,
        keeps: bool = True,
    ) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.seen = seen or Seen()
        ballast = Ballast(folder, 64 * 1024)
        self.outbox = Outbox(folder, ballast, self.clock, lambda: next(NAMES), keep=keeps)
        self.batcher = Batcher(folder, self.outbox, ballast, room, clock or self.clock, self.seen)

    def look(self) -> None:
        """Twice, a wait between: whatever is there is due."""
        self.batcher.look()
        self.clock.advance(WAIT_S)
        self.batcher.look()

    def files(self) -> list[str]:
        return sorted(path.name.removesuffix(".ghspool") for path in (self.folder / "spool").iterdir())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.outbox.close()


def ids(records: Sequence[Any]) -> list[str]:
    return [record.id for record in records]


def test_records_of_all_workers_go_in_one_batch_once_the_first_waited_a_second(bench: Bench) -> None:
    one, two = SpoolWriter(bench.folder, "worker-0"), SpoolWriter(bench.folder, "worker-1")
    one.record(*some_records(3))
    bench.batcher.look()
    bench.clock.advance(WAIT_S / 2)
    two.record(*some_records(2, 10))
    bench.batcher.look()
    assert bench.outbox.streams() == []
    bench.clock.advance(WAIT_S / 2)
    bench.batcher.look()
    (parcel,) = parcels(bench.outbox)
    assert sorted(told([parcel])[0]) == ids(some_records(3) + some_records(2, 10))
    assert sorted(bench.seen.ids) == sorted(told([parcel])[0])


def test_a_batch_is_full_before_a_second_is_over(bench: Bench) -> None:
    writer = SpoolWriter(bench.folder, fields=("id", "started_at_ms"))
    writer.rows(*([f"lg_{number}", 1] for number in range(ROWS_MAX + 5)))
    bench.batcher.look()
    assert [parcel.records for parcel in parcels(bench.outbox)] == [ROWS_MAX]
    bench.clock.advance(WAIT_S)
    bench.batcher.look()
    assert [parcel.records for parcel in parcels(bench.outbox)] == [5]


def test_what_is_written_now_is_not_behind_a_day_that_was_written_while_nobody_read(tmp_path: Path) -> None:
    """A batch of the day is as many rows as fit; nothing is sent meanwhile."""
    writer = SpoolWriter(tmp_path, fields=("id", "started_at_ms"))
    for day in range(AHEAD_MAX + OLD_MAX + 5):
        writer.rows(*([f"old_{day}_{number}", 1] for number in range(ROWS_MAX)))
        writer.rotate()
    bench = Bench(tmp_path)
    while bench.batcher.look():
        pass
    in_batches = len(bench.seen.ids)
    assert AHEAD_MAX * ROWS_MAX < in_batches <= (AHEAD_MAX + OLD_MAX) * ROWS_MAX, "the rest stays where it is"
    writer.rows(["new", 1])
    bench.look()
    assert len(bench.seen.ids) == in_batches, "while others wait to be sent, it waits for company"
    while streams := bench.outbox.streams():
        parcel = bench.outbox.take(streams[0])
        assert parcel is not None
        bench.outbox.forget(parcel.id)
        bench.look()
        assert len(bench.seen.ids) == in_batches or "new" in bench.seen.ids, "it is in the next batch that is made"
    assert len(bench.seen.ids) == len(set(bench.seen.ids)) == (AHEAD_MAX + OLD_MAX + 5) * ROWS_MAX + 1
    bench.outbox.close()


def test_while_batches_wait_to_be_sent_a_record_waits_longer_for_others_to_go_with(bench: Bench) -> None:
    """So an hour's outage leaves few large batches, not one for each second of it."""
    writer = SpoolWriter(bench.folder)
    for number in range(AHEAD_MAX + 1):
        writer.record(a_record(number))
        bench.look()
    made = len(bench.seen.ids)
    for number in range(5):
        writer.record(a_record(100 + number))
        bench.look()
    assert len(bench.seen.ids) == made == AHEAD_MAX + 1
    bench.clock.advance(QUEUED_WAIT_S)
    bench.batcher.look()
    assert [parcel.records for parcel in parcels(bench.outbox)] == [1] * (AHEAD_MAX + 1) + [5]


def test_a_clock_that_is_set_changes_nothing(bench: Bench) -> None:
    writer = SpoolWriter(bench.folder)
    for jump_ms in (-10_000_000_000, 10_000_000_000):
        writer.record(a_record(1))
        bench.batcher.look()
        bench.clock._wall_ms += jump_ms
        bench.batcher.look()
        assert bench.outbox.streams() == []
        bench.clock.advance(WAIT_S)
        bench.batcher.look()
        assert len(parcels(bench.outbox)) == 1


def test_records_of_other_fields_are_in_another_batch(bench: Bench) -> None:
    """GHS/1 17.2: an older worker's segment is read by its own head."""
    SpoolWriter(bench.folder, fields=("id", "started_at_ms")).rows(["lg_old", 1])
    SpoolWriter(bench.folder, fields=FIELDS).record(a_record(1))
    bench.look()
    assert [parcel.records for parcel in parcels(bench.outbox)] == [1, 1]


def test_segments_go_when_all_of_them_is_in_batches_and_a_workers_last_one_stays(bench: Bench) -> None:
    one, gone = SpoolWriter(bench.folder, "worker-0"), SpoolWriter(bench.folder, "worker-7")
    one.record(a_record(1))
    gone.record(a_record(2))
    one.rotate()
    one.rotate()
    bench.batcher.look()
    assert bench.files() == ["worker-0.0000000001", "worker-0.0000000003", "worker-7.0000000001"]
    bench.look()
    assert bench.files() == ["worker-0.0000000003", "worker-7.0000000001"]
    assert list(bench.outbox.cursors()) == ["worker-7.0000000001.ghspool"]
    one.record(a_record(3))
    bench.look()
    assert sorted(told(parcels(bench.outbox))[0]) == ids([a_record(n) for n in (1, 2, 3)])


def test_drops_that_workers_counted_are_told_also_where_no_record_comes_with_them(bench: Bench) -> None:
    """GHS/1 17.8."""
    drop = Drop(reason="disk_full", count=4, from_ms=5, to_ms=9)
    SpoolWriter(bench.folder).drop(drop)
    bench.look()
    assert told(parcels(bench.outbox)) == ([], [drop])
    assert bench.outbox.dropped() == {"disk_full": 4}


def test_damage_is_told_as_one_lost_record_at_least(bench: Bench) -> None:
    """GHS/1 17.8."""
    writer = SpoolWriter(bench.folder)
    writer.record(a_record(1))
    writer.append(b"what a full disk cut short")
    writer.record(a_record(2))
    bench.look()
    found, drops = told(parcels(bench.outbox))
    assert found == ids([a_record(1), a_record(2)])
    assert [(drop.reason, drop.count) for drop in drops] == [("damaged", 1)]


def test_beyond_its_room_the_oldest_is_lost_counted_and_told(tmp_path: Path) -> None:
    """GHS/1 17.8."""
    bench = Bench(tmp_path, Room(bytes_max=20_000, disk_share_max=1.0))
    writer = SpoolWriter(tmp_path)
    for number in range(60):
        writer.record(*(a_record(100 * number + n, trace_id=f"{number * n:x}" * 3) for n in range(50)))
        bench.look()
    bench.clock.advance(QUEUED_WAIT_S)
    bench.look()
    found, drops = told(parcels(bench.outbox))
    assert {drop.reason for drop in drops} == {FULL}
    assert sum(drop.count for drop in drops) + len(found) == 60 * 50
    assert found
    assert found[-1] == a_record(5949).id
    assert bench.outbox.dropped() == {FULL: sum(drop.count for drop in drops)}
    bench.outbox.close()


def test_the_room_is_a_share_of_the_disk_where_that_is_less(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 10 * 1024 * 1024) as disk:
        assert Room(8 * 1024**3, 0.2).bytes_of(disk.path) == 2 * 1024 * 1024
        assert Room(1_000_000, 0.2).bytes_of(disk.path) == 1_000_000


def test_a_full_disk_is_worked_free_by_what_the_ballast_leaves(tmp_path: Path) -> None:
    """Batches are a fraction of their segments: each one that is kept makes room for more."""
    with small_disk(tmp_path / "disk", 8 * 1024 * 1024) as disk:
        writer = SpoolWriter(disk.path)
        for number in range(6):
            writer.record(*some_records(1_000, 1_000 * number))
            writer.rotate()
        (disk.path / "ballast").write_bytes(b"\0" * 600_000)
        elses = disk.fill()
        bench = Bench(disk.path)
        for _ in range(3):
            bench.look()
        assert bench.files() == [writer.path.name.removesuffix(".ghspool")]
        assert not (disk.path / "ballast").exists()
        assert sorted(told(parcels(bench.outbox))[0]) == ids(some_records(6_000))
        elses.unlink()
        bench.outbox.close()


def test_with_nothing_left_to_give_back_segments_wait_and_nothing_is_lost(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4 * 1024 * 1024) as disk:
        writer = SpoolWriter(disk.path)
        writer.record(*some_records(500))
        writer.rotate()
        elses = disk.fill()
        bench = Bench(disk.path)
        for _ in range(5):
            bench.look()
        assert len(bench.files()) == 2
        elses.unlink()
        bench.look()
        assert told(parcels(bench.outbox))[0] == ids(some_records(500))
        bench.outbox.close()


def test_a_segment_is_not_taken_from_its_worker_that_cannot_begin_the_next_one(tmp_path: Path) -> None:
    """Whoever looks while it tries sees no newer one."""
    with small_disk(tmp_path / "disk", 4 * 1024 * 1024) as disk:
        bench = Bench(disk.path)
        spool = Spool(disk.path / "spool", "worker-0", FIELDS, bench.clock, segment_bytes_max=1)
        spool.write(orjson.dumps(tuple(a_record(1))))
        bench.look()
        elses = disk.fill()
        write = os.write

        def seen_by_the_agent(file: int, data: bytes) -> int:
            try:
                return write(file, data)
            finally:
                bench.batcher.look()

        with patch.object(os, "write", seen_by_the_agent):
            spool.write(orjson.dumps(tuple(a_record(2))))
        elses.unlink()
        bench.clock.advance(RETRY_S)
        assert spool.flush()
        bench.look()
        assert told(parcels(bench.outbox))[0] == ids([a_record(1), a_record(2)])
        bench.outbox.close()


def test_a_disk_that_takes_nothing_for_a_while_makes_nothing_twice(bench: Bench) -> None:
    writer = SpoolWriter(bench.folder)
    writer.record(*some_records(5))
    bench.look()
    writer.record(*some_records(5, 5))
    with no_writes(), capture_logs() as logs:
        for _ in range(4):
            bench.look()
    assert [log["event"] for log in logs] == ["batches_not_made"]
    writer.record(*some_records(5, 10))
    bench.look()
    assert sorted(told(parcels(bench.outbox))[0]) == ids(some_records(15))
    assert sorted(bench.seen.ids) == ids(some_records(15))


def test_a_folder_that_cannot_be_read_is_said_once_and_read_when_it_can_be(bench: Bench) -> None:
    (bench.folder / "spool").write_bytes(b"in its place")
    with capture_logs() as logs:
        for _ in range(3):
            bench.look()
    assert [log["event"] for log in logs] == ["batches_not_made"]
    (bench.folder / "spool").unlink()
    SpoolWriter(bench.folder).record(a_record(1))
    bench.look()
    assert told(parcels(bench.outbox))[0] == [a_record(1).id]


def test_segments_that_cannot_be_read_keep_no_others_waiting_and_nobody_busy(bench: Bench) -> None:
    """As on a disk that dies."""
    for number in range(1, OLD_MAX + 3):
        (bench.folder / "spool" / Segment("worker-0", number).name).mkdir(parents=True)
    writer = SpoolWriter(bench.folder)
    writer.record(*some_records(3))
    writer.rotate()
    for _ in range(2):
        bench.look()
    assert told(parcels(bench.outbox))[0] == ids(some_records(3))
    assert not bench.batcher.look(), "there is nothing more to read at once"


def test_the_ballast_is_made_when_there_is_room_and_once(bench: Bench) -> None:
    SpoolWriter(bench.folder)
    bench.batcher.look()
    before = (bench.folder / "ballast").stat()
    assert before.st_size == 64 * 1024
    bench.batcher.look()
    assert (bench.folder / "ballast").stat().st_ino == before.st_ino


def test_no_ballast_is_made_where_it_would_take_the_last_of_the_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4 * 1024 * 1024) as disk:
        Ballast(disk.path, 1024).make()
        assert not (disk.path / "ballast").exists()


def test_a_cursor_beyond_the_end_of_its_file_is_of_another_file(tmp_path: Path) -> None:
    first = Bench(tmp_path)
    writer = SpoolWriter(tmp_path)
    writer.record(*some_records(5))
    first.look()
    parcels(first.outbox)
    first.outbox.close()
    writer.path.unlink()
    SpoolWriter(tmp_path).record(*some_records(2, 50))
    again = Bench(tmp_path)
    again.look()
    assert told(parcels(again.outbox))[0] == ids(some_records(2, 50))
    again.outbox.close()


def test_reading_goes_on_where_the_last_batch_ended_after_a_restart(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path)
    for start in range(0, 40, 10):
        writer.record(*some_records(10, start))
        bench = Bench(tmp_path)
        bench.look()
        bench.outbox.close()
    bench = Bench(tmp_path)
    found = parcels(bench.outbox)
    assert told(found)[0] == ids(some_records(40))
    assert all(one.head.stream != other.head.stream for one, other in pairwise(found))
    bench.outbox.close()


def test_the_last_look_keeps_what_has_not_waited_yet(bench: Bench) -> None:
    SpoolWriter(bench.folder).record(a_record(1))
    bench.batcher.look(last=True)
    assert told(parcels(bench.outbox))[0] == [a_record(1).id]


def test_what_nobody_put_in_a_batch_is_told_in_bytes(bench: Bench) -> None:
    writer = SpoolWriter(bench.folder)
    assert bench.batcher.unread_bytes() == writer.path.stat().st_size
    writer.record(a_record(1))
    bench.look()
    assert bench.batcher.unread_bytes() == 0


def test_where_there_is_nobody_to_send_to_records_are_counted_and_cursors_move_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path, keeps=False)
    writer = SpoolWriter(tmp_path)
    writer.record(*some_records(3))
    writer.drop(Drop(reason="disk_full", count=4, from_ms=5, to_ms=9))
    with patch.object(batch, "payload", side_effect=AssertionError("nobody reads it")):
        bench.look()
    assert bench.seen.ids == ids(some_records(3))
    assert bench.outbox.cursors() == {writer.path.name: writer.path.stat().st_size}
    assert bench.outbox.dropped() == {"disk_full": 4}
    assert bench.outbox.streams() == []
    bench.outbox.close()


class Failing(Seen):
    """Fails at its first record."""

    def __init__(self) -> None:
        super().__init__()
        self.called = Queue[int]()

    def see(self, ids: Sequence[str]) -> None:
        super().see(ids)
        self.called.put(len(self.ids))
        if len(self.ids) == 1:
            raise RuntimeError("a fault nobody foresaw")


async def test_the_loop_goes_on_whatever_happens_to_one_look(tmp_path: Path) -> None:
    seen = Failing()
    bench = Bench(tmp_path, clock=SystemClock(), seen=seen)
    writer = SpoolWriter(tmp_path)
    running = asyncio.create_task(bench.batcher.run())
    for number in (1, 2):
        writer.record(a_record(number))
        assert await asyncio.to_thread(seen.called.get, timeout=60) == number
    running.cancel()
    await asyncio.wait({running})
    await asyncio.get_running_loop().shutdown_default_executor()  # A look that is under way goes on in its thread.
    assert sorted(told(parcels(bench.outbox))[0]) == ids([a_record(1), a_record(2)])
    bench.outbox.close()
