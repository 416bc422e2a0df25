"""Dialects of providers' own: the official SDKs straight at the simulator, and OpenAI's through the gateway."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from anthropic import Anthropic
from anthropic.types import Message, MessageTokensCount
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError
from botocore.session import Session
from openai import OpenAI
from openai.types.chat import ChatCompletionChunk

from embedded.simulator.manners import ACCESS_KEY_ID
from embedded.simulator.messages import SIGNATURE, THOUGHT
from gateway.providers.signatures import UNSIGNED
from tests.conformance.test_simulator import parse
from tests.fixtures.stack import Stack
from tests.fixtures.wire import HANG_S

QUESTION = "What is the weather?"
SAID = f"This is a simulated answer. You said: {QUESTION}"
HELLO: Any = [{"role": "user", "content": QUESTION}]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"place": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["place", "days"],
}
TOOL: Any = {"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": SCHEMA}}
CLOCK: Any = {"type": "function", "function": {"name": "get_time"}}
THINK: Any = {"thinking": {"type": "enabled", "budget_tokens": 1_024}}
NATIVE = ("messages", "converse", "contents", "published")
"""Those that sign thoughts."""
SIGNED = dict.fromkeys(NATIVE, SIGNATURE) | dict.fromkeys(("contents", "published"), f"gatehouse:google:{SIGNATURE}")
"""As callers are given it."""
TRANSLATED = (*NATIVE, "chunked", "lines", "second")


@pytest.fixture(scope="module")
def through(stack: Stack) -> Iterator[OpenAI]:
    """OpenAI's client, through the gateway."""
    options: Any = {"max_retries": 0, "timeout": HANG_S}
    with OpenAI(base_url=f"{stack.url}/v1", api_key=stack.api_key, **options) as client:
        yield client


@pytest.fixture(scope="module")
def straight(stack: Stack) -> Iterator[Anthropic]:
    """Anthropic's client, straight at the simulator."""
    options: Any = {"max_retries": 0, "timeout": HANG_S}
    with Anthropic(base_url=stack.simulator_url, api_key=stack.simulator_key, **options) as client:
        yield client


@pytest.fixture(scope="module")
def runtime(stack: Stack) -> Iterator[BaseClient]:
    """AWS's client, straight at the simulator."""
    client = Session().create_client(
        "bedrock-runtime",
        region_name="eu-central-1",
        endpoint_url=stack.simulator_url,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=stack.simulator_key,
        config=Config(retries={"total_max_attempts": 1}, read_timeout=HANG_S),
    )
    yield client
    client.close()


# The simulator speaks the real dialects


def test_the_official_client_of_messages_reads_the_simulator(straight: Anthropic) -> None:
    asked: Any = {"model": "sim-chat", "max_tokens": 2_000, "messages": HELLO, **THINK}
    said = parse(Message, straight.messages.with_raw_response.create(**asked).read())
    assert [block.type for block in said.content] == ["thinking", "text"]
    assert (said.content[0].signature, said.content[1].text) == (SIGNATURE, SAID)
    tools: Any = [{"name": "get_weather", "input_schema": SCHEMA}]
    for more in ({}, {"tools": tools}):
        with straight.messages.stream(**asked, **more) as stream:
            streamed = stream.get_final_message()
        assert streamed.to_dict() == straight.messages.create(**asked, **more).to_dict()
    counted = straight.messages.with_raw_response.count_tokens(model="sim-chat", messages=HELLO)
    assert parse(MessageTokensCount, counted.read()).input_tokens > 0


def test_the_official_client_of_messages_knows_the_simulator_s_errors(straight: Anthropic) -> None:
    asked: Any = {"max_tokens": 10, "messages": HELLO}
    for model, expected in (("sim-error-429", anthropic.RateLimitError), ("sim-error-529", anthropic.APIStatusError)):
        with pytest.raises(expected) as raised:
            straight.messages.create(model=model, **asked)
        assert raised.value.body["type"] == "error"
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        list(straight.messages.create(model="sim-errorevent-3", stream=True, **asked))
    with pytest.raises(anthropic.AuthenticationError):
        straight.with_options(api_key="other").messages.create(model="sim-chat", **asked)
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        straight.post("/v1/messages", cast_to=Message, body={"model": "sim-chat", "messages": HELLO})


