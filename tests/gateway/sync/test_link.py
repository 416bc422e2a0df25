"""The line to the control plane: what it brings is taken, what breaks on it changes nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from gateway.sync import reports, tree
from gateway.sync.agent import STORE_POLL_S, Agent
from gateway.sync.control_plane_client import CallFailed, ControlPlane, ControlPlaneClient
from gateway.sync.leader import RENEW_S, Alone, Leader
from gateway.sync.link import Link, encoded
from gateway.sync.opener import unlock
from gateway.sync.reports import Report
from gateway.sync.store import MemoryStore
from gateway.view.refusal import Refusal
from shared.clock import FakeClock, SystemClock
from shared.protocol import answer as answers
from shared.protocol import lease as leases
from shared.protocol.answer import Answer, Delta, Unchanged, Whole
from shared.protocol.enrolment import ProtocolRange
from shared.protocol.heartbeat import REFUSED_MAX, WATCH_PATH, Applied, Heartbeat, RecordsHealth, RefusedResource
from shared.protocol.lease import SignedLease, VectorEntry
from shared.protocol.request import BODY_BYTES_MAX
from shared.protocol.snapshot import SHARDS_MAX, Snapshot
from tests.fakes.control_plane import FakeControlPlane
from tests.fixtures.house import GATEWAY, HOUR_MS, WORKSPACE, House
from tests.fixtures.sync import SyncNode, SyncPlane
from tests.gateway.odd import everywhere

HANG_S = 30
RUBBISH = b"<html><body>Sign in to the network</body></html>"
RECORDS = RecordsHealth(waiting=3, waiting_bytes=900, oldest_ms=1, dropped={"spool_full": 2})


def everything(snapshot: Snapshot) -> Answer:
    parts = tuple(Whole(shard.shard, shard.resources) for shard in snapshot.shards)
    return Answer(snapshot.lease, snapshot.key_chain, parts, 30_000, 0)


class Scene:
    """A node with a line to a scripted control plane, and a house that makes its answers."""

    def __init__(self, house: House, folder: Path) -> None:
        self.house = house
        self.folder = folder
        self.control_plane = FakeControlPlane()
        self.store = MemoryStore(house.clock, "disk")
        self.agent = Agent(
            stores=[self.store],
            snapshot_path=None,
            pinned=house.fingerprint,
            gateway=GATEWAY,
            node_keys=house.node_keys,
            clock=house.clock,
        )
        self.link = new_link(self.control_plane, self.agent, folder, house.clock)

    def next(self, *, lease_ms: int = 900_000) -> bytes:
        return answers.encode(everything(self.house.publish(lease_ms=lease_ms)))

    async def beat(self, reply: bytes | CallFailed) -> float | None:
        self.control_plane.replies = [reply]
        return await self.link.beat()

    @property
    def asked(self) -> Heartbeat:
        """The newest heartbeat."""
        return Heartbeat.model_validate_json(self.control_plane.asked[-1][1])


def new_link(
    control_plane: ControlPlane,
    agent: Agent,
    folder: Path,
    clock: FakeClock | SystemClock,
    leader: Leader | None = None,
    renew_s: float = RENEW_S,
) -> Link:
    return Link(
        control_plane=control_plane,
        agent=agent,
        leader=leader or Alone(),
        state_dir=folder,
        records=lambda: RECORDS,
        build="test",
        clock=clock,
        chance=Random(1),
        renew_s=renew_s,
    )


@pytest.fixture
def scene(house: House, tmp_path: Path) -> Scene:
    reports.clear(tmp_path)
    return Scene(house, tmp_path)


async def test_what_a_heartbeat_brings_is_in_the_store(scene: Scene) -> None:
    """GHS/1 13.1, 13.2."""
    assert await scene.beat(scene.next()) == 30.0
    pointer = tree.read_pointer(await scene.store.pointer() or b"")
    assert pointer.sequence == 1
    assert scene.asked.have == []
    assert scene.agent.held is not None
    first = scene.agent.held
    await scene.beat(scene.next())
    assert scene.asked.have == first.lease.vector
    assert scene.asked.lease == first.snapshot.lease


@pytest.mark.parametrize(
    "reply",
    [
        CallFailed("unreachable", ""),
        CallFailed("node_revoked", ""),
        CallFailed("http_404", ""),
        CallFailed("http_500", ""),
        RUBBISH,
        b"",
        b"null",
        b"{}",
        b'{"protocol": "GHS/1"}',
        b'{"protocol": "GHS/9"}',
    ],
)
async def test_whatever_is_not_a_signed_answer_changes_nothing(scene: Scene, reply: bytes | CallFailed) -> None:
    """GHS/1 12.5, 14.6."""
    await scene.beat(scene.next())
    held, pointer = scene.agent.held, await scene.store.pointer()
    assert await scene.beat(reply) is None
    assert scene.agent.held is held
    assert await scene.store.pointer() == pointer
    assert await scene.beat(scene.next()) == 30.0


@pytest.mark.parametrize("odd", [b"null", b"1e999", b"-1", b"9" * 400, b'""', b'"global"', b"[]", b"{}", b"[[1]]"])
async def test_whatever_an_answer_holds_only_what_was_signed_is_held(scene: Scene, odd: bytes) -> None:
    """GHS/1 14.6, 14.7, 16.1."""
    good = scene.next()
    signed = leases.parse(answers.parse(good).lease.payload).digest
    for data in everywhere(orjson.loads(good), odd):
        await scene.beat(data)
        held = scene.agent.held
        assert held is None or held.lease.digest == signed
    await scene.beat(good)
    assert scene.agent.status().sequence == 1
    assert scene.agent.status().refusal is None


def _by_somebody_else(scene: Scene) -> bytes:
    return answers.encode(everything(House(scene.house.clock).publish()))


def _late(scene: Scene) -> bytes:
    scene.house.configs["more"] = {"virtual_key": "simulator"}
    return scene.next(lease_ms=0)


def _for_another_gateway(scene: Scene) -> bytes:
    other = House(scene.house.clock, gateway="gw_other")
    other.signing_key = scene.house.signing_key
    return answers.encode(everything(other.publish()))


def _for_another_node(scene: Scene) -> bytes:
    twin = scene.house.fork()
    twin.nodes = [House(scene.house.clock).node_keys.public.model_copy(update={"node": "nd_other"})]
    twin.publish()
    return answers.encode(everything(twin.publish()))


REFUSED: dict[str, Callable[[Scene], bytes]] = {
    "lease_key": _by_somebody_else,
    "lease_expired": _late,
    "audience": _for_another_gateway,
    "key_chain_unopened": _for_another_node,
}


@pytest.mark.parametrize("code", REFUSED)
async def test_an_answer_that_must_not_be_believed_is_refused_by_name(scene: Scene, code: str) -> None:
    """GHS/1 14.7."""
    await scene.beat(scene.next())
    held = scene.agent.held
    assert await scene.beat(REFUSED[code](scene)) is None
    assert scene.agent.held is held
    assert scene.agent.status().refusal == code


async def an_endpoint(stack: AsyncExitStack, answer: bytes, asked: list[bytes]) -> str:
    async def handle(_: web.Request) -> web.Response:
        asked.append(answer)
        return web.Response(body=answer)

    application = web.Application()
    application.router.add_post("/{rest:.*}", handler=handle)
    server = await stack.enter_async_context(TestServer(application))
    return str(server.make_url("")).rstrip("/")


@pytest.mark.parametrize("first", ["rubbish", *REFUSED])
async def test_the_next_endpoint_is_asked_after_one_that_answers_what_must_not_be_believed(
    scene: Scene, first: str
) -> None:
    """GHS/1 12.6: a proxy's page, say, or a control plane of somebody else's, with status 200."""
    wrong = RUBBISH if first == "rubbish" else REFUSED[first](scene)
    right, asked = scene.next(), list[bytes]()
    async with AsyncExitStack() as stack:
        endpoints = [await an_endpoint(stack, answer, asked) for answer in (wrong, right)]
        client = ControlPlaneClient(endpoints, scene.house.node_keys, scene.house.clock)
        stack.push_async_callback(client.close)
        link = new_link(client, scene.agent, scene.folder, scene.house.clock)
        assert await link.beat() is None
        assert scene.agent.held is None
        assert [await link.beat() for _ in range(2)] == [30.0, 30.0]
    assert asked == [wrong, right, right]
    assert scene.agent.status().refusal is None


async def test_an_old_answer_that_comes_again_is_refused(scene: Scene) -> None:
    """GHS/1 14.8."""
    old = scene.next()
    await scene.beat(old)
    await scene.beat(scene.next())
    assert await scene.beat(old) is None
    assert scene.agent.status().refusal == "lease_sequence"


async def test_an_answer_that_was_overtaken_is_dropped_without_a_word(scene: Scene) -> None:
    """GHS/1 14.8: a watch and a heartbeat under way at once, answered in the other order."""
    await scene.beat(scene.next())
    _, base = scene.agent.question()
    earlier = answers.parse(scene.next())
    later = answers.parse(scene.next())
    assert await scene.agent.take(later, base)
    held = scene.agent.held
    assert await scene.agent.take(earlier, base)
    assert scene.agent.held is held
    assert scene.agent.status().refusal is None


class Slow(MemoryStore):
    """Says nothing until it is let."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock, "redis")
        self.asked = asyncio.Event()
        self.let = asyncio.Event()

    async def pointer(self) -> bytes | None:
        self.asked.set()
        await self.let.wait()
        return await super().pointer()


