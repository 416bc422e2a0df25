"""Serves routes: reads, asks who it is, checks whether they may, calls the room, answers. One way for every route."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar

import orjson
import structlog
from aiohttp import web
from pydantic import BaseModel, ValidationError

from control_plane.clashes import told
from control_plane.db.errors import Clash
from control_plane.errors import Forbidden, Invalid, MethodNotAllowed, NotFound, Problem, TimedOut, TooLarge
from control_plane.ids import Ids
from control_plane.permissions import STRANGER, TABLE, Principal, may
from control_plane.web import bodies, events, portkey, problem, session_cookie, versions
from control_plane.web.route import Call, Client, EventsReply, M, Route, SessionReply
from shared.paths import Server, who_serves

BODY_BYTES_MAX = 1024 * 1024
BODY_S_MAX = 60.0
"""From a request's head to its body's end: so long a megabyte takes on a slow link."""
BODY_VALUES_MAX = 50_000
"""In one body, whatever they stand in: what is wrong with each of half a million takes half a gigabyte to say."""
REQUEST_ID = "x-gatehouse-request-id"
PREFIX = "/api/v1/"
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""As JSON writes it; behind a backslash that is one itself the same letters are a text."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Told = Callable[[Problem, str], web.Response]

T = TypeVar("T")

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

    def __init__(
        self,
        authenticator: Authenticator,
        ids: Ids,
        *,
        heartbeat_s: float = events.HEARTBEAT_S,
        body_s_max: float = BODY_S_MAX,
    ) -> None:
        """`heartbeat_s`: of streams of events. `body_s_max`: how long a body may take to come."""
        self._authenticator = authenticator
        self._body_s_max = body_s_max
        self._ids = ids
        self._heartbeat_s = heartbeat_s
        self._closing = asyncio.Event()

    def add(self, application: web.Application, routes: Sequence[Route]) -> None:
        """Raises ValueError for a route whose action no permission knows, and for a public one with a permission."""
        for route in routes:
            if route.public == (route.action in TABLE):
                known = "has a permission but is public" if route.public else "is not in the table of permissions"
                raise ValueError(f"{route.method} {route.path}: {route.action!r} {known}")
            application.router.add_route(route.method, route.path, self._handler(route))
        application.middlewares.append(self._without_a_route)
        application.on_shutdown.append(self._close)

    async def _close(self, _: web.Application) -> None:
        """Streams of events end; they would go on for as long as their callers like."""
        self._closing.set()

    @web.middleware
    async def _without_a_route(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """What no route serves is refused in the API's own way; below PREFIX strangers do not learn what there is."""
        try:
            return await handler(request)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as error:
            if not request.path.startswith((portkey.PREFIX, PREFIX)):
                raise
            refused: web.HTTPException = error
        response = await self.guarded(request, lambda _: self._refuse(request, refused))
        if "allow" in refused.headers:
            response.headers["allow"] = refused.headers["allow"]
        return response

    async def _refuse(self, request: web.Request, refused: web.HTTPException) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        if request.path.startswith(PREFIX):
            await self._authenticator.principal(request)
        elif who_serves(path) in (Server.GATEWAY, Server.PROVIDER):
            # Calls that were sent to the wrong plane are told so.
            raise NotFound(f"{path} is served by the gateway, not by the control plane", code="gateway_api_elsewhere")
        if isinstance(refused, web.HTTPMethodNotAllowed):
            raise MethodNotAllowed(f"no {request.method} here, only {', '.join(sorted(refused.allowed_methods))}")
        raise NotFound(f"nothing is at {path!r}")

    def _handler(self, route: Route) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            refusal = portkey.response if route.path.startswith(portkey.PREFIX) else problem.response
            return await self.guarded(
                request, lambda request_id: self._serve(route, request, request_id), refusal=refusal
            )

        return handle

    async def guarded(
        self,
        request: web.Request,
        serve: Callable[[str], Awaitable[web.StreamResponse]],
        *,
        refusal: Told = problem.response,
    ) -> web.StreamResponse:
        """Run `serve`; whatever it raises becomes a problem document, and every answer carries the request's id."""
        request_id = self._ids.new("rq")
        try:
            response = await serve(request_id)
        except Clash as clash:
            response = refusal(told(clash), request_id)
        except Problem as refused:
            response = refusal(refused, request_id)
            if isinstance(refused, TimedOut):  # What still comes of the body would be read as the next request.
                response.force_close()
        except web.RequestPayloadError:
            response = refusal(Invalid("the body is not what its headers say", pointer=""), request_id)
            response.force_close()
        except (web.HTTPException, ConnectionError):
            raise
        except Exception:  # The API's outermost wall: a fault of ours is logged, and told as one.
            log.exception("request_failed", path=request.path, request_id=request_id)
            response = refusal(Problem("something went wrong here; the request id finds it"), request_id)
        response.headers[REQUEST_ID] = request_id
        response.headers["cache-control"] = "no-store"
        return response

    async def _serve(self, route: Route, request: web.Request, request_id: str) -> web.StreamResponse:
        principal = await self._principal(route, request)
        for name, value in request.match_info.items():
            if "\0" in value:
                raise Invalid("a NUL is in the path", pointer=name)
        body = None
        if route.body is not None:
            bytes_max = bodies.STRANGERS_BYTES_MAX if route.public else BODY_BYTES_MAX
            data = await bodies.read(request, bytes_max=bytes_max, s_max=self._body_s_max)
            body = parse_body(data, route.body, values_max=BODY_VALUES_MAX)
            # It comes as slowly as its sender likes, and what they may do can end meanwhile.
            principal = await self._principal(route, request)
        client = Client(request.remote or "", session_cookie.read(request))
        last_event = request.headers.get("last-event-id") if route.events else None
        if_match = _header(request, versions.IF_MATCH) if route.versioned else None
        if_none_match = _header(request, versions.IF_NONE_MATCH) if route.makes_or_changes else None
        query = _query(request, route)
        call = Call(request_id, principal, request.match_info, body, query, client, last_event, if_match, if_none_match)
        answer = await (_while_there(request, route.handler(call)) if route.abandons else route.handler(call))
        if isinstance(answer, EventsReply):
            headers = {REQUEST_ID: request_id}

            async def still_may() -> bool:
                """What was decided by who they were is over when they are somebody else: they come again."""
                return await self._principal(route, request) == principal

            return await events.send(request, answer, still_may, self._closing, headers, heartbeat_s=self._heartbeat_s)
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


