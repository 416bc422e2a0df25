"""The unmodified client at every door: what it gets through the gateway is what it gets from the provider."""

import json
import socket
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types import CreateEmbeddingResponse, Model
from pydantic import BaseModel

from tests.conformance.openai_corpus import CLOCK, SEARCH, WEATHER
from tests.conformance.test_simulator import StreamedCompletion, parse
from tests.fixtures.stack import Stack

HELLO: Any = [{"role": "user", "content": "Hello"}]
EMBEDDINGS: dict[str, dict[str, Any]] = {
    "text": {"input": "Hello"},
    "unicode": {"input": "Grüße aus 東京 🙂\u0000"},
    "texts": {"input": ["one", "two", "drei"], "dimensions": 8},
    "tokens": {"input": [1, 2, 3]},
    "lists of tokens": {"input": [[1, 2], [3]]},
    "many": {"input": [f"text {number}" for number in range(500)], "dimensions": 2},
    "30 KB": {"input": "x" * 30_000, "user": "someone"},
}
COMPLETIONS: dict[str, dict[str, Any]] = {
    "text": {"prompt": "Once upon a time"},
    "texts": {"prompt": ["One", "Two"], "n": 2},
    "tokens": {"prompt": [1, 2, 3], "max_tokens": 5},
    "everything": {
        "prompt": "Once",
        "echo": True,
        "suffix": "the end",
        "logprobs": 3,
        "stop": ["simulated"],
        "seed": 7,
    },
    "30 KB": {"prompt": "漢字" * 5_000},
}
cases = pytest.mark.parametrize


@cases("encoding", ["float", "base64", None], ids=str)
@cases("body", EMBEDDINGS.values(), ids=EMBEDDINGS)
def test_embeddings_are_the_providers(
    through: OpenAI, straight: OpenAI, body: dict[str, Any], encoding: str | None
) -> None:
    asked = {"model": "sim-embed", **body, **({"encoding_format": encoding} if encoding else {})}
    got = through.embeddings.with_raw_response.create(**asked)
    own = straight.embeddings.with_raw_response.create(**asked)
    assert got.content == own.content
    assert got.parse() == own.parse()
    if encoding == "float":
        assert parse(CreateEmbeddingResponse, got.content) == own.parse()


async def test_embeddings_come_to_the_asynchronous_client(athrough: AsyncOpenAI, straight: OpenAI) -> None:
    asked: Any = {"model": "sim-embed", "input": ["one", "two"]}
    assert await athrough.embeddings.create(**asked) == straight.embeddings.create(**asked)


@cases("body", COMPLETIONS.values(), ids=COMPLETIONS)
def test_completions_are_the_providers_whole_and_streamed(
    through: OpenAI, straight: OpenAI, body: dict[str, Any]
) -> None:
    asked = {"model": "sim-chat", **body}
    got = through.completions.with_raw_response.create(**asked)
    assert got.content == straight.completions.with_raw_response.create(**asked).content
    assert parse(openai.types.Completion, got.content) == got.parse()
    with through.completions.with_streaming_response.create(**asked, stream=True) as raw:
        events = [event.removeprefix(b"data: ") for event in raw.read().split(b"\n\n") if event]
    assert events.pop() == b"[DONE]"
    chunks = [parse(StreamedCompletion, event) for event in events]
    own = straight.completions.create(**asked, stream=True)
    assert dumped(chunks) == dumped(own)


def dumped(chunks: Any) -> list[dict[str, Any]]:
    return [chunk.model_dump() for chunk in chunks]


def test_models_are_those_the_key_may_call(through: OpenAI) -> None:
    raw = through.models.with_raw_response.list()
    rows = json.loads(raw.content)["data"]
    assert {parse(Model, json.dumps(row).encode()).id: row["owned_by"] for row in rows} == {
        "fast": "simulator",
        "sim-chat": "simulator",
        "sim-embed": "simulator",
    }
    assert [model.id for model in through.models.list()] == ["fast", "sim-chat", "sim-embed"]
    assert through.models.retrieve("sim-embed").id == "sim-embed"
    with pytest.raises(openai.NotFoundError, match="sim-nothing"):
        through.models.retrieve("sim-nothing")


def test_every_listed_model_can_be_called_as_it_stands(through: OpenAI) -> None:
    for model in through.models.list():
        if model.id == "sim-embed":
            assert through.embeddings.create(model=model.id, input="x").data
        else:
            assert through.chat.completions.create(model=model.id, messages=HELLO).choices


