"""Metrics of the control plane: requests by route, nodes that were heard, records that count, connections."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from math import isnan
from pathlib import Path

import orjson
import pytest
from aiohttp import ClientError, ClientSession, web
from aiohttp.test_utils import TestServer
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from control_plane.metrics import SEEN_S, Metrics
from control_plane.telemetry.clickhouse import ClickHouse
from control_plane.telemetry.errors import AnalyticsUnavailable
from control_plane.telemetry.ingest import Ingest
from control_plane.telemetry.reconciling import Reconciling
from shared.crypto.secret import Secret
from shared.models.record import FIELDS
from shared.protocol import batch
from shared.protocol.drop import Drop
from shared.protocol.heartbeat import HEARTBEAT_PATH
from shared.protocol.request import NODE
from tests.fixtures.control_plane import Plane
from tests.fixtures.delivery import KEPT, Sender
from tests.fixtures.processes import free_ports
from tests.fixtures.records import a_record
from tests.fixtures.tenants import standing_world

REQUESTS = "gatehouse_control_plane_requests_total"


def told(metrics: Metrics) -> dict[str, float]:
    """Samples by name and label values."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(generate_latest(metrics.registry).decode())
        for sample in family.samples
    }


def never(plane: Plane) -> Reconciling:
    """One that did not look yet."""
    return Reconciling(plane.database, ClickHouse(None), KEPT, plane.clock)


@pytest.fixture
def metrics(plane: Plane) -> Metrics:
    clickhouse = ClickHouse(None)
    return Metrics(
        plane.database, clickhouse, Ingest(plane.database, clickhouse, plane.clock, 400), never(plane), plane.clock
    )


@pytest.fixture
async def url(metrics: Metrics) -> AsyncIterator[str]:
    """A server whose requests are counted."""

    async def answer(request: web.Request) -> web.Response:
        match request.match_info.get("what"):
            case "fault":
                raise RuntimeError("a fault of ours")
            case "refuse":
                raise web.HTTPForbidden
            case "leave":
                raise ConnectionResetError("the caller left")
        return web.Response(status=200 if request.headers.get(NODE) != "nd_revoked" else 401)

    server = web.Application(middlewares=[metrics.middleware])
    server.router.add_get("/things/{what}", answer)
    server.router.add_post(HEARTBEAT_PATH, answer)
    async with TestServer(server) as running:
        yield str(running.make_url("")).rstrip("/")


async def test_requests_are_counted_by_their_routes_and_never_by_what_callers_write(metrics: Metrics, url: str) -> None:
    async with ClientSession() as session:
        for path in ("/things/one", "/things/two", "/things/fault", "/things/refuse", "/elsewhere/at/all"):
            await session.get(url + path)
        with suppress(ClientError):  # Nobody is there to be answered.
            await session.get(f"{url}/things/leave")
        await session.request("PURGE", url + "/elsewhere")
    samples = told(metrics)
    assert {name: value for name, value in samples.items() if name.startswith(f"{REQUESTS} ")} == {
        f"{REQUESTS} GET /things/{{what}} 200": 2,
        f"{REQUESTS} GET /things/{{what}} 500": 1,
        f"{REQUESTS} GET /things/{{what}} 403": 1,
        f"{REQUESTS} GET /things/{{what}} 499": 1,
        f"{REQUESTS} none none 404": 2,
    }
    assert samples["gatehouse_control_plane_request_duration_seconds_count GET /things/{what}"] == 5


async def test_a_node_is_seen_while_its_heartbeats_are_answered(metrics: Metrics, url: str, plane: Plane) -> None:
    async with ClientSession() as session:
        for node in ("nd_1", "nd_2", "nd_1", "nd_revoked"):
            await session.post(url + HEARTBEAT_PATH, headers={NODE: node})
        assert metrics.nodes_seen() == 2
        plane.clock.advance(SEEN_S - 1)
        await session.post(url + HEARTBEAT_PATH, headers={NODE: "nd_2"})
        plane.clock.advance(2)
    assert told(metrics)["gatehouse_control_plane_nodes_seen"] == 1


