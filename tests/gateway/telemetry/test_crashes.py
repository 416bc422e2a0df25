"""Wherever the batcher dies, every frame that a worker wrote arrives, in one batch."""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from gateway.telemetry import segments
from gateway.telemetry.batches import WAIT_S
from shared.clock import FakeClock
from shared.protocol import batch
from tests.fixtures.processes import REPOSITORY, Process
from tests.fixtures.records import a_record
from tests.fixtures.spool import SpoolWriter
from tests.gateway.telemetry.crashes import Sink, batcher, send

KILLS = 8
SEEDS = (1, 2)


def changed(folder: Path) -> int:
    """Another number whenever a batch was kept or has arrived."""
    return sum(path.stat().st_size for path in (folder / "sink", folder / "outbox.sqlite3-wal") if path.exists())


def finish(folder: Path) -> tuple[list[str], list[int]]:
    """A batcher that lives brings all that is left to the sink. Ids of records, and drops by count, that arrived."""
    clock = FakeClock()
    made, outbox = batcher(folder, clock)
    sink = Sink(folder / "sink")
    while True:  # What nobody has begun waits until there is room to send it.
        for _ in range(3):
            made.look()
            clock.advance(WAIT_S)
        if not outbox.streams():
            break
        send(outbox, sink)
    outbox.close()
    parsed = [batch.parse(payload) for payload in sink.batches()]
    assert not any(each.refused for each in parsed)
    return [r.id for each in parsed for r in each.records], [drop.count for each in parsed for drop in each.drops]


def test_wherever_it_dies_each_frame_is_in_one_batch(tmp_path: Path) -> None:
    """GHS/1 17.4: once for each thing it hands to the operating system."""
    command = [sys.executable, "-m", "tests.gateway.telemetry.crashes", "steps", str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    moments = int(done.stdout)
    assert moments > 100
    for moment in range(1, moments + 1):
        folder = tmp_path / str(moment)
        written = SpoolWriter.written(folder)
        arrived, drops = finish(folder)
        assert Counter(arrived) == Counter(written), moment
        assert drops == [], moment
        assert sorted(segment.worker for segment in segments.listed(folder / "spool")) == ["worker-0", "worker-1"]


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_again_and_again_beside_a_writer_it_loses_nothing_and_doubles_nothing(tmp_path: Path, seed: int) -> None:
    """GHS/1 17.4."""
    chance = random.Random(seed)
    writers = [SpoolWriter(tmp_path, f"worker-{index}") for index in range(2)]
    written: list[str] = []

    def write() -> None:
        writer = chance.choice(writers)
        records = [a_record(len(written) + n) for n in range(chance.randrange(1, 8))]
        writer.record(*records)
        written.extend(record.id for record in records)
        if chance.random() < 0.1:
            writer.rotate()

    command = [sys.executable, "-m", "tests.gateway.telemetry.crashes", "run", str(tmp_path)]
    environment = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    for _ in range(KILLS):
        process = Process(command, environment, tmp_path / "log")
        arrivals = chance.randrange(3)
        seen = 0
        while arrivals >= 0:
            write()
            assert process.running, (tmp_path / "log").read_text()
            size = changed(tmp_path)
            arrivals -= size != seen
            seen = size
            time.sleep(chance.random() / 100)  # The pace of callers.
        process.kill()
    arrived, drops = finish(tmp_path)
    assert Counter(arrived) == Counter(written)
    assert drops == []
