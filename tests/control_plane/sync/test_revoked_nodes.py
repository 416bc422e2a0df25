"""A revoked node is told nothing any more, whatever it had under way, and comes back with a new token only."""

import asyncio

import orjson

from shared.protocol.heartbeat import WATCH_PATH
from tests.fixtures.sync import NOTHING, Mirror, SyncNode, SyncPlane

HANG_S = 20
"""A guard against hanging: less than the watch was asked to wait."""


async def revoke(node: SyncNode) -> None:
    house = node.house
    await house.rows("update node set revoked_at = now() where id = $1 returning id", node.keys.node)
    await house.rows("select pg_notify('gatehouse_shard', $1)", f"org:{house.plane.organisation}")


async def test_the_token_that_let_it_in_does_not_bring_it_back(sync_plane: SyncPlane) -> None:
    """GHS/1 11.3: within the ten minutes in which the answer is repeated."""
    node, token = SyncNode(sync_plane), await sync_plane.new_token()
    await node.enrol(token)
    await revoke(node)
    status, told = await node.try_enrol(token)
    assert (status, orjson.loads(told)["code"]) == (409, "token_used")
    status, refused = await node.post(WATCH_PATH, {**NOTHING.model_dump(mode="json"), "wait_s": 0})
    assert (status, refused["code"]) == (401, "node_revoked")


async def test_a_new_token_brings_it_back(sync_plane: SyncPlane) -> None:
    """GHS/1 11.6."""
    node = await sync_plane.new_node()
    await revoke(node)
    await node.enrol(await sync_plane.new_token())
    mirror = Mirror(node)
    await mirror.beat()
    assert mirror.held is not None


async def test_a_watch_under_way_is_not_answered(sync_plane: SyncPlane) -> None:
    """GHS/1 15.2."""
    mirror = Mirror(await sync_plane.new_node())
    await mirror.beat()
    message = {**mirror.question.model_dump(mode="json"), "wait_s": 2 * HANG_S}
    watch = asyncio.create_task(mirror.node.post(WATCH_PATH, message))
    while sync_plane.plane.organisation not in sync_plane.notices.waiting_for:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    await revoke(mirror.node)
    async with asyncio.timeout(HANG_S):
        status, told = await watch
    assert (status, told["code"]) == (401, "node_revoked")
