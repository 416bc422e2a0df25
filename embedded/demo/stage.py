"""Stands in for the providers of a script: any of its models, as slow, as long and as faulty as the script says."""

import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson
from aiohttp import web

from embedded.demo.script import Script, Usage, around, usage

SLOWEST_S = 8.0
PIECES = 12
_FAULTS = ((429, "rate_limit_exceeded"), (500, "server_error"), (503, "overloaded"))
_JSON = "application/json"


class Stage:
    def __init__(self, script: Script, chance: random.Random) -> None:
        self._script = script
        self._chance = chance
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    async def open(self) -> web.AppRunner:
        """A running server, on a free port of this machine alone."""
        application = web.Application()
        application.router.add_post("/v1/{door:.+}", self._call)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._port = runner.addresses[0][1]
        return runner

    async def _call(self, request: web.Request) -> web.StreamResponse:
        asked: Mapping[str, Any] = orjson.loads(await request.read())
        name = asked.get("model", "")
        model = self._script.model(name)
        if model is None:
            return _refused(404, "model_not_found", f"no model {name!r}")
        await asyncio.sleep(min(around(model.took_ms, self._chance) / 1000, SLOWEST_S))
        if self._chance.random() < model.fails:
            status, code = self._chance.choice(_FAULTS)
            return _refused(status, code, "the demonstration wants it so")
        used = usage(model, self._chance)
        if request.match_info["door"] == "embeddings":
            return _json(_embedding(name, used))
        if asked.get("stream"):
            response = web.StreamResponse(headers={"content-type": "text/event-stream"})
            with suppress(ConnectionError):  # Some callers leave: the script says so.
                await self._stream(request, response, name, used)
            return response
        return _json(_completion(name, used))

    async def _stream(self, request: web.Request, response: web.StreamResponse, name: str, used: Usage) -> None:
        await response.prepare(request)
        head = {"id": "chatcmpl-demo", "object": "chat.completion.chunk", "created": 1_750_000_000, "model": name}
        for number in range(PIECES):
            choice = {"index": 0, "delta": {"content": f"word {number} "}, "finish_reason": None}
            await response.write(_event({**head, "choices": [choice]}))
            await asyncio.sleep(self._chance.random() * 0.04)
        last = {"index": 0, "delta": {}, "finish_reason": "stop"}
        await response.write(_event({**head, "choices": [last]}))
        await response.write(_event({**head, "choices": [], "usage": _usage(used)}))
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()


def _event(data: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"


def _json(body: Mapping[str, Any]) -> web.Response:
    return web.Response(body=orjson.dumps(body), content_type=_JSON)


def _refused(status: int, code: str, message: str) -> web.Response:
    body = {"error": {"message": message, "type": code, "code": code, "param": None}}
    return web.Response(status=status, body=orjson.dumps(body), content_type=_JSON)


def _completion(name: str, used: Usage) -> dict[str, Any]:
    message = {"role": "assistant", "content": "An answer of the demonstration."}
    return {
        "id": "chatcmpl-demo",
        "object": "chat.completion",
        "created": 1_750_000_000,
        "model": name,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": _usage(used),
    }


def _embedding(name: str, used: Usage) -> dict[str, Any]:
    row = {"object": "embedding", "index": 0, "embedding": [0.1, 0.2, 0.3]}
    return {
        "object": "list",
        "data": [row],
        "model": name,
        "usage": {"prompt_tokens": used.input, "total_tokens": used.input},
    }


def _usage(used: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": used.input,
        "completion_tokens": used.output,
        "total_tokens": used.input + used.output,
        "prompt_tokens_details": {"cached_tokens": used.cached},
        "completion_tokens_details": {"reasoning_tokens": used.reasoning},
    }
