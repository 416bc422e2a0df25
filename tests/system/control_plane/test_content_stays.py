"""Nothing of what callers say or providers answer leaves the gateway for the control plane (design law 2).

A canary stands in each of many places of calls that go well, fail, break and are refused. Every byte that the gateway
sends to the control plane is kept, unpacked and searched; and so is what it shows to Prometheus. A control marker, in
metadata that the workspace declared shareable, has to be found, or the search itself is blind.
"""

import json
import secrets
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from chaos.stack import Stack, free_ports, standing
from gateway.telemetry import user_key_file
from shared.protocol import batch
from tests.fixtures.markers import layers_of, shapes_of
from tests.fixtures.recorder import Recorder, recording
from tests.fixtures.wire import Broken, call

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = "/v1/chat/completions"
CONTROL = f"control-{secrets.token_hex(8)}"
SHARED_KEY, HIDDEN_KEY = "team", "case"


class Canaries:
    """Each place has its own, so that a hit says where it came from."""

    def __init__(self) -> None:
        self.placed: dict[str, str] = {}

    def __call__(self, place: str) -> str:
        return self.placed.setdefault(place, f"canary-{secrets.token_hex(10)}")


def chat_body(canary: Canaries) -> dict[str, Any]:
    """A call with a canary wherever a body can hold a text."""
    function = {
        "name": canary("name of a tool").replace("-", "_"),
        "description": canary("description of a tool"),
        "parameters": {"type": "object", "properties": {canary("parameter of a tool"): {"type": "string"}}},
    }
    return {
        "model": "talk",
        "messages": [
            {"role": "system", "content": canary("system message")},
            {"role": "developer", "content": canary("developer message")},
            {
                "role": "user",
                "name": canary("name of a speaker"),
                "content": [
                    {"type": "text", "text": canary("text part")},
                    {"type": "image_url", "image_url": {"url": f"https://pictures.test/{canary('image url')}.png"}},
                    {"type": "input_audio", "input_audio": {"data": canary("audio data"), "format": "wav"}},
                    {
                        "type": "file",
                        "file": {"filename": f"{canary('file name')}.pdf", "file_data": canary("file data")},
                    },
                ],
            },
            {
                "role": "assistant",
                "content": canary("assistant message"),
                "refusal": canary("refusal"),
                "tool_calls": [
                    {
                        "id": canary("id of a tool call"),
                        "type": "function",
                        "function": {"name": "look", "arguments": json.dumps({"q": canary("tool arguments")})},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "x", "content": canary("tool result")},
        ],
        "tools": [{"type": "function", "function": function}],
        "response_format": {"type": "json_schema", "json_schema": {"name": canary("schema name"), "schema": {}}},
        "stop": [canary("stop word")],
        "user": canary("user of the body"),
        "safety_identifier": canary("safety identifier"),
        "metadata": {canary("metadata key of the body"): canary("metadata value of the body")},
        "prediction": {"type": "content", "content": canary("prediction")},
        canary("unknown parameter"): canary("value of an unknown parameter"),
    }


def headers(canary: Canaries, api_key: str) -> dict[str, str]:
    metadata = {
        SHARED_KEY: CONTROL,
        HIDDEN_KEY: canary("undeclared metadata"),
        canary("undeclared metadata key"): "x",
        "_user": canary("user of the metadata"),
    }
    return {
        "authorization": f"Bearer {api_key}",
        "x-portkey-metadata": json.dumps(metadata),
        "x-portkey-trace-id": f"who asks: {canary('trace id that is none')}",
        "x-portkey-span-name": canary("span name"),
        "cookie": f"session={canary('cookie')}",
        "referer": f"https://app.test/{canary('referer')}",
        "user-agent": canary("user agent"),
        "x-forwarded-for": canary("forwarded for"),
        "x-made-up": canary("unknown header"),
        "openai-organization": canary("forwarded header"),
    }


class Talker:
    """A provider that answers with canaries of its own, in the ways that a call's model names."""

    def __init__(self, canary: Canaries) -> None:
        self._canary = canary

    def application(self) -> web.Application:
        application = web.Application(client_max_size=2**24)
        application.router.add_post("/v1/{door:.*}", self._answer)
        return application

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        canary, body = self._canary, await request.json()
        told = {"x-request-id": canary("provider's request id"), "openai-processing-ms": canary("provider's header")}
        match body["model"]:
            case "talk" if body.get("stream"):
                return await self._stream(request, told, ends=True)
            case "cut":
                return await self._stream(request, told, ends=False)
            case "error":
                error = {
                    "message": canary("provider's error text"),
                    "type": canary("provider's error type"),
                    "code": canary("provider's error code"),
                    "param": canary("provider's error param"),
                }
                return web.json_response({"error": error}, status=400, headers=told)
            case "html":
                page = f"<html>{canary('provider error page')}</html>"
                return web.Response(text=page, status=502, content_type="text/html", headers=told)
            case "broken":
                return web.Response(
                    body=f'{{"cut": "{canary("broken answer")}'.encode(), content_type="application/json"
                )
        message = {"role": "assistant", "content": canary("answer"), "reasoning_content": canary("reasoning")}
        return web.json_response(
            {
                "id": canary("answer's id"),
                "model": canary("answer's model"),
                "system_fingerprint": canary("fingerprint"),
                "choices": [{"index": 0, "message": message, "finish_reason": canary("finish reason")}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
            },
            headers=told,
        )

    async def _stream(self, request: web.Request, told: Mapping[str, str], *, ends: bool) -> web.StreamResponse:
        canary = self._canary
        response = web.StreamResponse(headers={**told, "content-type": "text/event-stream"})
        await response.prepare(request)
        for text in (canary("streamed answer"), canary("streamed answer, second event")):
            delta = {"choices": [{"index": 0, "delta": {"content": text}}]}
            await response.write(f": {canary('comment in a stream')}\ndata: {json.dumps(delta)}\n\n".encode())
        if ends:
            await response.write(
                b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
            )
        elif request.transport is not None:
            request.transport.abort()
        return response


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def canaries() -> Canaries:
    return Canaries()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def spoken(
    tmp_path_factory: pytest.TempPathFactory, canaries: Canaries
) -> AsyncIterator[tuple[Stack, Recorder, bytes]]:
    """Both planes after everything was said; what the gateway sent, and what it shows to Prometheus."""
    road_port, control_plane_port, provider_port, metrics_port = free_ports(4)
    folder = tmp_path_factory.mktemp("content")
    runner = web.AppRunner(Talker(canaries).application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", provider_port).start()
    road = f"http://127.0.0.1:{road_port}"
    try:
        async with (
            recording(road_port, control_plane_port) as recorder,
            standing(
                folder,
                gateway_settings={"control_plane_url": road, "metrics_port": metrics_port},
                # What the enrolment names as its address is the same road: there is no other.
                control_plane_settings={"public_url": road},
                control_plane_port=control_plane_port,
            ) as stack,
        ):
            await furnish(stack, provider_port)
            (node,) = stack.nodes
            await node.program.until((node.folder / user_key_file.FILE).exists)
            requests = await say_everything(stack, canaries)
            await shipped(stack, recorder, requests)
            yield stack, recorder, await metrics(metrics_port)
    finally:
        await runner.cleanup()


async def furnish(stack: Stack, provider_port: int) -> None:
    path = stack.workspaces[0].path
    row = {"id": "talker", "name": "Talker", "base_url": f"http://127.0.0.1:{provider_port}/v1"}
    await stack.api.post("/api/v1/providers", row)
    key = {"slug": "talker", "name": "Talker", "provider": "talker", "credential": {"api_key": "sk-talker"}}
    await stack.api.post(f"{path}/virtual-keys", key)
    await stack.api.patch(f"{path}/configs/default", {"body": {"virtual_key": "talker"}})
    await stack.api.patch(path, {"settings": {"metadata_keys": [SHARED_KEY]}})
    await stack.at_rest()


async def say_everything(stack: Stack, canary: Canaries) -> int:
    """Every kind of call. How many of them the gateway took for requests."""
    (node,), (workspace,) = stack.nodes, stack.workspaces
    said, body = headers(canary, workspace.api_key), chat_body(canary)
    calls: list[tuple[str, Any, dict[str, str]]] = [(CHAT, {**body, "model": model}, said) for model in MODELS]
    calls += [(CHAT, {**body, "stream": True}, said), (CHAT, {**body, "model": "cut", "stream": True}, said)]
    calls += [
        ("/v1/completions", {"model": "talk", "prompt": canary("prompt"), "suffix": canary("suffix")}, said),
        ("/v1/embeddings", {"model": "talk", "input": [canary("input")]}, said),
        (f"{CHAT}?q={canary('query')}", body, said),
        (CHAT, {**body, "model": f"tell me: {canary('model that is no name')}!"}, said),
        (CHAT, {**body, "model": f"@{canary('unknown slug')}/x"}, said),
        (CHAT, {**body, "model": 7, "x": canary("body that is invalid")}, said),
        (CHAT, f'{{"model": "{canary("body that is no JSON")}'.encode(), said),
        (CHAT, body, {**said, "x-portkey-config": canary("unknown config")}),
        (CHAT, body, {**said, "x-portkey-config": f'{{"nope": "{canary("config that cannot work")}"}}'}),
        (CHAT, body, {**said, "x-portkey-virtual-key": canary("unknown virtual key")}),
        (CHAT, body, {**said, "x-portkey-provider": canary("unknown provider")}),
        (CHAT, body, {**said, "x-portkey-custom-host": f"http://{canary('custom host')}.test"}),
        (CHAT, body, {**said, "authorization": f"Bearer gh_{canary('wrong key')}"}),
        (CHAT, body, {**said, "content-type": f"text/{canary('content type')}"}),
    ]
    for number, (path, payload, with_headers) in enumerate(calls):
        # One for each: under the same key nothing else may be asked.
        word = {"idempotency-key": f"{canary('idempotency key')}-{number}"}
        try:
            await call(node.port, path, payload, {**with_headers, **word})
        except Broken:
            continue
    return len(calls)


MODELS = ("talk", "error", "html", "broken")


async def shipped(stack: Stack, recorder: Recorder, requests: int) -> None:
    """Until the records of so many requests have been sent."""

    def sent() -> bool:
        return sum(len(batch.parse(payload).records) for payload in payloads(recorder)) >= requests

    await stack.nodes[0].program.until(sent)


def payloads(recorder: Recorder) -> list[bytes]:
    bodies = [
        request.partition(b"\r\n\r\n")[2] for request in recorder.requests if batch.PATH.encode() in request[:100]
    ]
    return [batch.split(body)[1] for body in bodies if body]


async def metrics(port: int) -> bytes:
    from aiohttp import ClientSession  # noqa: PLC0415 - beside the one place that scrapes

    async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as response:
        assert response.status == 200
        return await response.read()


def found(text: str, pieces: list[bytes]) -> bool:
    shapes = shapes_of(text.encode())
    return any(shape in layer for piece in pieces for layer in layers_of(piece) for shape in shapes)


async def test_canaries_stand_in_many_places(spoken: object, canaries: Canaries) -> None:
    assert len(canaries.placed) >= 40


async def test_no_canary_leaves_for_the_control_plane(
    spoken: tuple[Stack, Recorder, bytes], canaries: Canaries
) -> None:
    _, recorder, _ = spoken
    pieces = [bytes(connection) for connection in recorder.connections] + recorder.requests + payloads(recorder)
    layers = b"\n".join(layer for piece in pieces for layer in layers_of(piece))
    assert [
        place for place, text in canaries.placed.items() if any(s in layers for s in shapes_of(text.encode()))
    ] == []
    assert CONTROL.encode() in layers, "the search is blind: what was declared shareable is not there"


async def test_no_canary_is_shown_to_prometheus(spoken: tuple[Stack, Recorder, bytes], canaries: Canaries) -> None:
    _, _, shown = spoken
    assert [place for place, text in canaries.placed.items() if found(text, [shown])] == []
    assert b"talker" in shown, "the search is blind: the provider's name is not there"


async def test_every_kind_of_call_has_its_record(spoken: tuple[Stack, Recorder, bytes]) -> None:
    _, recorder, _ = spoken
    records = [record for payload in payloads(recorder) for record in batch.parse(payload).records]
    assert len({record.id for record in records}) == len(records)
    assert {record.ending for record in records} >= {"complete", "refused", "broken"}
    assert {record.error for record in records} >= {"provider_error", "upstream_broken", "json_malformed"}
    assert {record.door for record in records} == {"chat", "completions", "embeddings"}
    assert any(record.user is not None for record in records)


async def test_the_recorder_is_the_only_road(spoken: tuple[Stack, Recorder, bytes], tmp_path: Path) -> None:
    """What the node knows as addresses of its control plane is the road that is watched."""
    stack, recorder, _ = spoken
    identity = json.loads((stack.nodes[0].folder / "identity.json").read_bytes())
    assert identity["endpoints"] == [f"http://127.0.0.1:{recorder.port}"]
