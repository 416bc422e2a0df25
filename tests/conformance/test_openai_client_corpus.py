"""The unmodified client over the whole corpus: through the gateway as if straight at the provider."""

import asyncio
import hashlib
from typing import Any

import orjson
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.conformance.conftest import options
from tests.conformance.openai_corpus import chats
from tests.conformance.test_simulator import parse, unknown_fields
from tests.fixtures.stack import Stack

CHATS = chats()
corpus = pytest.mark.parametrize("body", CHATS.values(), ids=CHATS)


def provider_call(headers: Any) -> int:
    """The number of the provider call behind an answer: the simulator counts in its request ids."""
    return int(headers["x-request-id"].removeprefix("req_"), 16)


async def received(stack: Stack, number: int) -> tuple[str, int]:
    """Digest and size of the body the provider got."""
    (row,) = [call for call in await stack.simulator_calls(number - 1) if call["number"] == number]
    return row["body_sha256"], row["body_bytes"]


def weighed(body: bytes) -> tuple[str, int]:
    return hashlib.sha256(body).hexdigest(), len(body)


def test_corpus_is_as_large_as_promised() -> None:
    assert len(CHATS) >= 200


@corpus
def test_answer_is_the_providers_and_the_request_arrives_byte_for_byte(
    stack: Stack, through: OpenAI, straight: OpenAI, body: dict[str, Any]
) -> None:
    raw = through.chat.completions.with_raw_response.create(**body)
    own = straight.chat.completions.with_raw_response.create(**body)
    assert raw.content == own.content
    assert raw.parse() == own.parse() == parse(ChatCompletion, raw.content)
    sent = raw.http_request.read()
    assert asyncio.run(received(stack, provider_call(raw.headers))) == weighed(sent)


@corpus
def test_stream_is_the_providers_and_only_usage_is_asked_for_besides(
    stack: Stack, through: OpenAI, straight: OpenAI, body: dict[str, Any]
) -> None:
    with through.chat.completions.with_streaming_response.create(**body, stream=True) as raw:
        chunks = list(raw.parse())
        sent = raw.http_request.read()
    assert [chunk.model_dump() for chunk in chunks] == [
        chunk.model_dump() for chunk in straight.chat.completions.create(**body, stream=True)
    ]
    assert unknown_fields(chunks) == []
    asked = orjson.dumps({**orjson.loads(sent), "stream_options": {"include_usage": True}})
    assert asyncio.run(received(stack, provider_call(raw.headers))) == weighed(asked)


@corpus
def test_stream_with_usage_passes_unchanged_both_ways(
    stack: Stack, through: OpenAI, straight: OpenAI, body: dict[str, Any]
) -> None:
    asked = {**body, "stream": True, "stream_options": {"include_usage": True}}
    with through.chat.completions.with_streaming_response.create(**asked) as raw:
        events = raw.read()
        sent = raw.http_request.read()
    with straight.chat.completions.with_streaming_response.create(**asked) as own:
        assert events == own.read()
    assert asyncio.run(received(stack, provider_call(raw.headers))) == weighed(sent)
    *data, done = [event.removeprefix(b"data: ") for event in events.split(b"\n\n") if event]
    assert done == b"[DONE]"
    assert [parse(ChatCompletionChunk, chunk) for chunk in data][-1].usage is not None


async def test_asynchronous_streams_at_once_are_each_their_own(stack: Stack) -> None:
    """The whole corpus, 32 streams at a time, so that streams share connections and workers."""
    turn = asyncio.Semaphore(32)
    async with (
        AsyncOpenAI(**options(stack.url, stack.api_key)) as through,
        AsyncOpenAI(**options(stack.simulator_url, stack.simulator_key)) as straight,
    ):

        async def streamed(client: AsyncOpenAI, body: dict[str, Any]) -> list[dict[str, Any]]:
            async with turn:
                return [chunk.model_dump() async for chunk in await client.chat.completions.create(**body, stream=True)]

        got = await asyncio.gather(*(streamed(through, body) for body in CHATS.values()))
        wanted = await asyncio.gather(*(streamed(straight, body) for body in CHATS.values()))
    assert dict(zip(CHATS, got, strict=True)) == dict(zip(CHATS, wanted, strict=True))
