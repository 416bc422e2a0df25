"""A cache for a corridor of its own: none, or one in a real Redis with a key that is there."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.cache.answers import Answers
from gateway.cache.claims import Claims
from gateway.cache.keys import CacheKeys
from gateway.cache.redis_line import RedisLine, ended
from gateway.pipeline.cached import Cached
from gateway.pipeline.idempotent import Idempotent
from gateway.telemetry.user_key_file import FILE, UserKeyFile
from shared.clock import Clock, FakeClock

USER_KEY = bytes(range(32))
PREFIX = "gh:{gw}:"
BODY_BYTES_MAX = 4_000
PATIENT_S = 1.0
"""For a reply, where Redis is well and the machine may be busy."""
UP_S = 10.0
"""Only a guard against hanging."""


def cache_keys(key: bytes = USER_KEY, prefix: str = PREFIX) -> CacheKeys:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / FILE).write_bytes(key)
        file = UserKeyFile(Path(folder), FakeClock())
        file.key()
    return CacheKeys(file, lambda: prefix)


def no_cache(clock: Clock) -> Cached:
    return Cached(Answers(None, cache_keys(), "cache", BODY_BYTES_MAX), clock)


def not_idempotent(clock: Clock) -> Idempotent:
    answers = Answers(None, cache_keys(), "retry", BODY_BYTES_MAX)
    return Idempotent(Claims(None, answers, 60, asyncio.sleep), clock)


@asynccontextmanager
async def running_line(url: str, reply_s: float = PATIENT_S) -> AsyncIterator[RedisLine]:
    """A line that is up."""
    line = RedisLine(url, reply_s=reply_s)
    running = asyncio.create_task(line.run())
    try:
        await until_up(line)
        yield line
    finally:
        await ended(running)


async def until_up(line: RedisLine) -> None:
    async with asyncio.timeout(UP_S):
        while not line.is_up:  # noqa: ASYNC110 - it has no event for those who need not wait
            await asyncio.sleep(0.005)
