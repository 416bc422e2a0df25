"""The way out as the agent runs it: what a stop leaves, and what is said of it."""

import asyncio
import sqlite3
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from gateway.sync.control_plane_client import ControlPlane, Told
from gateway.telemetry.ballast import Ballast
from gateway.telemetry.batcher import Batcher, Room
from gateway.telemetry.outbox import FILE, Outbox, OutboxUnavailable, Parcel
from gateway.telemetry.ship import Shipper
from gateway.telemetry.way_out import WayOut
from shared.clock import SystemClock
from shared.protocol.drop import Drop
from shared.protocol.heartbeat import RecordsHealth
from tests.fakes.control_plane import FakeControlPlane
from tests.fakes.ledger import FakeLedger
from tests.fixtures.records import a_record
from tests.fixtures.spool import SpoolWriter, new_streams, parcels, some_records, told

NAMES = new_streams()
HANG_S = 60.0


class Hanging:
    """Never answers."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def post(self, path: str, body: bytes, **_: object) -> Told:
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    def leave(self, told: Told) -> None:
        raise AssertionError


class Node:
    def __init__(self, folder: Path, control_plane: ControlPlane) -> None:
        clock = SystemClock()
        ballast = Ballast(folder, 1024)
        self.outbox = Outbox(folder, ballast, clock, lambda: next(NAMES), keep=True)
        self.batcher = Batcher(folder, self.outbox, ballast, Room(2**40, 1.0), clock, lambda _: None)
        shipper = Shipper(self.outbox, control_plane, self.batcher.made, clock, Random(1))
        self.way_out = WayOut(self.outbox, self.batcher, shipper)

    async def stop(self, drain_s: float, *, after: asyncio.Event | None = None) -> None:
        """Run it, and ask it to end."""
        running = asyncio.create_task(self.way_out.run(drain_s))
        if after is None:
            await asyncio.sleep(0)
        else:
            await asyncio.wait_for(after.wait(), HANG_S)
        running.cancel()
        await asyncio.wait_for(asyncio.wait({running}), HANG_S)
        assert running.cancelled()


def all_sent(outbox: Outbox) -> list[Parcel]:
    """What can be sent of what waits, each forgotten as if it was acknowledged."""
    sent = []
    while streams := outbox.streams():
        if (parcel := outbox.take(streams[0])) is not None:
            sent.append(parcel)
            outbox.forget(parcel.id)
    return sent


@pytest.fixture
def writer(tmp_path: Path) -> SpoolWriter:
    made = SpoolWriter(tmp_path)
    made.record(*some_records(3))
    return made


async def test_a_stop_sends_what_was_just_written(tmp_path: Path, writer: SpoolWriter) -> None:
    """GHS/1 17.13."""
    ledger, control_plane = FakeLedger(), FakeControlPlane()
    control_plane.replies = [ledger]
    await Node(tmp_path, control_plane).stop(HANG_S)
    assert ledger.records() == [record.id for record in some_records(3)]


async def test_a_control_plane_that_hangs_holds_up_a_stop_for_its_time_only(
    tmp_path: Path, writer: SpoolWriter
) -> None:
    """GHS/1 17.13: what it did not get is on disk."""
    hanging = Hanging()
    node = Node(tmp_path, hanging)
    await node.stop(0.01, after=hanging.asked)
    again = Node(tmp_path, hanging)  # While the first is still there: it has let the outbox go.
    assert told(parcels(again.outbox))[0] == [record.id for record in some_records(3)]
    again.outbox.close()


async def test_a_stop_that_cannot_send_ends_at_once(tmp_path: Path, writer: SpoolWriter) -> None:
    await Node(tmp_path, FakeControlPlane()).stop(1_000.0)


def test_what_waits_and_what_was_lost_is_said(tmp_path: Path, writer: SpoolWriter) -> None:
    """GHS/1 13.3."""
    node = Node(tmp_path, FakeControlPlane())
    writer.drop(Drop(reason="disk_full", count=4, from_ms=5, to_ms=9))
    before = node.way_out.health()
    assert before is not None
    assert (before.waiting, before.waiting_bytes) == (0, writer.path.stat().st_size)
    node.batcher.look(last=True)
    writer.record(a_record(9))
    health = node.way_out.health()
    assert health is not None
    assert health.waiting_bytes > node.outbox.waiting().bytes
    assert health.model_copy(update={"waiting_bytes": 0}) == RecordsHealth(
        waiting=3, waiting_bytes=0, oldest_ms=1_795_000_000_000, dropped={"disk_full": 4}
    )
    node.outbox.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE stream SET name = 'no name of ours'",
        "UPDATE stream SET name = CAST(x'ff61' AS TEXT)",
        "UPDATE cursor SET segment = CAST(x'ff61' AS TEXT)",
        "UPDATE untold SET reason = 'No reason'",
        "UPDATE dropped SET reason = char(11)",
        "UPDATE dropped SET count = -4",
        "UPDATE batch SET first_ms = -1",
        "UPDATE batch SET first_ms = 9223372036854775807",
        "UPDATE batch SET records = -3",
        "UPDATE batch SET drops = '[{', hash = 'another'",
        "UPDATE payload SET body = 'no bytes'",
    ],
)
def test_a_value_that_nobody_wrote_holds_up_neither_records_nor_heartbeats(
    tmp_path: Path, writer: SpoolWriter, damage: str
) -> None:
    """Its page is sound, so SQLite says no damage. GHS/1 17.8: what cannot be believed is lost, and counted."""
    writer.drop(Drop(reason="disk_full", count=4, from_ms=5, to_ms=9))
    node = Node(tmp_path, FakeControlPlane())
    node.batcher.look(last=True)
    node.outbox.close()
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("INSERT INTO untold (reason, count, from_ms, to_ms) VALUES ('disk_error', 2, 5, 9)")
        assert db.execute(damage).rowcount >= 1
    db.close()
    node = Node(tmp_path, FakeControlPlane())
    sent: list[Parcel] = []
    for _ in range(4):
        node.batcher.look(last=True)
        node.way_out.health()
        with suppress(OutboxUnavailable):
            sent += all_sent(node.outbox)
    writer.record(a_record(9))
    node.batcher.look(last=True)
    sent += all_sent(node.outbox)
    records, _ = told(sent)
    assert sorted(records)[-1] == a_record(9).id
    assert len(set(records)) == len(records)
    health = node.way_out.health()
    assert health is not None
    assert health.waiting == 0
    node.outbox.close()


def test_while_the_outbox_cannot_be_used_nothing_is_said(tmp_path: Path, writer: SpoolWriter) -> None:
    holder = Node(tmp_path, FakeControlPlane())
    holder.batcher.look(last=True)
    assert Node(tmp_path, FakeControlPlane()).way_out.health() is None
    holder.outbox.close()
