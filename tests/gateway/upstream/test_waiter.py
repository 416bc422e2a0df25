"""What a call waits for: heard at once by whoever asks for that, a future to every task."""

import asyncio

import pytest

from gateway.upstream.waiter import Waiter


class Listener:
    def __init__(self, said: list[object]) -> None:
        self._said = said

    def hear(self, fault: BaseException | None) -> None:
        self._said.append("heard" if fault is None else type(fault))


async def waits(waiter: Waiter, said: list[object]) -> None:
    try:
        await waiter
    except (ValueError, asyncio.CancelledError) as error:
        said.append(type(error))
        raise
    said.append("woken")


async def begun(waiter: Waiter, said: list[object]) -> asyncio.Task[None]:
    task = asyncio.create_task(waits(waiter, said))
    await asyncio.sleep(0)
    return task


async def from_loop(waiter: Waiter, said: list[object], error: Exception | None = None) -> None:
    """Woken where sockets call from: in no task."""
    done = asyncio.get_running_loop().create_future()

    def called() -> None:
        waiter.wake(error)
        said.append("after")
        done.set_result(None)

    asyncio.get_running_loop().call_soon(called)
    await done


async def test_a_task_is_woken_a_turn_later() -> None:
    said: list[object] = []
    waiter = Waiter()
    task = await begun(waiter, said)
    await from_loop(waiter, said)
    await task
    assert said == ["after", "woken"]


async def test_whoever_hears_by_himself_hears_at_once() -> None:
    said: list[object] = []
    waiter = Waiter()
    waiter.heard_by = Listener(said)
    await from_loop(waiter, said)
    waiter.wake()
    assert said == ["heard", "after"], "and once"


async def test_whoever_waits_again_hears_again() -> None:
    said: list[object] = []
    waiter = Waiter()
    waiter.heard_by = Listener(said)
    await from_loop(waiter, said, ValueError("bad"))
    waiter.heard_by = Listener(said)
    await from_loop(waiter, said)
    task = await begun(waiter, said)
    await from_loop(waiter, said)
    await task
    assert said == [ValueError, "after", "heard", "after", "after", "woken"]


async def test_whoever_hears_by_himself_hears_a_turn_later_that_he_was_cancelled() -> None:
    said: list[object] = []
    waiter = Waiter()
    waiter.heard_by = Listener(said)
    assert waiter.cancel()
    assert not waiter.cancel()
    waiter.wake()
    said.append("after")
    await asyncio.sleep(0)
    assert said == ["after", asyncio.CancelledError]


async def test_a_fault_is_raised_to_who_waits() -> None:
    said: list[object] = []
    waiter = Waiter()
    task = await begun(waiter, said)
    waiter.wake(ValueError("bad"))
    with pytest.raises(ValueError, match="bad"):
        await task
    assert said == [ValueError]


async def test_cancelled_it_is_not_woken_again() -> None:
    said: list[object] = []
    waiter = Waiter()
    task = await begun(waiter, said)
    task.cancel()
    waiter.wake()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert said == [asyncio.CancelledError]
    assert not waiter.cancel()
