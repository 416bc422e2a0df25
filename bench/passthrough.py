"""The yardstick: a bare pass-through as anybody would write it on aiohttp, headers copied both ways, nothing read.

It is given what it needs to be fast: uvloop, keep-alive to the upstream, no connection limit, no access log.
"""

import argparse
import asyncio

import uvloop
from aiohttp import ClientResponse, ClientSession, TCPConnector, web
from multidict import CIMultiDict, CIMultiDictProxy

_HOP = frozenset(
    ("host", "connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade")
)
_BODY_BYTES_MAX = 32 * 1024 * 1024


class Passthrough:
    def __init__(self, session: ClientSession, upstream: str) -> None:
        self._session = session
        self._upstream = upstream

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        url, headers = self._upstream + request.path, _copied(request.headers)
        async with self._session.request(request.method, url, headers=headers, data=body) as answer:
            if answer.content_type == "text/event-stream":
                return await _relay(request, answer)
            return web.Response(status=answer.status, headers=_copied(answer.headers), body=await answer.read())


async def _relay(request: web.Request, answer: ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=_copied(answer.headers))
    await response.prepare(request)
    async for data in answer.content.iter_any():
        await response.write(data)
    await response.write_eof()
    return response


def _copied(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _HOP)


async def serve(port: int, upstream: str) -> None:
    async with ClientSession(connector=TCPConnector(limit=0), auto_decompress=False) as session:
        application = web.Application(client_max_size=_BODY_BYTES_MAX)
        application.router.add_post("/{path:.*}", Passthrough(session, upstream).handle)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.passthrough", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True, help="scheme, host and port")
    options = parser.parse_args()
    uvloop.run(serve(options.port, options.upstream))
