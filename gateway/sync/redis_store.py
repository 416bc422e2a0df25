"""The store nodes share: Redis 6.2 or newer (GHS/1 8). One hash tag for all keys of a gateway, as a cluster wants it.

`gh:{gateway}:value:<hex>` and `:manifest:<hex>` are immutable; `:pointer` moves by compare-and-set; `:pointers` keeps
the ones before; `:touched` is a sorted set of names by the time a writer last meant to use them, which makes sweeping
safe without SCAN. Times are the server's own.
"""

import asyncio
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from redis.exceptions import RedisError

from gateway.sync import redis_client
from gateway.sync.redis_client import TIMEOUT_S
from gateway.sync.store import POINTERS_KEPT, SWEEP_AFTER_S, StoreUnavailable

NAME = "redis"
BATCH_PIECES = 256
BATCH_BYTES = 4 * 1024 * 1024

_MOVE = """
local before = redis.call('GET', KEYS[1])
if (before or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
if before then
  redis.call('LPUSH', KEYS[2], before)
  redis.call('LTRIM', KEYS[2], 0, tonumber(ARGV[3]) - 2)
end
return 1
"""

_TOUCH = """
local now = redis.call('TIME')[1]
local missing = {}
for i = 2, #KEYS do
  redis.call('ZADD', KEYS[1], now, ARGV[i - 1])
  if redis.call('EXISTS', KEYS[i]) == 0 then missing[#missing + 1] = ARGV[i - 1] end
end
return missing
"""

_SWEEP = """
local cutoff = redis.call('TIME')[1] - tonumber(ARGV[1])
local gone = 0
for i = 2, #KEYS do
  local touched = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if touched and tonumber(touched) <= cutoff then
    gone = gone + redis.call('DEL', KEYS[i])
    redis.call('ZREM', KEYS[1], ARGV[i])
  end
end
return gone
"""


class RedisStore:
    """Connects when first used, again after every failure, and waits TIMEOUT_S at most for each answer."""

    def __init__(
        self, url: str, gateway: str, *, timeout_s: float = TIMEOUT_S, sweep_after_s: int = SWEEP_AFTER_S
    ) -> None:
        self._redis = redis_client.client(url, timeout_s)
        self._prefix = redis_client.prefix(gateway)
        self._timeout_s = timeout_s
        self._sweep_after_s = sweep_after_s
        self._move = self._redis.register_script(_MOVE)
        self._touch = self._redis.register_script(_TOUCH)
        self._sweep = self._redis.register_script(_SWEEP)

    @property
    def name(self) -> str:
        return NAME

    async def pointer(self) -> bytes | None:
        with self._renamed():
            async with asyncio.timeout(self._timeout_s):
                return cast("bytes | None", await self._redis.get(self._key("pointer")))

    async def pointers(self) -> list[bytes]:
        with self._renamed():
            async with asyncio.timeout(self._timeout_s):
                newest = await self._redis.get(self._key("pointer"))
                before = await self._redis.lrange(self._key("pointers"), 0, POINTERS_KEPT - 2)
                return cast("list[bytes]", [*([newest] if newest is not None else []), *before])

    async def move(self, expected: bytes | None, pointer: bytes) -> bool:
        keys = [self._key("pointer"), self._key("pointers")]
        with self._renamed():
            async with asyncio.timeout(self._timeout_s):
                return bool(await self._move(keys=keys, args=[expected or b"", pointer, POINTERS_KEPT]))

    async def touch(self, names: Collection[str]) -> set[str]:
        missing: set[str] = set()
        for batch in _batches(names):
            with self._renamed():
                async with asyncio.timeout(self._timeout_s):
                    answer: list[bytes] = await self._touch(keys=self._keys(batch), args=batch)
                    missing.update(name.decode() for name in answer)
        return missing

    async def get(self, names: Collection[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for batch in _batches(names):
            with self._renamed():
                async with asyncio.timeout(self._timeout_s):
                    values = cast("list[bytes | None]", await self._redis.mget([self._key(name) for name in batch]))
                    found.update((name, value) for name, value in zip(batch, values, strict=True) if value is not None)
        return found

    async def put(self, pieces: Mapping[str, bytes]) -> None:
        for batch in _batches_of_bytes(pieces):
            with self._renamed():
                async with asyncio.timeout(self._timeout_s):
                    await self._redis.mset({self._key(name): pieces[name] for name in batch})

    async def sweep(self, keep: Collection[str]) -> int:
        gone = 0
        with self._renamed():
            async with asyncio.timeout(self._timeout_s):
                listed = cast("list[bytes]", await self._redis.zrange(self._key("touched"), 0, -1))
        # Whoever else can write there may have left names that are no text. They are passed over.
        names = (name.decode(errors="replace") for name in listed)
        for batch in _batches([name for name in names if name not in keep]):
            with self._renamed():
                async with asyncio.timeout(self._timeout_s):
                    gone += int(await self._sweep(keys=self._keys(batch), args=[self._sweep_after_s, *batch]))
        return gone

    async def close(self) -> None:
        with self._renamed():
            await self._redis.aclose()

    def _key(self, name: str) -> str:
        return self._prefix + name

    def _keys(self, names: Collection[str]) -> list[str]:
        return [self._key("touched"), *map(self._key, names)]

    @contextmanager
    def _renamed(self) -> Iterator[None]:
        try:
            yield
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(NAME, f"{type(error).__name__}: {error}") from error


def _batches(names: Collection[str]) -> Iterator[list[Any]]:
    listed = list(names)
    for start in range(0, len(listed), BATCH_PIECES):
        yield listed[start : start + BATCH_PIECES]


def _batches_of_bytes(pieces: Mapping[str, bytes]) -> Iterator[list[str]]:
    """Batches of at most BATCH_PIECES and, beyond one piece, BATCH_BYTES, so that each fits its timeout."""
    batch: list[str] = []
    size = 0
    for name, piece in pieces.items():
        if batch and (len(batch) == BATCH_PIECES or size + len(piece) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(name)
        size += len(piece)
    if batch:
        yield batch
