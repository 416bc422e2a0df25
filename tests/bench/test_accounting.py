"""CPU accounting: a whole process tree, nobody else's, and nothing is lost when a child ends."""

import asyncio
import mmap
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.accounting import PAGE_BYTES, TICKS_PER_S, Stat, busy_s, maps, members, memory, parse, tree, usage

HANG_S = 30.0

BUSY = """
import sys, time
while time.process_time() < 0.3: pass
print(time.process_time(), flush=True)
sys.stdin.readline()
"""
# A quiet parent with a busy child: it says what the child says, and lets it end when it is told to.
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {BUSY!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
print(child.stdout.readline().decode(), end="", flush=True)
sys.stdin.readline()
child.communicate()
print("reaped", flush=True)
sys.stdin.readline()
"""


@asynccontextmanager
async def quiet_parent() -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(HANG_S):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def alone(pid: int) -> Stat:
    return parse(Path(f"/proc/{pid}/stat").read_text())


async def said(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


async def test_a_busy_child_counts_while_it_lives_and_after_it_was_reaped() -> None:
    async with quiet_parent() as process:
        spent_s = float(await said(process))
        rounding_s = 4 / TICKS_PER_S
        assert usage(process.pid).cpu_s >= spent_s - rounding_s
        assert process.stdin is not None
        process.stdin.write(b"\n")
        assert await said(process) == "reaped"
        assert usage(process.pid).cpu_s >= spent_s - rounding_s


async def test_memory_is_that_of_every_process_in_the_tree() -> None:
    async with quiet_parent() as process:
        await said(process)
        assert usage(process.pid).rss_bytes > alone(process.pid).rss_pages * PAGE_BYTES > 0


def test_a_tree_is_a_process_and_its_descendants_in_any_order_of_the_list() -> None:
    def stat(pid: int, parent: int) -> Stat:
        return Stat(pid, parent, cpu_ticks=0, rss_pages=0)

    stats = [stat(40, 30), stat(1, 0), stat(30, 20), stat(20, 1), stat(21, 1), stat(31, 20)]
    assert sorted(member.pid for member in tree(20, stats)) == [20, 30, 31, 40]
    assert tree(99, stats) == []


async def test_a_process_that_is_gone_is_an_error_not_a_zero() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await process.wait()
    with pytest.raises(ProcessLookupError):
        usage(process.pid)


@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=16))
def test_a_program_may_be_called_anything(name: str) -> None:
    fields = [
        "S",
        "7",
        *"3456789",
        "10",
        "11",
        "1",
        "20",
        "300",
        "4000",
        *"678901",
        "512",
        "99",
    ]  # proc(5), from the third on
    assert parse(f"42 ({name}) " + " ".join(fields)) == Stat(pid=42, parent=7, cpu_ticks=4321, rss_pages=512)


def test_a_core_that_works_is_busy() -> None:
    core = min(os.sched_getaffinity(0))
    before, all_before = busy_s([core]), busy_s(os.sched_getaffinity(0))
    spin_until = time.process_time() + 0.2
    while time.process_time() < spin_until:
        pass
    assert busy_s(os.sched_getaffinity(0)) - all_before >= 0.2 - 4 / TICKS_PER_S
    assert busy_s([core]) >= before
    assert busy_s([]) == 0


async def test_a_process_memory_is_its_own_and_its_share_of_what_is_shared() -> None:
    async with quiet_parent() as process:
        await said(process)
        held = memory(process.pid)
        assert 0 < held.private_bytes <= held.pss_bytes <= held.rss_bytes
        assert len(members(process.pid)) == 2


def test_a_mapped_file_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "slots" / "worker-0"
    file.parent.mkdir()
    file.write_bytes(b"x" * 4_096)
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 0):
        assert maps(os.getpid(), str(file.parent))
    assert not maps(os.getpid(), str(file.parent))
