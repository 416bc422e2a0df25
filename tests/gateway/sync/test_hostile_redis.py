"""Whoever can write to the shared Redis can keep nodes from what is there, and changes nothing that they serve."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import orjson
import pytest
from redis.asyncio import Redis

from gateway.sync.agent import Agent
from gateway.sync.disk_store import DiskStore
from gateway.sync.follower import Follower
from gateway.sync.redis_store import RedisStore
from gateway.sync.state import VerifiedState
from gateway.sync.tree import TreeError, read_pointer
from shared.clock import FakeClock
from tests.fixtures.house import GATEWAY, House
from tests.fixtures.redis import RedisServer

EDITS = 200
PREFIX = f"gh:{{{GATEWAY}}}:".encode()


class Stranger:
    """Edits what is in Redis, at random and with knowledge of what it is."""

    def __init__(self, redis: Redis, dice: random.Random) -> None:
        self._redis = redis
        self._dice = dice
        self._seen: dict[bytes, bytes] = {}
        """Everything there ever was, to be put back somewhere."""
        self._pointers: list[bytes] = []
        """Those that can be read."""

    async def edit(self) -> str:
        for key in await self._redis.keys("*"):
            assert isinstance(key, bytes)
            if await self._redis.type(key) == b"string":
                value = await self._redis.get(key)
                assert isinstance(value, bytes)
                self._seen[key] = value
                if key == PREFIX + b"pointer":
                    with suppress(TreeError):
                        read_pointer(self._seen[key])
                        self._pointers.append(self._seen[key])
        acts: list[Callable[[bytes], Awaitable[str]]] = [
            self._bit, self._cut, self._swap, self._remove, self._retype, self._older, self._mixed, self._rubbish,
        ]  # fmt: skip
        key = self._dice.choice([*self._seen, *[PREFIX + b"pointer"] * len(self._seen)] or [PREFIX + b"pointer"])
        return await self._dice.choice(acts)(key)

    async def _put(self, key: bytes, value: bytes) -> str:
        await self._redis.delete(key)
        await self._redis.set(key, value)
        return f"{key!r} is {value[:40]!r}"

    async def _bit(self, key: bytes) -> str:
        data = bytearray(self._seen.get(key, b"0"))
        if data:
            data[self._dice.randrange(len(data))] ^= 1 << self._dice.randrange(8)
        return await self._put(key, bytes(data))

    async def _cut(self, key: bytes) -> str:
        data = self._seen.get(key, b"")
        return await self._put(key, data[: self._dice.randrange(len(data) + 1)])

    async def _swap(self, key: bytes) -> str:
        return await self._put(key, self._seen[self._dice.choice([*self._seen])] if self._seen else b"")

    async def _remove(self, key: bytes) -> str:
        await self._redis.delete(key)
        return f"{key!r} is gone"

    async def _retype(self, key: bytes) -> str:
        await self._redis.delete(key)
        await self._redis.rpush(key, b"1", b"2")
        return f"{key!r} is a list"

    async def _older(self, _: bytes) -> str:
        return await self._put(PREFIX + b"pointer", self._dice.choice(self._pointers or [b""]))

    async def _mixed(self, _: bytes) -> str:
        """One's lease over another's pieces, or fewer of them, or more."""
        if not self._pointers:
            return "nothing"
        one, other = (orjson.loads(self._dice.choice(self._pointers)) for _ in range(2))
        field = self._dice.choice(["lease", "key_chain", "shards", "sequence"])
        one[field] = other[field]
        if self._dice.random() < 0.3:
            one["shards"].pop(self._dice.choice(sorted(one["shards"])))
        if self._dice.random() < 0.3:
            one["shards"][self._dice.choice(["ws:other", "global"])] = self._dice.choice([*other["shards"].values()])
        return await self._put(PREFIX + b"pointer", orjson.dumps(one, option=orjson.OPT_SORT_KEYS))

    async def _rubbish(self, key: bytes) -> str:
        values = [b"", b"null", b"[]", b"{}", b"5", b"\xff\xfe", b'{"entries":[],"parts":[]}', b"[" * 2000]
        return await self._put(key, self._dice.choice(values))


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_server.url)
    yield client
    await client.aclose()


@pytest.mark.parametrize("seed", range(2))
async def test_nothing_that_a_stranger_writes_is_served(
    house: House, clock: FakeClock, tmp_path: Path, redis_server: RedisServer, redis: Redis, seed: int
) -> None:
    """GHS/1 4.4, 6.5, 6.7, 8.2, 8.5, 8.8: and once it is left in peace the newest is there again."""
    dice = random.Random(seed)
    signed: dict[int, dict[str, str]] = {}
    applied: list[int] = []

    def publish() -> bytes:
        house.configs["default"] = {"virtual_key": "simulator", "override_params": {"seed": len(signed)}}
        data = house.document()
        document = orjson.loads(data)
        signed[len(signed) + 1] = {shard["shard"]: str(shard["revision"]) for shard in document["shards"]}
        return data

    async def apply(state: VerifiedState) -> None:
        assert signed[state.lease.sequence] == {name: str(shard.revision) for name, shard in state.shards.items()}
        assert applied == [] or state.lease.sequence > applied[-1]
        applied.append(state.lease.sequence)

    file = tmp_path / "snapshot.json"
    shared = RedisStore(redis_server.url, GATEWAY, timeout_s=5.0)
    disk = DiskStore(tmp_path / "disk.sqlite3", clock)
    whose = {"pinned": house.fingerprint, "gateway": GATEWAY, "node_keys": house.node_keys, "clock": clock}
    agent = Agent(stores=[disk, shared], snapshot_path=file, **whose)  # type: ignore[arg-type]
    follower = Follower(stores=[shared], apply=apply, **whose)  # type: ignore[arg-type]
    stranger = Stranger(redis, dice)
    for number in range(EDITS):
        if number % 20 == 0:
            file.with_suffix(".new").write_bytes(publish())
            file.with_suffix(".new").replace(file)
        what = await stranger.edit()
        for turn in dice.sample([agent.turn, follower.turn], k=dice.randrange(3)):
            try:
                await turn()
            except Exception as error:
                raise AssertionError(f"seed {seed}, edit {number}: {what}") from error
        clock.advance(1)
    for key in await redis.keys("*"):
        if await redis.type(key) == b"list" or key == PREFIX + b"touched":
            await redis.delete(key)
    for _ in range(10):
        await agent.turn()
        await follower.turn()
        clock.advance(60)
    assert agent.status().sequence == len(signed)
    assert applied[-1] == len(signed)
    assert agent.status().stores == {"disk": True, "redis": True}
    assert agent.status().refusal is None
    await shared.close()
    await disk.close()
