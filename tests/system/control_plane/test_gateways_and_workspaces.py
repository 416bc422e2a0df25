"""Several gateways: each is told of the workspaces it may serve and of no other, at once when that changes."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from chaos.stack import Node, Stack, chat, standing
from chaos.writers import Ledger, held_on_disk, reckon, write
from tests.fixtures.wire import call

WRITERS = 16
EDITS = 60


async def status_at(node: Node, api_key: str) -> int:
    own = {"authorization": f"Bearer {api_key}"}
    return (await call(node.port, "/v1/chat/completions", chat(), own)).status


def shards_on_disk(node: Node) -> set[str]:
    return {shard for shard, _, _ in held_on_disk(node.folder / "configuration.sqlite3")}


@pytest.fixture
async def bare(tmp_path: Path) -> AsyncIterator[Stack]:
    """Two workspaces, and no gateway yet."""
    async with standing(tmp_path, gateways=0, workspaces=2) as stack:
        yield stack


async def test_a_gateway_sees_the_workspaces_it_may_serve_and_no_other(bare: Stack) -> None:
    one, other = bare.workspaces
    gateways = [await bare.gateway(workspace.id, [workspace.id]) for workspace in (one, other)]
    nodes = [await bare.node(gateway) for gateway in gateways]
    for node in nodes:
        await node.program.ready()
    await bare.at_rest()
    statuses = [[await status_at(node, workspace.api_key) for workspace in (one, other)] for node in nodes]
    assert statuses == [[200, 401], [401, 200]]
    for node, workspace, hidden in zip(nodes, (one, other), (other, one), strict=True):
        assert f"ws:{workspace.id}" in shards_on_disk(node)
        assert f"ws:{hidden.id}" not in shards_on_disk(node)
        seen = await bare.node_view(node)
        assert {shard["shard"] for shard in seen["shards"]} == {
            "global",
            f"org:{bare.organisation}",
            f"ws:{workspace.id}",
        }
        assert hidden.id not in node.program.log.read_text()

    await bare.api.patch(f"/api/v1/gateways/{gateways[0]}", {"workspaces": [other.id]})
    await nodes[0].program.until(lambda: nodes[0].serves(f"ws:{other.id}", 1))
    assert [await status_at(nodes[0], workspace.api_key) for workspace in (one, other)] == [401, 200]


async def test_a_revoked_node_is_told_nothing_more_and_serves_on(bare: Stack) -> None:
    gateway = await bare.gateway("both")
    kept, revoked = await bare.node(gateway), await bare.node(gateway, redis_url=None)
    for node in (kept, revoked):
        await node.program.ready()
    await bare.at_rest()
    await bare.api.delete(f"/api/v1/gateways/{gateway}/nodes/{revoked.id}")
    made = await bare.api.post(f"{bare.workspaces[0].path}/api-keys", {"name": "Later", "default_config": "default"})
    shard = f"ws:{bare.workspaces[0].id}"
    (head,) = await bare.sql("select revision from shard_head where shard = $1", shard)
    await kept.program.until(lambda: kept.serves(shard, head["revision"]))
    await revoked.program.until(lambda: any("node_revoked" in str(line) for line in revoked.logs("control_plane_away")))
    assert await status_at(kept, made["key"]) == 200
    assert await status_at(revoked, made["key"]) == 401
    assert await status_at(revoked, bare.workspaces[0].api_key) == 200


async def test_many_writers_and_three_gateways_lose_nothing(tmp_path: Path) -> None:
    """The short form of `scripts/chaos writers`."""
    async with standing(tmp_path, gateways=3, workspaces=4) as stack:
        ledger = Ledger()
        await write(stack, ledger, writers=WRITERS, edits=EDITS)
        await stack.at_rest()
        found = await reckon(stack, ledger)
        assert len(ledger.acknowledged) >= WRITERS * EDITS * 0.9
        assert (found.lost, found.twice, found.unordered) == ((), (), ())
        for node in stack.nodes:
            await node.program.until(partial(at_head, stack, node))


async def at_head(stack: Stack, node: Node) -> bool:
    """Whether the gateways API says of the node that it serves all there is."""
    seen = await stack.node_view(node)
    return all(shard["behind"] == 0 and shard["have"] == shard["head"] for shard in seen["shards"])
