"""`/metrics` of a node: by its agent, or, where it has none, by a small process beside its workers."""

import asyncio
import socket
import sys
from collections import Counter
from collections.abc import Iterator

import pytest
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families

from tests.fixtures.processes import free_ports
from tests.fixtures.stack import Stack, chat, running_stack


async def sums(port: int) -> dict[str, float]:
    """Samples over all labels; none while nobody serves them."""
    try:
        async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            text = await answer.text()
    except OSError:
        return {}
    told: Counter[str] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            told[sample.name] += sample.value
    return dict(told)


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def node(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Stack]:
    """It has a snapshot for a control plane, and tells of itself on `port`."""
    with running_stack(tmp_path_factory.mktemp("node"), metrics_port=port) as stack:
        yield stack


@pytest.fixture
def unlucky_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Somebody has its port."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with running_stack(tmp_path_factory.mktemp("unlucky"), metrics_port=port) as stack:
            yield stack


async def test_a_node_without_a_control_plane_counts_its_calls_and_keeps_no_records(node: Stack, port: int) -> None:
    for _ in range(3):
        assert (await node.call(chat())).status == 200

    async def counted() -> bool:
        return (await sums(port)).get("gatehouse_requests_total") == 3

    await node.wait_until(counted)
    told = await sums(port)
    assert told["gatehouse_tokens_total"] > 0
    assert told["gatehouse_records_waiting"] == 0
    assert "gatehouse_ship_failures_total" not in told


async def test_where_the_agent_is_elsewhere_what_files_say_is_served(node: Stack, port: int) -> None:
    await asyncio.to_thread(node.stop_gateway)
    node.gateway_command = (sys.executable, "-m", "gateway", "--role", "proxy")
    node.start_gateway()

    async def served() -> bool:
        return (await sums(port)).get("gatehouse_processes") == 3  # Two workers, and the one that tells.

    await node.wait_until(served)
    told = await sums(port)
    assert told["gatehouse_requests_in_flight"] == 0
    assert told["gatehouse_segment_bytes"] > 0
    assert told.keys().isdisjoint({"gatehouse_requests_total", "gatehouse_records_waiting"})


async def test_a_port_that_is_taken_is_said_and_stops_no_call(unlucky_node: Stack) -> None:
    assert (await unlucky_node.call(chat())).status == 200
    await unlucky_node.wait_for_log("metrics_not_served")
