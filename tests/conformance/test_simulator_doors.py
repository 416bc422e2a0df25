"""The simulator's other doors as OpenAI's own SDK sees them: every answer parses strictly, well behaved or not."""

import io
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import httpx2
import openai
import pytest
from aiohttp import web
from openai.types import Batch, FileDeleted, FileObject, ImagesResponse, ModerationCreateResponse
from openai.types.audio import Transcription, TranscriptionTextDeltaEvent, TranscriptionTextDoneEvent, Translation
from openai.types.audio.transcription_verbose import TranscriptionVerbose
from openai.types.image_edit_completed_event import ImageEditCompletedEvent
from openai.types.image_gen_completed_event import ImageGenCompletedEvent
from openai.types.image_gen_partial_image_event import ImageGenPartialImageEvent
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.responses.response_item_list import ResponseItemList
from pydantic import RootModel

from embedded.simulator.app import Simulator
from shared.crypto.secret import Secret
from tests.conformance.test_simulator import CLOCK, KEY, WEATHER, how_it_ended, parse

PICTURE = ("dot.png", b"\x89PNG not really", "image/png")
SOUND = ("hello.wav", b"RIFF not really", "audio/wav")
RESPONSE_TOOLS: Any = [{"type": "function", **tool["function"], "strict": False} for tool in (WEATHER, CLOCK)]
RESPONSE_TOOLS[1]["parameters"] = None
RESPONSES: dict[str, dict[str, Any]] = {
    "text": {"input": "What is the weather?"},
    "instructions": {"input": "Hello", "instructions": "Be brief", "temperature": 0.5, "metadata": {"a": "b"}},
    "items": {
        "input": [
            {"role": "developer", "content": "Be brief"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": "Again"},
        ]
    },
    "limit": {"input": "Hello", "max_output_tokens": 2},
    "tools": {"input": "Hello", "tools": RESPONSE_TOOLS, "parallel_tool_calls": True},
    "named tool": {
        "input": "Hello",
        "tools": RESPONSE_TOOLS,
        "tool_choice": {"type": "function", "name": "get_time"},
    },
    "schema": {
        "input": "Hello",
        "text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object", "properties": {}}}},
    },
}
cases = pytest.mark.parametrize
StreamEvent = RootModel[ResponseStreamEvent]


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


async def events_of(raw: Any) -> list[tuple[str | None, bytes]]:
    """Name and data of each event of a streamed answer."""
    text = b"".join([piece async for piece in raw.iter_bytes()])
    found = []
    for block in text.split(b"\n\n"):
        lines = dict(line.split(b": ", 1) for line in block.split(b"\n") if line)
        if b"data" in lines:
            found.append((lines.get(b"event", b"").decode() or None, lines[b"data"]))
    return found


@cases("given", ["calm", "violence and hate", ["calm", "violence"], [{"type": "text", "text": "hate"}]], ids=str)
async def test_moderations(client: openai.AsyncOpenAI, given: Any) -> None:
    raw = await client.moderations.with_raw_response.create(input=given, model="sim-chat")
    said = parse(ModerationCreateResponse, raw.content)
    assert [result.flagged for result in said.results][-1] is (given != "calm")
    assert (await client.moderations.create(input="calm")).results[0].flagged is False


async def test_images(client: openai.AsyncOpenAI) -> None:
    raw = await client.images.with_raw_response.generate(prompt="a dot", model="sim-chat", n=2)
    said = parse(ImagesResponse, raw.content)
    assert len(said.data) == 2
    assert said.data[0].b64_json != said.data[1].b64_json
    assert said.usage.total_tokens == said.usage.input_tokens + said.usage.output_tokens
    edited = await client.images.with_raw_response.edit(image=[PICTURE, PICTURE], prompt="x", model="sim-chat")
    assert parse(ImagesResponse, edited.content).usage.input_tokens_details.image_tokens == 2 * 272
    with pytest.deprecated_call():
        varied = await client.images.create_variation(image=PICTURE, model="sim-chat", response_format="url")
    assert varied.data[0].url.startswith("https://")


