"""What a call waits for: heard at once by whoever asks for that, a future to every task."""

import asyncio

import pytest

from gateway.upstream.waiter import Waiter


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
    waiter = Waiter(asyncio.get_running_loop())
    task = await begun(waiter, said)
    await from_loop(waiter, said)
    await task
    assert said == ["after", "woken"]


async def test_whoever_hears_by_himself_hears_at_once() -> None:
    said: list[object] = []
    waiter = Waiter(asyncio.get_running_loop())
    waiter.heard_by = lambda _: said.append("heard")
    await from_loop(waiter, said)
    waiter.wake()
    assert said == ["heard", "after"], "and once"


async def test_woken_within_a_task_he_hears_when_that_has_let_go() -> None:
    said: list[object] = []
    waiter = Waiter(asyncio.get_running_loop())
    waiter.heard_by = lambda _: said.append("heard")
    waiter.wake()
    said.append("after")
    await asyncio.sleep(0)
    assert said == ["after", "heard"]


async def test_a_fault_is_raised_to_who_waits() -> None:
    said: list[object] = []
    waiter = Waiter(asyncio.get_running_loop())
    task = await begun(waiter, said)
    waiter.wake(ValueError("bad"))
    with pytest.raises(ValueError, match="bad"):
        await task
    assert said == [ValueError]


async def test_cancelled_it_is_not_woken_again() -> None:
    said: list[object] = []
    waiter = Waiter(asyncio.get_running_loop())
    task = await begun(waiter, said)
    task.cancel()
    waiter.wake()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert said == [asyncio.CancelledError]
    assert not waiter.cancel()


async def test_woken_before_it_is_awaited_it_does_not_wait() -> None:
    waiter = Waiter(asyncio.get_running_loop())
    waiter.wake()
    assert waiter.done()
    await waiter
