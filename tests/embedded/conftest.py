"""Parts that are small Python programs, and what tests of the supervisor need around them."""

import asyncio
import os
import select
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from embedded.child import started_at
from embedded.part import Part
from embedded.state import StateFolder
from embedded.supervisor import Supervisor
from shared.clock import SystemClock

HANG_S = 20.0
"""Only so that a broken test ends."""


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    folder = StateFolder(tmp_path / "state")
    folder.prepare()
    return folder


PRELUDE = """
import os, signal, sys, time
from pathlib import Path
notes = Path({notes!r})
def ready():
    draft = notes / f"{name}.{{os.getpid()}}"
    draft.write_text(str(os.getpid()))
    draft.rename(notes / "{name}.ready")
"""


@pytest.fixture
def fake_part(tmp_path: Path) -> Callable[..., Part]:
    """Makes a part of a program, which calls `ready()` and may leave files in the folder `notes`, the test's own."""

    def make(name: str, program: str, **limits: float) -> Part:
        ready_file = tmp_path / f"{name}.ready"

        async def ready() -> bool:
            return ready_file.exists() and started_at(int(ready_file.read_text())) is not None

        prelude = PRELUDE.format(name=name, notes=str(tmp_path))
        return Part(name, (sys.executable, "-c", prelude + program), {}, ready, **limits)

    return make


@pytest.fixture
def sleeper(fake_part: Callable[..., Part]) -> Callable[[str], Part]:
    """Makes a part that becomes ready and then does nothing."""
    return lambda name: fake_part(name, "ready(); time.sleep(600)")


@pytest.fixture
async def supervisor(state: StateFolder) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(state, SystemClock(), lambda _: None)
    yield supervisor
    await supervisor.stop()


@pytest.fixture
def gone() -> Callable[[int], bool]:
    """Waits until a process, whoever's child it is, has ended; False if it outlives the test's patience."""

    def wait(pid: int) -> bool:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            return bool(select.select([handle], [], [], HANG_S)[0])
        finally:
            os.close(handle)

    return wait


@pytest.fixture
def until() -> Callable[..., object]:
    """Waits for a condition that no event announces."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(HANG_S):
            while not condition():  # noqa: ASYNC110 - what is waited for happens in another process
                await asyncio.sleep(0.01)

    return wait


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
