"""The unmodified client of the messages dialect, over a provider that knows nothing but chats."""

import base64
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from anthropic.types import Message

from tests.conformance.openai_corpus import TEXTS
from tests.conformance.test_simulator import parse
from tests.fixtures.stack import Stack
from tests.fixtures.wire import HANG_S

HELLO: Any = [{"role": "user", "content": "What is the weather?"}]
WEATHER: Any = {
    "name": "get_weather",
    "description": "Weather of a place",
    "input_schema": {
        "type": "object",
        "properties": {"place": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
        "required": ["place", "days"],
    },
}
CLOCK: Any = {"name": "get_time", "input_schema": {"type": "object", "properties": {}}}
ASKED: Any = {"model": "sim-chat", "max_tokens": 100, "messages": HELLO}
SAID = "This is a simulated answer. You said: What is the weather?"


def options(stack: Stack, key: str | None = None) -> dict[str, Any]:
    return {"base_url": stack.url, "api_key": key or stack.api_key, "max_retries": 0, "timeout": HANG_S}


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[Anthropic]:
    with Anthropic(**options(stack)) as client:
        yield client


@pytest.fixture
async def aclient(stack: Stack) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(**options(stack)) as client:
        yield client


def test_a_message(client: Anthropic) -> None:
    raw = client.messages.with_raw_response.create(**ASKED)
    said = parse(Message, raw.read())
    assert (said.content[0].text, said.stop_reason, said.role) == (SAID, "end_turn", "assistant")
    assert said.usage.input_tokens > 0
    assert said.usage.output_tokens == len(SAID) // 4 + 1
    assert raw.headers["x-portkey-request-id"].startswith("lg_")


def test_a_stream_adds_up_to_the_message(client: Anthropic) -> None:
    whole = client.messages.create(**ASKED)
    with client.messages.stream(**ASKED) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == SAID
    assert [block.to_dict() for block in final.content] == [block.to_dict() for block in whole.content]
    assert final.usage.model_dump() == whole.usage.model_dump()
    types = [event.type for event in client.messages.create(**ASKED, stream=True)]
    assert types[:2] == ["message_start", "content_block_start"]
    assert types[-3:] == ["content_block_stop", "message_delta", "message_stop"]


async def test_the_asynchronous_client(aclient: AsyncAnthropic) -> None:
    assert (await aclient.messages.create(**ASKED)).content[0].text == SAID  # type: ignore[union-attr]
    async with aclient.messages.stream(**ASKED) as stream:
        assert "".join([text async for text in stream.text_stream]) == SAID


@pytest.mark.parametrize("stream", [False, True])
def test_a_round_of_tools_in_parallel_goes_to_its_end(client: Anthropic, stream: bool) -> None:
    asked = {**ASKED, "tools": [WEATHER, CLOCK], "tool_choice": {"type": "any"}}
    if stream:
        with client.messages.stream(**asked) as events:
            message: Any = events.get_final_message()
    else:
        message = client.messages.create(**asked)
    (use,) = message.content
    assert (message.stop_reason, use.type, use.name) == ("tool_use", "tool_use", "get_weather")
    assert use.input == {"place": "simulated", "days": 1}
    results = [{"type": "tool_result", "tool_use_id": use.id, "content": [{"type": "text", "text": "Sunny ☀"}]}]
    turns = [*HELLO, message.to_param(), {"role": "user", "content": results}]
    final = client.messages.create(**{**ASKED, "messages": turns, "tools": [WEATHER, CLOCK]})
    assert final.stop_reason == "end_turn"


def test_system_pictures_documents_and_limits(client: Anthropic) -> None:
    data = base64.b64encode(b"x").decode()
    blocks: Any = [
        {"type": "text", "text": "Look", "cache_control": {"type": "ephemeral"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": data}},
    ]
    raw = client.messages.with_raw_response.create(
        model="sim-chat",
        max_tokens=3,
        system=[{"type": "text", "text": "Be brief"}],
        messages=[{"role": "user", "content": blocks}],
    )
    said = raw.parse()
    assert (said.stop_reason, said.usage.output_tokens) == ("max_tokens", 3)
    assert raw.headers["x-gatehouse-left-out"] == "cache_control"


def test_tokens_are_counted(client: Anthropic) -> None:
    raw = client.messages.with_raw_response.count_tokens(model="sim-chat", messages=HELLO, tools=[WEATHER])
    assert raw.parse().input_tokens > 20
    assert raw.headers["x-gatehouse-estimated"] == "true"


def test_an_alias_and_a_slug_name_the_model(client: Anthropic) -> None:
    for model in ("fast", "@simulator/sim-chat"):
        assert client.messages.create(**{**ASKED, "model": model}).content[0].text == SAID  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("model", "expected", "type_"),
    [
        ("sim-error-400", anthropic.BadRequestError, "invalid_request_error"),
        ("sim-error-401", anthropic.AuthenticationError, "authentication_error"),
        ("sim-error-403", anthropic.PermissionDeniedError, "permission_error"),
        ("sim-error-404", anthropic.NotFoundError, "not_found_error"),
        ("sim-error-429", anthropic.RateLimitError, "rate_limit_error"),
        ("sim-error-500", anthropic.InternalServerError, "api_error"),
        ("sim-html-502", anthropic.InternalServerError, "api_error"),
        ("sim-badjson", anthropic.InternalServerError, "api_error"),
        ("sim-cut-1", anthropic.InternalServerError, "api_error"),
    ],
)
def test_a_providers_failures_are_the_clients_exceptions(
    client: Anthropic, model: str, expected: type[anthropic.APIStatusError], type_: str
) -> None:
    with pytest.raises(expected) as failure:
        client.messages.create(**{**ASKED, "model": model})
    body: Any = failure.value.body
    assert (body["type"], body["error"]["type"]) == ("error", type_)


@pytest.mark.parametrize("model", ["sim-cut-3", "sim-errorevent-3"])
def test_a_stream_that_breaks_is_an_exception_and_no_short_message(client: Anthropic, model: str) -> None:
    with (
        pytest.raises(anthropic.APIStatusError, match="error"),
        client.messages.stream(**{**ASKED, "model": model}) as stream,
    ):
        stream.until_done()


def test_what_a_chat_cannot_say_is_a_400_that_names_it(client: Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError) as refusal:
        client.messages.create(**ASKED, extra_body={"mcp_servers": [{"url": "https://a.test"}]})
    body: Any = refusal.value.body
    assert (body["error"]["code"], body["error"]["param"]) == ("parameter_unsupported", "/mcp_servers")


def test_keys_and_their_restrictions(stack: Stack) -> None:
    with Anthropic(**options(stack, "gh_nobody")) as stranger, pytest.raises(anthropic.AuthenticationError):
        stranger.messages.create(**ASKED)
    with Anthropic(**options(stack, stack.keys["narrow"])) as narrow, pytest.raises(anthropic.PermissionDeniedError):
        narrow.messages.create(**{**ASKED, "model": "sim-slow-1"})
    with (
        Anthropic(**options(stack, stack.keys["unscoped"])) as unscoped,
        pytest.raises(anthropic.PermissionDeniedError),
    ):
        unscoped.messages.create(**ASKED)


def test_as_a_bearer_token_the_key_works_too(stack: Stack) -> None:
    with Anthropic(**{**options(stack), "api_key": None, "auth_token": stack.api_key}) as client:
        assert client.messages.create(**ASKED).stop_reason == "end_turn"


async def test_a_corpus_of_prompts_comes_through_whole_and_streamed(aclient: AsyncAnthropic) -> None:
    for text in TEXTS.values():
        asked: Any = {**ASKED, "max_tokens": 10_000, "messages": [{"role": "user", "content": text}]}
        whole: Any = await aclient.messages.create(**asked)
        async with aclient.messages.stream(**asked) as stream:
            final: Any = await stream.get_final_message()
        assert final.content[0].text == whole.content[0].text == f"This is a simulated answer. You said: {text[:120]}"


def test_the_body_is_json_with_the_fields_the_dialect_names(client: Anthropic) -> None:
    body = json.loads(client.messages.with_raw_response.create(**ASKED).read())
    assert set(body) == {
        *("id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"),
    }
