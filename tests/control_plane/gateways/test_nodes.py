"""Nodes: what each said last, beside where the control plane is."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from control_plane.catalogue.catalogue import Catalogue, Entry
from control_plane.catalogue.seed import seed
from control_plane.configs.api import ConfigCreate, Configs
from control_plane.errors import NotFound
from control_plane.gateways.api import GatewayCreate, Gateways
from control_plane.gateways.nodes import Nodes, NodeView, Position, ShardView
from control_plane.snapshots.gateway_keys import GatewayKeys
from control_plane.sync import store as sync
from control_plane.workspaces.api import Workspaces
from shared.crypto import sign
from shared.models.provider import Provider
from shared.protocol.canonical import INTEGER_MAX as COUNT_MAX
from shared.protocol.enrolment import ProtocolRange
from shared.protocol.heartbeat import Applied, Heartbeat, RecordsHealth, RefusedResource, WorkerHealth
from shared.protocol.lease import VectorEntry
from shared.protocol.node import NodePublic, node_id
from shared.protocol.resource import GLOBAL_SHARD, organisation_shard, workspace_shard
from tests.fixtures.control_plane import Plane

ACME = Provider(id="acme", name="Acme", base_url="https://acme.test")


@pytest.fixture
def nodes(plane: Plane) -> Nodes:
    return Nodes(plane.database, plane.changes)


@pytest.fixture
async def gateway(plane: Plane) -> str:
    room = Gateways(plane.database, plane.changes, GatewayKeys(plane.data_keys, plane.shard_keys), plane.ids)
    return (await room.create(plane.call(GatewayCreate(name="Frankfurt", workspaces=(plane.workspace,))))).id


async def enrolled(plane: Plane, gateway: str) -> str:
    public = sign.public_key(sign.new_key())
    node = NodePublic(node=node_id(public), sign=public, open=b"o" * 32)
    async with plane.database.instance() as connection:
        assert await sync.enrol_node(connection, plane.organisation, gateway, node)
    return node.node


async def beat(plane: Plane, node: str, applied: dict[str, tuple[int, int]], **fields: Any) -> None:
    """A heartbeat, stored as the sync stores it. What is applied is had, too."""
    heartbeat = Heartbeat(
        have=[VectorEntry(shard=s, epoch=e, revision=r, digest="0" * 64) for s, (e, r) in applied.items()],
        lease=None,
        key_chain=None,
        build="0.1.0",
        protocol=ProtocolRange(),
        kinds={"config": 1},
        applied=[Applied(shard=s, epoch=e, revision=r) for s, (e, r) in applied.items()],
        refused=fields.get("refused", []),
        refused_count=len(fields.get("refused", [])),
        refusal=fields.get("refusal"),
        workers=[WorkerHealth(worker="w1", lease=7), WorkerHealth(worker="w2", lease=None)],
        stores={"disk": True, "redis": False},
        disk_free_bytes=5_000_000,
        clock_ms=fields.get("clock_ms", round(datetime.now(UTC).timestamp() * 1000)),
        records=fields.get("records"),
    )
    async with plane.database.tenant(plane.organisation) as connection:
        await sync.save_heartbeat(
            connection, plane.organisation, node, heartbeat.model_dump(mode="json", exclude={"lease"})
        )


async def read(nodes: Nodes, plane: Plane, gateway: str, node: str) -> NodeView:
    return await nodes.read(plane.call(gateway=gateway, node=node))


def shard(view: NodeView, name: str) -> ShardView:
    (found,) = [shard for shard in view.shards if shard.shard == name]
    return found


async def test_a_node_without_a_heartbeat_has_nothing_to_show(nodes: Nodes, plane: Plane, gateway: str) -> None:
    view = await read(nodes, plane, gateway, await enrolled(plane, gateway))
    assert (view.state, view.health, view.seen_at) == ("enrolled", None, None)
    assert [shard.shard for shard in view.shards] == sorted(
        [GLOBAL_SHARD, organisation_shard(plane.organisation), workspace_shard(plane.workspace)]
    )
    assert all(shard.have is None and shard.applied is None and shard.behind is None for shard in view.shards)


async def test_a_node_says_what_it_is_and_how_it_is(nodes: Nodes, plane: Plane, gateway: str) -> None:
    node = await enrolled(plane, gateway)
    refused = RefusedResource(
        shard=workspace_shard(plane.workspace),
        kind="config",
        id="pc_1",
        revision=3,
        code="config_invalid",
        path="/strategy/mode: unknown",
    )
    ahead = datetime.now(UTC) + timedelta(minutes=10)
    clock_ms = round(ahead.timestamp() * 1000)
    await beat(plane, node, {}, refused=[refused], refusal="digest_mismatch", clock_ms=clock_ms)
    view = await read(nodes, plane, gateway, node)
    assert view.state == "connected"
    assert view.health is not None
    assert view.health.model_dump(exclude={"clock_ahead_ms"}) == {
        "build": "0.1.0",
        "protocol": {"min": 1, "max": 1},
        "kinds": {"config": 1},
        "refused": (refused.model_dump(),),
        "refused_count": 1,
        "refusal": "digest_mismatch",
        "workers": ({"worker": "w1", "lease": 7}, {"worker": "w2", "lease": None}),
        "stores": {"disk": True, "redis": False},
        "disk_free_bytes": 5_000_000,
        "records": None,
    }
    assert 500_000 < view.health.clock_ahead_ms <= 600_000


async def test_a_node_says_which_records_wait_and_which_were_lost(nodes: Nodes, plane: Plane, gateway: str) -> None:
    """GHS/1 13.3: times by the node's clock are told by this plane's."""
    node = await enrolled(plane, gateway)
    ahead_ms = 600_000
    clock_ms = round(datetime.now(UTC).timestamp() * 1000) + ahead_ms
    told = RecordsHealth(waiting=5, waiting_bytes=900, oldest_ms=clock_ms - 60_000, dropped={"spool_full": 2})
    await beat(plane, node, {}, records=told, clock_ms=clock_ms)
    health = (await read(nodes, plane, gateway, node)).health
    assert health is not None
    assert health.records is not None
    assert health.records.model_dump(exclude={"oldest_at"}) == {
        "waiting": 5,
        "waiting_bytes": 900,
        "dropped": {"spool_full": 2},
    }
    assert health.records.oldest_at is not None
    assert timedelta(seconds=55) < datetime.now(UTC) - health.records.oldest_at < timedelta(seconds=300)


@pytest.mark.parametrize(("clock_ms", "oldest_ms"), [(0, COUNT_MAX), (COUNT_MAX, 0)])
async def test_a_node_whose_clock_no_calendar_has_is_listed_with_the_others(
    nodes: Nodes, plane: Plane, gateway: str, clock_ms: int, oldest_ms: int
) -> None:
    node, _ = await enrolled(plane, gateway), await enrolled(plane, gateway)
    told = RecordsHealth(waiting=1, waiting_bytes=1, oldest_ms=oldest_ms, dropped={})
    await beat(plane, node, {}, records=told, clock_ms=clock_ms)
    assert len((await nodes.list(plane.call(gateway=gateway))).data) == 2
    view = await read(nodes, plane, gateway, node)
    assert view.health is not None
    assert view.health.records is not None
    assert view.health.records.oldest_at == view.seen_at


@pytest.mark.parametrize("serves", ["all", "named"])
async def test_nobody_is_behind_a_workspace_that_was_deleted(nodes: Nodes, plane: Plane, serves: str) -> None:
    other = await plane.in_another_workspace("other")
    named = None if serves == "all" else (plane.workspace, other.workspace)
    gateways = Gateways(plane.database, plane.changes, GatewayKeys(plane.data_keys, plane.shard_keys), plane.ids)
    gateway = (await gateways.create(plane.call(GatewayCreate(name="Wide", workspaces=named)))).id
    node = await enrolled(plane, gateway)
    before = await read(nodes, plane, gateway, node)
    await Workspaces(plane.database, plane.changes, plane.shard_keys, plane.ids).delete(other.call())
    after = await read(nodes, plane, gateway, node)
    gone = workspace_shard(other.workspace)
    assert {shard.shard for shard in before.shards} - {shard.shard for shard in after.shards} == {gone}


async def test_lag_is_counted_in_revisions_and_since_the_first_change_it_lacks(
    nodes: Nodes, plane: Plane, gateway: str
) -> None:
    node, name = await enrolled(plane, gateway), workspace_shard(plane.workspace)
    configs = Configs(plane.database, plane.changes, plane.ids)
    for slug in ("one", "two"):
        await configs.create(plane.call(ConfigCreate(slug=slug, name=slug, body={"provider": "acme"})))
    await beat(plane, node, {name: (1, 1), organisation_shard(plane.organisation): (1, 1)})
    view = await read(nodes, plane, gateway, node)
    async with plane.database.tenant(plane.organisation) as connection:
        first = await connection.fetchval("select at from change where shard = $1 and revision = 2", name)
    assert shard(view, name) == ShardView(
        shard=name,
        head=Position(epoch=1, revision=3),
        have=Position(epoch=1, revision=1),
        applied=Position(epoch=1, revision=1),
        behind=2,
        behind_since=first,
    )
    current = shard(view, organisation_shard(plane.organisation))
    assert (current.behind, current.behind_since) == (0, None)


async def test_lag_behind_the_catalogue_is_seen_by_every_organisation(nodes: Nodes, plane: Plane, gateway: str) -> None:
    node = await enrolled(plane, gateway)
    entry = Entry(provider="acme", name="m", type="chat")
    await seed(plane.changes, plane.data_keys, plane.shard_keys, Catalogue((entry,), {"acme": ACME}, "x"))
    await beat(plane, node, {GLOBAL_SHARD: (1, 0)})
    found = shard(await read(nodes, plane, gateway, node), GLOBAL_SHARD)
    assert found.behind == 1
    assert found.behind_since is not None


async def test_another_epoch_is_not_compared(nodes: Nodes, plane: Plane, gateway: str) -> None:
    node, name = await enrolled(plane, gateway), workspace_shard(plane.workspace)
    await beat(plane, node, {name: (2, 40)})
    found = shard(await read(nodes, plane, gateway, node), name)
    assert (found.applied, found.behind, found.behind_since) == (Position(epoch=2, revision=40), None, None)
    await beat(plane, node, {name: (0, 0)})
    assert shard(await read(nodes, plane, gateway, node), name).behind_since is None


async def test_only_shards_that_the_gateway_may_serve_are_measured(nodes: Nodes, plane: Plane, gateway: str) -> None:
    other = await plane.in_another_workspace("other")
    view = await read(nodes, plane, gateway, await enrolled(plane, gateway))
    assert workspace_shard(other.workspace) not in {shard.shard for shard in view.shards}


async def test_a_node_not_heard_of_is_silent(nodes: Nodes, plane: Plane, gateway: str) -> None:
    node = await enrolled(plane, gateway)
    await beat(plane, node, {})
    async with plane.database.tenant(plane.organisation) as connection:
        await connection.execute("update node set seen_at = now() - interval '91 seconds'")
    assert (await read(nodes, plane, gateway, node)).state == "silent"


async def test_a_revoked_node_says_so_and_revoking_again_is_no_change(nodes: Nodes, plane: Plane, gateway: str) -> None:
    node = await enrolled(plane, gateway)
    await nodes.revoke(plane.call(gateway=gateway, node=node))
    view = await read(nodes, plane, gateway, node)
    await nodes.revoke(plane.call(gateway=gateway, node=node))
    again = await read(nodes, plane, gateway, node)
    assert view.state == "revoked"
    assert again.revoked_at == view.revoked_at is not None
    assert [entry["action"] for entry in await plane.audit()].count("nodes.delete") == 1


async def test_nodes_are_listed_by_gateway_and_state(nodes: Nodes, plane: Plane, gateway: str) -> None:
    seen, unseen = await enrolled(plane, gateway), await enrolled(plane, gateway)
    await beat(plane, seen, {})
    everything = await nodes.list(plane.call(gateway=gateway))
    assert {view.id for view in everything.data} == {seen, unseen}
    connected = await nodes.list(plane.call(query={"filter": "state:connected build:0.1"}, gateway=gateway))
    assert [view.id for view in connected.data] == [seen]


async def test_another_organisation_or_gateway_does_not_see_it(nodes: Nodes, plane: Plane, gateway: str) -> None:
    node = await enrolled(plane, gateway)
    room = Gateways(plane.database, plane.changes, GatewayKeys(plane.data_keys, plane.shard_keys), plane.ids)
    other = (await room.create(plane.call(GatewayCreate(name="Paris")))).id
    stranger = await plane.in_another_organisation()
    for call in (stranger.call(gateway=gateway, node=node), plane.call(gateway=other, node=node)):
        for attempt in (nodes.read(call), nodes.revoke(call)):
            with pytest.raises(NotFound):
                await attempt
    with pytest.raises(NotFound):
        await nodes.list(stranger.call(gateway=gateway))
    assert (await nodes.list(plane.call(gateway=other))).data == ()
