"""`python -m chaos` as a whole: its last lines, its exit code, and nothing left behind."""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.accounting import members
from tests.fixtures.processes import Held

REPOSITORY = Path(__file__).parents[2]
HANG_S = 300.0


@asynccontextmanager
async def chaos(folder: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "chaos", *arguments),
        cwd=REPOSITORY,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(folder)},
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(HANG_S):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def is_empty(folder: Path) -> bool:
    return next(folder.iterdir(), None) is None


async def printed_by(folder: Path, *arguments: str) -> list[str]:
    """What a provocation printed that found nothing wrong."""
    async with chaos(folder, *arguments) as process:
        printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
    assert is_empty(folder)
    return printed.decode().splitlines()


async def test_kills_under_edits_and_calls_lose_nothing(tmp_path: Path) -> None:
    lines = await printed_by(tmp_path, "sync", "--short")
    assert re.fullmatch(r"[1-9]\d* kills: 0 lost, 0 twice, 0 failed", lines[-1])
    assert re.match(r"\d+ calls were in flight on killed workers \(", lines[-2])
    edits, calls = re.findall(r"\d+", lines[-3])
    assert int(edits) > 50
    assert int(calls) > 500


async def test_kills_under_calls_leave_one_record_for_each(tmp_path: Path) -> None:
    lines = await printed_by(tmp_path, "telemetry", "--kills", "4")
    assert re.fullmatch(r"4 kills: 0 lost, 0 twice, 0 failed", lines[-1])
    assert re.match(r"\d+ calls were in flight on killed workers \(", lines[-2])
    sums = {line.split()[0]: line.split()[1:] for line in lines if line.startswith("record")}
    assert sums.keys() == {"record", "record_minute", "record_hour"}
    assert len({tuple(each) for each in sums.values()}) == 1, "raw and roll-ups: requests, money, tokens"
    (answered,) = (int(line.split()[0]) for line in lines if "answered requests" in line)
    assert answered > 300


async def test_a_backlog_is_drained_beside_live_calls(tmp_path: Path) -> None:
    lines = await printed_by(tmp_path, "backlog", "--records", "20000")
    assert re.fullmatch(r"0 kills: 0 lost, 0 twice, 0 failed", lines[-1])
    assert re.match(r"drained 20,000 records in \d+ s: [\d,]+/s", lines[-2])
    live = re.match(r"([1-9]\d*) live calls beside it, 0 of their records lost", lines[-3])
    assert live


async def test_the_api_is_as_its_description_says(tmp_path: Path) -> None:
    lines = await printed_by(tmp_path, "openapi", "--short")
    assert [line for line in lines if line.startswith("---")] == [
        "--- made-up ids",
        "--- real ids",
        "--- a person's session",
    ]
    tested = [int(count) for line in lines for count in re.findall(r"(\d+) generated, \1 passed", line)]
    assert len(tested) == 3
    assert all(tested)  # How many there is time for is the machine's to say.


async def test_size_tells_what_many_resources_cost(tmp_path: Path) -> None:
    lines = await printed_by(tmp_path, "size", "--short")
    assert sum("cold start" in line for line in lines) == 2
    assert sum("ms of CPU" in line for line in lines) == 3
    assert re.fullmatch(r"[1-9]\d* calls, 0 failed", lines[-1])


async def test_interrupted_it_ends_everything_it_started(tmp_path: Path) -> None:
    async with chaos(tmp_path, "sync", "--short") as process:
        assert process.stdout is not None
        while b"everything is up" not in await process.stdout.readline():
            assert not process.stdout.at_eof()
        started = Held(pid for pid in members(process.pid) if pid != process.pid)
        process.send_signal(signal.SIGINT)
        await process.wait()
    assert len(started) >= 10
    assert started.outliving() == []
    assert is_empty(tmp_path)


async def test_wrong_bodies_and_streams_leave_no_fault_and_nothing_behind(tmp_path: Path) -> None:
    lines = await printed_by(tmp_path, "fuzz", "--steps", "1500")
    assert lines[-1] == "fuzz: 1,500 bodies and 1,500 streams, 0 faults"
    assert re.match(r"3,000 answers with a record: 0 lost, 0 twice; 0 requests and \d files left", lines[-2])


async def test_no_call_fails_whatever_redis_does(tmp_path: Path) -> None:
    lines = await printed_by(tmp_path, "redis", "--short")
    assert re.fullmatch(r"redis: 6 phases, [1-9]\d+ calls, 0 failed", lines[-1])
    statuses = {line.split()[0]: set(re.findall(r"x ([A-Z]+)", line)) for line in lines[-7:-1]}
    # A reply that a busy machine brings after its time is done without, as one of a Redis that is ill.
    assert statuses["well"] >= {"HIT", "MISS"}
    assert "DISABLED" in statuses["frozen"] & statuses["killed"]
    assert "HIT" in statuses["read-only"]
