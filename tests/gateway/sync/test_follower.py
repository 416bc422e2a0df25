"""The follower: a worker gets every newer state once, shares what did not change, and keeps what it has."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from structlog.testing import capture_logs

from gateway.sync import copies, tree, trust
from gateway.sync.disk_store import DiskStore
from gateway.sync.follower import FIRST_POLL_S, RETRY_S, Follower
from gateway.sync.redis_store import RedisStore
from gateway.sync.state import VerifiedState
from gateway.sync.store import MemoryStore, Store
from gateway.sync.tree import Planted
from shared.clock import FakeClock
from shared.protocol import lease as leases
from shared.protocol.lease import sign_lease
from shared.protocol.snapshot import Snapshot
from tests.fixtures.house import GATEWAY, HOUR_MS, House, new_node_keys
from tests.fixtures.redis import RedisServer

HANG_S = 30


@pytest.fixture
def disk(clock: FakeClock) -> MemoryStore:
    return MemoryStore(clock, "disk")


@pytest.fixture
def redis(clock: FakeClock) -> MemoryStore:
    return MemoryStore(clock, "redis")


class Worker:
    """A follower and what it applied."""

    def __init__(self, house: House, stores: list[Store]) -> None:
        self.applied: list[VerifiedState] = []
        self.follower = self.new(house, stores, self._apply)
        self.clock = house.clock

    @staticmethod
    def new(house: House, stores: list[Store], apply: Callable[[VerifiedState], Awaitable[None]]) -> Follower:
        return Follower(
            stores=stores,
            pinned=house.fingerprint,
            gateway=GATEWAY,
            node_keys=house.node_keys,
            clock=house.clock,
            apply=apply,
        )

    async def _apply(self, state: VerifiedState) -> None:
        self.applied.append(state)

    async def turn(self) -> None:
        self.clock.advance(2)
        await self.follower.turn()

    @property
    def sequences(self) -> list[int]:
        return [state.lease.sequence for state in self.applied]


@pytest.fixture
def worker(house: House, disk: MemoryStore, redis: MemoryStore) -> Worker:
    return Worker(house, [disk, redis])


def plant(house: House, snapshot: Snapshot) -> Planted:
    lease = trust.verify_lease(snapshot.lease, pinned_fingerprint=house.fingerprint, gateway=GATEWAY)
    return tree.plant(snapshot, lease)


async def put(store: Store, house: House, snapshot: Snapshot | None = None) -> Planted:
    planted = plant(house, snapshot or house.publish())
    assert await copies.publish(store, planted, await store.pointer(), ())
    return planted


async def test_the_first_load_is_from_disk_with_redis_away(
    worker: Worker, house: House, disk: MemoryStore, redis: MemoryStore
) -> None:
    await put(disk, house)
    redis.away = True
    await worker.follower.turn()
    assert worker.sequences == [1]


async def test_the_first_load_is_from_redis_where_the_disk_is_new(
    worker: Worker, house: House, redis: MemoryStore
) -> None:
    await put(redis, house)
    await worker.follower.turn()
    assert worker.sequences == [1]


async def test_with_nothing_anywhere_there_is_nothing_to_serve(worker: Worker) -> None:
    await worker.follower.turn()
    assert worker.follower.status.sequence is None


async def test_the_first_load_from_real_stores(house: House, tmp_path: Path, redis_server: RedisServer) -> None:
    """Law 3: the disk alone is enough, with Redis killed."""
    disk, redis = DiskStore(tmp_path / "c.sqlite", house.clock), RedisStore(redis_server.url, GATEWAY)
    snapshot = house.publish()
    await put(disk, house, snapshot)
    await put(redis, house, snapshot)
    redis_server.kill()
    worker = Worker(house, [disk, redis])
    await worker.follower.turn()
    await worker.turn()
    assert worker.sequences == [1]
    await disk.close()
    await redis.close()


async def test_each_newer_state_is_applied_once(
    worker: Worker, house: House, disk: MemoryStore, redis: MemoryStore
) -> None:
    for _ in range(3):
        snapshot = house.publish()
        for store in (disk, redis):
            await put(store, house, snapshot)
        await worker.turn()
        await worker.turn()
    assert worker.sequences == [1, 2, 3]


async def test_a_fresh_lease_over_the_same_content_is_held_and_not_applied_again(
    worker: Worker, house: House, disk: MemoryStore
) -> None:
    """GHS/1 14.9: there is nothing to compile."""
    snapshot = house.publish()
    await put(disk, house, snapshot)
    await worker.turn()
    held = leases.parse(snapshot.lease.payload)
    fresh = sign_lease(house.signing_key, held.model_copy(update={"sequence": 9}))
    await put(disk, house, replace(snapshot, lease=fresh))
    await worker.turn()
    assert worker.sequences == [1]
    assert worker.follower.status.sequence == 9


async def test_what_redis_has_newer_is_applied(
    worker: Worker, house: House, disk: MemoryStore, redis: MemoryStore
) -> None:
    await put(disk, house)
    await worker.turn()
    await put(redis, house)
    await worker.turn()
    assert worker.sequences == [1, 2]


async def test_a_store_that_lags_changes_nothing_and_is_no_refusal(
    worker: Worker, house: House, disk: MemoryStore, redis: MemoryStore
) -> None:
    """GHS/1 6.7."""
    older = house.publish()
    await put(disk, house)
    await worker.turn()
    await put(redis, house, older)
    await worker.turn()
    await put(disk, house, older)
    await worker.turn()
    assert worker.sequences == [2]
    assert worker.follower.status.refusal is None


async def test_a_refusal_is_over_when_the_store_has_what_is_served(
    worker: Worker, house: House, disk: MemoryStore, redis: MemoryStore
) -> None:
    await put(disk, house)
    redis.history = [b"what somebody else left"]
    await worker.turn()
    assert worker.follower.status.refusal == "malformed"
    redis.history = list(disk.history)
    await worker.turn()
    assert worker.follower.status.refusal is None


async def test_unchanged_shards_are_the_same_objects(worker: Worker, house: House, disk: MemoryStore) -> None:
    await put(disk, house)
    await worker.turn()
    house.configs["second"] = {"virtual_key": "simulator"}
    await put(disk, house)
    await worker.turn()
    before, after = worker.applied
    assert after.shards["global"] is before.shards["global"]
    assert after.shards["ws:ws_test"] is not before.shards["ws:ws_test"]
    kept = {id(resource) for resource in before.shards["ws:ws_test"].resources}
    new = [r.id for r in after.shards["ws:ws_test"].resources if id(r) not in kept]
    assert new == ["ws_test/second"]


async def test_a_state_opens_resource_by_resource(worker: Worker, house: House, disk: MemoryStore) -> None:
    """GHS/1 3.8, 5.3."""
    await put(disk, house)
    await worker.turn()
    state = worker.applied[0]
    opened = {
        (resource.kind, resource.id): orjson.loads(state.opener.open(resource))
        for shard in state.shards.values()
        for resource in shard.resources
    }
    assert opened["config", "ws_test/default"]["body"] == {"virtual_key": "simulator"}
    assert opened["provider", "simulator"]["base_url"] == "http://127.0.0.1:9/v1"
    virtual_key = next(r for r in state.shards["ws:ws_test"].resources if r.kind == "virtual_key")
    credential = opened["virtual_key", virtual_key.id]["credential"]
    assert orjson.loads(state.opener.open_credential(virtual_key, credential).reveal()) == {"api_key": "sk-simulator"}


async def test_what_is_refused_is_named_once_and_what_is_held_stays(
    worker: Worker, house: House, disk: MemoryStore, clock: FakeClock
) -> None:
    """GHS/1 16.1."""
    await put(disk, house)
    await worker.turn()
    stranger = House(clock)
    disk.history.insert(0, plant(stranger, stranger.publish()).pointer)
    with capture_logs() as logs:
        for _ in range(3):
            await worker.turn()
    assert [entry["code"] for entry in logs] == ["lease_key"]
    assert worker.sequences == [1]
    assert (worker.follower.status.sequence, worker.follower.status.refusal) == (1, "lease_key")
    disk.history.pop(0)
    await put(disk, house)
    await worker.turn()
    assert worker.sequences == [1, 2]
    assert worker.follower.status.refusal is None


async def test_a_stored_tree_that_is_not_the_signed_one_is_refused(
    worker: Worker, house: House, disk: MemoryStore
) -> None:
    """GHS/1 4.4, 8.8: genuine lease, intact pieces, and yet not what was signed."""
    first = await put(disk, house)
    house.configs["second"] = {"virtual_key": "simulator"}
    second = plant(house, house.publish())
    await disk.put(second.pieces)
    shards = orjson.loads(first.pointer)["shards"]
    mixed = orjson.dumps({**orjson.loads(second.pointer), "shards": shards}, option=orjson.OPT_SORT_KEYS)
    disk.history.insert(0, mixed)
    await worker.turn()
    assert worker.sequences == []
    assert worker.follower.status.refusal == "digest_mismatch"


async def test_a_state_that_is_not_all_there_is_applied_when_it_is(
    worker: Worker, house: House, disk: MemoryStore
) -> None:
    """GHS/1 8.8."""
    planted = await put(disk, house)
    name = next(name for name in planted.pieces if name.startswith("value:"))
    piece = disk.pieces.pop(name)
    await worker.follower.turn()
    assert worker.follower.status.refusal == "incomplete"
    disk.pieces[name] = piece
    await worker.turn()
    assert worker.sequences == [1]
    assert worker.follower.status.refusal is None


async def test_a_node_without_a_key_refuses_by_name(house: House, disk: MemoryStore) -> None:
    """GHS/1 5.5."""
    await put(disk, house)
    house.node_keys = new_node_keys("nd_other")
    worker = Worker(house, [disk])
    await worker.follower.turn()
    assert worker.follower.status.refusal == "key_chain_unopened"


async def test_an_expired_state_is_served_and_marked(
    worker: Worker, house: House, disk: MemoryStore, clock: FakeClock
) -> None:
    """GHS/1 6.8."""
    await put(disk, house, house.publish(lease_ms=HOUR_MS))
    clock.advance(7200)
    await worker.turn()
    assert [state.stale for state in worker.applied] == [True]
    assert worker.follower.status.stale


async def test_a_state_becomes_stale_while_it_is_served(
    worker: Worker, house: House, disk: MemoryStore, clock: FakeClock
) -> None:
    await put(disk, house, house.publish(lease_ms=HOUR_MS))
    await worker.turn()
    assert not worker.follower.status.stale
    clock.advance(3600)
    assert worker.follower.status.stale


async def test_a_view_that_cannot_be_made_does_not_stop_the_worker_from_following(
    house: House, disk: MemoryStore, clock: FakeClock
) -> None:
    """The loop, on its own: the first apply fails, the next state is taken."""
    applied: list[int] = []
    tried = asyncio.Event()
    done = asyncio.Event()

    async def apply(state: VerifiedState) -> None:
        tried.set()
        if state.lease.sequence == 1:
            raise RuntimeError("a fault of ours")
        applied.append(state.lease.sequence)
        done.set()

    follower = Worker.new(house, [disk], apply)
    await put(disk, house)
    with capture_logs() as logs:
        running = asyncio.create_task(follower.run())
        async with asyncio.timeout(30):
            await tried.wait()
            await put(disk, house)
            while not done.is_set():
                clock.advance(1)
                await asyncio.sleep(0.01)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    assert applied == [2]
    assert "sync_follower_failed" in [entry["event"] for entry in logs]


async def test_a_state_that_could_not_be_applied_just_then_is_applied_later(house: House, disk: MemoryStore) -> None:
    """Want of memory, or of a thread, passes; a revoked key of this state may not serve until the next one."""
    applied: list[int] = []
    failures = [RuntimeError("can't start new thread")]

    async def apply(state: VerifiedState) -> None:
        if failures:
            raise failures.pop()
        applied.append(state.lease.sequence)

    follower = Worker.new(house, [disk], apply)
    await put(disk, house)
    with pytest.raises(RuntimeError):
        await follower.turn()
    await follower.turn()
    assert applied == [], "not at once again and again: it may be for good"
    house.clock.advance(RETRY_S)
    await follower.turn()
    assert applied == [1]
    house.clock.advance(FIRST_POLL_S)
    await put(disk, house)
    await follower.turn()
    assert applied == [1, 2]


class Slow(MemoryStore):
    """Says at once where the newest state is, and what it is when it is let."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock, "redis")
        self.asked = asyncio.Event()
        self.let = asyncio.Event()

    async def get(self, names: Collection[str]) -> dict[str, bytes]:
        self.asked.set()
        await self.let.wait()
        return await super().get(names)


