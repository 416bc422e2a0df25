"""The agent: what the file brings ends in every store, what is refused changes nothing, and every store heals."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.sync import copies, tree, trust
from gateway.sync.agent import STORE_POLL_S, Agent
from gateway.sync.disk_store import DiskStore
from gateway.sync.node_keys import NodeKeys
from gateway.sync.redis_store import RedisStore
from gateway.sync.store import MemoryStore, Store, StoreUnavailable
from gateway.sync.trust import Verified
from shared.clock import FakeClock
from shared.protocol.answer import Answer, Whole
from tests.fixtures.house import GATEWAY, HOUR_MS, House, new_node_keys
from tests.fixtures.redis import RedisServer


class Node:
    """One node: an agent, its file, its stores."""

    def __init__(self, house: House, folder: Path, stores: list[Store], node_keys: NodeKeys | None = None) -> None:
        self.house = house
        self.clock = house.clock
        self.file = folder / "snapshot.json"
        self.stores = stores
        self.node_keys = node_keys or house.node_keys
        self.agent = self.new_agent()

    def new_agent(self) -> Agent:
        return Agent(
            stores=self.stores,
            snapshot_path=self.file,
            pinned=self.house.fingerprint,
            gateway=GATEWAY,
            node_keys=self.node_keys,
            clock=self.clock,
        )

    async def receive(self, data: bytes) -> None:
        """The file is replaced, as the command does it, and the agent has its turn."""
        fresh = self.file.with_suffix(".new")
        fresh.write_bytes(data)
        fresh.replace(self.file)
        await self.agent.turn()

    async def settle(self) -> None:
        """5 s pass, in turns: the bound within which a store that is back must be in step (GHS/1 8.9)."""
        for _ in range(3):
            await self.agent.turn()
            self.clock.advance(5 / 3)
        await self.agent.turn()

    async def restart(self, *, without_file: bool = False) -> None:
        if without_file:
            self.file.unlink(missing_ok=True)
        self.agent = self.new_agent()
        await self.agent.turn()


async def held_by(store: Store, house: House) -> Verified:
    """The state a store has by itself, verified whole."""
    pointer = tree.read_pointer(await store.pointer() or b"")
    lease = trust.verify_lease(pointer.lease, pinned_fingerprint=house.fingerprint, gateway=GATEWAY)
    snapshot = await copies.load([store], pointer, lease, None)
    return trust.accept_stored(snapshot, pinned_fingerprint=house.fingerprint, gateway=GATEWAY, have=None)


async def sequences(node: Node) -> list[int]:
    return [(await held_by(store, node.house)).lease.sequence for store in node.stores]


@pytest.fixture
def disk(clock: FakeClock) -> MemoryStore:
    return MemoryStore(clock, "disk")


@pytest.fixture
def redis(clock: FakeClock) -> MemoryStore:
    return MemoryStore(clock, "redis")


@pytest.fixture
def node(house: House, tmp_path: Path, disk: MemoryStore, redis: MemoryStore) -> Node:
    return Node(house, tmp_path, [disk, redis])


@pytest.fixture
async def real(house: House, tmp_path: Path, redis_server: RedisServer) -> AsyncIterator[Node]:
    """A node with the stores it has in production."""
    stores: list[Store] = [
        DiskStore(tmp_path / "configuration.sqlite", house.clock),
        RedisStore(redis_server.url, GATEWAY, timeout_s=0.5),
    ]
    yield Node(house, tmp_path, stores)
    for store in stores:
        await store.close()


async def test_what_the_file_brings_is_in_every_store_after_one_turn(real: Node) -> None:
    for expected in (1, 2, 3):
        await real.receive(real.house.document())
        assert await sequences(real) == [expected, expected]
        assert real.agent.status().sequence == expected
    assert real.agent.status().refusal is None


async def test_a_turn_without_news_writes_nothing(node: Node, disk: MemoryStore) -> None:
    await node.receive(node.house.document())
    disk.writes.clear()
    await node.settle()
    assert disk.writes == []


def _one_letter(house: House) -> bytes:
    data = bytearray(house.document())
    place = data.index(b'"sealed":"', data.index(b'"shards"')) + 60
    data[place] = ord("B") if data[place] == ord("A") else ord("A")
    return bytes(data)


REFUSED: dict[str, Callable[[House], bytes]] = {
    "malformed": lambda house: house.document()[:-40],
    "protocol": lambda house: house.document().replace(b'"GHS/1"', b'"GHS/9"', 1),
    "lease_key": lambda house: House(house.clock).document(),
    "digest_mismatch": _one_letter,
    "lease_expired": lambda house: house.document(lease_ms=0),
    "key_chain_unopened": lambda house: _for_another_node(house),
    "audience": lambda house: _for_another_gateway(house),
    "lease_conflict": lambda house: _of_a_twin(house),
}


def _for_another_node(house: House) -> bytes:
    twin = house.fork()
    twin.nodes = [new_node_keys("nd_other").public]
    return twin.document()


def _for_another_gateway(house: House) -> bytes:
    other = House(house.clock, gateway="gw_other")
    other.signing_key = house.signing_key
    return other.document()


def _of_a_twin(house: House) -> bytes:
    twin = house.fork()
    twin.state = replace(twin.state, sequence=0)
    return twin.document(lease_ms=HOUR_MS)


async def test_a_file_that_is_not_there_is_named_once_and_taken_when_it_comes(node: Node) -> None:
    with capture_logs() as logs:
        await node.agent.turn()
        await node.agent.turn()
    assert [(log["event"], log["path"]) for log in logs] == [("snapshot_missing", str(node.file))]

    await node.receive(node.house.document())
    assert node.agent.status().sequence == 1


@pytest.mark.parametrize("code", REFUSED)
async def test_what_is_refused_is_named_once_and_changes_nothing(node: Node, disk: MemoryStore, code: str) -> None:
    """GHS/1 16.1."""
    await node.receive(node.house.document())
    pointers = [await store.pointer() for store in node.stores]
    with capture_logs() as logs:
        await node.receive(REFUSED[code](node.house))
        await node.settle()
        await node.settle()
    assert [entry["code"] for entry in logs if entry["event"] == "sync_refused"] == [code]
    assert [await store.pointer() for store in node.stores] == pointers
    assert (node.agent.status().sequence, node.agent.status().refusal) == (1, code)


async def test_an_older_file_is_refused_also_after_a_restart(node: Node) -> None:
    """GHS/1 6.7: what is stored counts, not what this process has seen."""
    older = node.house.document()
    await node.receive(node.house.document())
    await node.restart(without_file=True)
    await node.receive(older)
    assert node.agent.status().refusal == "lease_sequence"
    assert await sequences(node) == [2, 2]


async def test_after_a_refusal_the_next_good_file_is_taken_and_the_refusal_is_over(node: Node) -> None:
    await node.receive(b"half a fi")
    assert node.agent.status().refusal == "malformed"
    await node.receive(node.house.document())
    assert node.agent.status().refusal is None
    assert await sequences(node) == [1, 1]


async def test_a_file_that_cannot_be_read_is_refused_by_name(node: Node) -> None:
    await node.receive(node.house.document())
    node.file.unlink()
    node.file.mkdir()
    await node.agent.turn()
    assert node.agent.status().refusal == "unreadable"
    node.file.rmdir()
    await node.receive(node.house.document())
    assert await sequences(node) == [2, 2]


async def test_a_store_that_is_away_stops_nothing_and_is_full_within_5_s_of_its_return(
    node: Node, redis: MemoryStore
) -> None:
    """GHS/1 8.9."""
    redis.away = True
    with capture_logs() as logs:
        await node.receive(node.house.document())
        await node.settle()
        await node.receive(node.house.document())
    assert [entry["event"] for entry in logs].count("sync_store_away") == 1
    assert (await held_by(node.stores[0], node.house)).lease.sequence == 2
    assert node.agent.status().stores == {"disk": True, "redis": False}
    redis.away = False
    await node.settle()
    assert await sequences(node) == [2, 2]
    assert node.agent.status().stores == {"disk": True, "redis": True}


class _Full(MemoryStore):
    """Answers, and has no room."""

    full = False

    async def put(self, pieces: Mapping[str, bytes]) -> None:
        if self.full:
            raise StoreUnavailable(self.name, "OutOfMemoryError")
        await super().put(pieces)


async def test_a_store_that_is_full_is_told_of_once_until_it_takes_what_it_lacks(
    house: House, tmp_path: Path, disk: MemoryStore, clock: FakeClock
) -> None:
    store = _Full(clock, "redis")
    node = Node(house, tmp_path, [disk, store])
    await node.receive(house.document())
    store.full = True
    with capture_logs() as logs:
        house.configs["second"] = {"virtual_key": "simulator"}
        await node.receive(house.document())
        for _ in range(3):
            await node.settle()
            assert node.agent.status().stores == {"disk": True, "redis": False}
        store.full = False
        await node.settle()
    told = [entry["event"] for entry in logs if entry["event"] in ("sync_store_away", "sync_store_back")]
    assert told == ["sync_store_away", "sync_store_back"]
    assert node.agent.status().stores == {"disk": True, "redis": True}
    assert await sequences(node) == [2, 2]


async def test_without_a_disk_the_configuration_still_arrives(node: Node, disk: MemoryStore) -> None:
    disk.away = True
    await node.receive(node.house.document())
    assert (await held_by(node.stores[1], node.house)).lease.sequence == 1


async def test_redis_killed_and_started_empty_is_filled_again(real: Node, redis_server: RedisServer) -> None:
    """GHS/1 8.9: kill -9 in the middle, an edit meanwhile, back with nothing."""
    await real.receive(real.house.document())
    redis_server.kill()
    await real.receive(real.house.document())
    assert (await held_by(real.stores[0], real.house)).lease.sequence == 2
    redis_server.start()
    await real.settle()
    assert await sequences(real) == [2, 2]


async def test_redis_frozen_holds_up_nothing_on_disk(real: Node, redis_server: RedisServer) -> None:
    await real.receive(real.house.document())
    redis_server.freeze()
    await real.receive(real.house.document())
    assert (await held_by(real.stores[0], real.house)).lease.sequence == 2
    redis_server.thaw()
    await real.settle()
    assert await sequences(real) == [2, 2]


@pytest.mark.parametrize("older", [0, 1])
async def test_at_a_start_the_older_store_is_healed_from_the_newer(node: Node, older: int) -> None:
    """GHS/1 8.9: no file, only what is stored."""
    stores = [node.stores[0], node.stores[1]]
    await node.receive(node.house.document())
    store = stores[older]
    assert isinstance(store, MemoryStore)
    store.away = True
    await node.receive(node.house.document())
    store.away = False
    await node.restart(without_file=True)
    await node.settle()
    assert await sequences(node) == [2, 2]


@pytest.mark.parametrize("wiped", [0, 1])
async def test_a_wiped_store_is_filled_from_the_other(node: Node, wiped: int) -> None:
    await node.receive(node.house.document())
    store = node.stores[wiped]
    assert isinstance(store, MemoryStore)
    store.pieces.clear()
    store.history.clear()
    await node.restart(without_file=True)
    await node.settle()
    assert await sequences(node) == [1, 1]


@pytest.mark.parametrize("damaged", [0, 1])
async def test_damaged_pieces_are_mended_from_the_other_store(node: Node, damaged: int) -> None:
    """GHS/1 8.2."""
    await node.receive(node.house.document())
    store = node.stores[damaged]
    assert isinstance(store, MemoryStore)
    store.pieces = {name: piece[:-1] for name, piece in store.pieces.items()}
    with capture_logs() as logs:
        await node.restart(without_file=True)
        await node.settle()
    assert await sequences(node) == [1, 1]
    assert [entry["pieces"] for entry in logs if entry["event"] == "sync_store_mended"] == [len(store.pieces)]


async def test_a_pointer_that_is_not_genuine_is_replaced(node: Node, redis: MemoryStore, clock: FakeClock) -> None:
    """GHS/1 8.5: also one that claims a sequence from the far future."""
    await node.receive(node.house.document())
    stranger = House(clock)
    state = stranger.publish()
    lease = trust.verify_lease(state.lease, pinned_fingerprint=stranger.fingerprint, gateway=GATEWAY)
    for forged in (
        b"rubbish",
        b"",
        tree.plant(state, lease).pointer.replace(b'"sequence":1', b'"sequence":9007199254740991'),
    ):
        redis.history.insert(0, forged)
        await node.settle()
        assert await sequences(node) == [1, 1]


async def test_a_damaged_disk_under_a_running_agent_is_filled_again(real: Node, tmp_path: Path) -> None:
    await real.receive(real.house.document())
    file = tmp_path / "configuration.sqlite"
    await real.stores[0].close()
    file.write_bytes(b"not a database any more" * 500)
    await real.settle()
    await real.settle()
    assert await sequences(real) == [1, 1]
    assert file.with_name(file.name + ".damaged").exists()


async def test_two_nodes_with_one_redis_end_at_the_newest(
    house: House, tmp_path: Path, redis_server: RedisServer, clock: FakeClock
) -> None:
    """GHS/1 8.5: rivals, unelected, one of them with an older file; the shared store never goes back."""
    nodes = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        stores: list[Store] = [DiskStore(folder / "c.sqlite", clock), RedisStore(redis_server.url, GATEWAY)]
        nodes.append(Node(house, folder, stores))
    older, newer = house.document(), house.document()
    for node, data in zip(nodes, (older, newer), strict=True):
        node.file.write_bytes(data)
    await asyncio.gather(*(node.agent.turn() for node in nodes))
    for _ in range(4):
        clock.advance(STORE_POLL_S)
        await asyncio.gather(*(node.agent.turn() for node in nodes))
    for node in nodes:
        assert await sequences(node) == [2, 2]
        for store in node.stores:
            await store.close()


async def test_a_node_without_a_key_leaves_the_shared_store_alone(
    house: House, tmp_path: Path, clock: FakeClock
) -> None:
    """GHS/1 5.5, 8.5: what is genuine and newer is not overwritten by a node that cannot use it."""
    shared = MemoryStore(clock, "redis")
    newcomer = new_node_keys("nd_new")
    folders = [tmp_path / name for name in ("member", "newcomer")]
    for folder in folders:
        folder.mkdir()
    member = Node(house, folders[0], [MemoryStore(clock, "disk"), shared])
    stranger = Node(house, folders[1], [MemoryStore(clock, "disk"), shared], newcomer)
    await member.receive(house.document())
    pointer = await shared.pointer()
    await stranger.settle()
    assert stranger.agent.status().refusal == "key_chain_unopened"
    assert await shared.pointer() == pointer
    house.nodes.append(newcomer.public)
    await member.receive(house.document())
    await stranger.settle()
    assert (stranger.agent.status().refusal, stranger.agent.status().sequence) == (None, 2)


async def test_a_node_that_lost_its_key_keeps_what_it_has_and_leaves_the_shared_store_alone(
    house: House, tmp_path: Path, clock: FakeClock
) -> None:
    """GHS/1 5.5, 8.5: it holds an older state of its own, and does not put that in the place of the newer."""
    shared = MemoryStore(clock, "redis")
    leaver = new_node_keys("nd_leaver")
    house.nodes.append(leaver.public)
    folders = [tmp_path / name for name in ("member", "leaver")]
    for folder in folders:
        folder.mkdir()
    member = Node(house, folders[0], [MemoryStore(clock, "disk"), shared])
    left = Node(house, folders[1], [MemoryStore(clock, "disk"), shared], leaver)
    await member.receive(house.document())
    await left.settle()
    assert left.agent.status().sequence == 1
    house.nodes.pop()
    await member.receive(house.document())
    await left.settle()
    assert (left.agent.status().sequence, left.agent.status().refusal) == (1, "key_chain_unopened")
    assert (await held_by(left.stores[0], house)).lease.sequence == 1
    assert (await held_by(shared, house)).lease.sequence == 2


async def test_a_store_that_comes_back_with_its_pointer_and_less_behind_it_is_mended(
    node: Node, redis: MemoryStore
) -> None:
    """GHS/1 8.9: what a failover to a replica that lagged looks like."""
    await node.receive(node.house.document())
    redis.away = True
    await node.settle()
    redis.away = False
    redis.pieces = dict(list(redis.pieces.items())[::2])
    await node.settle()
    assert await sequences(node) == [1, 1]


class _Beaten(MemoryStore):
    """A rival moves the pointer just before the first of our moves."""

    rival: bytes | None = None

    async def move(self, expected: bytes | None, pointer: bytes) -> bool:
        if self.rival is not None:
            self.history.insert(0, self.rival)
            self.rival = None
        return await super().move(expected, pointer)


async def test_a_writer_beaten_by_a_rival_looks_again_at_its_next_turn(
    house: House, tmp_path: Path, clock: FakeClock
) -> None:
    """GHS/1 8.5: without waiting for the next look at the store."""
    store = _Beaten(clock)
    store.rival = b"what a rival wrote"
    node = Node(house, tmp_path, [store])
    await node.receive(house.document())
    assert await store.pointer() == b"what a rival wrote"
    await node.agent.turn()
    assert await sequences(node) == [1]


class _SlowOnce(MemoryStore):
    """While `slow`, what it answers next is what it had when it was asked, however long that takes."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.slow = False
        self.asked, self.answers = asyncio.Event(), asyncio.Event()
        self.moves = 0

    async def pointer(self) -> bytes | None:
        pointer = await super().pointer()
        if self.slow:
            self.slow = False
            self.asked.set()
            await self.answers.wait()
        return pointer

    async def move(self, expected: bytes | None, pointer: bytes) -> bool:
        self.moves += 1
        return await super().move(expected, pointer)


