"""Which of the nodes that share a Redis keeps the watch (GHS/1 15.4). Saves requests; nothing else rests on it."""

import asyncio
from contextlib import suppress
from typing import Protocol

from redis.exceptions import RedisError

from gateway.sync import redis_client
from gateway.sync.redis_client import TIMEOUT_S

LEASE_MS = 15_000
RENEW_S = 5.0

_LEAD = """
local leader = redis.call('GET', KEYS[1])
if leader and leader ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

_RESIGN = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
"""


class Leader(Protocol):
    async def leads(self) -> bool:
        """Whether this node is to watch; asked every RENEW_S."""
        ...

    async def resign(self) -> None: ...


class Alone:
    """A node that shares no Redis watches for itself."""

    async def leads(self) -> bool:
        return True

    async def resign(self) -> None:
        return None


class RedisLeader:
    def __init__(self, url: str, gateway: str, node: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self._redis = redis_client.client(url, timeout_s)
        self._key = f"{redis_client.prefix(gateway)}leader"
        self._node = node
        self._timeout_s = timeout_s
        self._lead = self._redis.register_script(_LEAD)
        self._resign = self._redis.register_script(_RESIGN)

    async def leads(self) -> bool:
        """True also where Redis cannot say: two watches are better than none."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return bool(await self._lead(keys=[self._key], args=[self._node, LEASE_MS]))
        except (RedisError, OSError, TimeoutError):
            return True

    async def resign(self) -> None:
        """Let another node take over at once, and disconnect."""
        with suppress(RedisError, OSError, TimeoutError):
            # Not by `asyncio.timeout`: before Python 3.11.3 its end in a cancelled task is one more cancellation.
            await asyncio.wait_for(self._resign(keys=[self._key], args=[self._node]), self._timeout_s)
        with suppress(RedisError, OSError):
            await self._redis.aclose()