async def test_images_as_events(client: openai.AsyncOpenAI) -> None:
    asked: Any = {"prompt": "a dot", "model": "sim-chat", "stream": True, "partial_images": 2}
    async with client.images.with_streaming_response.generate(**asked) as raw:
        *partial, (name, last) = await events_of(raw)
    assert [parse(ImageGenPartialImageEvent, data).partial_image_index for _, data in partial] == [0, 1]
    assert parse(ImageGenCompletedEvent, last).type == name
    async with client.images.with_streaming_response.edit(image=PICTURE, **{**asked, "partial_images": 0}) as raw:
        ((_, last),) = await events_of(raw)
    assert parse(ImageEditCompletedEvent, last).usage.total_tokens


@cases("format_", ["mp3", "wav", "pcm"])
async def test_speech(client: openai.AsyncOpenAI, format_: Any) -> None:
    asked: Any = {"model": "sim-chat", "voice": "alloy", "input": "Hello there", "response_format": format_}
    said = await client.audio.speech.create(**asked)
    assert said.response.headers["content-type"].startswith("audio/")
    assert said.response.headers["transfer-encoding"] == "chunked"
    assert len(said.content) == 3 * 1024
    long = await client.audio.speech.create(**{**asked, "model": "sim-long-100"})
    assert len(long.content) == 100 * 1024


async def test_transcriptions(client: openai.AsyncOpenAI) -> None:
    asked: Any = {"model": "sim-chat", "file": SOUND}
    heard = await client.audio.transcriptions.with_raw_response.create(**asked)
    said = parse(Transcription, heard.content)
    assert said.text == "This is what was heard in hello.wav, 15 bytes."
    assert said.usage.type == "tokens"
    verbose = await client.audio.transcriptions.with_raw_response.create(**asked, response_format="verbose_json")
    assert parse(TranscriptionVerbose, verbose.content).segments[0].text == said.text
    for format_ in ("text", "srt", "vtt"):
        assert said.text in await client.audio.transcriptions.create(**asked, response_format=format_)
    with pytest.deprecated_call():
        translated = await client.audio.translations.with_raw_response.create(**asked)
    assert parse(Translation, translated.content).text == said.text


async def test_transcriptions_as_events(client: openai.AsyncOpenAI) -> None:
    asked: Any = {"model": "sim-chat", "file": SOUND, "stream": True}
    async with client.audio.transcriptions.with_streaming_response.create(**asked) as raw:
        *deltas, (_, last) = await events_of(raw)
    done = parse(TranscriptionTextDoneEvent, last)
    assert "".join(parse(TranscriptionTextDeltaEvent, data).delta for _, data in deltas) == done.text
    assert done.usage.output_tokens == len(deltas)


