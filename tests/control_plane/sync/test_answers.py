"""Heartbeats: what a node is told, in which form, of which shards; and that it ends where the control plane is."""

import asyncio
from datetime import timedelta

import pytest

from control_plane.errors import Problem
from control_plane.snapshots import lease as issuing
from control_plane.snapshots.compact import compact
from control_plane.snapshots.lease import LeaseIssuer
from control_plane.snapshots.read import ShardReader
from gateway.sync.trust import Refused
from shared.crypto import sign
from shared.protocol.answer import DELTA_CHANGES_MAX, Gone, Whole
from shared.protocol.lease import sign_lease
from tests.fixtures.sync import NOTHING, Mirror, SyncNode, SyncPlane

OLD = timedelta(seconds=-1)
"""Everything is older than this."""


@pytest.fixture
async def node(sync_plane: SyncPlane) -> SyncNode:
    return await sync_plane.new_node()


@pytest.fixture
def mirror(node: SyncNode) -> Mirror:
    return Mirror(node)


async def test_the_first_answer_is_everything_and_opens(mirror: Mirror) -> None:
    """GHS/1 14.1 to 14.3."""
    answer = await mirror.beat()
    assert {type(part) for part in answer.parts} == {Whole}
    plane = mirror.node.house.plane
    assert mirror.held is not None
    assert {entry.shard for entry in mirror.held.lease.vector} == {
        "global",
        f"org:{plane.organisation}",
        f"ws:{plane.workspace}",
    }
    assert mirror.held.lease.expires_at_ms - mirror.held.lease.issued_at_ms == 15 * 60_000
    assert 27_000 <= answer.next_ms <= 33_000


async def test_without_an_edit_nothing_travels_but_a_lease(mirror: Mirror) -> None:
    """GHS/1 14.4, 10.4."""
    await mirror.beat()
    before = mirror.held
    answer = await mirror.beat()
    assert {type(part).__name__ for part in answer.parts} == {"Unchanged"}
    assert answer.key_chain is None
    assert before is not None
    assert mirror.held is not None
    assert mirror.held.lease.sequence == before.lease.sequence + 1
    assert mirror.held.lease.digest == before.lease.digest


async def test_an_edit_travels_alone(mirror: Mirror) -> None:
    """GHS/1 14.5, 10.2."""
    house = mirror.node.house
    await house.put("kept", 1)
    await house.put("gone", 1)
    await mirror.beat()
    changed = await house.put("kept", 2)
    await house.remove("gone")
    answer = await mirror.beat()
    assert mirror.form(answer) == "Delta"
    assert mirror.configs == {"pc_kept": changed}


async def test_a_delta_that_would_be_too_long_is_a_snapshot(mirror: Mirror) -> None:
    """GHS/1 14.5."""
    house = mirror.node.house
    await mirror.beat()
    await house.rows(
        "insert into resource (shard, organisation, kind, id, revision, schema_version, key_epoch, sealed, hash)"
        " select $1, $2, 'config', 'c' || n, head.revision + 1, 1, 1, 'x'::bytea,"
        " encode(sha256('x'::bytea), 'hex') from generate_series(1, $3) n, shard_head head where head.shard = $1"
        " returning id",
        house.shard,
        house.plane.organisation,
        DELTA_CHANGES_MAX + 1,
    )
    await house.rows("update shard_head set revision = revision + 1 where shard = $1 returning shard", house.shard)
    assert mirror.form(await mirror.beat()) == "Whole"
    assert len(mirror.configs) == DELTA_CHANGES_MAX + 1


async def test_a_deleted_key_never_comes_back(mirror: Mirror) -> None:
    """GHS/1 10.2, 10.5: its tombstone was compacted away while the node was not there."""
    house = mirror.node.house
    await house.put("revoked", 1)
    await mirror.beat()
    assert "pc_revoked" in mirror.configs
    await house.remove("revoked")
    assert await compact(house.plane.database, kept_for=OLD, revisions_kept=0) >= 1
    await house.put("later", 1)
    assert mirror.form(await mirror.beat()) == "Whole"
    assert set(mirror.configs) == {"pc_later"}


async def test_compaction_keeps_what_is_young_or_near(mirror: Mirror) -> None:
    """GHS/1 10.5."""
    house = mirror.node.house
    await house.put("a", 1)
    await house.remove("a")
    assert await compact(house.plane.database) == 0
    assert await compact(house.plane.database, kept_for=OLD) == 0
    assert await compact(house.plane.database, revisions_kept=0) == 0
    await house.put("b", 1)
    assert await compact(house.plane.database, kept_for=OLD, revisions_kept=1) == 1
    (head,) = await house.rows("select floor, revision from shard_head where shard = $1", house.shard)
    assert head["floor"] < head["revision"]


