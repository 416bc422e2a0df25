"""One contract, three stores: what every store promises, run against each."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.sync import copies, tree, trust
from gateway.sync.disk_store import DiskStore
from gateway.sync.redis_store import RedisStore
from gateway.sync.store import SWEEP_AFTER_S, MemoryStore, Store
from gateway.sync.tree import Planted
from gateway.sync.trust import Refused
from shared.clock import FakeClock
from shared.protocol.snapshot import Snapshot
from tests.fixtures.house import GATEWAY, House
from tests.fixtures.redis import RedisServer


@pytest.fixture(params=["memory", "disk", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> AsyncIterator[Store]:
    made: Store
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        made = RedisStore(server.url, GATEWAY)
    elif request.param == "disk":
        made = DiskStore(tmp_path / "configuration.sqlite", clock)
    else:
        made = MemoryStore(clock)
    yield made
    await made.close()


def piece(text: str) -> tuple[str, bytes]:
    body = text.encode()
    return tree.value(hashlib.sha256(body).hexdigest()), body


def planted(house: House) -> Planted:
    return plant(house, house.publish())


def plant(house: House, snapshot: Snapshot) -> Planted:
    lease = trust.verify_lease(snapshot.lease, pinned_fingerprint=house.fingerprint, gateway=house.gateway)
    return tree.plant(snapshot, lease)


async def test_a_new_store_is_empty(store: Store) -> None:
    assert await store.pointer() is None
    assert await store.pointers() == []
    assert await store.get(["value:00"]) == {}
    assert await store.touch(["value:00"]) == {"value:00"}
    assert await store.get([]) == {}
    assert await store.touch([]) == set()


async def test_what_is_put_is_there(store: Store) -> None:
    pieces = dict(piece(f"number {number}") for number in range(1200))
    await store.put(pieces)
    assert await store.get([*pieces, "value:missing"]) == pieces
    assert await store.touch([*pieces, "value:missing"]) == {"value:missing"}


async def test_the_pointer_moves_only_from_what_was_expected(store: Store) -> None:
    """GHS/1 8.5."""
    assert not await store.move(b"never there", b"one")
    assert await store.move(None, b"one")
    assert not await store.move(None, b"two")
    assert await store.move(b"one", b"two")
    assert await store.pointer() == b"two"


async def test_the_last_three_pointers_are_kept(store: Store) -> None:
    before = None
    for pointer in (b"one", b"two", b"three", b"four", b"five"):
        assert await store.move(before, pointer)
        before = pointer
    assert await store.pointers() == [b"five", b"four", b"three"]


async def test_of_rival_writers_one_wins_each_round(store: Store) -> None:
    """GHS/1 8.5: compare-and-set, also when several try at once."""
    before: bytes | None = None
    for number in range(10):
        rivals = [f"{number}-{rival}".encode() for rival in range(8)]
        moved = await asyncio.gather(*(store.move(before, rival) for rival in rivals))
        assert sum(moved) == 1
        before = rivals[moved.index(True)]
        assert await store.pointer() == before


async def test_an_edit_writes_its_value_one_manifest_the_key_chain_and_the_pointer(
    house: House, clock: FakeClock
) -> None:
    """GHS/1 8.4, 8.6: and in that order: the pointer last."""
    store = MemoryStore(clock)
    first = planted(house)
    assert await copies.publish(store, first, None, ())
    store.writes.clear()
    house.configs["default"] = {"virtual_key": "simulator", "override_params": {"temperature": 1}}
    second = planted(house)
    assert await copies.publish(store, second, first.pointer, first.pieces.keys())
    assert sorted(name.split(":")[0] for name in store.writes) == ["manifest", "pointer", "value", "value"]
    assert store.writes[-1] == "pointer"


async def test_a_published_state_loads_as_it_was(store: Store, house: House) -> None:
    snapshot = house.publish()
    state = plant(house, snapshot)
    assert await copies.publish(store, state, None, ())
    pointer = tree.read_pointer(await store.pointer() or b"")
    lease = trust.verify_lease(pointer.lease, pinned_fingerprint=house.fingerprint, gateway=GATEWAY)
    assert await copies.load([store], pointer, lease, None) == snapshot


async def test_a_big_shard_is_split_and_an_edit_touches_one_part(house: House, clock: FakeClock) -> None:
    """GHS/1 8.4."""
    store = MemoryStore(clock)
    house.configs.update({f"c{number}": {"virtual_key": "simulator"} for number in range(tree.ENTRIES_MAX)})
    snapshot = house.publish()
    first = plant(house, snapshot)
    assert await copies.publish(store, first, None, ())
    pointer = tree.read_pointer(first.pointer)
    root = tree.read_manifest(first.pieces[tree.manifest(pointer.shards["ws:ws_test"])])
    parts = [tree.read_manifest(first.pieces[tree.manifest(part)]) for part in root.parts]
    assert [len(part.entries) <= tree.ENTRIES_MAX for part in parts] == [True, True]
    assert sum(len(part.entries) for part in parts) == len(snapshot.shards[-1].resources)
    lease = trust.verify_lease(pointer.lease, pinned_fingerprint=house.fingerprint, gateway=GATEWAY)
    assert await copies.load([store], pointer, lease, None) == snapshot
    house.configs["c7"] = {"virtual_key": "simulator", "override_params": {"temperature": 1}}
    new = [name.split(":")[0] for name in planted(house).pieces if name not in first.pieces]
    assert sorted(new) == ["manifest", "manifest", "value", "value"]


async def test_a_changed_piece_counts_as_missing_and_comes_from_another_store(
    store: Store, house: House, clock: FakeClock
) -> None:
    """GHS/1 8.2."""
    snapshot = house.publish()
    state = plant(house, snapshot)
    whole = MemoryStore(clock)
    for each in (store, whole):
        assert await copies.publish(each, state, None, ())
    await store.put({name: body[:-1] + bytes((body[-1] ^ 1,)) for name, body in state.pieces.items()})
    pointer = tree.read_pointer(state.pointer)
    lease = trust.verify_lease(pointer.lease, pinned_fingerprint=house.fingerprint, gateway=GATEWAY)
    with pytest.raises(Refused, match="incomplete"):
        await copies.load([store], pointer, lease, None)
    assert await copies.load([store, whole], pointer, lease, None) == snapshot


async def test_mending_writes_again_exactly_what_is_missing_or_changed(store: Store, house: House) -> None:
    """GHS/1 8.2."""
    state = planted(house)
    assert await copies.publish(store, state, None, ())
    assert await copies.mend(store, state) == 0
    broken = sorted(state.pieces)[:3]
    await store.put(dict.fromkeys(broken, b"something else"))
    assert await copies.mend(store, state) == 3
    assert await store.get(state.pieces.keys()) == dict(state.pieces)


async def test_sweeping_keeps_what_the_last_three_pointers_reach(
    house: House, tmp_path: Path, clock: FakeClock
) -> None:
    """GHS/1 8.7."""
    disk = DiskStore(tmp_path / "configuration.sqlite", clock)
    for store in (MemoryStore(clock), disk):
        twin = house.fork()
        states: list[Planted] = []
        for number in range(5):
            twin.configs["default"] = {"virtual_key": "simulator", "override_params": {"seed": number}}
            states.append(planted(twin))
            before = states[-2].pointer if number else None
            assert await copies.publish(store, states[-1], before, ())
        assert await copies.sweep(store) == 0, "everything was touched just now"
        clock.advance(SWEEP_AFTER_S + 1)
        assert await copies.sweep(store) > 0
        for state in states[-3:]:
            assert await store.touch(state.pieces.keys()) == set()
        gone = set(states[0].pieces) - {name for state in states[-3:] for name in state.pieces}
        assert gone
        assert await store.touch(gone) == gone
    await disk.close()


async def test_sweeping_spares_what_a_writer_means_to_use(house: House, tmp_path: Path, clock: FakeClock) -> None:
    """GHS/1 8.7: a piece lies there unreachable, a writer finds it and counts on it; then comes the sweep."""
    disk = DiskStore(tmp_path / "configuration.sqlite", clock)
    for store in (MemoryStore(clock), disk):
        assert await copies.publish(store, planted(house), None, ())
        name, body = piece("left by a writer that died")
        await store.put({name: body})
        clock.advance(SWEEP_AFTER_S + 1)
        assert await store.touch([name]) == set()
        assert await copies.sweep(store) == 0
        clock.advance(SWEEP_AFTER_S + 1)
        assert await copies.sweep(store) == 1
        assert await store.touch([name]) == {name}
    await disk.close()


async def test_redis_sweeps_by_its_own_clock(redis_server: RedisServer, house: House) -> None:
    """GHS/1 8.7."""
    patient, hasty = RedisStore(redis_server.url, GATEWAY), RedisStore(redis_server.url, GATEWAY, sweep_after_s=0)
    state = planted(house)
    name, body = piece("unreachable")
    await patient.put({name: body})
    assert await patient.touch([name]) == set()
    assert await copies.publish(patient, state, None, ())
    assert await copies.sweep(patient) == 0
    assert await copies.sweep(hasty) == 1
    assert await patient.touch([name]) == {name}
    assert await patient.get(state.pieces.keys()) == dict(state.pieces)
    await patient.close()
    await hasty.close()


async def test_a_pointer_that_cannot_be_followed_stops_the_sweep(store: Store, house: House) -> None:
    """GHS/1 8.7."""
    state = planted(house)
    assert await copies.publish(store, state, None, ())
    assert await store.move(state.pointer, b"not a pointer")
    assert await copies.sweep(store) == 0
    assert await store.get(state.pieces.keys()) == dict(state.pieces)
