"""What Prometheus is told of the node itself: what its files say, and what its agent knows. Read when it is asked."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.sync import reports
from gateway.sync.agent import AgentStatus
from gateway.telemetry import segments, slots
from gateway.telemetry.ship import Shipped
from shared.protocol.heartbeat import RecordsHealth

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class FileMetrics(Collector):
    """What anybody can read who has the state folder, and the node's processes: children of one parent."""

    def __init__(self, state_dir: Path, parent: int, proc: Path = Path("/proc")) -> None:
        self._state_dir = state_dir
        self._parent = parent
        self._proc = proc

    def collect(self) -> Iterator[Metric]:
        yield _gauge("gatehouse_requests_in_flight", "Requests that run now", slots.in_use(self._state_dir))
        yield _gauge("gatehouse_segment_bytes", "Of all segments of the spool", self._segment_bytes())
        leases = GaugeMetricFamily(
            "gatehouse_worker_lease_sequence", "Sequence of the lease each worker serves by", labels=["worker"]
        )
        for report in reports.read(self._state_dir):
            if report.lease is not None:
                leases.add_metric([report.worker], report.lease)
        yield leases
        yield from self._processes()

    def _segment_bytes(self) -> int:
        folder = self._state_dir / segments.FOLDER
        total = 0
        try:
            for segment in segments.listed(folder):
                total += (folder / segment.name).stat().st_size
        except OSError:
            return total  # It is not there yet, or the agent removed one just now.
        return total

    def _processes(self) -> Iterator[Metric]:
        stats = [stat for pid in self._children() if (stat := _stat(self._proc / str(pid) / "stat")) is not None]
        yield _gauge("gatehouse_processes", "Processes of this node, besides their parent", len(stats))
        yield _gauge(
            "gatehouse_newest_process_start_seconds",
            "When the newest of them began, in seconds after the machine did; it changes with each restart",
            max((started for _, started, _ in stats), default=0.0),
        )
        cpu = CounterMetricFamily("gatehouse_cpu_seconds", "CPU time of those that live")
        cpu.add_metric([], sum(used for used, _, _ in stats))
        yield cpu
        yield _gauge("gatehouse_resident_bytes", "Their memory", sum(resident for _, _, resident in stats))

    def _children(self) -> list[int]:
        try:
            listed = (self._proc / str(self._parent) / "task" / str(self._parent) / "children").read_text()
        except OSError:
            return []
        return [int(pid) for pid in listed.split()]


class AgentMetrics(Collector):
    """What only the agent knows."""

    def __init__(
        self,
        records: Callable[[], RecordsHealth | None],
        shipped: Shipped | None,
        status: Callable[[], AgentStatus],
        beat_age_s: Callable[[], float | None] | None,
    ) -> None:
        """`records` blocks. `beat_age_s`: of the last heartbeat. It and `shipped` are None without a control plane."""
        self._records = records
        self._shipped = shipped
        self._status = status
        self._beat_age_s = beat_age_s

    def collect(self) -> Iterator[Metric]:
        health = self._records()
        if health is not None:
            yield _gauge("gatehouse_records_waiting", "Records that are not acknowledged", health.waiting)
            yield _gauge("gatehouse_spool_waiting_bytes", "What they take up on disk", health.waiting_bytes)
            oldest_s = 0.0 if health.oldest_ms is None else health.oldest_ms / 1000
            yield _gauge("gatehouse_oldest_waiting_timestamp_seconds", "When the oldest began; 0: none waits", oldest_s)
            dropped = CounterMetricFamily("gatehouse_records_dropped", "Records lost at this node", labels=["reason"])
            for reason, count in health.dropped.items():
                dropped.add_metric([reason], count)
            yield dropped
        if self._shipped is not None:
            yield from _shipped(self._shipped)
        yield from self._sync()

    def _sync(self) -> Iterator[Metric]:
        status = self._status()
        if status.sequence is not None:
            yield _gauge("gatehouse_lease_sequence", "Of the newest verified lease", status.sequence)
        yield _gauge("gatehouse_lease_expired", "1: it has expired; what it says is served on", status.stale)
        stores = GaugeMetricFamily("gatehouse_store_usable", "1: it could be used when last tried", labels=["store"])
        for store, usable in status.stores.items():
            stores.add_metric([store], usable)
        yield stores
        age_s = None if self._beat_age_s is None else self._beat_age_s()
        if age_s is not None:
            yield _gauge("gatehouse_heartbeat_age_seconds", "Since the last heartbeat that was answered well", age_s)


def _shipped(shipped: Shipped) -> Iterator[Metric]:
    totals = {
        "gatehouse_batches_shipped": ("Batches that were acknowledged", shipped.batches),
        "gatehouse_records_shipped": ("Records in them", shipped.records),
        "gatehouse_batch_bytes_shipped": ("Their size, compressed", shipped.bytes),
    }
    for name, (text, value) in totals.items():
        metric = CounterMetricFamily(name, text)
        metric.add_metric([], value)
        yield metric
    failures = CounterMetricFamily(
        "gatehouse_ship_failures", "Attempts that were not acknowledged, by what came instead", labels=["code"]
    )
    for code, count in list(shipped.failures.items()):
        failures.add_metric([code], count)
    yield failures


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _stat(path: Path) -> tuple[float, float, int] | None:
    """CPU seconds, start in seconds after the machine's, and resident bytes; None for a process that is gone."""
    try:
        # The name comes in brackets and may hold anything.
        fields = path.read_text().rpartition(")")[2].split()
        used, started, pages = int(fields[11]) + int(fields[12]), int(fields[19]), int(fields[21])
    except (OSError, IndexError, ValueError):
        return None
    return used / _TICKS, started / _TICKS, pages * _PAGE_BYTES
