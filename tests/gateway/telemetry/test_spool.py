"""A worker's spool: every record is on the disk at once, else kept, else counted; the disk may do what it likes."""

import errno
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import orjson
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry import segments
from gateway.telemetry.segments import Frame, Kind
from gateway.telemetry.spool import RETRY_S, Spool
from shared import logs
from shared.clock import FakeClock

FIELDS = ("id", "status")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture(autouse=True)
def log_that_takes_whatever_comes() -> Iterator[None]:
    """As both planes set it up: where the disk is full, the log's may be full as well."""
    before = structlog.get_config()
    logs.set_up("info", sys.stdout)
    yield
    structlog.configure(**before)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def frames(folder: Path) -> list[Frame]:
    return [frame for segment in segments.listed(folder) for frame in segments.iterate(folder, segment)]


def told(folder: Path) -> list[bytes]:
    return [frame.payload for frame in frames(folder) if frame.kind == Kind.RECORD]


def drops(folder: Path) -> list[dict[str, object]]:
    return [orjson.loads(frame.payload) for frame in frames(folder) if frame.kind == Kind.DROP]


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """No file of this process grows beyond `size`: a write that would is cut short, or fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def damaged_bytes(folder: Path) -> int:
    total = 0
    for segment in segments.listed(folder):
        data = (folder / segment.name).read_bytes()
        found = segments.read_head(data)
        assert found is not None
        total += segments.read(data[found[1] :], found[1], sealed=True).damaged_bytes
    return total


def test_a_record_is_in_the_file_when_write_returns(folder: Path, clock: FakeClock) -> None:
    spool = Spool(folder, "worker-0", FIELDS, clock)
    spool.write(b"one")
    spool.write(b"two")
    assert told(folder) == [b"one", b"two"]
    (segment,) = segments.listed(folder)
    found = segments.read_head((folder / segment.name).read_bytes())
    assert found is not None
    assert found[0] == FIELDS


@given(
    turns=st.lists(st.lists(st.integers(1, 60), max_size=5), max_size=12),
    room=st.integers(0, 1_000),
    again=st.booleans(),
)
def test_wherever_the_disk_ends_records_written_together_come_once_and_in_order(
    turns: list[list[int]], room: int, again: bool
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, clock, number, expected = Path(name) / "spool", FakeClock(), 0, []
        spool = Spool(folder, "worker-0", FIELDS, clock)
        (segment,) = segments.listed(folder)
        with files_end_at((folder / segment.name).stat().st_size + room):
            for lengths in turns:
                payloads = [b"%03d" % (number := number + 1) + bytes(length) for length in lengths]
                expected += payloads
                spool.write(*payloads)
                if again:
                    clock.advance(RETRY_S)
        clock.advance(RETRY_S)
        spool.write()
        assert told(folder) == expected
        assert damaged_bytes(folder) == 0
        spool.close()


def test_segments_end_at_their_size_and_numbers_go_on_across_starts(folder: Path, clock: FakeClock) -> None:
    written = [b"%03d" % number for number in range(40)]
    for half in (written[:20], written[20:]):
        spool = Spool(folder, "worker-0", FIELDS, clock, segment_bytes_max=200)
        for payload in half:
            spool.write(payload)
        spool.close()
    assert told(folder) == written
    assert [segment.number for segment in segments.listed(folder)] == list(range(1, len(segments.listed(folder)) + 1))
    assert all((folder / segment.name).stat().st_size < 250 for segment in segments.listed(folder))


def test_workers_do_not_share_segments(folder: Path, clock: FakeClock) -> None:
    spools = [Spool(folder, f"worker-{index}", FIELDS, clock) for index in range(2)]
    for index, spool in enumerate(spools):
        spool.write(b"of %d" % index)
    assert [segment.name for segment in segments.listed(folder)] == [
        "worker-0.0000000001.ghspool",
        "worker-1.0000000001.ghspool",
    ]


def test_a_full_disk_holds_records_in_memory_and_they_are_written_when_there_is_room(
    folder: Path, clock: FakeClock
) -> None:
    spool = Spool(folder, "worker-0", FIELDS, clock)
    spool.write(b"before")
    (segment,) = segments.listed(folder)
    with files_end_at((folder / segment.name).stat().st_size + 5):  # Half of the next frame.
        spool.write(b"first after")
        spool.write(b"second after")
        assert spool.holds
        clock.advance(RETRY_S)
        spool.write(b"third after")
        assert spool.holds, "the limit is one of each file: what fits into a new one is there already"
    clock.advance(RETRY_S)
    spool.write(b"room again")
    assert not spool.holds
    assert sorted(told(folder)) == sorted([b"before", b"first after", b"second after", b"third after", b"room again"])
    assert drops(folder) == []
    assert damaged_bytes(folder) == 0, "half a frame would be counted as a record that is lost"


def test_of_records_cut_short_together_those_that_stand_whole_stay_there(folder: Path, clock: FakeClock) -> None:
    """An agent may have read them by then: written again elsewhere, they would count twice."""
    spool = Spool(folder, "worker-0", FIELDS, clock)
    (segment,) = segments.listed(folder)
    truncate = os.ftruncate
    seen: list[list[bytes]] = []

    def seen_by_the_agent(file: int, length: int) -> None:
        seen.append(told(folder))
        truncate(file, length)

    room = 2 * len(segments.frame(Kind.RECORD, b"1")) + 5
    with (
        files_end_at((folder / segment.name).stat().st_size + room),
        patch.object(os, "ftruncate", seen_by_the_agent),
    ):
        spool.write(b"1", b"2", b"3")
    assert seen == [[b"1", b"2"]]
    assert told(folder) == [b"1", b"2"]
    clock.advance(RETRY_S)
    assert spool.flush()
    assert told(folder) == [b"1", b"2", b"3"]
    assert damaged_bytes(folder) == 0


def test_held_records_are_written_by_a_flush_when_no_call_comes(folder: Path, clock: FakeClock) -> None:
    spool = Spool(folder, "worker-0", FIELDS, clock)
    with files_end_at(10):
        spool.write(b"held")
        assert not spool.flush()
    assert spool.flush()
    assert told(folder) == [b"held"]


def test_what_does_not_fit_in_memory_is_counted_with_its_reason_and_time(folder: Path, clock: FakeClock) -> None:
    spool = Spool(folder, "worker-0", FIELDS, clock, held_bytes_max=2 * len(segments.frame(Kind.RECORD, b"0")))
    began_ms = clock.wall_ms()
    with files_end_at(10):
        for number in range(5):
            spool.write(b"%d" % number)
            clock.advance(0.25)
    clock.advance(RETRY_S)
    assert spool.flush()
    assert told(folder) == [b"0", b"1"]
    assert drops(folder) == [{"reason": "disk_full", "count": 3, "from_ms": began_ms + 500, "to_ms": began_ms + 1_000}]


def test_a_folder_that_vanishes_is_made_again_or_its_records_are_held(folder: Path, clock: FakeClock) -> None:
    spool = Spool(folder, "worker-0", FIELDS, clock, segment_bytes_max=1)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_bytes(b"in the way")
    spool.write(b"held")
    folder.unlink()
    clock.advance(RETRY_S)
    spool.write(b"after")
    spool.flush()
    assert b"after" in told(folder)


@pytest.mark.parametrize("with_folder", [False, True])
def test_records_do_not_go_on_into_a_segment_that_somebody_removed(
    folder: Path, clock: FakeClock, with_folder: bool
) -> None:
    """By hand, to have room: up to the segment's end all that came would be lost without a count."""
    spool = Spool(folder, "worker-0", FIELDS, clock)
    spool.write(b"removed")
    spool.follow()
    for path in folder.iterdir():
        path.unlink()
    if with_folder:
        folder.rmdir()
    spool.follow()
    spool.write(b"after")
    spool.follow()
    spool.write(b"and after that")
    assert told(folder) == [b"after", b"and after that"]
    assert [segment.number for segment in segments.listed(folder)] == [2]


