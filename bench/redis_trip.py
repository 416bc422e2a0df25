"""What one round trip to Redis costs a worker, in CPU microseconds: the cache's own line, asked for a kept answer.

The URL comes in BENCH_REDIS_URL. Many callers ask at once, as calls do.
"""

import asyncio
import gc
import os
import time
from statistics import median

import uvloop

from gateway.cache.redis_line import RedisLine, ended
from gateway.roles.node import COLLECTOR_THRESHOLDS

CALLERS = 64
ASKED = 100
ROUNDS = 9
ANSWER_BYTES = 1_100
KEY = b"bench:trip"
LINE_S_MAX = 10.0
LOOK_S = 0.01


async def measure(url: str) -> float:
    line = RedisLine(url, reply_s=LINE_S_MAX)  # A busy machine may be late; what is measured is work.
    running = asyncio.create_task(line.run())
    try:
        async with asyncio.timeout(LINE_S_MAX):
            while not line.is_up:  # noqa: ASYNC110 (a line has no event for it; a worker just asks)
                await asyncio.sleep(LOOK_S)
        await line.ask(b"SET", KEY, b"x" * ANSWER_BYTES)
        gc.freeze()
        gc.set_threshold(*COLLECTOR_THRESHOLDS)

        async def asking() -> None:
            for _ in range(ASKED):
                await line.ask(b"GET", KEY)

        rounds = []
        for _ in range(ROUNDS):
            began = time.process_time_ns()
            await asyncio.gather(*(asking() for _ in range(CALLERS)))
            rounds.append((time.process_time_ns() - began) / 1_000 / CALLERS / ASKED)
        return median(rounds)
    finally:
        await ended(running)


if __name__ == "__main__":
    print(f"a round trip to Redis: {uvloop.run(measure(os.environ['BENCH_REDIS_URL'])):.1f} µs of CPU")