async def _while_there(request: web.Request, work: Awaitable[T]) -> T:
    """The work's result, or ConnectionResetError once the caller has left: then it is cancelled."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=events.LEFT_POLL_S)
            if not task.done() and events.gone(request):
                raise ConnectionResetError("the caller left")
        return await task
    finally:
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError, Problem):
                await task


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
    response = web.Response(
        status=route.status, content_type="application/json", body=answer.model_dump_json().encode()
    )
    if tag := versions.tag_of(answer):
        response.headers[versions.ETAG] = tag
    return response


def parse_body(data: bytes, model: type[M], *, values_max: int | None = None) -> M:
    """A body that was read. Raises Invalid with the fault's place; TooLarge for more than `values_max` JSON values."""
    try:
        parsed = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Invalid(f"the body is not JSON: {error.msg} at {where}", pointer="") from None
    if b"\\u0000" in data and _NUL.search(data):
        raise Invalid("the body holds a NUL character, which cannot be stored", pointer="")
    # Of a list or object with values all but one have a comma; texts have some, too.
    if values_max is not None and sum(map(data.count, (b",", b"[", b"{"))) > values_max:
        _check_values(parsed, values_max)
    try:
        return model.model_validate(parsed)
    except ValidationError as error:
        raise problem.invalid_body(error) from None


def _check_values(parsed: object, values_max: int) -> None:
    """Raises TooLarge if lists and objects in it, one in the other, hold more than so many."""
    count = 0
    within = [parsed]
    while within:
        value = within.pop()
        held = list(value.values()) if isinstance(value, dict) else value
        if isinstance(held, list):
            count += len(held)
            within += [each for each in held if isinstance(each, dict | list)]
        if count > values_max:
            raise TooLarge(f"the body has more than {values_max} values; send it in parts, or leave some out")


def _header(request: web.Request, name: str) -> str | None:
    return ", ".join(request.headers.getall(name, ())) or None


def _query(request: web.Request, route: Route) -> dict[str, str]:
    known = {name for name, _ in route.query}
    for name in request.query:
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            raise Invalid(f"no query parameter {name!r} here; there are: {there}", pointer=name)
        if len(request.query.getall(name)) > 1:
            raise Invalid(f"{name!r} was given more than once", pointer=name)
        if "\0" in request.query[name]:
            raise Invalid("a NUL is in it", pointer=name)
    return dict(request.query)
