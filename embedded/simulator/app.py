"""The simulator's server: takes a call, asks the pure rooms for its answer, sends it as well or as badly as asked."""

import asyncio
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import orjson
from aiohttp import web

from embedded.simulator import embeddings, errors, models
from embedded.simulator.calls import Call, Calls, State
from embedded.simulator.chat import Chat
from embedded.simulator.checks import Body
from embedded.simulator.completions import Completion
from embedded.simulator.misbehaviour import EMBED, PROPER, Behaviour, behaviour_of
from embedded.simulator.wire import DONE, event
from shared.crypto.secret import Secret

BODY_BYTES_MAX = 64 * 1024 * 1024
WAIT_S_MAX = 60.0

HEADERS: Final = {
    "server": "simulator",
    "openai-organization": "org-simulator",
    "openai-processing-ms": "1",
    "openai-version": "2020-10-01",
    "x-ratelimit-limit-requests": "10000",
    "x-ratelimit-limit-tokens": "2000000",
    "x-ratelimit-remaining-requests": "9999",
    "x-ratelimit-remaining-tokens": "1999900",
    "x-ratelimit-reset-requests": "6ms",
    "x-ratelimit-reset-tokens": "3ms",
    # A gateway must not hand this on.
    "set-cookie": "__cf_bm=simulator-cookie; path=/; HttpOnly; Secure; SameSite=None",
}
HTML = b"<html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>\n"
ERROR_EVENT = errors.error_body(
    "The server had an error while processing your request. Sorry about that!", type_="server_error"
)


