"""The outbox: what it took it holds, under the name and number it was sent by, until it is acknowledged or lost."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.telemetry import outbox as outboxes
from gateway.telemetry import tally
from gateway.telemetry.ballast import Ballast
from gateway.telemetry.outbox import DAMAGED, FULL, Made, Outbox, OutboxUnavailable, Parcel
from shared.clock import FakeClock
from shared.models.record import FIELDS
from shared.protocol import batch
from shared.protocol.drop import Drop
from tests.fixtures.disk import SmallDisk, no_writes, small_disk
from tests.fixtures.spool import new_streams, parcels, told

NAMES = new_streams()
BALLAST_BYTES = 512 * 1024


def an_outbox(folder: Path, *, keep: bool = True) -> Outbox:
    return Outbox(folder, Ballast(folder, BALLAST_BYTES), FakeClock(), lambda: next(NAMES), keep=keep)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    box = an_outbox(tmp_path)
    yield box
    box.close()


def made(number: int, *, records: int = 3, drops: tuple[Drop, ...] = (), size: int = 0) -> Made:
    """Not looked into by the outbox: payloads are bytes."""
    return Made(b"%d " % number + os.urandom(size), records, drops, 1_000 + number, 2_000 + number)


def put(outbox: Outbox, *numbers: int, size: int = 0) -> None:
    for number in numbers:
        outbox.add(made(number, size=size), {"worker-0.0000000001.ghspool": number}, ())


def heads(found: list[Parcel]) -> list[tuple[str, int, int]]:
    return [(parcel.head.stream, parcel.head.seq, int(parcel.payload.split()[0])) for parcel in found]


def a_drop(count: int, reason: str = "disk_full") -> Drop:
    return Drop(reason=reason, count=count, from_ms=1, to_ms=2)


def test_batches_of_a_stream_are_numbered_from_one_without_a_gap(outbox: Outbox) -> None:
    """GHS/1 17.3."""
    put(outbox, 7, 8, 9)
    first, *_ = sent = heads(parcels(outbox))
    assert sent == [(first[0], 1, 7), (first[0], 2, 8), (first[0], 3, 9)]
    put(outbox, 10)
    assert heads(parcels(outbox)) == [(first[0], 4, 10)]


def test_one_that_is_closed_is_not_opened_again_by_a_thread_that_began_before(tmp_path: Path) -> None:
    first = an_outbox(tmp_path)
    put(first, 1)
    first.close()
    with pytest.raises(OutboxUnavailable, match="closed"):
        first.streams()
    again = an_outbox(tmp_path)
    assert len(again.streams()) == 1
    again.close()


def test_what_was_sent_is_sent_again_byte_for_byte_also_after_a_restart(tmp_path: Path) -> None:
    """GHS/1 17.4."""
    first = an_outbox(tmp_path)
    put(first, 1, 2, size=300)
    (stream,) = first.streams()
    parcel = first.take(stream)
    assert first.take(first.streams()[0]) == parcel
    first.close()
    again = an_outbox(tmp_path)
    assert again.take(again.streams()[0]) == parcel
    again.close()


def test_each_life_opens_a_stream_of_its_own_beside_what_waits(tmp_path: Path) -> None:
    """GHS/1 17.3: should the disk have lost a number that was used, it is not used again."""
    first = an_outbox(tmp_path)
    put(first, 1, 2)
    first.close()
    second = an_outbox(tmp_path)
    put(second, 3)
    old, new = second.streams()
    assert (old.live, new.live) == (False, True)
    sent = heads(parcels(second))
    assert [(seq, number) for _, seq, number in sent] == [(1, 1), (2, 2), (1, 3)]
    assert sent[1][0] != sent[2][0]
    second.close()


def test_cursors_are_as_durable_as_the_batches_made_up_to_them(tmp_path: Path) -> None:
    first = an_outbox(tmp_path)
    first.add(made(1), {"a": 10, "b": 5}, ())
    first.add(made(2), {"a": 20}, ())
    first.forget_cursors(["b"])
    first.close()
    second = an_outbox(tmp_path)
    assert second.cursors() == {"a": 20}
    second.close()


def test_a_new_name_is_for_the_rest_of_a_stream_and_its_numbers_begin_anew(outbox: Outbox) -> None:
    """GHS/1 17.6."""
    put(outbox, 1, 2, 3)
    (stream,) = outbox.streams()
    parcel = outbox.take(stream)
    assert parcel is not None
    outbox.forget(parcel.id)
    outbox.restream(outbox.streams()[0].first)
    put(outbox, 4)
    sent = heads(parcels(outbox))
    assert [(seq, number) for _, seq, number in sent] == [(1, 2), (2, 3), (3, 4)]
    assert {name for name, _, _ in sent}.isdisjoint({parcel.head.stream})


def test_a_batch_set_aside_lets_the_others_pass(outbox: Outbox) -> None:
    """GHS/1 17.10."""
    put(outbox, 1, 2, 3)
    outbox.set_aside(outbox.streams()[0].first)
    put(outbox, 4)
    alone, rest = outbox.streams()
    assert (alone.first, alone.last, rest.live) == (1, 1, True)
    assert [(seq, number) for _, seq, number in heads(parcels(outbox))] == [(1, 1), (1, 2), (2, 3), (3, 4)]


def test_the_last_batch_set_aside_leaves_the_next_one_a_stream_of_its_own(outbox: Outbox) -> None:
    put(outbox, 1)
    outbox.set_aside(1)
    put(outbox, 2)
    sent = heads(parcels(outbox))
    assert [(seq, number) for _, seq, number in sent] == [(1, 1), (1, 2)]
    assert sent[0][0] != sent[1][0]


def test_beyond_the_room_the_oldest_go_are_counted_and_told_with_what_they_told(outbox: Outbox) -> None:
    """GHS/1 17.8."""
    put(outbox, 0)
    outbox.add(made(1, records=5, drops=(a_drop(2),), size=1_000), {}, ())
    put(outbox, 2, 3, 4, size=1_000)
    assert outbox.make_room(10_000, 0.5) == 0
    assert outbox.make_room(3_500, 0.6) == 8
    assert [entry.drop for entry in outbox.untold()] == [
        a_drop(2),
        Drop(reason=FULL, count=5, from_ms=1_001, to_ms=2_001),
        Drop(reason=FULL, count=3, from_ms=1_002, to_ms=2_002),
    ]
    assert outbox.dropped() == {"disk_full": 2, FULL: 8}
    assert [(seq, number) for _, seq, number in heads(parcels(outbox))] == [(1, 0), (1, 3), (2, 4)]


def test_a_batch_that_may_have_been_sent_is_not_dropped_since_it_may_count_already(outbox: Outbox) -> None:
    """GHS/1 17.8."""
    put(outbox, 1, 2, 3, 4, size=1_000)
    outbox.renew()
    put(outbox, 5, 6, size=1_000)
    before = [outbox.take(stream) for stream in outbox.streams()]
    assert outbox.make_room(3_500, 0.9) == 9
    assert [outbox.take(stream) for stream in outbox.streams()] == before
    sent = heads(parcels(outbox))
    assert [(seq, number) for _, seq, number in sent] == [(1, 1), (1, 5), (2, 6)]
    assert len({name for name, _, _ in sent}) == 2


def test_a_drop_is_told_by_one_batch(outbox: Outbox) -> None:
    put(outbox, 0, 1, size=1_000)
    outbox.make_room(0, 0)
    (entry,) = outbox.untold()
    outbox.add(made(2, drops=(entry.drop, a_drop(4, "damaged"))), {}, [entry])
    assert outbox.untold() == []
    assert outbox.dropped() == {FULL: 3, "damaged": 4}


def test_what_waits_is_told(outbox: Outbox) -> None:
    assert outbox.waiting() == outboxes.Waiting(0, 0, None)
    put(outbox, 1, 2, size=98)
    assert outbox.waiting() == outboxes.Waiting(6, 200, 1_001)
    outbox.forget(1)
    assert outbox.waiting() == outboxes.Waiting(3, 100, 1_002)


def test_with_nobody_to_send_to_only_cursors_move(tmp_path: Path) -> None:
    outbox = an_outbox(tmp_path, keep=False)
    put(outbox, 1, 2)
    assert outbox.streams() == []
    assert outbox.cursors() == {"worker-0.0000000001.ghspool": 2}
    outbox.close()


def test_one_process_has_it_at_a_time(tmp_path: Path) -> None:
    first = an_outbox(tmp_path)
    put(first, 1)
    second = an_outbox(tmp_path)
    with pytest.raises(OutboxUnavailable, match="locked"):
        second.streams()
    first.close()
    assert len(second.streams()) == 1
    second.close()


def test_who_only_asks_what_waits_does_not_wait_for_long(outbox: Outbox) -> None:
    """As a heartbeat does, while a large file is being checked."""
    put(outbox, 1)
    with ThreadPoolExecutor(1) as other:
        other.submit(outbox._lock.acquire).result()
        with pytest.raises(OutboxUnavailable, match="checked"):
            outbox.waiting()
        other.submit(outbox._lock.release).result()
    assert outbox.waiting().records == 3


def test_pages_that_are_free_go_back_to_the_disk(outbox: Outbox, tmp_path: Path) -> None:
    for number in range(24):
        outbox.add(made(number, size=1024 * 1024), {}, ())
    parcels(outbox)
    for _ in range(3):
        outbox.make_room(1, 1.0)
    outbox.close()
    assert (tmp_path / outboxes.FILE).stat().st_size < 18 * 1024 * 1024


# Damage.


def filled(folder: Path, batches: int = 40) -> None:
    """A file of many pages, closed."""
    outbox = an_outbox(folder)
    for number in range(batches):
        outbox.add(made(number, size=9_000), {"worker-0.0000000001.ghspool": 10 * number}, ())
    outbox.close()


def survivors(folder: Path) -> tuple[list[int], dict[str, int], dict[str, int]]:
    """Batches by number, cursors, and drops, once the outbox has looked at what is there."""
    outbox = an_outbox(folder)
    with pytest.raises(OutboxUnavailable):
        outbox.cursors()
    cursors = outbox.cursors()
    found = [number for _, _, number in heads(parcels(outbox))]
    dropped = outbox.dropped()
    assert sum(entry.drop.count for entry in outbox.untold()) == sum(dropped.values())
    outbox.close()
    return found, cursors, dropped


def test_of_a_torn_file_what_can_be_read_is_kept_and_the_rest_counted(tmp_path: Path) -> None:
    """GHS/1 17.8."""
    filled(tmp_path)
    path = tmp_path / outboxes.FILE
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 3 * 4096] = os.urandom(3 * 4096)
    path.write_bytes(data)
    found, cursors, dropped = survivors(tmp_path)
    assert 30 < len(found) < 40
    assert found == sorted(found)
    assert dropped == {DAMAGED: 3 * (40 - len(found))}
    assert cursors == {"worker-0.0000000001.ghspool": 390}
    assert (tmp_path / f"{outboxes.FILE}.damaged").exists()


def test_a_file_cut_short_costs_what_was_behind_the_cut(tmp_path: Path) -> None:
    filled(tmp_path)
    path = tmp_path / outboxes.FILE
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size * 2 // 3)
    found, cursors, dropped = survivors(tmp_path)
    assert found
    assert sum(dropped.values()) == 3 * (40 - len(found))
    assert cursors == {"worker-0.0000000001.ghspool": 390}


def test_a_file_that_is_no_database_costs_all_and_reading_goes_on_where_it_was(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / outboxes.FILE).write_bytes(b"\0" * 100_000)
    assert survivors(tmp_path) == ([], {"worker-0.0000000001.ghspool": 390}, {DAMAGED: 120})


def test_without_a_tally_a_loss_is_one_at_least(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / outboxes.FILE).write_bytes(b"\0" * 100_000)
    (tmp_path / tally.FILE).write_bytes(b"{}")
    assert survivors(tmp_path) == ([], {}, {DAMAGED: 1})


def test_a_file_that_is_gone_is_counted_too(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / outboxes.FILE).unlink()
    outbox = an_outbox(tmp_path)
    assert outbox.dropped() == {DAMAGED: 120}
    assert outbox.cursors() == {"worker-0.0000000001.ghspool": 390}
    outbox.close()


def test_a_file_that_went_back_in_time_does_not_make_frames_count_twice(tmp_path: Path) -> None:
    """As when its log was lost: the cursors are those of the newest commit, and no number is used again."""
    filled(tmp_path, batches=2)
    older = tmp_path / "older"
    shutil.copy(tmp_path / outboxes.FILE, older)
    outbox = an_outbox(tmp_path)
    used = {parcel.head.stream for parcel in parcels(outbox)}
    for number in range(2, 6):
        outbox.add(made(number), {"worker-0.0000000001.ghspool": 10 * number}, ())
    outbox.close()
    older.replace(tmp_path / outboxes.FILE)
    (tmp_path / f"{outboxes.FILE}-wal").unlink(missing_ok=True)
    outbox = an_outbox(tmp_path)
    assert outbox.cursors() == {"worker-0.0000000001.ghspool": 50}
    outbox.add(made(9), {}, ())
    sent = heads(parcels(outbox))
    assert [number for _, _, number in sent] == [0, 1, 9]
    assert sent[-1][0] not in used
    assert outbox.dropped() == {DAMAGED: 6}
    outbox.close()


def test_a_payload_that_changed_unnoticed_is_not_sent(tmp_path: Path) -> None:
    """GHS/1 17.4."""
    filled(tmp_path, batches=3)
    with sqlite3.connect(tmp_path / outboxes.FILE) as db:
        db.execute("UPDATE payload SET body = ? WHERE id = 2", (b"other",))
    db.close()
    outbox = an_outbox(tmp_path)
    sent = []
    while streams := outbox.streams():
        if (parcel := outbox.take(streams[0])) is not None:
            outbox.forget(parcel.id)
            sent.append((parcel.head.seq, int(parcel.payload.split()[0])))
    assert sent == [(1, 0), (1, 2)]
    assert outbox.dropped() == {DAMAGED: 3}
    outbox.close()


def test_damage_that_comes_while_it_is_open_is_mended_and_what_was_under_way_is_nobody_elses(tmp_path: Path) -> None:
    filled(tmp_path, batches=4)
    outbox = an_outbox(tmp_path)
    parcel = outbox.take(outbox.streams()[0])
    assert parcel is not None
    (tmp_path / outboxes.FILE).rename(tmp_path / "away")  # Replaced under our hands, as by a restore.
    (tmp_path / outboxes.FILE).write_bytes(b"\0" * 50_000)
    with pytest.raises(OutboxUnavailable):
        outbox.streams()
    put(outbox, 9)
    outbox.forget(parcel.id)
    assert [number for _, _, number in heads(parcels(outbox))] == [9]
    outbox.close()


# A disk that takes nothing.


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 2 * 1024 * 1024) as small:
        yield small


def test_what_a_full_disk_has_no_room_for_is_not_half_there(disk: SmallDisk) -> None:
    outbox = an_outbox(disk.path)
    put(outbox, 1, size=1_000)
    elses = disk.fill(leave=40_000)
    with pytest.raises(OutboxUnavailable, match="full"):
        put(outbox, 2, size=200_000)
    assert outbox.cursors() == {"worker-0.0000000001.ghspool": 1}
    assert outbox.waiting().records == 3
    elses.unlink()
    put(outbox, 3)
    assert [(seq, number) for _, seq, number in heads(parcels(outbox))] == [(1, 1), (2, 3)]
    outbox.close()


def test_on_a_full_disk_the_ballast_is_given_back_for_what_comes_and_for_what_goes(disk: SmallDisk) -> None:
    ballast = disk.path / "ballast"
    for size, act in ((100_000, lambda box: put(box, 8, size=100_000)), (40_000, parcels)):
        outbox = an_outbox(disk.path)
        put(outbox, 1, 2, 3, size=size)
        ballast.write_bytes(b"\0" * BALLAST_BYTES)
        elses = disk.fill()
        act(outbox)
        assert not ballast.exists()
        elses.unlink()
        outbox.close()


def test_batches_that_the_disk_would_not_forget_are_sent_once_and_forgotten_later(tmp_path: Path) -> None:
    outbox = an_outbox(tmp_path)
    put(outbox, 1, 2, 3)
    with no_writes():
        sent = []
        while streams := outbox.streams():
            parcel = outbox.take(streams[0])
            assert parcel is not None
            sent.append(parcel.head.seq)
            with pytest.raises(OutboxUnavailable):
                outbox.forget(parcel.id)
        assert sent == [1, 2, 3]
    put(outbox, 4)
    assert [(seq, number) for _, seq, number in heads(parcels(outbox))] == [(4, 4)]
    assert outbox.waiting().records == 0
    outbox.close()


def test_on_a_read_only_disk_it_is_not_there_and_nothing_is_lost(disk: SmallDisk) -> None:
    outbox = an_outbox(disk.path)
    put(outbox, 1)
    outbox.close()
    disk.read_only(True)
    again = an_outbox(disk.path)
    for _ in range(3):
        with pytest.raises(OutboxUnavailable):
            again.streams()
    disk.read_only(False)
    assert [number for _, _, number in heads(parcels(again))] == [1]
    again.close()


def test_what_is_set_aside_leaves_the_numbers_of_the_stream_behind_it(tmp_path: Path) -> None:
    outbox = an_outbox(tmp_path)
    put(outbox, 1)
    outbox.renew()
    put(outbox, 2)
    put(outbox, 3)
    first, second = outbox.streams()
    sent = outbox.take(second)
    assert sent is not None
    outbox.forget(sent.id)
    refused = outbox.take(first)
    assert refused is not None
    outbox.set_aside(refused.id)
    after = outbox.take(outbox.streams()[1])
    assert after is not None
    assert (after.head.stream, after.head.seq) == (sent.head.stream, 2)
    outbox.close()


# Any order of things.


class Streams(RuleBasedStateMachine):
    """Whatever happens, a name and a number mean one payload, numbers have no gap, and nothing is in no place."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.outbox = an_outbox(self.folder)
        self.added = 0
        self.sent: dict[tuple[str, int], bytes] = {}
        self.acknowledged: dict[str, int] = {}
        """What a control plane knows of each stream."""
        self.arrived: set[int] = set()
        self.lost = 0
        self.under_way: Parcel | None = None

    def teardown(self) -> None:
        self.outbox.close()
        shutil.rmtree(self.folder)

    @rule(size=st.integers(0, 400))
    def add(self, size: int) -> None:
        untold = self.outbox.untold()
        drops = tuple(entry.drop for entry in untold)
        self.outbox.add(made(self.added, records=1, drops=drops, size=size), {}, untold)
        self.added += 1

    @rule(which=st.integers(0, 5))
    @precondition(lambda self: self.under_way is None)
    def take(self, which: int) -> None:
        if streams := self.outbox.streams():
            self.under_way = parcel = self.outbox.take(streams[which % len(streams)])
            assert parcel is not None
            key = (parcel.head.stream, parcel.head.seq)
            assert self.sent.setdefault(key, parcel.payload) == parcel.payload
            assert parcel.head.seq == self.acknowledged.get(parcel.head.stream, 0) + 1

    @rule()
    @precondition(lambda self: self.under_way is not None)
    def acknowledge(self) -> None:
        assert self.under_way is not None
        parcel, self.under_way = self.under_way, None
        self.acknowledged[parcel.head.stream] = parcel.head.seq
        self.outbox.forget(parcel.id)
        self.arrived.add(int(parcel.payload.split()[0]))

    @rule(how=st.sampled_from([None, "restream", "set_aside"]))
    @precondition(lambda self: self.under_way is not None)
    def fail(self, how: str | None) -> None:
        assert self.under_way is not None
        parcel, self.under_way = self.under_way, None
        if how is not None:
            getattr(self.outbox, how)(parcel.id)

    @rule()
    def renew(self) -> None:
        self.outbox.renew()

    @rule(bytes_max=st.integers(0, 3_000), share=st.floats(0, 1))
    def make_room(self, bytes_max: int, share: float) -> None:
        self.lost += self.outbox.make_room(bytes_max, share)

    @rule()
    @precondition(lambda self: self.under_way is None)
    def restart(self) -> None:
        self.outbox.close()
        self.outbox = an_outbox(self.folder)

    @invariant()
    def everything_is_somewhere(self) -> None:
        streams = self.outbox.streams()
        waiting = sum(stream.last - stream.first + 1 for stream in streams)
        assert waiting == self.outbox.waiting().records
        assert waiting + len(self.arrived) + self.lost == self.added
        assert self.outbox.dropped().get(FULL, 0) == self.lost
        assert sum(stream.live for stream in streams) <= 1
        assert all(not stream.live for stream in streams[:-1])


Streams.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestStreams = Streams.TestCase


def test_the_payload_of_a_batch_is_one_that_the_other_plane_reads(outbox: Outbox) -> None:
    drop = a_drop(2)
    outbox.add(Made(batch.payload(FIELDS, [], [drop]), 0, (drop,), 1, 2), {}, ())
    assert told(parcels(outbox)) == ([], [drop])
