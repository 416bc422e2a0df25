"""After many calls of every kind, ended in every way, the workers hold what they held before."""

import asyncio
from collections.abc import Awaitable, Callable

from tests.fixtures.processes import connected_to, descriptors_of
from tests.fixtures.stack import Stack, chat
from tests.fixtures.wire import Wire, request

CHAT = "/v1/chat/completions"
CALLS = 320
AT_ONCE = 8


async def ask(stack: Stack, number: int) -> None:
    """One call of a kind that its number chooses."""
    kinds: list[Callable[[], Awaitable[object]]] = [
        lambda: stack.call(),
        lambda: stack.call(stream=True),
        lambda: stack.call(model="sim-cut-2", stream=True),
        lambda: stack.call(model="sim-cut-0"),
        lambda: stack.call(model="sim-error-500", stream=True),
        lambda: stack.call(model="sim-html-502"),
        lambda: stack.call(model="sim-errorevent-1", stream=True),
        lambda: stack.call(model="@closed/x"),
        lambda: stack.call(b"{"),
        lambda: stack.call(headers={"authorization": "Bearer gh_no"}),
        lambda: stack.call(headers={**stack.authorization, "x-portkey-config": "rescued"}, stream=True),
        lambda: leave(stack, chat(model="sim-silent"), after_head=False),
        lambda: leave(stack, chat(model="sim-drip-20-long-500", stream=True), after_head=True),
        lambda: leave(stack, chat(model="sim-stall-1", stream=True), after_head=True),
        lambda: stack.call(model="sim-stall-1", stream=True),
        lambda: stack.call(model="sim-silent"),
    ]
    await kinds[number % len(kinds)]()


async def leave(stack: Stack, body: dict[str, object], *, after_head: bool) -> None:
    async with await Wire.open(stack.port) as wire:
        await wire.send(request("POST", CHAT, stack.authorization, body))
        if after_head:
            await wire.head()


async def many_calls(stack: Stack, count: int) -> None:
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with turn:
            await ask(stack, number)

    before = await stack.last_call()
    await asyncio.gather(*map(one, range(count)))
    await stack.wait_until_settled(before)


def held(stack: Stack) -> dict[int, int]:
    """Open descriptors of each worker apart from its kept connections to the provider."""
    return {
        pid: descriptors_of(pid) - connected_to(pid, stack.simulator_port) for pid in sorted(stack.workers().values())
    }


async def test_workers_hold_after_many_calls_what_they_held_before(impatient: Stack) -> None:
    await many_calls(impatient, 2 * AT_ONCE)  # What is opened once and kept is open now.
    before = held(impatient)
    lines = len(impatient.log_text().splitlines())
    await many_calls(impatient, CALLS)
    await impatient.wait_until(lambda: held(impatient) == before)
    kept = [connected_to(pid, impatient.simulator_port) for pid in before]
    assert sum(kept) <= 2 * AT_ONCE
    assert impatient.log_text().splitlines()[lines:] == []  # No task died unseen, none was destroyed pending.