async def test_a_gateway_is_told_only_of_its_workspaces(sync_plane: SyncPlane) -> None:
    """GHS/1 14.2."""
    second = await sync_plane.plane.in_another_workspace("second")
    foreign = await sync_plane.plane.in_another_organisation()
    await sync_plane.put("here", 1)
    await sync_plane.put("there", 1, second.workspace)
    narrow = Mirror(await sync_plane.new_node(await sync_plane.new_gateway([second.workspace, foreign.workspace])))
    wide = Mirror(await sync_plane.new_node())
    for mirror, workspaces in ((narrow, {second.workspace}), (wide, {sync_plane.plane.workspace, second.workspace})):
        answer = await mirror.beat()
        shards = {part.shard for part in answer.parts}
        assert shards == {"global", f"org:{sync_plane.plane.organisation}"} | {f"ws:{id_}" for id_ in workspaces}
    assert narrow.held is not None
    assert b"ws:" + sync_plane.plane.workspace.encode() not in narrow.held.snapshot.key_chain


async def test_each_node_can_open_what_came_also_the_one_that_came_later(mirror: Mirror) -> None:
    """GHS/1 5.2, 14.1."""
    first = await mirror.beat()
    assert (await mirror.beat()).key_chain is None
    second = Mirror(await mirror.node.house.new_node())
    await second.beat()
    again = await mirror.beat()
    assert again.key_chain not in (None, first.key_chain)
    assert (await mirror.beat()).key_chain is None


async def test_a_revoked_node_gets_no_keys_any_more(mirror: Mirror) -> None:
    """GHS/1 5.5."""
    house = mirror.node.house
    other = Mirror(await house.new_node())
    await house.rows("update node set revoked_at = now() where id = $1 returning id", mirror.node.keys.node)
    answer = await other.beat()
    with pytest.raises(Refused, match="key_chain_unopened"):
        mirror.take(answer, None)


async def test_the_key_chain_is_the_same_after_a_restart_and_from_a_second_process(mirror: Mirror) -> None:
    """GHS/1 14.1."""
    await mirror.beat()
    house = mirror.node.house
    other = LeaseIssuer(house.plane.database, ShardReader(), house.gateway_keys, house.signing_key, house.plane.clock)
    answer = await other.answer(house.gateway, mirror.question, 1)
    assert answer.key_chain is None
    mirror.take(answer, mirror.held)


async def test_what_a_node_says_of_itself_is_kept(node: SyncNode) -> None:
    """GHS/1 13.3, 13.4."""
    refused = {"shard": "s", "kind": "config", "id": "c", "revision": 4, "code": "config_invalid", "path": "/body"}
    await node.post("/sync/v1/heartbeat", {**node.heartbeat().model_dump(mode="json"), "refused": [refused]})
    (row,) = await node.house.rows("select seen_at, heartbeat from node")
    assert row["seen_at"] is not None
    assert row["heartbeat"]["refused"] == [refused]
    assert row["heartbeat"]["build"] == "test"
    assert "lease" not in row["heartbeat"]


async def test_a_node_of_another_age_is_refused_and_seen(node: SyncNode) -> None:
    """GHS/1 13.5."""
    message = node.heartbeat().model_dump(mode="json")
    status, told = await node.post("/sync/v1/heartbeat", {**message, "protocol": {"min": 2, "max": 3}})
    assert (status, told["code"]) == (409, "protocol")
    (row,) = await node.house.rows("select heartbeat from node")
    assert row["heartbeat"]["protocol"] == {"min": 2, "max": 3}


async def test_leases_made_at_the_same_time_never_go_back(mirror: Mirror) -> None:
    """GHS/1 10.3, 10.4, 6.2: two processes, one gateway, edits all the while."""
    house = mirror.node.house
    issuers = [
        house.issuer,
        LeaseIssuer(house.plane.database, ShardReader(), house.gateway_keys, house.signing_key, house.plane.clock),
    ]

    async def ask(issuer: LeaseIssuer) -> list[tuple[int, int]]:
        places = []
        for _ in range(10):
            try:
                answer = await issuer.answer(house.gateway, NOTHING, 1)
            except Problem:
                continue  # Lost five times in a row against the other: the node would ask again.
            lease = issuing.leases.parse(answer.lease.payload)
            places.append((lease.sequence, {e.shard: e.revision for e in lease.vector}[house.shard]))
        return places

    async def edit() -> None:
        for number in range(20):
            await house.put("busy", number)

    one, two, _ = await asyncio.gather(ask(issuers[0]), ask(issuers[1]), edit())
    places = sorted(one + two)
    assert len({sequence for sequence, _ in places}) == len(places) > 5
    assert [revision for _, revision in places] == sorted(revision for _, revision in places)