@contextlib.asynccontextmanager
async def following(worker: Worker, looked: asyncio.Event | None = None) -> AsyncIterator[None]:
    running = asyncio.create_task(worker.follower.run(looked))
    async with asyncio.timeout(HANG_S):
        yield
    running.cancel()
    await asyncio.wait([running])


async def until(worker: Worker, holds: Callable[[], bool]) -> None:
    while not holds():
        worker.clock.advance(1)
        await asyncio.sleep(0.01)


async def test_a_redis_that_stands_still_holds_up_nothing_on_disk(
    house: House, tmp_path: Path, redis_server: RedisServer
) -> None:
    disk = DiskStore(tmp_path / "c.sqlite", house.clock)
    redis = RedisStore(redis_server.url, GATEWAY, timeout_s=10 * HANG_S)
    worker = Worker(house, [disk, redis])
    redis_server.freeze()
    async with following(worker):
        for sequence in (1, 2):
            await put(disk, house)
            await until(worker, lambda: worker.follower.status.sequence == sequence)  # noqa: B023 - awaited here
        redis_server.thaw()
    await disk.close()
    await redis.close()


async def test_a_redis_that_stops_while_it_is_read_holds_up_nothing_on_disk(house: House, disk: MemoryStore) -> None:
    redis = Slow(house.clock)
    worker = Worker(house, [disk, redis])
    redis.history = [plant(house, house.publish()).pointer]
    async with following(worker):
        await redis.asked.wait()
        await put(disk, house)
        await until(worker, lambda: worker.sequences == [2])


