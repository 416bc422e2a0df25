"""Records on the whole way: from a call on one of two nodes to the table where questions are answered from."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

import clickhouse_connect
import pytest
import pytest_asyncio
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families

from chaos.stack import Node, Stack, chat, free_ports, standing
from tests.fixtures.wire import call

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/v1/chat/completions"
REQUEST_ID = "x-portkey-request-id"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Two nodes of one gateway."""
    async with standing(tmp_path_factory.mktemp("records"), nodes=2) as running:
        yield running


async def calls(stack: Stack, node: Node, count: int, **fields: Any) -> list[str]:
    """Made one after the other; ids of their requests."""
    headers = {"authorization": f"Bearer {stack.workspaces[0].api_key}"}
    replies = [await call(node.port, PATH, chat(**fields), headers) for _ in range(count)]
    assert {reply.status for reply in replies} == {200}
    return [reply.headers[REQUEST_ID] for reply in replies]


async def rows(stack: Stack, query: str) -> Sequence[Sequence[Any]]:
    client = await clickhouse_connect.get_async_client(dsn=stack.clickhouse_url.reveal_text())
    try:
        return (await client.query(query)).result_rows
    finally:
        await client.close()


async def arrived(stack: Stack, ids: Sequence[str]) -> bool:
    """Whether each of them is there, once."""
    counts = dict(await rows(stack, "select id, count() from record group by id"))
    assert set(counts.values()) <= {1}
    return counts.keys() >= set(ids)


async def test_each_call_has_its_record_and_a_user_the_same_pseudonym_at_every_node(pair: Stack) -> None:
    """GHS/1 17.9."""
    one, two = pair.nodes
    for node in pair.nodes:
        await node.program.until((node.folder / "user.key").exists)
    ids = await calls(pair, one, 5, user="ada") + await calls(pair, two, 5, user="ada")
    await pair.control_plane.until(partial(arrived, pair, ids))
    found = await rows(pair, "select distinct node, user from record where user is not null")
    assert {node for node, _ in found} == {one.id, two.id}
    assert len({user for _, user in found}) == 1
    assert b"ada" not in {user for _, user in found}


async def test_a_node_that_is_asked_to_end_sends_what_it_has_just_written(pair: Stack) -> None:
    """GHS/1 17.13: also of the call that was still running."""
    node = pair.nodes[1]
    running = asyncio.create_task(calls(pair, node, 1, model="sim-slow-700"))
    ids = await calls(pair, node, 3)
    await node.program.stop()
    ids += await running
    assert await arrived(pair, ids)
    await node.program.start()


async def test_while_the_control_plane_is_away_records_wait_and_then_all_of_them_come(pair: Stack) -> None:
    node = pair.nodes[0]
    await pair.control_plane.kill()
    ids = await calls(pair, node, 20)
    await node.program.until(lambda: node.logs("records_wait"))
    assert await rows(pair, f"select count() from record where id = '{ids[0]}'") == [(0,)]
    await pair.control_plane.start()
    await pair.control_plane.until(partial(arrived, pair, ids))

    async def nothing_waits() -> bool:
        health = (await pair.node_view(node))["health"]
        return health is not None and health["records"] is not None and health["records"]["waiting"] == 0

    await pair.control_plane.until(nothing_waits)


async def test_a_killed_agent_goes_on_where_it_was(pair: Stack) -> None:
    node = pair.nodes[0]
    ids = await calls(pair, node, 3)
    before = node.children()["agent"]
    os.kill(before, signal.SIGKILL)
    ids += await calls(pair, node, 3)
    await pair.control_plane.until(partial(arrived, pair, ids))
    assert node.children()["agent"] != before


async def test_the_agent_serves_metrics_of_its_node(pair: Stack) -> None:
    (port,) = free_ports(1)
    node = await pair.node(pair.nodes[0].gateway, metrics_port=port)
    await node.program.ready()
    await node.program.until(partial(pair.serves_all, node))
    await calls(pair, node, 4)

    async def counted() -> bool:
        told = await metrics(port)
        return told.get("gatehouse_requests_total", 0) == told.get("gatehouse_records_shipped_total", 0) == 4

    await node.program.until(counted)
    told = await metrics(port)
    assert told["gatehouse_requests_in_flight"] == 0
    assert told["gatehouse_processes"] == 3
    assert told["gatehouse_heartbeat_age_seconds"] < 60
    assert told["process_cpu_seconds_total"] > 0


async def metrics(port: int) -> dict[str, float]:
    """Sums over all labels."""
    try:
        async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            text = await answer.text()
    except OSError:
        return {}
    sums: Counter[str] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] += sample.value
    return dict(sums)
