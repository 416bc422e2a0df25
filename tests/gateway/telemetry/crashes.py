"""A batcher that dies at a chosen moment: run by `test_crashes.py` as a process of its own.

`steps FOLDER` forks once for each moment at which the batcher hands something to the operating system, and lets the
child die there as by kill -9. `run FOLDER` is the real loop on the real clock, to be killed from outside. Both send to
a sink: a file of (hash, payload) that is written before a batch is acknowledged, as the control plane's ledger is.
"""

import os
import random
import secrets
import sys
import time
from pathlib import Path
from types import BuiltinFunctionType, FrameType
from typing import Any

from gateway.telemetry.ballast import Ballast
from gateway.telemetry.batcher import LOOK_S, Batcher, Room
from gateway.telemetry.batches import WAIT_S
from gateway.telemetry.outbox import Outbox
from shared.clock import Clock, FakeClock, SystemClock
from tests.fixtures.records import a_record
from tests.fixtures.spool import SpoolWriter

EFFECTS = {"execute", "executemany", "executescript", "unlink", "replace", "write", "fsync", "fdatasync"}
ROOM = Room(8 * 1024**3, 1.0)


class Sink:
    """What arrived, each batch once by its hash."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def take(self, payload: bytes) -> None:
        with self._path.open("ab", buffering=0) as file:
            file.write(len(payload).to_bytes(4) + payload)

    def batches(self) -> list[bytes]:
        data = self._path.read_bytes() if self._path.exists() else b""
        found: dict[bytes, None] = {}
        while data:
            length = int.from_bytes(data[:4])
            found[data[4 : 4 + length]] = None
            data = data[4 + length :]
        return list(found)


def batcher(folder: Path, clock: Clock) -> tuple[Batcher, Outbox]:
    ballast = Ballast(folder, 64 * 1024)
    outbox = Outbox(folder, ballast, clock, lambda: secrets.token_hex(8), keep=True)
    return Batcher(folder, outbox, ballast, ROOM, clock, lambda _: None), outbox


def send(outbox: Outbox, sink: Sink, at_most: int = 1_000) -> None:
    for _ in range(at_most):
        streams = outbox.streams()
        if not streams:
            return
        parcel = outbox.take(streams[-1])
        assert parcel is not None
        sink.take(parcel.payload)
        outbox.forget(parcel.id)


def scenario(folder: Path) -> None:
    """Batches, rotation, what is acknowledged and what is not: everything the batcher does."""
    clock = FakeClock()
    made, outbox = batcher(folder, clock)
    sink = Sink(folder / "sink")
    writers = [SpoolWriter.again(folder, f"worker-{index}") for index in range(2)]
    for turn in range(3):
        quietly(lambda: [writer.record(a_record(writer.next_id())) for writer in writers])
        if turn == 1:
            quietly(writers[0].rotate)
        made.look()
        clock.advance(WAIT_S)
        made.look()
        if turn != 1:
            send(outbox, sink, at_most=1)
    outbox.close()


def quietly(act: Any) -> None:
    """Writers are other processes: they do not die with the batcher."""
    profile = sys.getprofile()
    sys.setprofile(None)
    act()
    sys.setprofile(profile)


def dies_at(moment: int) -> Any:
    seen = 0

    def profile(frame: FrameType, event: str, arg: Any) -> None:
        nonlocal seen
        if event == "c_call" and isinstance(arg, BuiltinFunctionType) and arg.__name__ in EFFECTS:
            seen += 1
            if seen == moment:
                os._exit(9)

    return profile


def steps(base: Path) -> int:
    """How many moments there were; each has left a folder behind."""
    moment = 0
    while True:
        moment += 1
        folder = base / str(moment)
        folder.mkdir()
        SpoolWriter(folder, "worker-0").record(*(a_record(n) for n in range(3)))
        SpoolWriter(folder, "worker-1")
        pid = os.fork()
        if pid == 0:
            sys.setprofile(dies_at(moment))
            scenario(folder)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            return moment
        if code != 9:
            raise SystemExit(f"the scenario failed at {moment}")


def run(folder: Path) -> None:
    clock = SystemClock()
    made, outbox = batcher(folder, clock)
    sink = Sink(folder / "sink")
    while True:
        made.look()
        send(outbox, sink, at_most=random.randrange(3))
        time.sleep(LOOK_S / 10)


if __name__ == "__main__":
    verb, where = sys.argv[1:]
    if verb == "steps":
        print(steps(Path(where)))
    else:
        run(Path(where))
