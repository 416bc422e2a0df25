"""The Redis store when Redis is not well: away, killed, frozen, wiped, full, shut with another password."""

import asyncio

import pytest

from gateway.sync.redis_store import RedisStore
from gateway.sync.store import StoreUnavailable
from tests.fixtures.house import GATEWAY
from tests.fixtures.redis import RedisServer

HANG_S = 30
TURNS = 20
"""Of the loop: in so many a command is on its way."""


async def test_keys_share_one_hash_tag(redis_server: RedisServer) -> None:
    """GHS/1 8.3."""
    store = RedisStore(redis_server.url, GATEWAY)
    await store.put({"value:aa": b"1", "manifest:bb": b"2"})
    await store.touch(["value:aa"])
    await store.move(None, b"one")
    await store.move(b"one", b"two")
    keys = sorted(await store._redis.keys("*"))
    names = ("manifest:bb", "pointer", "pointers", "touched", "value:aa")
    assert keys == [f"gh:{{{GATEWAY}}}:{name}".encode() for name in names]
    await store.close()


async def test_two_gateways_in_one_redis_do_not_see_each_other(redis_server: RedisServer) -> None:
    one, two = RedisStore(redis_server.url, "gw_one"), RedisStore(redis_server.url, "gw_two")
    assert await one.move(None, b"of one")
    assert await two.pointer() is None
    await one.close()
    await two.close()


async def test_killed_it_is_unavailable_and_comes_back_by_itself(redis_server: RedisServer) -> None:
    store = RedisStore(redis_server.url, GATEWAY)
    assert await store.move(None, b"one")
    redis_server.kill()
    for call in (
        store.pointer(),
        store.pointers(),
        store.move(None, b"x"),
        store.get(["value:a"]),
        store.touch(["value:a"]),
    ):
        with pytest.raises(StoreUnavailable):
            await call
    with pytest.raises(StoreUnavailable):
        await store.put({"value:a": b"1"})
    with pytest.raises(StoreUnavailable):
        await store.sweep([])
    redis_server.start()
    assert await store.pointer() is None, "nothing is left of the killed one"
    assert await store.move(None, b"two")
    await store.close()


async def test_a_name_of_nobody_s_making_does_not_keep_others_from_being_swept(redis_server: RedisServer) -> None:
    store = RedisStore(redis_server.url, GATEWAY, sweep_after_s=0)
    await store.touch(["value:aa"])
    await store.put({"value:aa": b"1"})
    await store._redis.zadd(store._key("touched"), {b"\xff": 0, b"value:\xff": 0})
    assert await store.sweep([]) == 1
    assert await store.get(["value:aa"]) == {}
    await store.close()


async def test_frozen_it_is_unavailable_after_its_timeout(redis_server: RedisServer) -> None:
    store = RedisStore(redis_server.url, GATEWAY, timeout_s=0.1)
    assert await store.move(None, b"one")
    redis_server.freeze()
    with pytest.raises(StoreUnavailable):
        await store.pointer()
    redis_server.thaw()
    assert await store.pointer() == b"one"
    await store.close()


@pytest.mark.parametrize("frozen", [False, True])
async def test_who_is_cancelled_ends_at_once_wherever_the_command_is(
    redis_server: RedisServer, *, frozen: bool
) -> None:
    """asyncio's `wait_for`, which redis-py would write within, may answer a cancellation by a result."""
    store = RedisStore(redis_server.url, GATEWAY, timeout_s=10 * HANG_S)
    for turns in range(TURNS):
        await store.pointer()
        if frozen:
            redis_server.freeze()
        asking = asyncio.create_task(store.pointer())
        for _ in range(turns):
            await asyncio.sleep(0)
        if asking.cancel():
            async with asyncio.timeout(HANG_S):
                await asyncio.wait([asking])
            assert asking.cancelled(), f"after {turns} turns of the loop"
        redis_server.thaw()
    await store.close()


async def test_full_it_is_unavailable_for_writing_and_readable_still(redis_server: RedisServer) -> None:
    store = RedisStore(redis_server.url, GATEWAY)
    await store.put({"value:aa": b"1"})
    await store._redis.config_set("maxmemory", "1")
    with pytest.raises(StoreUnavailable):
        await store.put({"value:bb": b"2"})
    assert await store.get(["value:aa", "value:bb"]) == {"value:aa": b"1"}
    await store.close()


async def test_the_wrong_password_is_unavailable_and_not_told(redis_server: RedisServer) -> None:
    store = RedisStore(f"redis://:wrong-marker@127.0.0.1:{redis_server.port}/0", GATEWAY)
    with pytest.raises(StoreUnavailable) as unavailable:
        await store.pointer()
    assert "wrong-marker" not in str(unavailable.value)
    await store.close()
