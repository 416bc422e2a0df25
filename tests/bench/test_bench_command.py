"""`python -m bench` as a whole, with a real gateway: its last line, its exit code, and nothing left behind."""

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
HANG_S = 240.0


@asynccontextmanager
async def bench(
    folder: Path, *arguments: str, path: str = "/usr/bin:/bin"
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench", "--short", *arguments),
        cwd=REPOSITORY,
        env={"PATH": path, "TMPDIR": str(folder)},
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


async def test_it_ends_with_the_ratio_and_exits_zero_when_no_call_failed(tmp_path: Path) -> None:
    async with bench(tmp_path, "--rounds", "1") as process:
        printed, _ = await process.communicate()
    lines = printed.decode().splitlines()
    measured = len([line for line in lines if line.startswith("chat 1 KB  ")])
    assert measured >= len(("direct", "aiohttp", "gateway"))
    assert re.fullmatch(r"ratio to aiohttp: \d+\.\d x", lines[-1])
    assert [line.split()[-2:] for line in lines if "round 1/1" in line] == [["0", "errors"]] * measured
    assert process.returncode == 0
    assert is_empty(tmp_path)


async def test_interrupted_it_ends_everything_it_started(tmp_path: Path) -> None:
    async with bench(tmp_path) as process:
        assert process.stdout is not None
        while b"everything is up" not in await process.stdout.readline():
            assert not process.stdout.at_eof()
        started = Held(pid for pid in members(process.pid) if pid != process.pid)
        process.send_signal(signal.SIGINT)
        await process.wait()
    assert len(started) >= 6
    assert started.outliving() == []
    assert is_empty(tmp_path)


async def test_without_a_compiler_it_says_so_and_measures_with_what_there_is(tmp_path: Path) -> None:
    async with bench(tmp_path, "--rounds", "1", path="/nowhere") as process:
        printed, _ = await process.communicate()
    lines = printed.decode().splitlines()
    assert any(line.startswith("left out: gcc is not on the PATH") for line in lines)
    assert re.fullmatch(r"ratio to aiohttp: \d+\.\d x", lines[-1])
    assert process.returncode == 0


async def test_an_unknown_section_is_named_with_those_that_there_are(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench", "speed"), cwd=REPOSITORY, stderr=asyncio.subprocess.PIPE
    )
    _, complaint = await process.communicate()
    assert process.returncode == 2
    assert b"there is no section 'speed'; there are calls, " in complaint
