"""The simulator as OpenAI's own SDK sees it: every answer parses in its models, strictly, and through its client."""

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator
from typing import Any, Literal

import aiohttp
import openai
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion as SdkCompletion
from openai.types import CompletionChoice, CreateEmbeddingResponse, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

from embedded.simulator import completions, embeddings, models
from embedded.simulator.app import Simulator
from embedded.simulator.chat import Chat
from shared.crypto.secret import Secret

KEY = "sk-simulator-key"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a place",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "minLength": 3},
                "unit": {"enum": ["celsius", "fahrenheit"]},
                "days": {"type": "integer", "minimum": 1, "maximum": 7},
            },
            "required": ["place", "unit", "days"],
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "get_time"}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


class StreamedChoice(CompletionChoice):
    """What OpenAI really streams at the completions door: null until the last chunk. The SDK's type omits it."""

    finish_reason: Literal["stop", "length", "content_filter"] | None  # type: ignore[assignment]


class StreamedCompletion(SdkCompletion):
    choices: list[StreamedChoice]  # type: ignore[assignment]


def parse(model: type[BaseModel], raw: bytes) -> Any:
    """The SDK's model of `raw`: right types, nothing missing, and nothing the SDK does not know."""
    parsed = model.model_validate_json(raw, strict=True)
    assert unknown_fields(parsed) == []
    return parsed


def unknown_fields(value: Any) -> list[str]:
    if isinstance(value, BaseModel):
        return [*(value.model_extra or {}), *(name for _, field in value for name in unknown_fields(field))]
    if isinstance(value, list):
        return [name for item in value for name in unknown_fields(item)]
    return []


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "sim-chat", "messages": [{"role": "user", "content": "What is the weather?"}], **fields}


CHATS = {
    "plain": chat(),
    "unicode": chat(messages=[{"role": "user", "content": "Grüße 👩‍👩‍👧 in 東京 \u202e\u0000"}]),
    "no user": chat(messages=[{"role": "system", "content": "You are."}, {"role": "assistant"}]),
    "long": chat(messages=[{"role": "user", "content": "x" * 30_000}]),
    "images": chat(messages=[{"role": "user", "content": [{"type": "text", "text": "What is this?"}, IMAGE, IMAGE]}]),
    "n": chat(n=3),
    "logprobs": chat(logprobs=True, top_logprobs=3, n=2),
    "logprobs alone": chat(logprobs=True),
    "stop": chat(stop=["answer"]),
    "limit": chat(max_tokens=3),
    "new limit": chat(max_completion_tokens=2),
    "tools": chat(tools=[WEATHER, CLOCK]),
    "parallel tools": chat(tools=[WEATHER, CLOCK], parallel_tool_calls=True),
    "tools with logprobs": chat(tools=[WEATHER], logprobs=True),
    "named tool": chat(tools=[WEATHER, CLOCK], tool_choice={"type": "function", "function": {"name": "get_time"}}),
    "no tool": chat(tools=[WEATHER], tool_choice="none"),
    "json": chat(response_format={"type": "json_object"}),
    "schema": chat(
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "w", "schema": WEATHER["function"]["parameters"]},
        }
    ),
    "nulls": chat(n=None, stop=None, tools=None, temperature=None, max_tokens=None),
}
COMPLETIONS = {
    "plain": {"model": "sim-chat", "prompt": "Once upon a time"},
    "no prompt": {"model": "sim-chat"},
    "prompts": {"model": "sim-chat", "prompt": ["One", "Two"], "n": 2},
    "tokens": {"model": "sim-chat", "prompt": [1, 2, 3]},
    "token lists": {"model": "sim-chat", "prompt": [[1, 2], [3]]},
    "echo": {"model": "sim-chat", "prompt": "Once", "echo": True, "suffix": "the end", "logprobs": 0},
    "logprobs": {"model": "sim-chat", "prompt": "Once", "logprobs": 4, "max_tokens": 5},
    "stop": {"model": "sim-chat", "prompt": "Once", "stop": "simulated"},
}
EMBEDDINGS = {
    "string": {"model": "sim-embed", "input": "Hello"},
    "strings": {"model": "sim-embed", "input": ["Hello", "there"], "dimensions": 8},
    "tokens": {"model": "sim-embed", "input": [1, 2, 3]},
    "token lists": {"model": "sim-chat", "input": [[1, 2], [3]]},
}
corpus = pytest.mark.parametrize


@corpus("body", CHATS.values(), ids=CHATS)
def test_chat_answer_parses_strictly(body: dict[str, Any]) -> None:
    answer = parse(ChatCompletion, Chat(body, None).whole())
    assert [choice.index for choice in answer.choices] == list(range(body.get("n") or 1))