def agent_with(scene: Scene, redis: MemoryStore) -> Agent:
    """The scene's, with a Redis."""
    return Agent(
        stores=[scene.store, redis],
        snapshot_path=None,
        pinned=scene.house.fingerprint,
        gateway=GATEWAY,
        node_keys=scene.house.node_keys,
        clock=scene.house.clock,
    )


async def test_what_comes_is_on_the_disk_while_redis_says_nothing_yet(house: House, tmp_path: Path) -> None:
    """A Redis that stands still costs each edit two seconds there; workers read the disk."""
    reports.clear(tmp_path)
    scene = Scene(house, tmp_path)
    slow = Slow(house.clock)
    agent = agent_with(scene, slow)
    taking = asyncio.create_task(agent.take(answers.parse(scene.next()), None))
    await until(lambda: bool(scene.store.history))
    assert slow.history == []
    slow.let.set()
    assert await taking
    assert slow.history == scene.store.history


async def test_what_comes_is_on_the_disk_while_the_agent_waits_for_redis(house: House, tmp_path: Path) -> None:
    """It asks each store every two seconds, and one that stands still answers none of it: every edit waited."""
    reports.clear(tmp_path)
    scene = Scene(house, tmp_path)
    slow = Slow(house.clock)
    agent = agent_with(scene, slow)
    turning = asyncio.create_task(agent.turn())
    await slow.asked.wait()
    taking = asyncio.create_task(agent.take(answers.parse(scene.next()), None))
    await until(lambda: bool(scene.store.history))
    slow.let.set()
    await turning
    assert await taking
    assert slow.history == scene.store.history