def test_more_segments_than_their_share_stop_the_writing_and_are_told(folder: Path, clock: FakeClock) -> None:
    spool = Spool(folder, "worker-0", FIELDS, clock, segment_bytes_max=100, folder_bytes_max=300, held_bytes_max=0)
    for number in range(50):
        spool.write(b"%03d" % number)
        clock.advance(RETRY_S)
    kept = len(told(folder))
    assert 0 < kept < 50
    for segment in segments.listed(folder)[:-1]:  # An agent has come.
        (folder / segment.name).unlink()
    spool.flush()
    (drop,) = drops(folder)
    assert (drop["reason"], drop["count"]) == ("spool_full", 50 - kept)


def test_everything_written_outlives_a_kill(folder: Path, clock: FakeClock) -> None:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            spool = Spool(folder, "worker-0", FIELDS, clock)
            for number in range(500):
                spool.write(b"%d" % number)
                os.write(write, b"x")
            signal.pause()
        finally:
            os._exit(1)
    acknowledged = 0
    while acknowledged < 300:
        acknowledged += len(os.read(read, 300 - acknowledged))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(write)
    while more := os.read(read, 4096):
        acknowledged += len(more)
    os.close(read)
    got = told(folder)
    assert got[:acknowledged] == [b"%d" % number for number in range(acknowledged)]


def test_the_folder_and_its_files_are_their_owner_s_alone(folder: Path, clock: FakeClock) -> None:
    Spool(folder, "worker-0", FIELDS, clock).write(b"one")
    assert [path.name for path in (folder, *folder.iterdir()) if path.stat().st_mode & 0o077] == []


def test_a_write_cut_short_by_the_limit_fails_as_on_a_full_disk(folder: Path) -> None:
    """What the tests above stand on."""
    folder.mkdir()
    file = os.open(folder / "x", os.O_WRONLY | os.O_CREAT)
    with files_end_at(2):
        assert os.write(file, b"abc") == 2
        with pytest.raises(OSError, match="File too large") as failed:
            os.write(file, b"c")
    assert failed.value.errno == errno.EFBIG
    os.close(file)