def test_the_official_client_of_converse_reads_the_simulator(runtime: Any) -> None:
    """Its requests are signed, and the simulator holds each signature against its own."""
    turn = {"role": "user", "content": [{"text": QUESTION}]}
    asked: Any = {"modelId": "sim-chat", "messages": [turn]}
    said = runtime.converse(**asked, additionalModelRequestFields=THINK)
    assert said["output"]["message"]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": THOUGHT, "signature": SIGNATURE}}},
        {"text": SAID},
    ]
    tools = {"tools": [{"toolSpec": {"name": "get_weather", "inputSchema": {"json": SCHEMA}}}]}
    for more in ({}, {"toolConfig": tools}):
        events = list(runtime.converse_stream(**asked, **more)["stream"])
        whole = runtime.converse(**asked, **more)
        assert events[-1]["metadata"]["usage"] == whole["usage"]
        deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
        (block,) = whole["output"]["message"]["content"]
        if "text" in block:
            assert "".join(delta["text"] for delta in deltas) == block["text"]
        else:
            told = "".join(delta["toolUse"]["input"] for delta in deltas)
            assert json.loads(told) == block["toolUse"]["input"]


def test_the_official_client_of_converse_knows_the_simulator_s_errors(runtime: Any) -> None:
    turn: Any = {"messages": [{"role": "user", "content": [{"text": QUESTION}]}]}
    for model, code in (
        ("sim-error-429", "ThrottlingException"),
        ("sim-error-503", "ServiceUnavailableException"),
        ("no-such", "ResourceNotFoundException"),
    ):
        with pytest.raises(ClientError) as raised:
            runtime.converse(modelId=model, **turn)
        assert raised.value.response["Error"]["Code"] == code
    stream = runtime.converse_stream(modelId="sim-errorevent-3", **turn)["stream"]
    with pytest.raises(EventStreamError, match="serviceUnavailable"):
        list(stream)
    stream.close()  # The client leaves that to us, and its socket to whichever test runs when it is found.


# Through the gateway


@pytest.mark.parametrize("slug", TRANSLATED)
def test_a_chat_and_its_stream_say_the_same(through: OpenAI, slug: str) -> None:
    asked: Any = {"model": f"@{slug}/sim-chat", "messages": HELLO}
    raw = through.chat.completions.with_raw_response.create(**asked)
    whole = raw.parse()
    assert whole.choices[0].message.content == SAID
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage is not None
    assert whole.usage.completion_tokens == len(SAID) // 4 + 1
    assert raw.headers["x-portkey-provider"] == slug
    chunks = list(through.chat.completions.create(stream=True, stream_options={"include_usage": True}, **asked))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == SAID
    assert chunks[-1].usage == whole.usage
    assert len({chunk.id for chunk in chunks}) == 1
    assert not any(chunk.usage for chunk in through.chat.completions.create(stream=True, **asked))


@pytest.mark.parametrize("slug", TRANSLATED)
def test_tools_are_called_and_answered(through: OpenAI, slug: str) -> None:
    asked: Any = {"model": f"@{slug}/sim-chat", "tools": [TOOL, CLOCK]}
    whole = through.chat.completions.create(messages=HELLO, **asked).choices[0]
    assert whole.finish_reason == "tool_calls"
    calls = whole.message.tool_calls or []
    assert [call.function.name for call in calls] == ["get_weather", "get_time"]  # type: ignore[union-attr]
    with through.chat.completions.stream(messages=HELLO, **asked) as stream:
        streamed = stream.get_final_completion().choices[0]
    assert [call.function.arguments for call in streamed.message.tool_calls or []] == [  # type: ignore[union-attr]
        call.function.arguments  # type: ignore[union-attr]
        for call in calls
    ]
    results: Any = [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in calls]
    history: Any = [*HELLO, whole.message.to_dict(), *results]
    assert through.chat.completions.create(messages=history, **asked).choices[0].finish_reason == "stop"


@pytest.mark.parametrize("slug", NATIVE)
def test_thoughts_keep_their_signature_there_and_back(through: OpenAI, slug: str) -> None:
    asked: Any = {"model": f"@{slug}/sim-chat", "max_tokens": 2_000, "extra_body": THINK}
    message = through.chat.completions.create(messages=HELLO, **asked).choices[0].message.to_dict()
    assert message["reasoning_content"] == THOUGHT
    assert message["content_blocks"] == [{"type": "thinking", "thinking": THOUGHT, "signature": SIGNED[slug]}]
    history: Any = [*HELLO, message, *HELLO]
    assert through.chat.completions.create(messages=history, **asked).choices[0].message.content == SAID