async def test_an_answer_does_not_wait_for_a_store_that_is_known_to_be_away(house: House, tmp_path: Path) -> None:
    """Else the next edit waits behind it. The agent's own turns see when the store is back."""
    reports.clear(tmp_path)
    scene = Scene(house, tmp_path)
    slow = Slow(house.clock)
    slow.let.set()
    slow.away = True
    agent = agent_with(scene, slow)
    await agent.turn()
    slow.asked.clear()
    assert await agent.take(answers.parse(scene.next()), None)
    assert not slow.asked.is_set()
    slow.away = False
    house.clock.advance(STORE_POLL_S)
    await agent.turn()
    assert slow.history == scene.store.history


async def test_what_diverged_is_an_alarm_and_brings_everything(scene: Scene) -> None:
    """GHS/1 14.7, 13.2."""
    await scene.beat(scene.next())
    assert scene.agent.held is not None
    held = scene.agent.held
    scene.house.configs["more"] = {"virtual_key": "simulator"}
    newest = scene.house.publish()
    empty = tuple(
        Delta(shard.shard, shard.revision - 1, ()) if shard.shard == f"ws:{WORKSPACE}" else Unchanged(shard.shard)
        for shard in newest.shards
    )
    with capture_logs() as logs:
        assert await scene.beat(answers.encode(replace(everything(newest), parts=empty))) is None
    assert [entry["log_level"] for entry in logs if entry["event"] == "sync_diverged"] == ["error"]
    assert scene.agent.held is held
    await scene.beat(scene.next())
    assert scene.asked.have == []
    assert scene.asked.key_chain is None
    assert scene.agent.status().refusal is None
    await scene.beat(CallFailed("unreachable", ""))
    assert scene.asked.have != []


