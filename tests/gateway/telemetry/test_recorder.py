"""A worker's records: written together, before anything of their answers, and each slot kept until then."""

import asyncio
from pathlib import Path

import orjson
import pytest

from gateway.pipeline.exchange import Exchange
from gateway.providers.base import Door
from gateway.telemetry import segments, slots
from gateway.telemetry.recorder import TOGETHER_MAX, Recorder
from gateway.telemetry.slots import SlotTable
from gateway.telemetry.spool import Spool
from gateway.upstream.turn import Turn
from shared.clock import FakeClock
from shared.models.record import FIELDS


class Worker:
    """What of a worker records calls."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        (state_dir / slots.FOLDER).mkdir()
        clock = FakeClock()
        spool = Spool(state_dir / segments.FOLDER, "worker-0", FIELDS, clock)
        table = SlotTable(slots.path_of(state_dir, "worker-0"), 2 * TOGETHER_MAX)
        self.recorder = Recorder(table, spool, clock, lambda _: None, asyncio.get_running_loop().call_soon)
        self._number = 0

    def begin(self) -> Exchange:
        self._number += 1
        exchange = Exchange(f"lg_{0:012x}{self._number:020x}", Door.CHAT, {}, b"", 0.0)
        self.recorder.begin(exchange)
        return exchange

    def call(self) -> None:
        """One that begins and ends."""
        exchange = self.begin()
        exchange.ending = "complete"
        self.recorder.end(exchange)

    @property
    def written(self) -> list[int]:
        """Numbers of the calls whose records are in the file."""
        folder = self._state_dir / segments.FOLDER
        frames = (frame for segment in segments.listed(folder) for frame in segments.iterate(folder, segment))
        return [int(orjson.loads(frame.payload)[0][15:], 16) for frame in frames]

    @property
    def in_use(self) -> int:
        return slots.in_use(self._state_dir)


@pytest.fixture
async def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


async def test_what_ends_in_a_turn_is_written_at_its_end_and_keeps_its_slots_until_then(worker: Worker) -> None:
    running = worker.begin()
    for _ in range(3):
        worker.call()
    assert (worker.written, worker.in_use) == ([], 4)
    await asyncio.sleep(0)
    assert (worker.written, worker.in_use) == ([2, 3, 4], 1)
    worker.recorder.end(running)
    worker.recorder.end(running)
    await asyncio.sleep(0)
    assert (worker.written, worker.in_use) == ([2, 3, 4, 1], 0)


async def test_many_do_not_wait_for_the_turns_end(worker: Worker) -> None:
    for _ in range(3 * TOGETHER_MAX + 1):
        worker.call()
        assert worker.in_use < TOGETHER_MAX
    assert worker.written == list(range(1, 3 * TOGETHER_MAX + 1))
    await asyncio.sleep(0)
    assert (len(worker.written), worker.in_use) == (3 * TOGETHER_MAX + 1, 0)


async def test_a_record_is_in_the_file_before_anything_of_its_turn_goes_out(worker: Worker) -> None:
    turn = Turn(asyncio.get_running_loop(), worker.recorder)
    there: list[list[int]] = []

    class Caller(asyncio.Transport):
        def is_closing(self) -> bool:
            return False

        def write(self, data: object) -> None:
            there.append(worker.written)

    worker.call()
    turn.write(Caller(), b"its answer, alone")
    assert there == [[1]]
    turn.is_busy = True
    for _ in range(2):
        turn.write(Caller(), b"another's")
    await asyncio.sleep(0)
    there.clear()
    turn.write(Caller(), b"a chunk of a stream, before anything of this turn has ended")
    worker.call()
    turn.write(Caller(), b"its answer, among others")
    await asyncio.sleep(0)
    assert there == [[1, 2], [1, 2]]


async def test_what_has_just_ended_is_written_when_the_worker_ends(worker: Worker) -> None:
    worker.call()
    worker.recorder.close()
    assert worker.written == [1]