async def test_an_answer_does_not_wait_for_a_slow_store_and_knows_better_than_it(
    house: House, tmp_path: Path, clock: FakeClock
) -> None:
    store = _SlowOnce(clock)
    node = Node(house, tmp_path, [store])
    await node.receive(house.document())
    clock.advance(STORE_POLL_S)
    store.slow = True
    turn = asyncio.create_task(node.agent.turn())
    await store.asked.wait()
    newest = house.publish()
    parts = tuple(Whole(shard.shard, shard.resources) for shard in newest.shards)
    assert await node.agent.take(Answer(newest.lease, newest.key_chain, parts, 30_000, 0), node.agent.held)
    assert (await sequences(node), store.moves) == ([2], 2)
    store.answers.set()
    await turn
    assert (await sequences(node), store.moves) == ([2], 2)


async def test_a_refusal_is_over_also_where_a_rival_mended_what_was_refused(
    house: House, tmp_path: Path, disk: MemoryStore, clock: FakeClock
) -> None:
    class Rivalled(MemoryStore):
        async def move(self, expected: bytes | None, pointer: bytes) -> bool:
            await super().move(expected, pointer)
            return False

    redis = Rivalled(clock, "redis")
    node = Node(house, tmp_path, [disk, redis])
    await node.receive(house.document())
    redis.history = [b"what somebody else left"]
    clock.advance(STORE_POLL_S)
    await node.agent.turn()
    assert node.agent.status().refusal == "malformed"
    await node.agent.turn()
    assert node.agent.status().refusal is None