@corpus("body", CHATS.values(), ids=CHATS)
def test_chat_chunks_parse_strictly_and_add_up_to_the_whole_answer(body: dict[str, Any]) -> None:
    whole = parse(ChatCompletion, Chat(body, None).whole())
    asked = {**body, "stream": True, "stream_options": {"include_usage": True}}
    *chunks, last = [parse(ChatCompletionChunk, raw) for raw in Chat(asked, None).chunks()]
    assert {chunk.id for chunk in chunks} == {whole.id}
    assert last.choices == []
    assert last.usage == whole.usage
    for choice in whole.choices:
        steps = [step for chunk in chunks for step in chunk.choices if step.index == choice.index]
        assert "".join(step.delta.content or "" for step in steps) == (choice.message.content or "")
        assert [step.finish_reason for step in steps if step.finish_reason] == [choice.finish_reason]
        fragments = [call for step in steps for call in step.delta.tool_calls or []]
        for index, call in enumerate(choice.message.tool_calls or []):
            mine = [fragment.function for fragment in fragments if fragment.index == index]
            assert "".join(function.arguments for function in mine) == call.function.arguments
            assert mine[0].name == call.function.name
        if choice.logprobs and choice.message.content:
            spoken = [token for step in steps if step.logprobs for token in step.logprobs.content]
            assert spoken == choice.logprobs.content


def test_usage_comes_in_a_stream_only_when_asked_for() -> None:
    chunks = [json.loads(raw) for raw in Chat(chat(stream=True), None).chunks()]
    assert all("usage" not in chunk and chunk["choices"] for chunk in chunks)
    asked = Chat(chat(stream=True, stream_options={"include_usage": True}), None)
    *before, last = [json.loads(raw) for raw in asked.chunks()]
    assert all(chunk["usage"] is None for chunk in before)
    assert last["usage"]["total_tokens"] == last["usage"]["prompt_tokens"] + last["usage"]["completion_tokens"]


@corpus("body", COMPLETIONS.values(), ids=COMPLETIONS)
def test_completion_parses_strictly_whole_and_in_chunks(body: dict[str, Any]) -> None:
    whole = parse(SdkCompletion, completions.Completion(body, None).whole())
    asked = {**body, "stream": True, "stream_options": {"include_usage": True}}
    *chunks, last = [parse(StreamedCompletion, raw) for raw in completions.Completion(asked, None).chunks()]
    assert last.usage == whole.usage
    for choice in whole.choices:
        steps = [step for chunk in chunks for step in chunk.choices if step.index == choice.index]
        assert "".join(step.text for step in steps) == choice.text
        assert [step.finish_reason for step in steps if step.finish_reason] == [choice.finish_reason]
        if choice.logprobs:
            assert [at for step in steps for at in step.logprobs.text_offset] == choice.logprobs.text_offset


@corpus("body", EMBEDDINGS.values(), ids=EMBEDDINGS)
def test_embedding_parses_strictly_and_base64_is_the_same_vector(body: dict[str, Any]) -> None:
    plain = parse(CreateEmbeddingResponse, embeddings.answer(body))
    packed = json.loads(embeddings.answer({**body, "encoding_format": "base64"}))
    for one, other in zip(plain.data, packed["data"], strict=True):
        assert len(one.embedding) == body.get("dimensions", 256)
        raw = base64.b64decode(other["embedding"])
        assert list(struct.unpack(f"<{len(raw) // 4}f", raw)) == one.embedding
        assert sum(number * number for number in one.embedding) == pytest.approx(1.0, abs=1e-5)


def test_models_parse_strictly() -> None:
    rows = json.loads(models.listing())["data"]
    assert [parse(Model, json.dumps(row).encode()).id for row in rows] == ["sim-chat", "sim-embed"]
    assert parse(Model, models.single("sim-cut-3")).id == "sim-cut-3"


@given(
    text=st.text(max_size=300),
    n=st.integers(1, 4),
    limit=st.none() | st.integers(1, 60),
    stop=st.none() | st.text(max_size=4) | st.lists(st.text(max_size=3), max_size=4),
    logprobs=st.booleans(),
)
def test_any_chat_is_counted_as_it_is_streamed(
    text: str, n: int, limit: int | None, stop: str | list[str] | None, logprobs: bool
) -> None:
    messages = [{"role": "user", "content": text}]
    body = chat(messages=messages, n=n, max_tokens=limit, stop=stop, logprobs=logprobs, stream=True)
    whole = parse(ChatCompletion, Chat(body, None).whole())
    chunks = [parse(ChatCompletionChunk, raw) for raw in Chat(body, None).chunks()]
    words = [step.delta.content for chunk in chunks for step in chunk.choices if step.delta.content]
    assert len(words) == whole.usage.completion_tokens
    assert limit is None or all(len(choice.message.content) <= 4 * limit for choice in whole.choices)
    for ending in [stop] if isinstance(stop, str) else stop or []:
        assert not ending or all(ending not in choice.message.content for choice in whole.choices)