async def test_what_another_store_had_newer_meanwhile_stays_and_is_no_refusal(house: House, disk: MemoryStore) -> None:
    """GHS/1 6.7."""
    redis = Slow(house.clock)
    worker = Worker(house, [disk, redis])
    await put(redis, house)
    async with following(worker):
        await redis.asked.wait()
        await put(disk, house)
        await until(worker, lambda: worker.follower.status.sequence == 2)
        redis.let.set()
        (_, watch) = worker.follower._watches
        await until(worker, lambda: watch.settled is not None)
    assert worker.sequences == [2]
    assert worker.follower.status.refusal is None


class Frozen(MemoryStore):
    """Says nothing at all until it is let."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock, "redis")
        self.asked = asyncio.Event()
        self.let = asyncio.Event()

    async def pointer(self) -> bytes | None:
        self.asked.set()
        await self.let.wait()
        return await super().pointer()


async def test_a_first_state_is_served_as_soon_as_it_is_on_disk_while_redis_stands_still(
    house: House, disk: MemoryStore
) -> None:
    """A new node whose agent was faster than Redis's timeout."""
    redis, looked = Frozen(house.clock), asyncio.Event()
    worker = Worker(house, [disk, redis])
    async with following(worker, looked):
        await redis.asked.wait()
        assert not looked.is_set()
        await put(disk, house)
        await until(worker, looked.is_set)
        assert worker.sequences == [1]


async def test_with_a_state_on_disk_a_start_asks_nobody_else_first(house: House, disk: MemoryStore) -> None:
    redis, looked = Frozen(house.clock), asyncio.Event()
    worker = Worker(house, [disk, redis])
    await put(disk, house)
    async with following(worker, looked):
        await looked.wait()
        assert worker.sequences == [1]
        assert not redis.asked.is_set()


async def test_with_nothing_anywhere_a_start_waits_for_each_store_once(house: House, disk: MemoryStore) -> None:
    redis, looked = Frozen(house.clock), asyncio.Event()
    worker = Worker(house, [disk, redis])
    async with following(worker, looked):
        await redis.asked.wait()
        assert not looked.is_set()
        redis.let.set()
        await looked.wait()
    assert worker.sequences == []