def test_tool_round_goes_to_its_end(through: OpenAI) -> None:
    asked: Any = {"model": "sim-chat", "tools": [WEATHER, CLOCK], "parallel_tool_calls": True}
    message = through.chat.completions.create(messages=HELLO, **asked).choices[0].message
    calls: Any = message.tool_calls
    assert [call.function.name for call in calls] == ["get_weather", "get_time"]
    assert set(json.loads(calls[0].function.arguments)) >= {"place", "unit"}
    results: Any = [{"role": "tool", "tool_call_id": call.id, "content": "Sunny ☀"} for call in calls]
    final = through.chat.completions.create(messages=[*HELLO, message, *results], **asked)
    assert final.choices[0].finish_reason == "stop"


async def test_streamed_arguments_of_parallel_tools_add_up(athrough: AsyncOpenAI, straight: OpenAI) -> None:
    asked: Any = {
        "model": "sim-chat",
        "messages": HELLO,
        "tools": [SEARCH, WEATHER],
        "parallel_tool_calls": True,
        "tool_choice": "required",
    }
    async with athrough.chat.completions.stream(**asked) as stream:
        final = await stream.get_final_completion()
    whole = straight.chat.completions.create(**asked)
    streamed: Any = final.choices[0].message.tool_calls
    told: Any = whole.choices[0].message.tool_calls
    assert [(call.id, call.function.name, call.function.arguments) for call in streamed] == [
        (call.id, call.function.name, call.function.arguments) for call in told
    ]
    assert len(told[0].function.arguments) > 200  # In fragments, not in one piece.


class Forecast(BaseModel):
    """What the structured answer is read into."""

    place: str
    days: int
    sunny: bool


def test_structured_output_is_parsed_into_the_callers_model(through: OpenAI) -> None:
    answer = through.chat.completions.parse(model="sim-chat", messages=HELLO, response_format=Forecast)
    assert isinstance(answer.choices[0].message.parsed, Forecast)


async def test_structured_output_is_parsed_from_a_stream(athrough: AsyncOpenAI) -> None:
    asked: Any = {"model": "sim-chat", "messages": HELLO, "response_format": Forecast}
    async with athrough.chat.completions.stream(**asked) as stream:
        final = await stream.get_final_completion()
    assert isinstance(final.choices[0].message.parsed, Forecast)


def test_streaming_helper_brings_usage_when_asked(through: OpenAI) -> None:
    asked: Any = {"model": "sim-chat", "messages": HELLO, "stream_options": {"include_usage": True}}
    with through.chat.completions.stream(**asked) as stream:
        final = stream.get_final_completion()
    assert final.usage == through.chat.completions.create(model="sim-chat", messages=HELLO).usage


OWN_HEADERS = {"x-portkey-request-id", "x-portkey-trace-id", "x-portkey-provider", "x-portkey-last-used-option-index"}


@cases("stream", [False, True])
def test_answer_carries_our_headers_and_the_allowed_ones_of_the_provider(through: OpenAI, stream: bool) -> None:
    asked: Any = {"model": "sim-chat", "messages": HELLO, "stream": stream}
    raw = through.chat.completions.with_raw_response.create(**asked)
    headers = raw.headers
    if stream:
        assert list(raw.parse())
    assert set(headers) >= OWN_HEADERS
    assert headers["x-portkey-request-id"].startswith("lg_")
    assert headers["x-portkey-trace-id"] == headers["x-portkey-request-id"]
    assert headers["x-portkey-provider"] == "simulator"
    assert headers["x-portkey-last-used-option-index"] == "config"
    assert headers["x-portkey-retry-attempt-count"] == "0"
    assert headers["x-portkey-cache-status"] == "DISABLED"
    assert {"x-request-id", "openai-version", "openai-processing-ms", "x-ratelimit-limit-requests"} <= set(headers)
    assert raw.request_id == headers["x-request-id"]
    assert headers["server"] == "gatehouse"
    assert "set-cookie" not in headers


def test_callers_trace_id_comes_back_and_request_ids_differ(through: OpenAI) -> None:
    traced: Any = {"extra_headers": {"x-portkey-trace-id": "trace-7"}}
    answers = [
        through.chat.completions.with_raw_response.create(model="sim-chat", messages=HELLO, **traced) for _ in range(3)
    ]
    assert {answer.headers["x-portkey-trace-id"] for answer in answers} == {"trace-7"}
    assert len({answer.headers["x-portkey-request-id"] for answer in answers}) == 3