async def test_what_workers_say_is_told(scene: Scene) -> None:
    """GHS/1 13.3, 13.4: each refusal once, and only what every worker serves as applied."""
    refused = Refusal("s", "config", "c", 7, "config_invalid", "/body: " + "no" * 1_000)
    for worker, revision in (("worker-0", 8), ("worker-1", 7)):
        applied = [reports.Applied("s", 1, revision)]
        reports.write(
            scene.folder, Report(worker=worker, lease=revision, refusal=None, applied=applied, refused=[refused])
        )
    await scene.beat(CallFailed("unreachable", ""))
    told = scene.asked
    path = refused.detail[:500]
    assert told.refused == [
        RefusedResource(shard="s", kind="config", id="c", revision=7, code="config_invalid", path=path)
    ]
    assert told.refused_count == 1
    assert [(entry.shard, entry.revision) for entry in told.applied] == [("s", 7)]
    assert [(worker.worker, worker.lease) for worker in told.workers] == [("worker-0", 8), ("worker-1", 7)]
    assert told.stores == {"disk": True}
    assert told.disk_free_bytes > 0
    assert told.records == RECORDS


async def test_of_very_many_refusals_the_first_are_told_and_all_counted(scene: Scene) -> None:
    """GHS/1 13.4."""
    refused = [Refusal("s", "config", f"c{n:05}", 1, "x", "") for n in range(1_500)]
    reports.write(scene.folder, Report(worker="w", lease=1, refusal="not_servable", applied=[], refused=refused))
    await scene.beat(CallFailed("unreachable", ""))
    assert (len(scene.asked.refused), scene.asked.refused_count) == (1_000, 1_500)
    assert scene.asked.refusal == "not_servable"


@pytest.mark.parametrize(("told_ms", "wait_s"), [(0, 1.0), (10**12, 300.0), (31_000, 31.0)])
async def test_the_control_plane_cannot_make_it_spin_or_sleep(scene: Scene, told_ms: int, wait_s: float) -> None:
    """GHS/1 13.1."""
    answer = replace(everything(scene.house.publish()), next_ms=told_ms)
    assert await scene.beat(answers.encode(answer)) == wait_s


# With a real control plane


class RealNode:
    """An enrolled node with its agent, on a real control plane."""

    def __init__(self, node: SyncNode, folder: Path, shared: MemoryStore | None = None) -> None:
        house = node.house
        self.node = node
        clock = house.plane.clock
        self.store = MemoryStore(clock, "disk")
        self.agent = Agent(
            stores=[self.store] if shared is None else [self.store, shared],
            snapshot_path=None,
            pinned=house.fingerprint,
            gateway=node.gateway,
            node_keys=node.keys,
            clock=clock,
        )
        self.client = ControlPlaneClient([house.url], node.keys, clock)
        folder.mkdir(exist_ok=True)
        reports.clear(folder)
        self.link = new_link(self.client, self.agent, folder, SystemClock())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.link.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            await self.client.close()

    def revision(self) -> int:
        held = self.agent.held
        if held is None:
            return -1
        return {entry.shard: entry.revision for entry in held.lease.vector}[self.node.house.shard]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(HANG_S):
        while not holds():  # noqa: ASYNC110 - the agent tells nobody
            await asyncio.sleep(0.01)


class OneOf:
    """A leader of those that share `place`, which holds the one that leads."""

    def __init__(self, place: list[Path], node: Path) -> None:
        self._place = place
        self._node = node

    async def leads(self) -> bool:
        if not self._place:
            self._place.append(self._node)
        return self._place == [self._node]

    async def resign(self) -> None:
        if self._place == [self._node]:
            self._place.clear()


