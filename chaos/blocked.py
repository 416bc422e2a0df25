"""A road to the control plane on which watches do not pass, as through a proxy that knows no long polls."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import ClientError, ClientSession, web

from embedded.ports import LOOPBACK
from shared.protocol.heartbeat import WATCH_PATH

BODY_BYTES_MAX = 8 * 1024 * 1024


@asynccontextmanager
async def without_watch(port: int, control_plane_url: str) -> AsyncIterator[str]:
    """Its URL; everything but watches goes on to the control plane."""
    async with ClientSession(control_plane_url) as onward:

        async def pass_on(request: web.Request) -> web.Response:
            if request.path == WATCH_PATH:
                return web.Response(status=504)
            own = {name: value for name, value in request.headers.items() if name.lower().startswith("x-gatehouse-")}
            try:
                async with onward.request(request.method, request.path, data=await request.read(), headers=own) as told:
                    return web.Response(status=told.status, body=await told.read(), content_type=told.content_type)
            except ClientError:
                return web.Response(status=502)

        server = web.Application(client_max_size=BODY_BYTES_MAX)
        server.router.add_route("*", "/{path:.*}", pass_on)
        runner = web.AppRunner(server, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, LOOPBACK, port).start()
            yield f"http://{LOOPBACK}:{port}"
        finally:
            await runner.cleanup()
