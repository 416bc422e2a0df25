"""Where the nodes of one gateway leave each other words about the user key: their Redis (GHS/1 17.14).

`gh:{gateway}:user_key` is the claim, moved by compare-and-set; `:user_key_requests` and `:user_key_answers` are hashes
by node. All of them go by themselves if nobody renews them.
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from typing import Protocol, cast

from redis.exceptions import RedisError

from gateway.sync import redis_client
from gateway.sync.redis_client import TIMEOUT_S

CLAIM_MS = 600_000
"""How long a claim stands by itself: so long nobody else makes a key while all who have it are away."""

_MOVE = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""


class BoardUnavailable(Exception):
    """Redis cannot be asked just now."""


class Board(Protocol):
    """Where the nodes of one gateway leave words for each other. Every method may raise BoardUnavailable."""

    async def claim(self) -> bytes | None: ...

    async def move_claim(self, before: bytes | None, claim: bytes) -> bool:
        """False: somebody was faster."""
        ...

    async def requests(self, nodes: Collection[str]) -> list[bytes]:
        """Of these nodes; who else may have written there is not even looked at."""
        ...

    async def ask(self, node: str, request: bytes) -> None: ...

    async def answer(self, node: str, answer: bytes) -> None: ...

    async def answer_to(self, node: str) -> bytes | None: ...

    async def done(self, node: str) -> None:
        """It has what it asked for."""
        ...

    async def close(self) -> None: ...


class RedisBoard:
    def __init__(self, url: str, gateway: str, *, timeout_s: float = TIMEOUT_S) -> None:
        prefix = redis_client.prefix(gateway)
        self._redis = redis_client.client(url, timeout_s)
        self._claim = f"{prefix}user_key"
        self._requests = f"{prefix}user_key_requests"
        self._answers = f"{prefix}user_key_answers"
        self._timeout_s = timeout_s
        self._move = self._redis.register_script(_MOVE)

    async def claim(self) -> bytes | None:
        async with self._asking():
            return cast("bytes | None", await self._redis.get(self._claim))

    async def move_claim(self, before: bytes | None, claim: bytes) -> bool:
        async with self._asking():
            return bool(await self._move(keys=[self._claim], args=[before or b"", claim, CLAIM_MS]))

    async def requests(self, nodes: Collection[str]) -> list[bytes]:
        if not nodes:
            return []
        async with self._asking():
            found = cast("list[bytes | None]", await self._redis.hmget(self._requests, list(nodes)))
            return [request for request in found if request is not None]

    async def ask(self, node: str, request: bytes) -> None:
        await self._leave(self._requests, node, request)

    async def answer(self, node: str, answer: bytes) -> None:
        await self._leave(self._answers, node, answer)

    async def answer_to(self, node: str) -> bytes | None:
        async with self._asking():
            return cast("bytes | None", await self._redis.hget(self._answers, node))

    async def done(self, node: str) -> None:
        async with self._asking():
            for key in (self._requests, self._answers):
                await self._redis.hdel(key, node)

    async def close(self) -> None:
        with suppress(RedisError, OSError):
            await self._redis.aclose()

    async def _leave(self, key: str, node: str, word: bytes) -> None:
        async with self._asking():
            await self._redis.hset(key, node, word)
            await self._redis.pexpire(key, CLAIM_MS)

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except (RedisError, OSError, TimeoutError) as error:
            raise BoardUnavailable(f"{type(error).__name__}: {error}") from error