@cases("size", [0, 10, 3_000_000])
async def test_files_are_kept_as_they_came(client: openai.AsyncOpenAI, size: int) -> None:
    data = (b"--x\r\n\r\nline\n" * (size // 12 + 1))[:size]
    made = await client.files.with_raw_response.create(file=("a.jsonl", io.BytesIO(data)), purpose="batch")
    file = parse(FileObject, made.content)
    assert (file.bytes, file.filename) == (size, "a.jsonl")
    assert await client.files.retrieve(file.id) == file
    assert [row.id async for row in await client.files.list(purpose="batch")] == [file.id]
    assert [row.id async for row in await client.files.list(purpose="vision")] == []
    assert (await client.files.content(file.id)).content == data
    gone = await client.files.with_raw_response.delete(file.id)
    assert parse(FileDeleted, gone.content).deleted
    with pytest.raises(openai.NotFoundError):
        await client.files.retrieve(file.id)


async def test_a_list_of_files_has_pages(client: openai.AsyncOpenAI) -> None:
    made = [(await client.files.create(file=(f"{n}.txt", b"x"), purpose="vision")).id for n in range(5)]
    assert [row.id async for row in await client.files.list(limit=2)] == made[::-1]


async def test_batches(client: openai.AsyncOpenAI) -> None:
    chat = {"model": "sim-chat", "messages": [{"role": "user", "content": "Hello"}]}
    asked = [
        {"custom_id": "good", "method": "POST", "url": "/v1/chat/completions", "body": chat},
        {"custom_id": "bad", "method": "POST", "url": "/v1/chat/completions", "body": {**chat, "messages": []}},
    ]
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in asked) + b"{\n"
    file = await client.files.create(file=("in.jsonl", lines), purpose="batch")
    start: Any = {"input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    made = await client.batches.with_raw_response.create(**start, metadata={"a": "b"})
    batch = parse(Batch, made.content)
    assert batch.status == "validating"
    done = parse(Batch, (await client.batches.with_raw_response.retrieve(batch.id)).content)
    assert (done.status, done.request_counts.completed, done.request_counts.failed) == ("completed", 1, 2)
    assert done.usage.total_tokens > 0
    (row,) = [json.loads(line) for line in (await client.files.content(done.output_file_id)).content.splitlines()]
    assert (row["custom_id"], row["response"]["status_code"]) == ("good", 200)
    other = await client.batches.create(**start)
    assert (await client.batches.cancel(other.id)).status == "cancelling"
    assert (await client.batches.retrieve(other.id)).status == "cancelled"
    assert [row.id async for row in await client.batches.list()] == [other.id, batch.id]


async def test_rerank(client: openai.AsyncOpenAI) -> None:
    body = {"model": "sim-chat", "query": "red fox", "documents": ["a dog", "a red fox", {"text": "red"}], "top_n": 2}
    said: Any = await client.post("/rerank", body=body, cast_to=object)
    assert [row["index"] for row in said["results"]] == [1, 2]
    assert said["usage"]["total_tokens"] > 0


@cases("body", RESPONSES.values(), ids=RESPONSES)
async def test_responses(client: openai.AsyncOpenAI, body: dict[str, Any]) -> None:
    raw = await client.responses.with_raw_response.create(model="sim-chat", **body)
    whole = parse(Response, raw.content)
    assert whole.status == ("incomplete" if "max_output_tokens" in body else "completed")
    async with client.responses.with_streaming_response.create(model="sim-chat", **body, stream=True) as raw_stream:
        events = await events_of(raw_stream)
    parsed = [parse(StreamEvent, data).root for _, data in events]
    assert [event.type for event in parsed] == [name for name, _ in events]
    assert [event.sequence_number for event in parsed] == list(range(len(parsed)))
    assert parsed[-1].response.output == whole.output
    assert parsed[-1].response.usage == whole.usage
    spoken = "".join(event.delta for event in parsed if event.type == "response.output_text.delta")
    assert spoken == whole.output_text


async def test_responses_are_kept(client: openai.AsyncOpenAI) -> None:
    made = await client.responses.create(model="sim-chat", input="Hello")
    assert await client.responses.retrieve(made.id) == made
    items = await client.responses.input_items.with_raw_response.list(made.id)
    assert parse(ResponseItemList, items.content).data[0].content[0].text == "Hello"
    more = await client.responses.create(model="sim-chat", input="Again", previous_response_id=made.id)
    assert more.usage.input_tokens > made.usage.input_tokens
    with pytest.raises(openai.BadRequestError, match="background"):
        await client.responses.cancel(made.id)
    await client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(made.id)
    with pytest.raises(openai.BadRequestError, match="not found"):
        await client.responses.create(model="sim-chat", input="Again", previous_response_id=made.id)
    unkept = await client.responses.create(model="sim-chat", input="Hello", store=False)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(unkept.id)


async def test_every_door_misbehaves_when_asked_to(client: openai.AsyncOpenAI, look: aiohttp.ClientSession) -> None:
    calls: list[Any] = [
        lambda model: client.moderations.create(model=model, input="x"),
        lambda model: client.images.generate(model=model, prompt="x"),
        lambda model: client.images.edit(model=model, prompt="x", image=PICTURE),
        lambda model: client.audio.speech.create(model=model, voice="alloy", input="x" * 40),
        lambda model: client.audio.transcriptions.create(model=model, file=SOUND),
        lambda model: client.post("/rerank", body={"model": model, "query": "x", "documents": ["x"]}, cast_to=object),
        lambda model: client.responses.create(model=model, input="x"),
        lambda model: client.files.list(extra_query={"simulate": model}),
        lambda model: client.files.create(file=("a", b"x"), purpose="vision", extra_query={"simulate": model}),
        lambda model: client.batches.list(extra_query={"simulate": model}),
    ]
    for call in calls:
        with pytest.raises(openai.RateLimitError):
            await call("sim-error-429")
        with pytest.raises(openai.InternalServerError):
            await call("sim-html-502")
        with pytest.raises((openai.APIConnectionError, httpx2.RemoteProtocolError)):
            await call("sim-cut-1")
    ended = [row["state"] for row in await (await look.get("/simulator/calls", params={"after": 0})).json()]
    assert ended.count("cut_by_us") == len(calls)


async def test_a_response_as_events_breaks_when_asked_to(client: openai.AsyncOpenAI) -> None:
    stream = await client.responses.create(model="sim-errorevent-3", input="x", stream=True)
    seen = [event.type async for event in stream]
    assert seen[-1] == "error"
    assert len(seen) == 4


@cases(
    ("path", "content_type", "body"),
    [
        ("/v1/files", "multipart/form-data", b"--x--"),
        ("/v1/files", "multipart/form-data; boundary=x", b""),
        ("/v1/files", "multipart/form-data; boundary=x", b"--x\r\n"),
        ("/v1/files", "multipart/form-data; boundary=x", b"--x\r\n\r\ndata\r\n--x--"),
        ("/v1/files", "multipart/form-data; boundary=x", b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n1'),
        ("/v1/files", "application/json", b"{}"),
        ("/v1/audio/transcriptions", "multipart/form-data; boundary=x", b"--x--"),
        ("/v1/images/generations", "application/json", b'{"model": "sim-chat"}'),
        ("/v1/images/generations", "application/json", b'{"model": 7}'),
        ("/v1/moderations", "application/json", b'{"input": [7]}'),
        ("/v1/moderations", "application/json", b"[]"),
        ("/v1/rerank", "application/json", b'{"model": "sim-chat", "query": "x", "documents": [7]}'),
        ("/v1/audio/speech", "application/json", b'{"model": "sim-chat", "input": "x"}'),
        ("/v1/responses", "application/json", b'{"model": "sim-chat"}'),
        ("/v1/responses", "application/json", b'{"model": "sim-chat", "input": [{"type": "video"}]}'),
        ("/v1/responses", "application/json", b'{"model": "sim-chat", "input": "x", "tools": [{"type": "mcp"}]}'),
        ("/v1/batches", "application/json", b'{"input_file_id": "file-x"}'),
    ],
)
async def test_what_is_malformed_is_a_400_in_the_providers_words(
    look: aiohttp.ClientSession, path: str, content_type: str, body: bytes
) -> None:
    headers = {"authorization": f"Bearer {KEY}", "content-type": content_type}
    async with look.post(path, data=body, headers=headers) as answer:
        assert answer.status == 400
        assert set((await answer.json())["error"]) == {"message", "type", "param", "code"}


async def test_a_wrong_key_is_refused_before_the_upload_has_come(look: aiohttp.ClientSession) -> None:
    large = io.BytesIO(bytes(5_000_000))
    async with look.post("/v1/files", data=large, headers={"authorization": "Bearer no"}) as answer:
        assert answer.status == 401
    assert (await how_it_ended(look, 1, "answered"))["body_bytes"] == 0


# Deployments


def at_deployments(address: str, key: str) -> openai.AsyncAzureOpenAI:
    return openai.AsyncAzureOpenAI(
        azure_endpoint=address, api_version="2024-10-21", api_key=key, max_retries=0, timeout=20
    )


async def test_a_deployment_is_named_by_its_path_as_the_sdk_for_it_does(address: str) -> None:
    async with at_deployments(address, KEY) as client:
        said: Any = {"messages": [{"role": "user", "content": "Hello"}]}
        whole = await client.chat.completions.create(model="sim-chat", **said)
        assert "Hello" in (whole.choices[0].message.content or "")
        stream = await client.chat.completions.create(model="sim-chat", stream=True, **said)
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
        assert "".join(pieces) == whole.choices[0].message.content
        assert (await client.embeddings.create(model="sim-embed", input="x")).data[0].embedding
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(model="sim-error-429", **said)


async def test_a_deployment_wants_its_key_and_the_api_s_version(address: str, look: aiohttp.ClientSession) -> None:
    async with at_deployments(address, "sk-other") as client:
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(model="sim-chat", messages=[{"role": "user", "content": "x"}])
    path = "/openai/deployments/sim-chat/chat/completions"
    async with look.post(path, json={"messages": []}, headers={"api-key": KEY}) as answer:
        assert answer.status == 404
    async with look.get("/simulator/calls") as answer:
        assert KEY not in await answer.text()