async def test_a_start_with_an_expired_lease_serves_and_says_so(node: Node, clock: FakeClock) -> None:
    """GHS/1 6.8."""
    await node.receive(node.house.document(lease_ms=HOUR_MS))
    assert not node.agent.status().stale
    clock.advance(7200)
    await node.restart()
    assert (node.agent.status().sequence, node.agent.status().stale) == (1, True)
    assert node.agent.status().refusal is None


class _BrokenOnce(MemoryStore):
    """Fails in a way no store may, once."""

    broken = False

    async def pointer(self) -> bytes | None:
        if not self.broken:
            self.broken = True
            raise RuntimeError("a fault of ours")
        return await super().pointer()

    async def move(self, expected: bytes | None, pointer: bytes) -> bool:
        moved = await super().move(expected, pointer)
        self.moved.set()
        return moved

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.moved = asyncio.Event()


async def test_the_loop_survives_a_fault_of_ours(house: House, tmp_path: Path, clock: FakeClock) -> None:
    store = _BrokenOnce(clock)
    node = Node(house, tmp_path, [store])
    node.file.write_bytes(house.document())
    with capture_logs() as logs:
        running = asyncio.create_task(node.agent.run())
        async with asyncio.timeout(30):
            await store.moved.wait()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    assert "sync_agent_failed" in [entry["event"] for entry in logs]


async def test_the_disk_filled_up_is_an_alarm_and_redis_goes_on(real: Node) -> None:
    await real.receive(real.house.document())
    store = real.stores[0]
    assert isinstance(store, DiskStore)
    assert store._connection is not None
    store._connection.execute("PRAGMA query_only = ON")
    with capture_logs() as logs:
        await real.receive(real.house.document())
    assert "sync_store_away" in [entry["event"] for entry in logs]
    assert (await held_by(real.stores[1], real.house)).lease.sequence == 2
    await real.settle()
    assert await sequences(real) == [2, 2], "it can be written again"