@pytest.mark.parametrize("slug", TRANSLATED)
def test_a_schema_shapes_the_answer(through: OpenAI, slug: str) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "weather", "schema": SCHEMA}}
    asked: Any = {"model": f"@{slug}/sim-chat", "messages": HELLO, "response_format": form}
    said = json.loads(through.chat.completions.create(**asked).choices[0].message.content or "")
    assert said.keys() == {"place", "days"}


@pytest.mark.parametrize("slug", TRANSLATED)
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("sim-error-401", openai.AuthenticationError),
        ("sim-error-404", openai.NotFoundError),
        ("sim-error-429", openai.RateLimitError),
        ("sim-error-500", openai.InternalServerError),
        ("sim-html-502", openai.InternalServerError),
        ("sim-badjson", openai.InternalServerError),
        ("sim-cut-1", openai.InternalServerError),
    ],
)
def test_errors_keep_their_status(
    through: OpenAI, slug: str, model: str, expected: type[openai.APIStatusError]
) -> None:
    with pytest.raises(expected) as raised:
        through.chat.completions.create(model=f"@{slug}/{model}", messages=HELLO)
    assert raised.value.body
    if model == "sim-error-429":
        assert raised.value.response.headers["retry-after"] == "1"


@pytest.mark.parametrize("slug", TRANSLATED)
@pytest.mark.parametrize("trouble", ["cut-6", "errorevent-6", "bytes-cut-6"])
def test_a_stream_that_breaks_ends_with_an_error(through: OpenAI, slug: str, trouble: str) -> None:
    asked: Any = {"model": f"@{slug}/sim-{trouble}", "messages": HELLO, "stream": True}
    chunks: list[ChatCompletionChunk] = []
    with pytest.raises(openai.APIError):
        chunks.extend(through.chat.completions.create(**asked))
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert SAID.startswith(said)
    assert said


@pytest.mark.parametrize("slug", TRANSLATED)
def test_a_stream_in_single_bytes_is_the_same(through: OpenAI, slug: str) -> None:
    asked: Any = {"model": f"@{slug}/sim-bytes", "messages": HELLO, "stream": True}
    chunks = list(through.chat.completions.create(**asked))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == SAID


@pytest.mark.parametrize("slug", NATIVE)
def test_what_cannot_be_said_is_refused_and_what_was_left_out_is_told(through: OpenAI, slug: str) -> None:
    asked: Any = {"model": f"@{slug}/sim-chat", "messages": HELLO}
    with pytest.raises(openai.BadRequestError) as raised:
        through.chat.completions.create(logit_bias={"1": 1}, **asked)
    assert raised.value.code == "parameter_unsupported"
    assert raised.value.param == "/logit_bias"
    told = through.chat.completions.with_raw_response.create(prompt_cache_key="k", **asked)
    assert told.headers["x-gatehouse-left-out"] == "prompt_cache_key"


@pytest.mark.parametrize("slug", NATIVE)
def test_other_doors_reach_them_too(through: OpenAI, stack: Stack, slug: str) -> None:
    said = through.responses.create(model=f"@{slug}/sim-chat", input=QUESTION, store=False)
    assert said.output_text == SAID
    with Anthropic(base_url=stack.url, api_key=stack.api_key, max_retries=0) as client:
        asked: Any = {"model": f"@{slug}/sim-chat", "max_tokens": 2_000, "messages": HELLO, **THINK}
        message = client.messages.create(**asked)
        with client.messages.stream(**asked) as stream:
            streamed = stream.get_final_message()
        assert [block.type for block in message.content] == ["thinking", "text"]
        # A signature that comes behind the text it is of, when the thought's block has ended, has a block of its own.
        assert [block.type for block in streamed.content][:2] == ["thinking", "text"]
        for one in (message, streamed):
            thoughts = [block for block in one.content if block.type == "thinking"]
            assert "".join(block.thinking for block in thoughts) == THOUGHT
            signatures = [block.signature for block in thoughts if block.signature != UNSIGNED]
            assert "".join(signatures) == SIGNED[slug]
            history: Any = [*HELLO, {"role": "assistant", "content": one.content}, *HELLO]
            assert client.messages.create(**{**asked, "messages": history}).stop_reason == "end_turn"


def test_embeddings_by_invoke(through: OpenAI) -> None:
    """Of a model with a maker's name, as the adapter must know its words; the simulator has none such: 404."""
    with pytest.raises(openai.NotFoundError):
        through.embeddings.create(model="@converse/amazon.titan-embed-text-v2:0", input="x")
    with pytest.raises(openai.BadRequestError) as raised:
        through.embeddings.create(model="@converse/sim-embed", input="x")
    assert raised.value.param == "/model"