async def test_connections_are_told_by_what_they_do(metrics: Metrics, plane: Plane) -> None:
    async with plane.database.instance() as connection:
        await connection.fetchval("select 1")
        samples = told(metrics)
    assert samples["gatehouse_control_plane_database_connections busy"] == 1
    assert samples["gatehouse_control_plane_database_connections_max"] == 5


async def test_batches_records_and_what_is_missing_are_counted(plane: Plane, sender: Sender) -> None:
    metrics = Metrics(plane.database, sender.tables, sender.ingest, never(plane), plane.clock)
    row = list(a_record(1, workspace=plane.workspace))
    rows = [orjson.dumps(row), orjson.dumps([*row[:-1], 7])]
    drops = [Drop(reason="disk_full", count=9, from_ms=1, to_ms=2)]
    payload = batch.payload(FIELDS, rows, drops)
    for _ in range(2):  # The same again counts once.
        await sender.deliver(1, payload)
    samples = told(metrics)
    assert samples["gatehouse_control_plane_batches_total"] == 1
    assert samples["gatehouse_control_plane_records_total"] == 1
    assert samples["gatehouse_control_plane_records_refused_total"] == 1
    assert samples["gatehouse_control_plane_records_dropped_total"] == 9


async def test_what_clickhouse_did_not_do_is_counted(plane: Plane) -> None:
    """Here because nobody is at its address."""
    (port,) = free_ports(1)
    clickhouse = ClickHouse(Secret(f"http://u:p@127.0.0.1:{port}/x"), connect_s_max=1.0)
    clickhouse.open()
    metrics = Metrics(
        plane.database, clickhouse, Ingest(plane.database, clickhouse, plane.clock, 400), never(plane), plane.clock
    )
    with pytest.raises(AnalyticsUnavailable):
        await clickhouse.rows("select 1")
    await clickhouse.close()
    assert told(metrics)["gatehouse_control_plane_clickhouse_failures_total"] == 1


async def test_a_whole_control_plane_counts_its_requests(migrated_url: str, tmp_path: Path) -> None:
    async with standing_world(migrated_url, tmp_path) as world:
        for path in ("/livez", "/api/v1/workspaces", "/api/v1/nothing"):
            await world.http.get(world.url + path)
        samples = told(world.parts.metrics)
    assert samples[f"{REQUESTS} GET /livez 200"] == 1
    assert samples[f"{REQUESTS} GET /api/v1/workspaces 401"] == 1


async def test_the_page_is_served_on_its_own_port(metrics: Metrics) -> None:
    (port,) = free_ports(1)
    serving = asyncio.create_task(metrics.serve("127.0.0.1", port))
    async with ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                    assert "gatehouse_control_plane_nodes_seen 0.0" in await answer.text()
                    break
            except OSError:
                assert not serving.done()
                await asyncio.sleep(0.01)
    serving.cancel()
    await asyncio.wait({serving})


async def test_a_port_that_is_taken_is_said_and_stops_nothing(metrics: Metrics) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder, capture_logs() as logs:
        serving = asyncio.create_task(metrics.serve("127.0.0.1", holder.getsockname()[1]))
        while not logs:
            assert not serving.done()
            await asyncio.sleep(0.001)
        assert not serving.done()
        serving.cancel()
        await asyncio.wait({serving})
    assert logs[0]["event"] == "metrics_not_served"


async def test_where_the_ledger_and_clickhouse_do_not_agree_is_counted(sender: Sender) -> None:
    plane = sender.plane
    reconciling = Reconciling(plane.database, sender.tables, KEPT, plane.clock)
    metrics = Metrics(plane.database, sender.tables, sender.ingest, reconciling, plane.clock)
    differences, at = (
        "gatehouse_control_plane_records_differences",
        "gatehouse_control_plane_records_reconciled_timestamp_seconds",
    )
    assert isnan(told(metrics)[differences])
    assert told(metrics)[at] == 0
    await sender.deliver(
        1,
        batch.payload(
            FIELDS, [orjson.dumps(list(a_record(1, workspace=None, started_at_ms=plane.clock.wall_ms())))], ()
        ),
    )
    await reconciling.turn()
    assert (told(metrics)[differences], told(metrics)[at]) == (0, plane.clock.wall_ms() / 1000)
    await sender.execute("delete from record_day")
    await reconciling.turn()
    assert told(metrics)[differences] == 3
