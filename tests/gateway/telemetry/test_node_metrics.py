"""Metrics of the node: what its files and its agent say at the moment it is asked."""

import asyncio
import os
import socket
from collections import Counter
from pathlib import Path

from aiohttp import ClientSession
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from structlog.testing import capture_logs

from gateway.sync import reports
from gateway.sync.agent import AgentStatus
from gateway.sync.reports import Report
from gateway.telemetry import slots
from gateway.telemetry.metrics_server import MetricsServer
from gateway.telemetry.node_metrics import AgentMetrics, FileMetrics
from gateway.telemetry.ship import Shipped
from gateway.telemetry.slots import SlotTable
from shared.protocol.heartbeat import RecordsHealth
from tests.fixtures.processes import free_ports
from tests.fixtures.spool import SpoolWriter

HEALTH = RecordsHealth(waiting=7, waiting_bytes=900, oldest_ms=1_500, dropped={"spool_full": 3})
STATUS = AgentStatus(sequence=12, stale=True, refusal=None, stores={"disk": True, "redis": False})


def told(collector: Collector) -> dict[str, float]:
    """Samples by name and label values."""
    registry = CollectorRegistry()
    registry.register(collector)
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


def test_an_empty_folder_has_nothing_to_tell_and_fails_nobody(tmp_path: Path) -> None:
    samples = told(FileMetrics(tmp_path / "nowhere", parent=0))
    assert samples["gatehouse_requests_in_flight"] == 0
    assert samples["gatehouse_segment_bytes"] == 0
    assert samples["gatehouse_processes"] == 0


def test_running_requests_segments_and_leases_are_read_from_files(tmp_path: Path) -> None:
    reports.clear(tmp_path)
    reports.write(tmp_path, Report(worker="worker-0", lease=9, refusal=None, applied=[], refused=[]))
    reports.write(tmp_path, Report(worker="worker-1", lease=None, refusal=None, applied=[], refused=[]))
    writer = SpoolWriter(tmp_path)
    (tmp_path / slots.FOLDER).mkdir()
    table = SlotTable(slots.path_of(tmp_path, "worker-0"), 4)
    taken = [table.take(f"lg_{n:032x}", "chat") for n in range(3)]
    assert taken[0] is not None
    table.give_back(taken[0])
    samples = told(FileMetrics(tmp_path, parent=0))
    table.close()
    assert samples["gatehouse_requests_in_flight"] == 2
    assert samples["gatehouse_segment_bytes"] == writer.path.stat().st_size
    assert samples["gatehouse_worker_lease_sequence worker-0"] == 9
    assert "gatehouse_worker_lease_sequence worker-1" not in samples


def test_the_nodes_processes_are_those_of_one_parent(tmp_path: Path) -> None:
    """With a name that tries to look like something else."""
    for pid, name, ticks, start, pages in ((11, "python", 150, 400, 25), (12, ") S 1 (x", 50, 900, 75)):
        folder = tmp_path / str(pid)
        folder.mkdir()
        fields = ["S", *["0"] * 10, str(ticks), "0", *["0"] * 6, str(start), "0", str(pages), *["0"] * 20]
        (folder / "stat").write_text(f"{pid} ({name}) {' '.join(fields)}")
    children = tmp_path / "1" / "task" / "1" / "children"
    children.parent.mkdir(parents=True)
    children.write_text("11 12 13 ")
    samples = told(FileMetrics(tmp_path, parent=1, proc=tmp_path))
    ticks = os.sysconf("SC_CLK_TCK")
    assert samples["gatehouse_processes"] == 2
    assert samples["gatehouse_cpu_seconds_total"] == 200 / ticks
    assert samples["gatehouse_newest_process_start_seconds"] == 900 / ticks
    assert samples["gatehouse_resident_bytes"] == 100 * os.sysconf("SC_PAGE_SIZE")


def test_ones_own_process_is_read_as_the_kernel_tells_it(tmp_path: Path) -> None:
    samples = told(FileMetrics(tmp_path, parent=os.getppid()))
    assert samples["gatehouse_processes"] >= 1
    assert samples["gatehouse_cpu_seconds_total"] > 0
    assert samples["gatehouse_resident_bytes"] > 1_000_000


def test_what_the_agent_knows_is_told() -> None:
    shipped = Shipped(batches=4, records=90, bytes=800, failures=Counter(unreachable=2))
    samples = told(AgentMetrics(lambda: HEALTH, shipped, lambda: STATUS, lambda: 2.5))
    assert samples == {
        "gatehouse_records_waiting": 7,
        "gatehouse_spool_waiting_bytes": 900,
        "gatehouse_oldest_waiting_timestamp_seconds": 1.5,
        "gatehouse_records_dropped_total spool_full": 3,
        "gatehouse_batches_shipped_total": 4,
        "gatehouse_records_shipped_total": 90,
        "gatehouse_batch_bytes_shipped_total": 800,
        "gatehouse_ship_failures_total unreachable": 2,
        "gatehouse_lease_sequence": 12,
        "gatehouse_lease_expired": 1,
        "gatehouse_store_usable disk": 1,
        "gatehouse_store_usable redis": 0,
        "gatehouse_heartbeat_age_seconds": 2.5,
    }


def test_what_is_not_known_is_absent_and_not_0() -> None:
    status = AgentStatus(sequence=None, stale=False, refusal=None, stores={})
    assert told(AgentMetrics(lambda: None, None, lambda: status, lambda: None)) == {"gatehouse_lease_expired": 0}


async def test_the_page_is_served_on_its_own_port() -> None:
    (port,) = free_ports(1)
    registry = CollectorRegistry()
    registry.register(AgentMetrics(lambda: HEALTH, None, lambda: STATUS, lambda: None))
    server = MetricsServer(registry, "127.0.0.1", port)
    serving = asyncio.create_task(server.run())
    await asyncio.wait_for(server.listening.wait(), 60)
    async with ClientSession() as session:
        for accept in ("*/*", "application/openmetrics-text; version=1.0.0"):
            async with session.get(f"http://127.0.0.1:{port}/metrics", headers={"accept": accept}) as answer:
                assert answer.status == 200
                assert "gatehouse_records_waiting 7.0" in await answer.text()
                assert answer.headers["content-type"].startswith(accept.partition(";")[0].replace("*/*", "text/plain"))
        async with session.get(f"http://127.0.0.1:{port}/") as answer:
            assert answer.status == 404
    serving.cancel()
    await asyncio.wait({serving})


async def test_a_port_that_is_taken_is_said_and_stops_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder, capture_logs() as logs:
        server = MetricsServer(CollectorRegistry(), "127.0.0.1", holder.getsockname()[1])
        serving = asyncio.create_task(server.run())
        while not logs:
            assert not serving.done()
            await asyncio.sleep(0.001)
        assert not serving.done()
        serving.cancel()
        await asyncio.wait({serving})
    assert logs[0]["event"] == "metrics_not_served"
    assert "cannot be had" in logs[0]["detail"]