@pytest.mark.parametrize("holds_a_state", [True, False])
async def test_a_leader_that_cannot_watch_lets_another_node_watch(
    house: House, tmp_path: Path, holds_a_state: bool
) -> None:
    """GHS/1 15.4: revoked, cut off, or without a state to watch for."""
    first, second = scenes = [Scene(house, tmp_path / name) for name in ("nd_1", "nd_2")]
    place: list[Path] = []
    for scene in scenes:
        scene.folder.mkdir()
        leader = OneOf(place, scene.folder)
        scene.link = new_link(scene.control_plane, scene.agent, scene.folder, SystemClock(), leader, renew_s=0.05)
    if holds_a_state:
        await first.beat(first.next())
    await second.beat(second.next())
    place.append(first.folder)
    running = [asyncio.create_task(scene.link.run()) for scene in scenes]
    try:
        await until(lambda: WATCH_PATH in [path for path, _ in second.control_plane.asked])
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)


async def test_an_edit_reaches_the_store_by_the_watch(sync_plane: SyncPlane, tmp_path: Path) -> None:
    """GHS/1 15.2."""
    real = RealNode(await sync_plane.new_node(), tmp_path)
    async with real.running():
        await until(lambda: real.agent.held is not None)
        organisation = sync_plane.plane.organisation
        await until(lambda: organisation in sync_plane.notices.waiting_for)
        for number in range(3):
            revision = await sync_plane.put("a", number)
            await until(lambda wanted=revision: real.revision() == wanted)  # type: ignore[misc]
    pointer = tree.read_pointer(await real.store.pointer() or b"")
    assert real.agent.held is not None
    assert pointer.sequence == real.agent.held.lease.sequence


async def test_a_refusal_by_a_worker_is_told_at_once(sync_plane: SyncPlane, tmp_path: Path) -> None:
    """GHS/1 13.1: long before the next heartbeat is due."""
    real = RealNode(await sync_plane.new_node(), tmp_path)
    refused = Refusal("s", "config", "c", 7, "config_invalid", "")
    async with real.running():
        await until(lambda: real.agent.held is not None)
        reports.write(tmp_path, Report(worker="w", lease=1, refusal=None, applied=[], refused=[refused]))
        async with asyncio.timeout(HANG_S):
            while True:
                (row,) = await sync_plane.rows("select heartbeat from node")
                if row["heartbeat"]["refused"]:
                    break
                await asyncio.sleep(0.05)
    (told,) = row["heartbeat"]["refused"]
    assert (told["id"], told["code"]) == (refused.id, refused.code)


async def test_a_fresh_lease_alone_is_used_when_half_of_the_old_one_is_over(
    sync_plane: SyncPlane, tmp_path: Path
) -> None:
    """GHS/1 14.9."""
    real = RealNode(await sync_plane.new_node(), tmp_path)
    await real.link.beat()
    held = real.agent.held
    assert held is not None
    assert await real.link.beat() is not None
    assert real.agent.held is held
    sync_plane.plane.clock.advance(8 * 60)
    await real.link.beat()
    assert real.agent.held is not held
    assert real.agent.held is not None
    assert real.agent.held.lease.vector == held.lease.vector
    await real.client.close()


async def test_a_lease_that_a_wrong_clock_made_too_long_gives_way_to_the_next(
    sync_plane: SyncPlane, tmp_path: Path
) -> None:
    """GHS/1 6.8, 14.9: else for a year nobody would be told that nothing new comes."""
    clock = sync_plane.plane.clock
    real = RealNode(await sync_plane.new_node(), tmp_path)
    clock._wall_ms += 365 * 24 * HOUR_MS
    assert await real.link.beat() is not None
    clock._wall_ms -= 365 * 24 * HOUR_MS
    assert await real.link.beat() is not None
    assert not real.agent.status().stale
    clock.advance(901)
    assert real.agent.status().stale
    await real.client.close()


async def test_every_resource_that_came_opens(sync_plane: SyncPlane, tmp_path: Path) -> None:
    """GHS/1 5.3: with keys that came by the real road."""
    await sync_plane.put("a", 5)
    real = RealNode(await sync_plane.new_node(), tmp_path)
    await real.link.beat()
    await real.client.close()
    held = real.agent.held
    assert held is not None
    opener = unlock(held.snapshot.key_chain, held.lease, real.node.keys)
    bodies = [orjson.loads(opener.open(r)) for shard in held.snapshot.shards for r in shard.resources]
    assert {body["id"] for body in bodies} >= {"pc_a", sync_plane.plane.workspace, sync_plane.plane.organisation}


