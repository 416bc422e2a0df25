"""`/metrics` on a port of its own: what Prometheus scrapes. A port that cannot be had is said, and stops nothing."""

import asyncio

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from shared.settings import for_asyncio

RETRY_S = 30.0
"""Until a port that could not be had is tried again."""

log = structlog.get_logger("telemetry.metrics")


class MetricsServer:
    def __init__(self, registry: CollectorRegistry, host: str, port: int) -> None:
        self._registry = registry
        self._host = host
        self._port = port
        self.listening = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled."""
        application = web.Application()
        application.router.add_get("/metrics", self._metrics)
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await self._listen(runner)
            self.listening.set()
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner) -> None:
        said = False
        while True:
            try:
                await web.TCPSite(runner, for_asyncio(self._host), self._port).start()
            except OSError as error:
                if not said:
                    said = True
                    where = f"port {self._port} of {self._host}"
                    log.error("metrics_not_served", detail=f"{where} cannot be had: {error.strerror}")  # noqa: TRY400
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        # Collectors read files, and the outbox.
        body = await asyncio.to_thread(encode, self._registry)
        return web.Response(body=body, headers={"content-type": content_type})
