"""After every test: no task and no socket more than before it. Every test runs on asyncio's own loop and on uvloop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

HANG_S = 60.0
"""Only a guard against hanging."""


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def sockets() -> int:
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found += descriptor.readlink().name.startswith("socket:")
        except FileNotFoundError:
            continue  # The folder's own descriptor, closed since.
    return found


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0.001)  # uvloop makes its own pair of sockets at the first real wait.
    before = sockets()
    faults: list[Mapping[str, object]] = []
    loop.set_exception_handler(lambda _, context: faults.append(context))
    guard = loop.call_later(HANG_S, lambda: [task.cancel("hangs") for task in asyncio.all_tasks()])
    yield
    async with asyncio.timeout(HANG_S):
        while asyncio.all_tasks() != {asyncio.current_task()} or sockets() > before:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.001)
    guard.cancel()
    assert not faults
