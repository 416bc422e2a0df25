"""The cold lane, on aiohttp's server: whatever carries no LLM call.

The express lane lends its connection for one request that has come whole, and takes it back when that is answered. So
neither a hot door nor a slow caller ever reaches aiohttp, and both lanes have the same rules.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import HttpVersion11, web

from gateway.errors import Code, GatewayError
from gateway.pipeline.authenticate import authenticate
from gateway.pipeline.exchange import Exchange, Headers
from gateway.pipeline.explain import Explainer
from gateway.pipeline.models import list_models, one_model
from gateway.pipeline.pipeline import Pipeline
from gateway.pipeline.relay import refusal
from gateway.providers.base import Door, Passage
from gateway.serve.admin import AdminApi
from gateway.serve.head import DOORS, HEAD_BYTES_MAX, HEADERS_MAX, NOT_HTTP, read_headers
from gateway.serve.probes import Probes
from shared.clock import Clock
from shared.paths import PASSED_METHODS, passed_door, who_serves
from shared.paths import Server as Plane

CHAT_PATH = "/v1/chat/completions"
WAIT_S = 10.0
"""How long aiohttp waits where it takes for unfinished what the lane took for a whole request."""


class ColdFront:
    """Probes, the model list, explanations, and paths that are not ours.

    A hot door comes here only by a wrong method or spelling.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        explainer: Explainer,
        probes: Probes,
        admin_api: AdminApi,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._pipeline = pipeline
        self._explainer = explainer
        self._probes = probes
        self._admin_api = admin_api
        self._clock = clock
        self.new_id = new_id

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        request_id = self.new_id()
        try:
            if (probe := self._probes.answer(request.path)) is not None:
                return _json(*probe, request_id)
            if request.path == "/v1/explain":
                return _json(200, await self._explain(request, request_id), request_id)
            if request.path == "/v1/models" or request.path.startswith("/v1/models/"):
                return _json(200, self._models(request), request_id)
            path = request.raw_path.partition("?")[0]
            if path in DOORS:
                _check_method(request, "POST")
            if who_serves(path) is Plane.CONTROL_PLANE:
                return await self._admin(request, request_id)
            if passed_door(path) is not None:
                message = f"{path} takes {', '.join(sorted(PASSED_METHODS))}, not {request.method}"
                raise GatewayError(Code.METHOD_NOT_ALLOWED, message)
            raise _not_here(path)
        except GatewayError as error:
            return _refusal(error, request_id)

    async def _admin(self, request: web.BaseRequest, request_id: str) -> web.Response:
        headers = _headers(request)
        answer = await self._admin_api.forward(request.method, request.raw_path, headers, await _body(request))
        return _response(answer.status, [*answer.headers, ("x-portkey-request-id", request_id)], answer.body)

    async def _explain(self, request: web.BaseRequest, request_id: str) -> dict[str, Any]:
        _check_method(request, "POST")
        path, mark, query = request.query.get("path", CHAT_PATH).partition("?")
        door, passage = DOORS.get(path), None
        if door is None:
            word = passed_door(path)
            if word is None:
                message = f"no call is made to {path!r}; `path` names what would be called, as in ?path={CHAT_PATH}"
                raise GatewayError(Code.PATH_UNKNOWN, message, param="path")
            passage = Passage(Door(word), "POST", path, mark + query)
            door = passage.door
        exchange = Exchange(
            request_id, door, _headers(request), await _body(request), self._clock.monotonic_s(), passage
        )
        return await self._explainer.explain(exchange)

    def _models(self, request: web.BaseRequest) -> dict[str, Any]:
        _check_method(request, "GET")
        caller = authenticate(_headers(request), self._pipeline.view(), self._clock.wall_ms())
        id_ = request.path.removeprefix("/v1/models").removeprefix("/")
        return one_model(caller, id_) if id_ else list_models(caller)


def _check_method(request: web.BaseRequest, method: str) -> None:
    if request.method != method:
        raise GatewayError(Code.METHOD_NOT_ALLOWED, f"{request.path} takes {method}, not {request.method}")


def _headers(request: web.BaseRequest) -> dict[str, str]:
    return read_headers(request.raw_headers, http_1_1=request.version >= HttpVersion11)


async def _body(request: web.BaseRequest) -> bytes:
    """All of it: the lane has held the limit. By `request.read` aiohttp would hold one of its own, in its own words."""
    return await request.content.read()


def _not_here(path: str) -> GatewayError:
    known = ", ".join(sorted([*DOORS, "/v1/explain", "/v1/models"]))
    return GatewayError(Code.PATH_UNKNOWN, f"nothing answers at {path}; this gateway serves {known}")


def _json(status: int, body: dict[str, Any], request_id: str) -> web.Response:
    headers = [("content-type", "application/json"), ("x-portkey-request-id", request_id)]
    return _response(status, headers, orjson.dumps(body))


def _refusal(error: GatewayError, request_id: str) -> web.Response:
    return _response(error.row.status, *refusal(error, request_id, request_id))


def _response(status: int, headers: Headers, body: bytes) -> web.Response:
    return web.Response(status=status, headers=[*headers, ("server", "gatehouse")], body=body)


class Connection(web.RequestHandler):
    """aiohttp's side of a connection that is lent to it for one request."""

    __slots__ = ("_answered", "_new_id")

    def __init__(
        self,
        server: web.Server,
        new_id: Callable[[], str],
        answered: Callable[[bool], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # Its own test is for None: no access log.
            keepalive_timeout=WAIT_S,
            max_line_size=HEAD_BYTES_MAX,
            max_field_size=HEAD_BYTES_MAX,
            max_headers=HEADERS_MAX,
            auto_decompress=False,
        )
        self._new_id = new_id
        self._answered = answered

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if (
            request.version < HttpVersion11
        ):  # Nobody's connection is kept there, whatever he offers: as in the other lane.
            resp.force_close()
            resp.headers["connection"] = "close"
        response, left = await super().finish_response(request, resp, start_time)
        # Not from within: whoever takes the connection back ends the task that runs here.
        self._loop.call_soon(self._answered, bool(response.keep_alive) and not left)
        return response, left

    def detach(self) -> None:
        """Give the connection back: for aiohttp it is lost, though the socket stays open."""
        self.transport = None
        self.connection_lost(None)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            super().handle_error(request, status, exc, message)  # Logs it.
            error = GatewayError(Code.INTERNAL, "this gateway failed by a fault of its own; its log says more")
        else:
            error = GatewayError(Code.HTTP_MALFORMED, NOT_HTTP)
        response = _refusal(error, self._new_id())
        response.force_close()
        return response


class ColdServer(web.Server):
    """Makes a `Connection` for each request that a lane does not serve itself."""

    def __init__(self, front: ColdFront, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(front, handler_cancellation=True, loop=loop)
        self._new_id = front.new_id

    def lend(self, answered: Callable[[bool], None]) -> Connection:
        """A connection for one request; `answered(may_stay_open)` is called after its answer."""
        return Connection(self, self._new_id, answered, asyncio.get_running_loop())
