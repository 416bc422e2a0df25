"""A Redis that does what a Redis may do, under calls that want the cache and calls that do not: none of them fails.

What is printed of a phase is how long its calls took, beside the first, in which Redis is well; no bound is asserted.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import quantiles

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from chaos.callers import Broken, Line, post
from chaos.stack import SIMULATOR, Stack, chat
from embedded import redis_server

CALLERS = 8
KEPT = 20
"""Different questions that are asked again and again."""
CACHED = orjson.dumps({"cache": {"mode": "simple"}, "virtual_key": SIMULATOR}).decode()
SLOW_S = 0.05
REST_S_MAX = 20.0
LOOK_S = 0.05


@dataclass(slots=True)
class Phase:
    """Calls of one time, and how long they took in seconds; `cached`: those whose config has a cache."""

    name: str
    cached_s: list[float] = field(default_factory=list)
    plain_s: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    """What `x-portkey-cache-status` said to those that want the cache."""
    failed: int = 0
    examples: list[str] = field(default_factory=list)


async def provoke(stack: Stack, phase_s: float) -> list[Phase]:
    """Every phase in turn; between them Redis is well again."""
    (node,), api_key = stack.nodes, stack.workspaces[0].api_key
    client: Redis = Redis.from_url(redis_server.url(stack.ports.redis, stack.redis_password).reveal_text())
    phases = []
    try:
        for name, act in _ACTS.items():
            await _until_kept(node.port, api_key)
            phase = Phase(name)
            async with act(stack, client), asyncio.TaskGroup() as group:
                ends_s = time.monotonic() + phase_s
                for number in range(CALLERS):
                    group.create_task(_caller(phase, node.port, api_key, ends_s, number))
            phases.append(phase)
            print(_line(phase, phases[0]), flush=True)
    finally:
        await client.aclose()
    return phases


def lines(phases: Sequence[Phase]) -> list[str]:
    told = [f"failed: {example}" for phase in phases for example in phase.examples]
    calls = sum(len(phase.cached_s) + len(phase.plain_s) + phase.failed for phase in phases)
    return [*told, f"redis: {len(phases)} phases, {calls} calls, {sum(phase.failed for phase in phases)} failed"]


def _line(phase: Phase, well: Phase) -> str:
    said = ", ".join(f"{count} x {status}" for status, count in sorted(phase.statuses.items()))
    return (
        f"{phase.name:<10} cached p99 {_p99_ms(phase.cached_s):6.1f} ms (well: {_p99_ms(well.cached_s):.1f}),"
        f" others p99 {_p99_ms(phase.plain_s):6.1f} ms (well: {_p99_ms(well.plain_s):.1f});"
        f" {said}; {phase.failed} failed"
    )


def _p99_ms(seconds: Sequence[float]) -> float:
    return quantiles(seconds, n=100, method="inclusive")[98] * 1_000 if len(seconds) > 1 else float("nan")


async def _caller(phase: Phase, port: int, api_key: str, ends_s: float, seed: int) -> None:
    """Half of its calls want the cache, and most of these ask what was asked before."""
    chance, line = random.Random(seed), await Line.open(port)
    while time.monotonic() < ends_s:
        cached = chance.random() < 0.5
        text = f"question {chance.randrange(KEPT)}" if chance.random() < 0.8 else f"new {chance.random()}"
        request = _request(api_key, text, cached=cached)
        began_s = time.perf_counter()
        try:
            answer = await line.ask(request)
        except Broken:
            phase.failed += 1
            phase.examples.append(f"{phase.name}: the connection broke")
            line = await Line.open(port)
            continue
        took_s = time.perf_counter() - began_s
        if answer.status != 200:
            phase.failed += 1
            phase.examples.append(f"{phase.name}: status {answer.status}: {answer.body[:200]!r}")
            continue
        (phase.cached_s if cached else phase.plain_s).append(took_s)
        if cached:
            phase.statuses[answer.cache] += 1
    await line.close()


def _request(api_key: str, text: str, *, cached: bool) -> bytes:
    body = chat(messages=[{"role": "user", "content": text}])
    return post(api_key, body, x_portkey_config=CACHED) if cached else post(api_key, body)


async def _until_kept(port: int, api_key: str) -> None:
    """Until the cache answers, as it does again by itself."""
    line = await Line.open(port)
    async with asyncio.timeout(REST_S_MAX):
        # Nothing but an answer announces it.
        while (await line.ask(_request(api_key, "question 0", cached=True))).cache != "HIT":  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)
    await line.close()


@asynccontextmanager
async def _well(stack: Stack, client: Redis) -> AsyncIterator[None]:  # noqa: ARG001
    yield


@asynccontextmanager
async def _frozen(stack: Stack, client: Redis) -> AsyncIterator[None]:  # noqa: ARG001
    stack.redis.freeze()
    try:
        yield
    finally:
        stack.redis.thaw()


@asynccontextmanager
async def _slow(stack: Stack, client: Redis) -> AsyncIterator[None]:  # noqa: ARG001
    """Asleep half of the time."""
    sleep = f"DEBUG SLEEP {SLOW_S}"
    async with _again_and_again(lambda: client.execute_command(*sleep.split()), SLOW_S):  # type: ignore[no-untyped-call]
        yield


@asynccontextmanager
async def _wiped(stack: Stack, client: Redis) -> AsyncIterator[None]:  # noqa: ARG001
    """What was kept, and the configuration beside it, is gone again and again."""
    async with _again_and_again(client.flushall, 0.5):
        yield


@asynccontextmanager
async def _read_only(stack: Stack, client: Redis) -> AsyncIterator[None]:  # noqa: ARG001
    await client.config_set("min-replicas-to-write", 1)
    try:
        yield
    finally:
        await client.config_set("min-replicas-to-write", 0)


@asynccontextmanager
async def _killed(stack: Stack, client: Redis) -> AsyncIterator[None]:  # noqa: ARG001
    await stack.redis.kill()
    try:
        yield
    finally:
        await stack.redis.start()


@asynccontextmanager
async def _again_and_again(act: Callable[[], Awaitable[object]], pause_s: float) -> AsyncIterator[None]:
    async def acting() -> None:
        while True:
            try:
                await act()
            except RedisError:
                continue  # It is what is provoked.
            finally:
                await asyncio.sleep(pause_s)

    task = asyncio.create_task(acting())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


_ACTS = {
    "well": _well,
    "frozen": _frozen,
    "slow": _slow,
    "wiped": _wiped,
    "read-only": _read_only,
    "killed": _killed,
}