async def test_a_reader_that_is_overtaken_still_tells_one_instant(mirror: Mirror) -> None:
    """GHS/1 10.3: what is kept in memory is of a later instant than the reader's."""
    house = mirror.node.house
    reader, database, organisation = house.reader, house.plane.database, house.plane.organisation
    await house.put("a", 1)
    async with database.snapshot(None) as early:
        heads = await reader.heads(early, organisation, None)
        await house.put("a", 2)
        async with database.snapshot(None) as late:
            newest = await reader.positions(late, await reader.heads(late, organisation, None))
        seen = await reader.positions(early, heads)
        alone = await ShardReader().positions(early, heads)
    assert seen == alone
    assert seen != newest


async def test_what_is_kept_of_shards_is_bounded_and_changes_nothing_that_is_told(mirror: Mirror) -> None:
    house = mirror.node.house
    reader, database = ShardReader(lines_kept_max=1), house.plane.database
    for number in range(3):
        await house.put("a", number)
        async with database.snapshot(None) as connection:
            heads = await reader.heads(connection, house.plane.organisation, None)
            told = await reader.positions(connection, heads)
            assert told == await ShardReader().positions(connection, heads)
        assert len(told) > len(reader._kept) == 1


async def test_lost_commits_start_a_new_epoch(mirror: Mirror) -> None:
    """GHS/1 10.6: the database was restored from before the node's lease."""
    house = mirror.node.house
    await mirror.beat()
    (past,) = await house.rows("select revision from shard_head where shard = $1", house.shard)
    await house.put("lost", 1)
    await mirror.beat()
    assert mirror.held is not None
    promised = mirror.held.lease
    await house.rows("delete from resource where id = 'pc_lost' returning id")
    await house.rows("delete from change where id = 'pc_lost' returning id")
    await house.rows(
        "update shard_head set revision = $2 where shard = $1 returning shard", house.shard, past["revision"]
    )
    await house.rows("update gateway set lease_sequence = 0 where id = $1 returning id", house.gateway)
    await house.put("other", 1)  # The same revision again, for something else.
    house.reader.forget()
    await mirror.beat()
    assert set(mirror.configs) == {"pc_other"}
    assert mirror.held.lease.sequence > promised.sequence
    (head,) = await house.rows("select epoch from shard_head where shard = $1", house.shard)
    assert head["epoch"] in (1, 2)
    await house.rows("update shard_head set revision = 0 where shard = $1 returning shard", house.shard)
    await mirror.beat()
    (after,) = await house.rows("select epoch, revision from shard_head where shard = $1", house.shard)
    assert after == {"epoch": head["epoch"] + 1, "revision": 0}


async def test_a_nodes_mere_word_moves_no_epoch(mirror: Mirror) -> None:
    """GHS/1 10.6."""
    await mirror.beat()
    held = mirror.held
    assert held is not None
    vector = [entry.model_copy(update={"epoch": 9}) for entry in held.lease.vector]
    far = held.lease.model_copy(update={"vector": vector, "sequence": 1_000})
    forged = sign_lease(sign.new_key(), far)
    borrowed = forged.model_copy(update={"public_key": held.snapshot.lease.public_key})
    stranger = sign_lease(mirror.node.house.signing_key, far.model_copy(update={"gateway": "gw_other"}))
    for lease in (forged, borrowed, stranger):
        await mirror.node.beat(mirror.question.model_copy(update={"have": vector, "lease": lease}))
    assert {row["epoch"] for row in await mirror.node.house.rows("select epoch from shard_head")} == {1}
    await mirror.beat()
    assert mirror.held is not None
    assert mirror.held.lease.sequence < 1_000


async def test_another_timeline_starts_a_new_epoch(mirror: Mirror) -> None:
    """GHS/1 10.6: the shards say they were written on another timeline than the database is on now."""
    house = mirror.node.house
    await mirror.beat()
    before = mirror.held
    await house.rows("update shard_head set timeline = 77 returning shard")
    await house.restart_listener()
    await mirror.beat()
    assert {row["epoch"] for row in await house.rows("select epoch from shard_head")} == {2}
    assert before is not None
    assert mirror.held is not None
    assert {entry.epoch for entry in mirror.held.lease.vector} == {2}


async def test_deltas_name_what_is_gone(mirror: Mirror) -> None:
    """GHS/1 14.3."""
    house = mirror.node.house
    await house.put("a", 1)
    await mirror.beat()
    await house.remove("a")
    answer = await mirror.beat()
    (part,) = (part for part in answer.parts if part.shard == house.shard)
    assert [(type(change), change.id) for change in part.changes] == [(Gone, "pc_a")]  # type: ignore[union-attr]
