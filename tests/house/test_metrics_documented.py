"""Every metric of both planes stands in `docs/metrics.md`, with its type and labels, and nothing else does."""

import re
from collections import Counter
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from control_plane.metrics import Metrics
from gateway.sync import reports
from gateway.sync.agent import AgentStatus
from gateway.sync.reports import Report
from gateway.telemetry.node_metrics import AgentMetrics, FileMetrics
from gateway.telemetry.request_metrics import RequestMetrics
from gateway.telemetry.ship import Shipped
from shared.clock import FakeClock
from shared.models.record import FIELDS
from shared.protocol.heartbeat import RecordsHealth
from tests.fixtures.records import a_record

TEXT = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| ([\w, ]*) ?\| .+ \|$", re.MULTILINE)
Row = tuple[str, str, tuple[str, ...]]
LIBRARYS = ("process_", "python_")


def documented(plane: str) -> set[Row]:
    section = re.search(rf"^## {plane}$(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert section is not None
    rows = ROW.findall(section[1])
    assert len(rows) == len([line for line in section[1].splitlines() if line.startswith("| `")])
    return {(name, kind, tuple(filter(None, labels.strip().split(", ")))) for name, kind, labels in rows}


def row(metric: Metric) -> Row:
    assert metric.samples, f"{metric.name} has no sample here to read its labels from"
    labels = [name for name in metric.samples[0].labels if name != "le"]
    return metric.name + ("_total" if metric.type == "counter" else ""), metric.type, tuple(labels)


def served(registry: CollectorRegistry) -> set[Row]:
    return {row(metric) for metric in registry.collect() if not metric.name.startswith(LIBRARYS)}


def test_every_metric_of_a_gateway_is_documented(tmp_path: Path) -> None:
    requests = RequestMetrics()
    watch = requests.watch(FIELDS)
    assert watch is not None
    watch.seen([[a_record()._asdict()[name]] for name in watch.fields])
    reports.clear(tmp_path)
    reports.write(tmp_path, Report(worker="worker-0", lease=9, refusal=None, applied=[], refused=[]))
    health = RecordsHealth(waiting=1, waiting_bytes=1, oldest_ms=1, dropped={"spool_full": 1})
    status = AgentStatus(sequence=1, stale=False, refusal=None, stores={"disk": True})
    shipped = Shipped(failures=Counter(unreachable=1))
    registry = CollectorRegistry()
    for collector in (
        requests,
        FileMetrics(tmp_path, parent=0),
        AgentMetrics(lambda: health, shipped, lambda: status, lambda: 1.0),
    ):
        registry.register(collector)
    assert served(registry) == documented("A gateway")


class Pool:
    connections = (2, 1, 20)


class Counted:
    batches = records = refused = dropped = failed_count = 0
    looked = None

    @property
    def counted(self) -> "Counted":
        return self


def test_every_metric_of_the_control_plane_is_documented() -> None:
    metrics = Metrics(Pool(), Counted(), Counted(), Counted(), FakeClock())  # type: ignore[arg-type]
    metrics._requests.labels("GET", "/livez", "200").inc()
    metrics._durations.labels("GET", "/livez").observe(1.0)
    assert served(metrics.registry) == documented("The control plane")