async def test_nodes_that_share_a_redis_open_what_either_of_them_brought(sync_plane: SyncPlane, tmp_path: Path) -> None:
    """GHS/1 5.5, 8.9: the second node's key is not in what the first one brought; soon it is in what both have."""
    redis = MemoryStore(sync_plane.plane.clock, "redis")
    first = RealNode(await sync_plane.new_node(), tmp_path / "1", redis)
    await first.link.beat()
    second = RealNode(await sync_plane.new_node(), tmp_path / "2", redis)
    await second.agent.turn()
    assert second.agent.held is None
    assert second.agent.status().refusal == "key_chain_unopened"
    await second.link.beat()
    assert second.agent.status().refusal is None
    sync_plane.plane.clock.advance(STORE_POLL_S)
    await first.agent.turn()
    assert first.agent.held is not None
    assert second.agent.held is not None
    assert first.agent.held.lease == second.agent.held.lease
    for node in (first, second):
        await node.client.close()


async def test_endpoints_that_are_away_in_turn_are_each_told_once(scene: Scene) -> None:
    """The node asks one after the other, for as long as it lasts; and a clock is another time off at each."""
    failures = [
        CallFailed("unreachable", "http://one: TimeoutError"),
        CallFailed("unreachable", "http://two: TimeoutError"),
        CallFailed("signature_time", "the request's time is 3600 s off the clock here"),
        CallFailed("signature_time", "the request's time is 3601 s off the clock here"),
    ]
    with capture_logs() as logs:
        for _ in range(3):
            for failure in failures:
                assert await scene.beat(failure) is None
        assert await scene.beat(scene.next()) is not None
        assert await scene.beat(failures[0]) is None
    said = [entry.get("detail", "") for entry in logs if entry["event"] in ("control_plane_away", "control_plane_back")]
    assert said == [*map(str, failures[:3]), "", str(failures[0])]


@pytest.mark.parametrize(("free", "told"), [(2**63, 2**53 - 1), (None, 0)])
async def test_a_disk_that_tells_odd_sizes_keeps_no_heartbeat_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, free: int | None, told: int
) -> None:
    """Shared file systems of clouds say that they have eight exbibytes, which no number of the protocol holds."""

    def usage(_: Path) -> SimpleNamespace:
        if free is None:
            raise OSError(116, "Stale file handle")
        return SimpleNamespace(free=free)

    monkeypatch.setattr("shutil.disk_usage", usage)
    assert await scene.beat(scene.next()) is not None
    assert scene.asked.disk_free_bytes == told


def test_a_heartbeat_that_would_be_too_large_leaves_out_its_refusals() -> None:
    """GHS/1 12.4, 13.4: as many shards as there may be leave little room for refusals."""
    shard = f"ws:ws_{'0' * 26}"
    vector = [VectorEntry(shard=shard, epoch=1, revision=40_000, digest="a" * 64)] * SHARDS_MAX
    entry = RefusedResource(shard=shard, kind="config", id="pc_1", revision=1, code="invalid", path="x" * 500)
    payload = b"x" * (147 * SHARDS_MAX)  # The same vector, signed.
    heartbeat = Heartbeat(
        have=vector,
        lease=SignedLease(payload=payload, signature=b"", public_key=b""),
        key_chain="c" * 64,
        build="test",
        protocol=ProtocolRange(),
        kinds={},
        applied=[Applied(shard=shard, epoch=1, revision=40_000)] * SHARDS_MAX,
        refused=[entry] * REFUSED_MAX,
        refused_count=2 * REFUSED_MAX,
        refusal=None,
        workers=[],
        stores={},
        disk_free_bytes=1,
        clock_ms=1,
    )
    body = encoded(heartbeat)
    assert len(body) <= BODY_BYTES_MAX
    told = Heartbeat.model_validate_json(body)
    assert (told.refused, told.refused_count) == ([], 2 * REFUSED_MAX)
    few = heartbeat.model_copy(update={"have": [], "applied": []})
    assert Heartbeat.model_validate_json(encoded(few)) == few