def test_wrong_key_is_an_authentication_error(stack: Stack, through: OpenAI) -> None:
    wrong = stack.api_key[:-1] + ("a" if stack.api_key[-1] != "a" else "b")
    for key in (wrong, "gh_", "gh_" + "0" * 49):
        with pytest.raises(openai.AuthenticationError) as refusal:
            through.with_options(api_key=key).chat.completions.create(model="sim-chat", messages=HELLO)
        assert refusal.value.code == "invalid_api_key"
        assert key not in str(refusal.value) or key == "gh_"
    with pytest.raises(openai.AuthenticationError) as refusal:
        through.with_options(api_key="sk-some-provider-key").chat.completions.create(model="sim-chat", messages=HELLO)
    assert refusal.value.code == "api_key_missing"
    assert "sk-some-provider-key" not in str(refusal.value)


PROVIDER_ERRORS: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    409: openai.ConflictError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    503: openai.InternalServerError,
    529: openai.InternalServerError,
}


@cases("stream", [False, True])
@cases(("status", "kind"), PROVIDER_ERRORS.items())
def test_providers_error_keeps_its_status_and_class(
    through: OpenAI, straight: OpenAI, status: int, kind: type[openai.APIStatusError], stream: bool
) -> None:
    asked: Any = {"model": f"sim-error-{status}", "messages": HELLO, "stream": stream}
    with pytest.raises(kind) as own:
        straight.chat.completions.create(**asked)
    with pytest.raises(kind) as got:
        through.chat.completions.create(**asked)
    assert got.value.status_code == status
    assert (got.value.type, got.value.param, got.value.code) == (own.value.type, own.value.param, own.value.code)
    assert own.value.body["message"] in got.value.body["message"]  # type: ignore[index]
    assert got.value.response.headers.get("retry-after") == own.value.response.headers.get("retry-after")
    assert got.value.response.headers["x-portkey-provider"] == "simulator"


@cases("model", ["sim-html-502", "sim-html-200", "sim-badjson", "sim-cut-0"])
def test_what_is_no_answer_is_an_internal_server_error(through: OpenAI, model: str) -> None:
    with pytest.raises(openai.InternalServerError) as failure:
        through.chat.completions.create(model=model, messages=HELLO)
    assert failure.value.status_code == 502
    assert failure.value.type == "upstream_error"


def test_unknown_slug_is_a_bad_request_that_names_it(through: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="@nowhere") as refusal:
        through.chat.completions.create(model="@nowhere/gpt-4o", messages=HELLO)
    assert refusal.value.code == "slug_unknown"


def test_provider_that_is_down_is_an_internal_server_error(stack: Stack, through: OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as failure:
        through.chat.completions.create(model="@closed/gpt-4o", messages=HELLO)
    assert failure.value.status_code == 502
    assert failure.value.code == "upstream_unreachable"
    assert stack.closed_url.rpartition(":")[2] not in str(failure.value)


@cases(
    ("model", "said", "message"),
    [
        ("sim-errorevent-2", 2, "had an error"),
        ("sim-cut-3", 3, "broke off"),
    ],
)
def test_stream_that_fails_on_its_way_raises_after_what_was_said(
    through: OpenAI, model: str, said: int, message: str
) -> None:
    stream = through.chat.completions.create(model=model, messages=HELLO, stream=True)
    for _ in range(said):
        assert next(stream).choices
    with pytest.raises(openai.APIError, match=message):
        next(stream)


def test_stream_that_breaks_before_it_has_said_anything_is_an_error_with_its_status(through: OpenAI) -> None:
    with pytest.raises(openai.InternalServerError, match="broke off") as failure:
        through.chat.completions.create(model="sim-cut-0", messages=HELLO, stream=True)
    assert (failure.value.status_code, failure.value.code) == (502, "upstream_broken")


async def test_asynchronous_stream_that_fails_on_its_way_raises(athrough: AsyncOpenAI) -> None:
    stream = await athrough.chat.completions.create(model="sim-cut-4", messages=HELLO, stream=True)
    events = aiter(stream)
    for _ in range(4):
        assert (await anext(events)).choices
    with pytest.raises(openai.APIError, match="broke off"):
        await anext(events)


@cases("model", ["sim-bytes", "sim-drip-1", "sim-drip-1-bytes"])
async def test_stream_delivered_in_small_pieces_is_the_same(
    athrough: AsyncOpenAI, straight: OpenAI, model: str
) -> None:
    asked: Any = {"model": model, "messages": HELLO, "stream": True}
    got = [chunk async for chunk in await athrough.chat.completions.create(**asked)]
    assert dumped(got) == dumped(straight.chat.completions.create(**asked))


def test_client_without_a_gateway_sees_a_connection_error() -> None:
    """The other half of what the fault tests count on: without retries the SDK hides no broken connection."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = "http://127.0.0.1:{}/v1".format(*nobody.getsockname()[1:])
        with (
            OpenAI(base_url=address, api_key="gh_x", max_retries=0, timeout=20) as client,
            pytest.raises(openai.APIConnectionError),
        ):
            client.models.list()