@pytest.fixture
async def address() -> AsyncIterator[str]:
    runner = web.AppRunner(Simulator(Secret(KEY)).application(), handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield "http://{}:{}".format(*runner.addresses[0][:2])
    await runner.cleanup()


@pytest.fixture
async def client(address: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key=KEY, max_retries=0, timeout=20) as client:
        yield client


@pytest.fixture
async def look(address: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(address, timeout=aiohttp.ClientTimeout(total=20)) as session:
        yield session


async def how_it_ended(look: aiohttp.ClientSession, call: int, state: str) -> dict[str, Any]:
    async with look.get("/simulator/wait", params={"call": call, "state": state}) as answer:
        return {"status": answer.status, **await answer.json()}


async def test_unmodified_client_speaks_every_door(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(**CHATS["plain"])
    assert answer.choices[0].message.content == "This is a simulated answer. You said: What is the weather?"
    stream = await client.chat.completions.create(**CHATS["plain"], stream=True)
    said = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(said) == answer.choices[0].message.content
    assert (await client.completions.create(model="sim-chat", prompt="Once")).choices[0].text
    assert len((await client.embeddings.create(model="sim-embed", input="Once")).data[0].embedding) == 256
    assert [model.id async for model in client.models.list()] == ["sim-chat", "sim-embed"]
    assert (await client.models.retrieve("sim-chat")).owned_by == "simulator"


async def test_unmodified_client_runs_a_tool_round(client: openai.AsyncOpenAI) -> None:
    asked = CHATS["tools"]
    message = (await client.chat.completions.create(**asked)).choices[0].message
    call = message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"place": "simulated", "unit": "celsius", "days": 1}
    history = [*asked["messages"], message, {"role": "tool", "tool_call_id": call.id, "content": "Sunny"}]
    final = await client.chat.completions.create(**{**asked, "messages": history})
    assert final.choices[0].finish_reason == "stop"


async def test_answer_has_the_headers_of_openai(client: openai.AsyncOpenAI) -> None:
    raw = await client.chat.completions.with_raw_response.create(**CHATS["plain"])
    assert raw.headers["x-request-id"].startswith("req_")
    assert {"openai-processing-ms", "openai-version", "openai-organization"} <= set(raw.headers)
    assert {"x-ratelimit-limit-requests", "x-ratelimit-remaining-tokens", "set-cookie"} <= set(raw.headers)


@corpus(
    ("change", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": "Hello"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["Hello"]}, "messages[0]"),
        ({"messages": [{"content": "Hello"}]}, "messages[0].role"),
        ({"messages": [{"role": "boss", "content": "Hello"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "tool", "content": "Sunny"}]}, "messages[0].tool_call_id"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"n": True}, "n"),
        ({"n": 0}, "n"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice"),
        ({"response_format": {"type": "yaml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ],
    ids=str,
)
async def test_malformed_chat_is_a_400_that_names_the_field(
    client: openai.AsyncOpenAI, change: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refusal:
        await client.post("/chat/completions", body=chat(**change), cast_to=object)
    assert refusal.value.param == param
    assert refusal.value.type == "invalid_request_error"


@corpus("raw", [b"", b"{", b"[]", b'{"model": 7}', b'{"messages": []}', b"\xff"], ids=str)
async def test_malformed_body_is_a_400(look: aiohttp.ClientSession, raw: bytes) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    async with look.post("/v1/chat/completions", data=raw, headers=headers) as answer:
        assert answer.status == 400
        assert set((await answer.json())["error"]) == {"message", "type", "param", "code"}


@corpus("key", ["sk-other", ""])
async def test_wrong_key_is_a_401(look: aiohttp.ClientSession, key: str) -> None:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with look.get("/v1/models", headers=headers) as answer:
        assert answer.status == 401
        assert (await answer.json())["error"]["code"] == ("invalid_api_key" if key else None)


async def test_unknown_model_and_path_are_404s(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refusal:
        await client.chat.completions.create(**chat(model="gpt-4o"))
    assert refusal.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError, match="sim-embed"):
        await client.chat.completions.create(**chat(model="sim-embed"))
    with pytest.raises(openai.NotFoundError, match="Invalid URL"):
        await client.post("/chatter", cast_to=object)


@corpus("status", [400, 401, 403, 404, 409, 422, 429, 500, 503])
async def test_sim_error_answers_with_that_status(client: openai.AsyncOpenAI, status: int) -> None:
    with pytest.raises(openai.APIStatusError) as refusal:
        await client.chat.completions.create(**chat(model=f"sim-error-{status}"))
    assert refusal.value.status_code == status
    assert ("retry-after" in refusal.value.response.headers) == (status == 429)


async def test_sim_html_answers_with_a_page(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as refusal:
        await client.chat.completions.create(**chat(model="sim-html-502"))
    assert refusal.value.response.headers["content-type"] == "text/html"


async def raw_answer(address: str, path: str, body: dict[str, Any]) -> tuple[bytes, bytes]:
    """Head and what came of the body before the connection ended, as bytes: a client library would lose some."""
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    payload = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {len(payload)}\r\n\r\n"
    writer.write(head.encode() + payload)
    got = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    await writer.wait_closed()
    before, _, after = got.partition(b"\r\n\r\n")
    return before, after


async def test_sim_cut_ends_the_stream_after_its_chunks(address: str, look: aiohttp.ClientSession) -> None:
    _, body = await raw_answer(address, "/v1/chat/completions", chat(model="sim-cut-3", stream=True))
    assert body.count(b"data: {") == 3
    assert b"[DONE]" not in body
    assert not body.endswith(b"0\r\n\r\n")
    assert (await how_it_ended(look, 1, "cut_by_us"))["chunks"] == 3


async def test_sim_cut_ends_a_plain_answer_in_the_middle(address: str, look: aiohttp.ClientSession) -> None:
    head, body = await raw_answer(address, "/v1/embeddings", {"model": "sim-cut-0", "input": "x"})
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert 0 < len(body) < length
    assert (await how_it_ended(look, 1, "cut_by_us"))["state"] == "cut_by_us"


@corpus("model", ["sim-bytes", "sim-drip-1", "sim-slow-1", "sim-slow-1-drip-1-bytes"])
async def test_slow_delivery_brings_the_same_events(client: openai.AsyncOpenAI, model: str) -> None:
    stream = await client.chat.completions.create(**chat(model=model, stream=True))
    said = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(said) == "This is a simulated answer. You said: What is the weather?"


async def test_sim_long_says_so_many_tokens(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(**chat(model="sim-long-500", stream=True))
    assert sum([bool(chunk.choices[0].delta.content) async for chunk in stream]) == 500
    answer = await client.completions.create(model="sim-long-50", prompt="Go")
    assert answer.usage.completion_tokens == 50


async def test_sim_badjson_is_no_json(client: openai.AsyncOpenAI) -> None:
    raw = await client.chat.completions.with_raw_response.create(**chat(model="sim-badjson"))
    with pytest.raises(json.JSONDecodeError):
        json.loads(raw.content)


async def test_sim_errorevent_reaches_the_client_as_an_error(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(**chat(model="sim-errorevent-2", stream=True))
    events = aiter(stream)
    assert [(await anext(events)).choices[0].delta.content for _ in range(2)] == ["", "This"]
    with pytest.raises(openai.APIError, match="had an error"):
        await anext(events)


@corpus("model", ["sim-silent", "sim-stall-2", "sim-drip-60000"])
async def test_client_that_leaves_is_noticed(look: aiohttp.ClientSession, model: str) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    with pytest.raises(TimeoutError):
        async with look.post(
            "/v1/chat/completions",
            json=chat(model=model, stream=True),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=0.2),
        ) as answer:
            await answer.read()
    ended = await how_it_ended(look, 1, "client_left")
    assert ended["state"] == "client_left"
    assert ended["model"] == model


async def test_calls_show_what_came_but_not_the_key(look: aiohttp.ClientSession, client: openai.AsyncOpenAI) -> None:
    for _ in range(2):
        await client.chat.completions.create(**CHATS["plain"])
    async with look.get("/simulator/calls", params={"after": 1}) as answer:
        text = await answer.text()
    (call,) = json.loads(text)
    assert call["number"] == 2
    assert call["state"] == "answered"
    assert call["body_bytes"] == int(dict(call["headers"])["content-length"])
    assert KEY not in text
    assert dict(call["headers"])["authorization"].startswith("sha256:")


async def test_waiting_for_another_end_than_came_says_so(
    look: aiohttp.ClientSession, client: openai.AsyncOpenAI
) -> None:
    await client.chat.completions.create(**CHATS["plain"])
    assert (await how_it_ended(look, 1, "client_left"))["status"] == 409
    assert (await how_it_ended(look, 1, "answered"))["status"] == 200
    async with look.get("/simulator/wait", params={"call": "x", "state": "answered"}) as answer:
        assert answer.status == 400
