"""The ring of calls: what it keeps, and how a test awaits an end."""

import asyncio

from embedded.simulator.calls import CALLS_MAX, Calls, State


async def test_waiting_begins_before_the_call_does() -> None:
    calls = Calls()
    waiting = asyncio.ensure_future(calls.wait(2, State.CLIENT_LEFT))
    first = calls.begin("GET", "/v1/models", ())
    calls.end(first, State.CLIENT_LEFT)
    second = calls.begin("GET", "/v1/models", ())
    await asyncio.sleep(0)
    assert not waiting.done()
    calls.end(second, State.CLIENT_LEFT)
    assert await asyncio.wait_for(waiting, 10) is second


async def test_ring_forgets_the_oldest() -> None:
    calls = Calls()
    for _ in range(CALLS_MAX + 5):
        calls.end(calls.begin("GET", "/v1/models", ()), State.ANSWERED)
    assert [call.number for call in calls.after(0)][:2] == [6, 7]
    assert await calls.wait(5, State.ANSWERED) is None
    assert await calls.wait(6, State.ANSWERED) is calls.after(5)[0]