class Simulator:
    """`key`: the API key callers must show; None takes any."""

    def __init__(self, key: Secret | None) -> None:
        self._key = key
        self._calls = Calls()

    def application(self) -> web.Application:
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/simulator/calls", self._list_calls)
        app.router.add_get("/simulator/wait", self._wait)
        # One handler for the rest: an unknown path is answered in OpenAI's words too.
        app.router.add_route("*", "/{path:.*}", self._call)
        return app

    async def _call(self, request: web.Request) -> web.StreamResponse:
        call = self._calls.begin(request.method, request.path, request.raw_headers)
        try:
            try:
                body = await request.read()
                call.received(body)
                return await self._answer(request, call, body)
            except errors.Refused as refused:
                return await self._send(request, call, refused.body, status=refused.status)
        except (asyncio.CancelledError, ConnectionError):
            if call.state is State.STARTED:
                self._calls.end(call, State.CLIENT_LEFT)
            raise

    async def _answer(self, request: web.Request, call: Call, raw: bytes) -> web.StreamResponse:
        self._authenticate(request)
        match request.method, request.path:
            case "GET", "/v1/models":
                return await self._send(request, call, models.listing())
            case "GET", path if path.startswith("/v1/models/"):
                return await self._send(request, call, models.single(path.removeprefix("/v1/models/")))
            case "POST", "/v1/chat/completions" | "/v1/completions" | "/v1/embeddings" as path:
                body = _parse(raw)
                call.model = body["model"]
                behaviour = behaviour_of(body["model"])
                if behaviour is None:
                    raise errors.no_model(body["model"])
                return await self._misbehave(request, call, _build(path, body, behaviour), behaviour)
        raise errors.no_such_url(request.method, request.path)

    def _authenticate(self, request: web.Request) -> None:
        shown = request.headers.get("authorization", "")
        if not shown.startswith("Bearer "):
            raise errors.no_key()
        if self._key is not None and not self._key.matches(shown.removeprefix("Bearer ").encode()):
            raise errors.wrong_key()

    async def _misbehave(
        self, request: web.Request, call: Call, answer: bytes | Iterator[bytes], behaviour: Behaviour
    ) -> web.StreamResponse:
        if behaviour.silent:
            await _silence()
        if behaviour.slow:
            await asyncio.sleep(behaviour.slow / 1000)
        if behaviour.error is not None:
            raise errors.asked_for(behaviour.error)
        if behaviour.html is not None:
            return await self._send(request, call, HTML, status=behaviour.html, content_type="text/html")
        if isinstance(answer, bytes):
            return await self._send(request, call, answer, behaviour=behaviour)
        return await self._stream(request, call, answer, behaviour)

    async def _send(
        self,
        request: web.Request,
        call: Call,
        body: bytes,
        *,
        status: int = 200,
        content_type: str = "application/json",
        behaviour: Behaviour = PROPER,
    ) -> web.StreamResponse:
        if behaviour.badjson:
            body = _broken(body)
        response = _response(call, status, content_type)
        response.content_length = len(body)
        await response.prepare(request)
        call.chunks = 1
        if behaviour.cut is not None or behaviour.stall is not None:
            await _write(response, body[: len(body) // 2], behaviour)
            return await self._break_off(request, call, response, behaviour)
        await _write(response, body, behaviour)
        await response.write_eof()
        self._calls.end(call, State.ANSWERED)
        return response

    async def _stream(
        self, request: web.Request, call: Call, chunks: Iterator[bytes], behaviour: Behaviour
    ) -> web.StreamResponse:
        response = _response(call, 200, "text/event-stream; charset=utf-8")
        await response.prepare(request)
        limits = [n for n in (behaviour.cut, behaviour.stall, behaviour.errorevent) if n is not None]
        for chunk in islice(chunks, min(limits, default=None)):
            if behaviour.drip and call.chunks:
                await asyncio.sleep(behaviour.drip / 1000)
            await _write(response, event(_broken(chunk) if behaviour.badjson else chunk), behaviour)
            call.chunks += 1
        if behaviour.cut is not None or behaviour.stall is not None:
            return await self._break_off(request, call, response, behaviour)
        await _write(response, DONE if behaviour.errorevent is None else event(ERROR_EVENT), behaviour)
        await response.write_eof()
        self._calls.end(call, State.ANSWERED)
        return response

    async def _break_off(
        self, request: web.Request, call: Call, response: web.StreamResponse, behaviour: Behaviour
    ) -> web.StreamResponse:
        if behaviour.cut is None:
            await _silence()
        self._calls.end(call, State.CUT_BY_US)
        if request.transport is not None:
            # Not abort(): what was written before must arrive, or the place of the cut would be chance.
            request.transport.close()
        return response

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _list_calls(self, request: web.Request) -> web.Response:
        """`GET /simulator/calls?after=N`: the calls numbered above N, oldest first."""
        return _json([call.as_json() for call in self._calls.after(_number(request, "after"))])

    async def _wait(self, request: web.Request) -> web.Response:
        """`GET /simulator/wait?call=N&state=client_left`: the call, once it has ended; 409 if in another state."""
        state = request.query.get("state")
        if state not in set(State):
            raise web.HTTPBadRequest(text=f"`state` is one of {', '.join(State)}\n")
        try:
            async with asyncio.timeout(WAIT_S_MAX):
                call = await self._calls.wait(_number(request, "call"), State(state))
        except TimeoutError:
            return _json({"error": f"not in state {state} within {WAIT_S_MAX:g} s"}, status=408)
        if call is None:
            return _json({"error": "that call is no longer kept"}, status=404)
        return _json(call.as_json(), status=200 if call.state == state else 409)


def _build(path: str, body: Body, behaviour: Behaviour) -> bytes | Iterator[bytes]:
    """The whole answer, or of a stream its chunks."""
    if path == "/v1/embeddings":
        return embeddings.answer(body)
    if body["model"] == EMBED:
        raise errors.not_a_chat_model(body["model"])
    said = Chat(body, behaviour.long) if path == "/v1/chat/completions" else Completion(body, behaviour.long)
    return said.chunks() if body.get("stream") else said.whole()


def _parse(raw: bytes) -> Body:
    """A JSON object with a model's name; what else it must be depends on the door."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise errors.not_json() from None
    if not isinstance(body, dict):
        raise errors.not_json()
    if not body.get("model"):
        raise errors.invalid("you must provide a model parameter")
    if not isinstance(body["model"], str):
        raise errors.wrong_type("model", "a string", body["model"])
    return body


def _response(call: Call, status: int, content_type: str) -> web.StreamResponse:
    headers = {**HEADERS, "content-type": content_type, "x-request-id": f"req_{call.number:032x}"}
    if status == 429:
        headers |= {"retry-after": "1", "retry-after-ms": "1000"}
    return web.StreamResponse(status=status, headers=headers)


async def _write(response: web.StreamResponse, data: bytes, behaviour: Behaviour) -> None:
    if not behaviour.bytes:
        await response.write(data)
        return
    for byte in data:
        await response.write(bytes((byte,)))
        # A turn of the loop flushes the socket: each byte travels alone.
        await asyncio.sleep(0)


def _broken(body: bytes) -> bytes:
    return body[: len(body) * 2 // 3]


async def _silence() -> None:
    """Until the client leaves, which cancels the handler."""
    await asyncio.Event().wait()


def _number(request: web.Request, name: str) -> int:
    text = request.query.get(name, "")
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise web.HTTPBadRequest(text=f"`{name}` is the number of a call\n")
    return int(text)


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")
