"""Whatever happens to stores, files and agents, at rest every store holds the newest state, whole and the same."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.sync import copies, tree, trust
from gateway.sync.agent import Agent
from gateway.sync.store import MemoryStore
from shared.clock import FakeClock
from tests.fixtures.house import GATEWAY, House

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("edit"), st.integers(0, 1), st.booleans()),
        st.tuples(st.sampled_from(["old file", "torn file"]), st.integers(0, 1), st.just(value=False)),
        st.tuples(
            st.sampled_from(["away", "back", "wipe", "damage", "forge"]), st.integers(0, 2), st.just(value=False)
        ),
        st.tuples(st.just("restart"), st.integers(0, 1), st.just(value=False)),
        st.tuples(st.just("turn"), st.integers(0, 1), st.just(value=False)),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_every_history_converges(steps: list[tuple[str, int, bool]]) -> None:
    """GHS/1 8.2, 8.5, 8.9: two nodes, a disk each, one Redis between them."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_play(steps, Path(folder)))


async def _play(steps: list[tuple[str, int, bool]], folder: Path) -> None:
    clock = FakeClock()
    house = House(clock)
    redis = MemoryStore(clock, "redis")
    disks = [MemoryStore(clock, "disk"), MemoryStore(clock, "disk")]
    stores = [*disks, redis]
    files = [folder / "one.json", folder / "two.json"]
    documents = [house.document()]
    files[0].write_bytes(documents[0])

    def start(node: int) -> Agent:
        return Agent(
            stores=[disks[node], redis],
            snapshot_path=files[node],
            pinned=house.fingerprint,
            gateway=GATEWAY,
            node_keys=house.node_keys,
            clock=clock,
        )

    agents = [start(0), start(1)]
    for number, (step, index, flag) in enumerate(steps):
        match step:
            case "edit":
                house.configs["default"] = {"virtual_key": "simulator", "override_params": {"seed": number}}
                documents.append(house.document())
                files[index].write_bytes(documents[-1])
                if flag:
                    await agents[index].turn()
            case "old file":
                files[index].write_bytes(documents[0])
            case "torn file":
                files[index].write_bytes(documents[-1][:100])
            case "away" | "back":
                stores[index].away = step == "away"
            case "wipe":
                stores[index].pieces.clear()
                stores[index].history.clear()
            case "damage":
                stores[index].pieces = {name: piece[1:] for name, piece in stores[index].pieces.items()}
            case "forge":
                stores[index].history.insert(0, b"forged")
            case "restart":
                agents[index] = start(index)
            case _:
                clock.advance(1)
                await agents[index].turn()
    # Then calm comes: everything is back, the newest state has been handed to one of the nodes.
    for store in stores:
        store.away = False
    files[0].write_bytes(documents[-1])
    agents = [start(0), start(1)]
    for _ in range(8):
        clock.advance(1)
        for agent in agents:
            await agent.turn()
    newest = len(documents)
    assert [agent.status().sequence for agent in agents] == [newest, newest]
    pointers = {await store.pointer() for store in stores}
    assert len(pointers) == 1
    pointer = tree.read_pointer(pointers.pop() or b"")
    lease = trust.verify_lease(pointer.lease, pinned_fingerprint=house.fingerprint, gateway=GATEWAY)
    assert lease.sequence == newest
    for store in stores:
        snapshot = await copies.load([store], pointer, lease, None)
        trust.accept_stored(snapshot, pinned_fingerprint=house.fingerprint, gateway=GATEWAY, have=None)
