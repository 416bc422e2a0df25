"""What Prometheus is told of the control plane, and the port of its own where it is told (`docs/metrics.md`)."""

import asyncio
from collections.abc import Callable, Iterator
from math import nan

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from control_plane.db.pool import Database
from control_plane.telemetry.clickhouse import ClickHouse
from control_plane.telemetry.ingest import Ingest
from control_plane.telemetry.reconciling import Reconciling
from control_plane.web.api import Handler
from shared.clock import Clock
from shared.protocol.heartbeat import HEARTBEAT_PATH
from shared.protocol.request import NODE
from shared.settings import for_asyncio

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SEEN_S = 90.0
"""A node whose last heartbeat is older is not counted as seen."""
NODES_MAX = 100_000
RETRY_S = 30.0
"""Until a port that could not be had is tried again."""
NO_ROUTE = "none"
LEFT = 499
"""Status of a request whose caller did not wait for its answer."""

log = structlog.get_logger("metrics")


class Metrics:
    """Counts requests as they pass, and reads the rest where it is."""

    def __init__(
        self, database: Database, clickhouse: ClickHouse, ingest: Ingest, reconciling: Reconciling, clock: Clock
    ) -> None:
        self._clock = clock
        self._seen: dict[str, float] = {}
        """When each node's last heartbeat was answered."""
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self._requests = Counter(
            "gatehouse_control_plane_requests", "Requests that were answered", labels, registry=self.registry
        )
        self._durations = Histogram(
            "gatehouse_control_plane_request_duration_seconds",
            "From a request's head to the end of its answer; a watch waits on purpose",
            ("method", "route"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.registry.register(_Parts(database, clickhouse, ingest, reconciling, self.nodes_seen))
        ProcessCollector(registry=self.registry)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        began_s = self._clock.monotonic_s()
        status = 500
        try:
            response = await handler(request)
            status = response.status
        except web.HTTPException as answer:
            status = answer.status
            raise
        except (asyncio.CancelledError, ConnectionError):
            status = LEFT
            raise
        finally:
            resource = request.match_info.route.resource
            route = NO_ROUTE if resource is None else resource.canonical
            # A method that nobody has a route for is a text of the caller's.
            method = request.method if resource is not None else NO_ROUTE
            self._requests.labels(method, route, str(status)).inc()
            self._durations.labels(method, route).observe(self._clock.monotonic_s() - began_s)
            if route == HEARTBEAT_PATH and status == 200:
                self._see(request.headers.get(NODE, ""))
        return response

    def nodes_seen(self) -> int:
        """Nodes that this process heard of in the last SEEN_S."""
        oldest_s = self._clock.monotonic_s() - SEEN_S
        self._seen = {node: at_s for node, at_s in self._seen.items() if at_s >= oldest_s}
        return len(self._seen)

    def _see(self, node: str) -> None:
        if len(self._seen) >= NODES_MAX:
            self.nodes_seen()
        self._seen[node] = self._clock.monotonic_s()

    async def serve(self, host: str, port: int) -> None:
        """`/metrics`, until cancelled. A port that cannot be had is said, and stops nothing."""
        application = web.Application()
        application.router.add_get("/metrics", self._page)
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await _listen(runner, host, port)
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def _page(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return web.Response(body=encode(self.registry), headers={"content-type": content_type})


class _Parts(Collector):
    def __init__(
        self,
        database: Database,
        clickhouse: ClickHouse,
        ingest: Ingest,
        reconciling: Reconciling,
        nodes_seen: Callable[[], int],
    ) -> None:
        self._database = database
        self._clickhouse = clickhouse
        self._ingest = ingest
        self._reconciling = reconciling
        self._nodes_seen = nodes_seen

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "gatehouse_control_plane_nodes_seen",
            "Nodes whose heartbeat this process answered in the last 90 s",
            value=self._nodes_seen(),
        )
        counted = self._ingest.counted
        yield _counter("gatehouse_control_plane_batches", "Batches of records that count since", counted.batches)
        yield _counter("gatehouse_control_plane_records", "Records in them", counted.records)
        yield _counter("gatehouse_control_plane_records_refused", "Rows in them that were refused", counted.refused)
        yield _counter(
            "gatehouse_control_plane_records_dropped", "Records that nodes told they had lost", counted.dropped
        )
        yield _counter(
            "gatehouse_control_plane_clickhouse_failures",
            "Questions and inserts that ClickHouse did not do",
            self._clickhouse.failed_count,
        )
        looked = self._reconciling.looked
        yield GaugeMetricFamily(
            "gatehouse_control_plane_records_differences",
            "Places where ledger and ClickHouse did not agree at the last look; NaN: none yet",
            value=nan if looked is None else looked.differences,
        )
        yield GaugeMetricFamily(
            "gatehouse_control_plane_records_reconciled_timestamp_seconds",
            "When that was; 0: not yet",
            value=0 if looked is None else looked.at_ms / 1000,
        )
        size, idle, most = self._database.connections
        pool = GaugeMetricFamily(
            "gatehouse_control_plane_database_connections", "To PostgreSQL, by what they do", labels=["state"]
        )
        pool.add_metric(["busy"], size - idle)
        pool.add_metric(["idle"], idle)
        yield pool
        yield GaugeMetricFamily("gatehouse_control_plane_database_connections_max", "As many there may be", value=most)


def _counter(name: str, text: str, value: int) -> Metric:
    metric = CounterMetricFamily(name, text)
    metric.add_metric([], value)
    return metric


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    said = False
    while True:
        try:
            await web.TCPSite(runner, for_asyncio(host), port).start()
        except OSError as error:
            if not said:
                said = True
                log.error("metrics_not_served", detail=f"port {port} of {host} cannot be had: {error.strerror}")  # noqa: TRY400
            await asyncio.sleep(RETRY_S)
        else:
            return
