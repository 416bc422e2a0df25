"""Serves routes: reads, asks who it is, checks whether they may, calls the room, answers. One way for every route."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import orjson
import structlog
from aiohttp import web
from pydantic import BaseModel, ValidationError

from control_plane.clashes import told
from control_plane.db.errors import Clash
from control_plane.errors import Forbidden, Invalid, MethodNotAllowed, NotFound, Problem, TooLarge
from control_plane.ids import Ids
from control_plane.permissions import STRANGER, TABLE, Principal, may
from control_plane.web import problem, session_cookie
from control_plane.web.route import Call, Client, M, Route, SessionReply
from shared.paths import Server, who_serves

BODY_BYTES_MAX = 1024 * 1024
REQUEST_ID = "x-gatehouse-request-id"
PREFIX = "/api/v1/"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger("web")


class Authenticator(Protocol):
    async def principal(self, request: web.Request) -> Principal:
        """Who is asking: a session's account or an admin key. Raises Unauthenticated, Forbidden (CSRF)."""
        ...

    def require_own_page(self, request: web.Request) -> None:
        """Raises Forbidden for what another site's page makes a browser send to a public route."""
        ...


class Api:
    """Routes on an aiohttp application."""

    def __init__(self, authenticator: Authenticator, ids: Ids) -> None:
        self._authenticator = authenticator
        self._ids = ids

    def add(self, application: web.Application, routes: Sequence[Route]) -> None:
        """Raises ValueError for a route whose action no permission knows, and for a public one with a permission."""
        for route in routes:
            if route.public == (route.action in TABLE):
                known = "has a permission but is public" if route.public else "is not in the table of permissions"
                raise ValueError(f"{route.method} {route.path}: {route.action!r} {known}")
            application.router.add_route(route.method, route.path, self._handler(route))
        application.middlewares.append(self._without_a_route)

    @web.middleware
    async def _without_a_route(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Below PREFIX, what no route serves is refused in the API's own way; strangers do not learn what there is."""
        try:
            return await handler(request)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as error:
            if request.path.startswith("/v1/"):
                return await self.guarded(request, lambda _: self._not_here(request))
            if not request.path.startswith(PREFIX):
                raise
            refused: web.HTTPException = error
        response = await self.guarded(request, lambda _: self._refuse(request, refused))
        if "allow" in refused.headers:
            response.headers["allow"] = refused.headers["allow"]
        return response

    async def _refuse(self, request: web.Request, refused: web.HTTPException) -> web.StreamResponse:
        await self._authenticator.principal(request)
        if isinstance(refused, web.HTTPMethodNotAllowed):
            raise MethodNotAllowed(f"no {request.method} here")
        raise NotFound(f"nothing is at {request.path!r}")

    async def _not_here(self, request: web.Request) -> web.StreamResponse:
        """Calls that were sent to the wrong plane are told so."""
        path = request.raw_path.partition("?")[0]
        if who_serves(path) in (Server.GATEWAY, Server.PROVIDER):
            raise NotFound(f"{path} is served by the gateway, not by the control plane", code="gateway_api_elsewhere")
        raise NotFound(f"nothing is at {path!r}")

    def _handler(self, route: Route) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self.guarded(request, lambda request_id: self._serve(route, request, request_id))

        return handle

    async def guarded(
        self, request: web.Request, serve: Callable[[str], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Run `serve`; whatever it raises becomes a problem document, and every answer carries the request's id."""
        request_id = self._ids.new("rq")
        try:
            response = await serve(request_id)
        except Clash as clash:
            response = problem.response(told(clash), request_id)
        except Problem as refused:
            response = problem.response(refused, request_id)
        except web.HTTPRequestEntityTooLarge:
            response = problem.response(TooLarge(f"the body is larger than {BODY_BYTES_MAX} bytes"), request_id)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception:  # The API's outermost wall: a fault of ours is logged, and told as one.
            log.exception("request_failed", path=request.path, request_id=request_id)
            response = problem.response(Problem("something went wrong here; the request id finds it"), request_id)
        response.headers[REQUEST_ID] = request_id
        response.headers["cache-control"] = "no-store"
        return response

    async def _serve(self, route: Route, request: web.Request, request_id: str) -> web.StreamResponse:
        principal = await self._principal(route, request)
        for name, value in request.match_info.items():
            if "\0" in value:
                raise Invalid("a NUL is in the path", pointer=name)
        body = None if route.body is None else await read_body(request, route.body)
        client = Client(request.remote or "", session_cookie.read(request))
        call = Call(request_id, principal, request.match_info, body, _query(request, route), client)
        answer = await route.handler(call)
        if not isinstance(answer, SessionReply):
            return _response(route, answer)
        response = _response(route, answer.body)
        session_cookie.write(request, response, answer.session)
        return response

    async def _principal(self, route: Route, request: web.Request) -> Principal:
        if route.public:
            self._authenticator.require_own_page(request)
            return STRANGER
        principal = await self._authenticator.principal(request)
        check(principal, route.action, request.match_info.get("workspace"))
        return principal


def check(principal: Principal, action: str, workspace: str | None) -> None:
    """Raises NotFound for a workspace the principal cannot even see, Forbidden for what it may not do there."""
    if may(principal, action, workspace):
        return
    if workspace is not None and not principal.sees_every_workspace and workspace not in principal.workspaces:
        raise NotFound(f"no workspace {workspace!r}")
    raise Forbidden(f"this needs the permission `{action}`")


def _response(route: Route, answer: BaseModel | None) -> web.Response:
    if answer is None:
        return web.Response(status=204)
    return web.Response(status=route.status, content_type="application/json", body=answer.model_dump_json().encode())


async def read_body(request: web.Request, model: type[BaseModel]) -> BaseModel:
    """The JSON body as `model`. Raises Invalid with the fault's place."""
    return parse_body(await request.read(), model)


def parse_body(data: bytes, model: type[M]) -> M:
    """A body that was read. Raises Invalid with the fault's place."""
    try:
        parsed = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Invalid(f"the body is not JSON: {error.msg} at {where}", pointer="") from None
    if b"\\u0000" in data:
        raise Invalid("the body holds a NUL character, which cannot be stored", pointer="")
    try:
        return model.model_validate(parsed)
    except ValidationError as error:
        raise problem.invalid_body(error) from None


def _query(request: web.Request, route: Route) -> dict[str, str]:
    known = {name for name, _ in route.query}
    for name in request.query:
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            raise Invalid(f"no query parameter {name!r} here; there are: {there}", pointer=name)
        if len(request.query.getall(name)) > 1:
            raise Invalid(f"{name!r} was given more than once", pointer=name)
    return dict(request.query)
