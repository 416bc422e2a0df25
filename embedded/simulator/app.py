"""The simulator's server: takes a call, asks the pure rooms for its answer, sends it as well or as badly as asked."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

import orjson
from aiohttp import web

from embedded.simulator import errors, manners
from embedded.simulator.calls import Call, Calls, State
from embedded.simulator.doors import Doors
from embedded.simulator.misbehaviour import PROPER, Behaviour
from embedded.simulator.replies import Events, Pieces, Whole
from embedded.simulator.upload import Upload
from shared.crypto.secret import Secret

UPLOAD_BYTES_MAX = 1024 * 1024 * 1024
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


class Simulator:
    """`key`: the API key callers must show; None takes any."""

    def __init__(self, key: Secret | None) -> None:
        self._key = key
        self._calls = Calls()
        self._doors = Doors()

    def application(self) -> web.Application:
        app = web.Application()
        app.on_cleanup.append(self._close)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/simulator/calls", self._list_calls)
        app.router.add_get("/simulator/wait", self._wait)
        # One handler for the rest: an unknown path is answered in OpenAI's words too.
        app.router.add_route("*", "/{path:.*}", self._call)
        return app

    async def _call(self, request: web.Request) -> web.StreamResponse:
        call = self._calls.begin(request.method, request.path, request.raw_headers)
        upload = Upload()
        manner = manners.of(request.path)
        try:
            try:
                if not manner.needs_body:
                    manner.authenticate(_shown(request, ""), self._key)
                await upload.receive(request.content.iter_any(), UPLOAD_BYTES_MAX)
                call.received(upload)
                if manner.needs_body:
                    manner.authenticate(_shown(request, upload.digest), self._key)
                return await self._answer(request, call, upload)
            except errors.Refused as refused:
                status, headers, body = manner.refusal(refused)
                if status == 429:
                    headers = {**headers, **manner.says_when}
                return await self._send(request, call, Whole(body), status=status, headers=headers)
        except (asyncio.CancelledError, ConnectionError):
            if call.state is State.STARTED:
                self._calls.end(call, State.CLIENT_LEFT)
            raise
        finally:
            upload.close()

    async def _answer(self, request: web.Request, call: Call, upload: Upload) -> web.StreamResponse:
        content_type = request.headers.get("content-type", "")
        asked = self._doors.asked(request.method, request.path, dict(request.query), content_type, upload)
        call.model = asked.model
        reply, behaviour = asked.reply(), asked.behaviour
        if behaviour.silent:
            await _silence()
        if behaviour.slow:
            await asyncio.sleep(behaviour.slow / 1000)
        if behaviour.error is not None:
            raise errors.asked_for(behaviour.error)
        if behaviour.html is not None:
            return await self._send(request, call, Whole(HTML, "text/html"), status=behaviour.html)
        if isinstance(reply, Whole):
            return await self._send(request, call, reply, behaviour=behaviour)
        return await self._stream(request, call, reply, behaviour)

    async def _send(
        self,
        request: web.Request,
        call: Call,
        whole: Whole,
        *,
        status: int = 200,
        behaviour: Behaviour = PROPER,
        headers: Mapping[str, str] | None = None,
    ) -> web.StreamResponse:
        body = _broken(whole.body) if behaviour.badjson else whole.body
        response = _response(call, status, whole.content_type, headers)
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
        self, request: web.Request, call: Call, reply: Events | Pieces, behaviour: Behaviour
    ) -> web.StreamResponse:
        response = _response(call, 200, reply.content_type)
        await response.prepare(request)
        limits = [n for n in (behaviour.cut, behaviour.stall, behaviour.errorevent) if n is not None]
        for chunk in islice(_chunks(reply, behaviour), min(limits, default=None)):
            if behaviour.drip and call.chunks:
                await asyncio.sleep(behaviour.drip / 1000)
            await _write(response, chunk, behaviour)
            call.chunks += 1
        if behaviour.cut is not None or behaviour.stall is not None:
            return await self._break_off(request, call, response, behaviour)
        if isinstance(reply, Events):
            await _write(response, reply.done if behaviour.errorevent is None else reply.error, behaviour)
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

    async def _close(self, _: web.Application) -> None:
        self._doors.close()

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


def _chunks(reply: Events | Pieces, behaviour: Behaviour) -> Iterator[bytes]:
    if isinstance(reply, Pieces):
        return reply.pieces
    return (reply.frame(_broken(data) if behaviour.badjson else data, name) for name, data in reply.events)


def _shown(request: web.Request, body_sha256: str) -> manners.Shown:
    return manners.Shown(request.method, request.raw_path, request.headers, body_sha256)


def _response(call: Call, status: int, content_type: str, more: Mapping[str, str] | None = None) -> web.StreamResponse:
    headers = {**HEADERS, "content-type": content_type, "x-request-id": f"req_{call.number:032x}", **(more or {})}
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
