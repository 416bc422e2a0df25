"""What runs a connection's requests: a task in all that is seen of it, but that it begins at once."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from gateway.serve.run import Run
from gateway.upstream.waiter import Waiter

Work = Callable[[], Coroutine[Any, Any, None]]


def run_of(work: Work, rested: Callable[[], None] = lambda: None) -> Run:
    return Run(work, rested, asyncio.get_running_loop())


async def from_loop(act: Callable[[], object]) -> None:
    """`act` where sockets and timers call from: in no task."""
    done = asyncio.get_running_loop().create_future()

    def called() -> None:
        act()
        done.set_result(None)

    asyncio.get_running_loop().call_soon(called)
    await done


async def test_it_begins_at_once_and_again_and_says_when_it_has_rested() -> None:
    said: list[str] = []

    async def work() -> None:
        said.append("works")

    run = run_of(work, lambda: said.append("rested"))

    def begin() -> None:
        run.begin()
        said.append("began")

    await from_loop(begin)
    await from_loop(begin)
    assert said == ["works", "rested", "began"] * 2
    assert not run.busy
    run.close()


async def test_what_is_awaited_comes_back_with_its_result_or_its_fault() -> None:
    loop = asyncio.get_running_loop()
    good, bad, rested = loop.create_future(), loop.create_future(), asyncio.Event()
    said: list[object] = []

    async def work() -> None:
        said.append(await good)
        try:
            await bad
        except ValueError as error:
            said.append(str(error))
        await asyncio.sleep(0)
        said.extend(await asyncio.gather(asyncio.sleep(0, "a"), asyncio.sleep(0, "b")))

    run = run_of(work, rested.set)
    await from_loop(run.begin)
    assert run.busy
    good.set_result("good")
    bad.set_exception(ValueError("bad"))
    await rested.wait()
    assert said == ["good", "bad", "a", "b"]
    run.close()


async def test_begun_inside_a_task_it_lets_that_one_come_to_its_end_first() -> None:
    """As the lane does when aiohttp gives a connection back: there, its task is the current one."""
    rested = asyncio.Event()
    said: list[object] = []

    async def work() -> None:
        said.append(asyncio.current_task())

    run = run_of(work, rested.set)
    run.begin()
    said.append("begun")
    await rested.wait()
    assert said == ["begun", run]
    run.close()


@pytest.mark.parametrize("cancelled", [False, True])
async def test_woken_inside_a_task_it_lets_that_one_come_to_its_end_first(cancelled: bool) -> None:
    """As where a task aborts what somebody else waits for."""
    rested, waiter = asyncio.Event(), Waiter()
    said: list[object] = []

    async def work() -> None:
        try:
            await waiter
        except (ValueError, asyncio.CancelledError) as error:
            said.append(type(error))
        said.append(asyncio.current_task())

    run = run_of(work, rested.set)
    await from_loop(run.begin)
    waiter.wake(ValueError("bad"))
    said.append("woken")
    if cancelled:
        run.cancel()
    await rested.wait()
    assert said == ["woken", asyncio.CancelledError if cancelled else ValueError, run]
    run.close()


async def test_woken_it_goes_on_at_once() -> None:
    waiter = Waiter()
    said: list[object] = []

    async def work() -> None:
        for _ in range(2):
            await waiter
            said.append("goes on")

    run = run_of(work, lambda: said.append("rested"))

    def wake() -> None:
        waiter.wake()
        said.append("woken")

    await from_loop(run.begin)
    await from_loop(wake)
    await from_loop(wake)
    assert said == ["goes on", "woken", "goes on", "rested", "woken"]
    run.close()


async def test_a_timeout_within_it_ends_what_is_waited_for_and_nothing_else() -> None:
    rested = asyncio.Event()
    said: list[object] = []

    async def work() -> None:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            said.append("late")
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        said.append(await asyncio.wait_for(asyncio.sleep(0, "in time"), 60))

    run = run_of(work, rested.set)
    await from_loop(run.begin)
    await rested.wait()
    assert said == ["late", "in time"]
    assert run.cancelling() == 0
    run.close()


async def test_a_fault_in_a_group_within_it_is_raised_there() -> None:
    rested = asyncio.Event()
    said: list[object] = []

    async def fails() -> None:
        raise ValueError("bad")

    async def work() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())
                await asyncio.get_running_loop().create_future()
        except* ValueError:
            said.append("bad")

    run = run_of(work, rested.set)
    await from_loop(run.begin)
    await rested.wait()
    assert said == ["bad"]
    run.close()


@pytest.mark.parametrize("waits", [True, False], ids=["while it waits", "before it waits"])
async def test_closed_it_is_cancelled_where_it_waits(waits: bool) -> None:
    ended = asyncio.Event()
    said: list[str] = []

    async def work() -> None:
        if not waits:
            run.close()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            said.append("cancelled")
            raise
        finally:
            ended.set()

    run = run_of(work, lambda: said.append("rested"))
    await from_loop(run.begin)
    if waits:
        run.close()
    await ended.wait()
    await asyncio.sleep(0)
    assert said == ["cancelled"]
    assert not run.busy


async def test_closed_before_its_first_step_it_is_cancelled_at_its_first_wait() -> None:
    ended = asyncio.Event()
    said: list[str] = []

    async def work() -> None:
        said.append("works")
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    run = run_of(work)
    run.begin()  # From within this test's task: its first step is yet to come.
    run.close()
    await ended.wait()
    assert said == ["works"]


async def test_closed_while_it_rests_nothing_of_it_is_left() -> None:
    async def work() -> None:
        pass

    run = run_of(work)
    await from_loop(run.begin)
    run.close()
    run.close()
    assert not run.busy


@pytest.mark.parametrize("yields", [False, True], ids=["a result", "its turn"])
async def test_cancelled_when_what_it_waits_for_has_just_come_it_is_cancelled_there_and_not_later(yields: bool) -> None:
    """As `asyncio.timeout` may do in the very turn of the loop: the wait within it ends, and no other."""
    loop, rested = asyncio.get_running_loop(), asyncio.Event()
    came = loop.create_future()
    said: list[object] = []

    async def work() -> None:
        try:
            await (asyncio.sleep(0) if yields else came)
        except asyncio.CancelledError:
            said.append("cancelled")
            run.uncancel()
        said.append(await asyncio.sleep(0, "goes on"))

    run = run_of(work, rested.set)

    def both() -> None:
        if yields:
            run.begin()
        else:
            came.set_result(None)
        run.cancel()

    if not yields:
        await from_loop(run.begin)
    await from_loop(both)
    await rested.wait()
    assert said == ["cancelled", "goes on"]
    run.close()
