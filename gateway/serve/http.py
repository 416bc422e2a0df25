"""The public door on aiohttp's server: paths to rooms, a bound on running requests, and errors in our shape."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from itertools import chain
from typing import Any

import orjson
from aiohttp import ClientConnectionResetError, HttpVersion11, web

from gateway.errors import Code, GatewayError
from gateway.pipeline.authenticate import authenticate
from gateway.pipeline.exchange import Exchange
from gateway.pipeline.models import list_models, one_model
from gateway.pipeline.pipeline import Pipeline
from gateway.pipeline.relay import error_body, refuse
from gateway.providers.base import Door
from gateway.serve.answer import AiohttpAnswer
from gateway.serve.body import read_body
from gateway.serve.probes import Probes
from shared.clock import Clock
from shared.paths import Server as Plane
from shared.paths import who_serves

DOORS = {
    "/v1/chat/completions": Door.CHAT,
    "/v1/completions": Door.COMPLETIONS,
    "/v1/embeddings": Door.EMBEDDINGS,
}
_ONCE = (
    *(b"host", b"content-length"),
    *(b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"x-portkey-api-key", b"x-gatehouse-api-key"),
    *(b"x-portkey-config", b"x-portkey-virtual-key", b"x-portkey-provider", b"x-portkey-custom-host"),
    *(b"x-gatehouse-config", b"x-gatehouse-virtual-key", b"x-gatehouse-provider", b"x-gatehouse-custom-host"),
)
"""Headers that decide who calls and what; sent twice, two readers could take two different ones."""

HEADERS_MAX = 100
HEAD_BYTES_MAX = 16 * 1024
IDLE_S = 75.0


class Front:
    """Answers every request on the public port."""

    def __init__(
        self,
        pipeline: Pipeline,
        probes: Probes,
        clock: Clock,
        new_id: Callable[[], str],
        *,
        body_bytes_max: int,
        body_wait_s: float,
        running_requests_max: int,
    ) -> None:
        self._pipeline = pipeline
        self._probes = probes
        self._clock = clock
        self.new_id = new_id
        self._body_bytes_max = body_bytes_max
        self._body_wait_s = body_wait_s
        self._running_max = running_requests_max
        self._running = 0

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        door = DOORS.get(request.path)
        if door is None:
            return self._other(request)
        exchange = Exchange(self.new_id(), door, {}, b"", self._clock.monotonic_s())
        answer = AiohttpAnswer(request)
        if self._running >= self._running_max:
            message = f"this worker already carries {self._running_max} requests; try again shortly"
            await refuse(GatewayError(Code.OVERLOADED, message, retry_after_s=1), exchange, answer)
        else:
            self._running += 1
            try:
                await self._serve(request, exchange, answer)
            finally:
                self._running -= 1
        return answer.sent

    async def _serve(self, request: web.BaseRequest, exchange: Exchange, answer: AiohttpAnswer) -> None:
        try:
            exchange.headers = _read_head(request, "POST")
            _check_content_type(exchange.headers)
            exchange.body = await read_body(request, self._body_bytes_max, self._body_wait_s)
        except GatewayError as error:
            # Where a request's end is in doubt, what follows on its connection is not read as another request.
            answer.closes = answer.closes or error.code is Code.HTTP_MALFORMED
            await refuse(error, exchange, answer)
            return
        await self._pipeline.run(exchange, answer)

    def _other(self, request: web.BaseRequest) -> web.Response:
        """Whatever carries no LLM call: probes, the model list, and paths that are not ours."""
        request_id = self.new_id()
        try:
            if (probe := self._probes.answer(request.path)) is not None:
                return _json(*probe, request_id)
            if request.path == "/v1/models" or request.path.startswith("/v1/models/"):
                return _json(200, self._models(request), request_id)
            raise _not_here(request.path)
        except GatewayError as error:
            return _refusal(error, request_id)

    def _models(self, request: web.BaseRequest) -> dict[str, Any]:
        caller = authenticate(_read_head(request, "GET"), self._pipeline.view(), self._clock.wall_ms())
        id_ = request.path.removeprefix("/v1/models").removeprefix("/")
        return one_model(caller, id_) if id_ else list_models(caller)


def _read_head(request: web.BaseRequest, method: str) -> dict[str, str]:
    """The headers by name in lower case, within their bounds. Raises GatewayError 400 or 405."""
    if request.method != method:
        raise GatewayError(Code.METHOD_NOT_ALLOWED, f"{request.path} takes {method}, not {request.method}")
    raw = request.raw_headers
    if len(raw) > HEADERS_MAX:
        raise GatewayError(Code.HEADER_INVALID, f"more than {HEADERS_MAX} headers came with this request")
    if sum(map(len, chain.from_iterable(raw))) > HEAD_BYTES_MAX:
        raise GatewayError(Code.HEADER_INVALID, f"the headers of this request are longer than {HEAD_BYTES_MAX} bytes")
    headers = {name.lower(): value for name, value in request.headers.items()}
    if request.version < HttpVersion11:
        if "transfer-encoding" in headers:
            raise GatewayError(Code.HTTP_MALFORMED, "HTTP/1.0 has no transfer-encoding")
    elif "host" not in headers:
        raise GatewayError(Code.HTTP_MALFORMED, "a request names its host")
    if len(headers) != len(raw):
        _check_once(raw)
    return headers


def _check_once(raw: Sequence[tuple[bytes, bytes]]) -> None:
    names = [name.lower() for name, _ in raw]
    for name in _ONCE:
        if names.count(name) > 1:
            message = f"the header {name.decode()} came more than once"
            raise GatewayError(Code.HEADER_INVALID, message, param=name.decode())


def _check_content_type(headers: Mapping[str, str]) -> None:
    """A body without a type is taken for JSON, as curl users expect of an API that knows nothing else."""
    given = headers.get("content-type")
    if given is None or given == "application/json":
        return
    if given.partition(";")[0].strip().lower() != "application/json":
        message = f"this path takes JSON, not {given!r}; send `content-type: application/json`"
        raise GatewayError(Code.CONTENT_TYPE_INVALID, message, param="content-type")


def _not_here(path: str) -> GatewayError:
    match who_serves(path):
        case Plane.CONTROL_PLANE:
            message = f"{path} belongs to the admin API, which the control plane serves, not the gateway"
            return GatewayError(Code.ADMIN_API_ELSEWHERE, message)
        case _:
            known = ", ".join(sorted([*DOORS, "/v1/models"]))
            return GatewayError(Code.PATH_UNKNOWN, f"nothing answers at {path}; this gateway serves {known}")


def _json(status: int, body: dict[str, Any], request_id: str) -> web.Response:
    headers = {"content-type": "application/json", "x-portkey-request-id": request_id, "server": "gatehouse"}
    return web.Response(status=status, headers=headers, body=orjson.dumps(body))


def _refusal(error: GatewayError, request_id: str) -> web.Response:
    response = _json(error.row.status, error_body(error, request_id), request_id)
    if error.retry_after_s is not None:
        response.headers["retry-after"] = str(error.retry_after_s)
    if not error.row.retry_helps:
        response.headers["x-should-retry"] = "false"
    if error.code is Code.HTTP_MALFORMED:
        response.force_close()
    return response


class Connection(web.RequestHandler):
    """aiohttp's connection, with our error body where its parser refuses, and no traceback for each of them."""

    __slots__ = ("_new_id",)

    def __init__(self, server: web.Server, new_id: Callable[[], str], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # Its own test is for None: no access log.
            keepalive_timeout=IDLE_S,
            max_line_size=HEAD_BYTES_MAX,
            max_field_size=HEAD_BYTES_MAX,
            max_headers=HEADERS_MAX,
            auto_decompress=False,
        )
        self._new_id = new_id

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, ClientConnectionResetError):
            raise exc  # The caller left while we wrote to him: no fault, and nobody is there to be told of one.
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            super().handle_error(request, status, exc, message)  # Logs it; raises if an answer has begun.
            error = GatewayError(Code.INTERNAL, "this gateway failed by a fault of its own; its log says more")
        else:
            error = GatewayError(Code.HTTP_MALFORMED, "this is not HTTP as this gateway accepts it")
        response = _refusal(error, self._new_id())
        response.force_close()
        return response


class HttpServer(web.Server):
    """Makes a `Connection` for each accepted socket."""

    def __init__(self, front: Front, loop: asyncio.AbstractEventLoop) -> None:
        # A caller that leaves cancels its handler, and with it the provider's work.
        super().__init__(front, handler_cancellation=True, loop=loop)
        self._front_loop = loop
        self._new_id = front.new_id

    def __call__(self) -> Connection:
        return Connection(self, self._new_id, self._front_loop)
