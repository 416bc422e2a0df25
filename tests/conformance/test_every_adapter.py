"""One chat with tools, a picture and a stream: the same through every adapter, from every door, by unmodified clients.

Through a real gateway, at the provider simulator.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import openai
import pytest
from anthropic import Anthropic
from openai import OpenAI

from embedded.simulator.chat import TOKENS_PER_IMAGE
from gateway.providers.registry import adapters
from tests.conformance.corpus.cases import PIXEL
from tests.fixtures.stack import running_stack
from tests.fixtures.wire import HANG_S

QUESTION = "What is the weather here?"
ANSWERED = f"This is a simulated answer. You said: {QUESTION}"
SYSTEM = "Be brief."
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
TOOL: Any = {"type": "function", "function": {"name": "get_weather", "description": "Of a place", "parameters": SCHEMA}}
DATA_URL = f"data:image/png;base64,{PIXEL}"
TOKENS_MAX = 500
VERSION = "2024-10-21"

OF_THE_STACK = {
    "openai": "simulator",
    "anthropic": "messages",
    "bedrock": "converse",
    "mistral": "chunked",
    "ollama": "lines",
    "gemini": "contents",
    "vertex": "published",
    "cohere": "second",
}
"""By dialect: the virtual key of every stack that leads to the simulator."""
CANNOT: Mapping[str, Mapping[str, str]] = {
    "bedrock": {"a picture by its address": "/messages/1/content/1/image_url/url"},
    "cohere": {"a tool by its name": "/tool_choice"},
    "ollama": {
        "a picture by its address": "/messages/1/content/1/image_url/url",
        "some tool": "/tool_choice",
        "a tool by its name": "/tool_choice",
    },
}
"""By dialect: what of `MORE` it has no words for, and the parameter that is named."""


@dataclass(frozen=True)
class Seen:
    """What a client sees of an answer, in no door's words."""

    text: str = ""
    calls: tuple[tuple[str, Any], ...] = ()
    ends: str = "stop"


CALLED = Seen(calls=(("get_weather", {"place": "simulated"}),), ends="tools")


@dataclass(frozen=True)
class Clients:
    openai: OpenAI
    anthropic: Anthropic


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with running_stack(tmp_path_factory.mktemp("adapters")) as stack:
        row = {"id": "azure", "name": "azure", "dialect": "azure", "credential": "entra", "doors": ["chat"]}
        row |= {"base_url": f"http://{{resource}}:{stack.simulator_port}/openai"}
        stack.content["providers"].append({**row, "auth_header": "api-key", "auth_prefix": ""})
        key = {"slug": "azure", "name": "azure", "provider": "azure"}
        credential = {"resource": "127.0.0.1", "api_version": VERSION, "api_key": stack.simulator_key}
        stack.workspace["virtual_keys"].append({**key, "credential": credential})
        stack.publish()
        asyncio.run(stack.wait_for_sequence(stack.sequence))
        options: Any = {"api_key": stack.api_key, "max_retries": 0, "timeout": HANG_S}
        with OpenAI(base_url=f"{stack.url}/v1", **options) as one, Anthropic(base_url=stack.url, **options) as other:
            yield Clients(one, other)


# Each door: a first turn, and the turn in which the tool's result is told.


def _chat(clients: Clients, model: str, *, stream: bool, result: bool) -> Seen:
    messages: list[Any] = [
        {"role": "system", "content": SYSTEM},
        {
            "role": "user",
            "content": [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": DATA_URL}}],
        },
    ]
    asked: Any = {"model": model, "tools": [TOOL], "max_tokens": TOKENS_MAX}

    def ask() -> Any:
        if not stream:
            return clients.openai.chat.completions.create(messages=messages, **asked)
        with clients.openai.chat.completions.stream(messages=messages, **asked) as events:
            return events.get_final_completion()

    answer = ask()
    if result:
        message = answer.choices[0].message
        results = [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in message.tool_calls]
        messages += [message.to_dict(), *results]
        answer = ask()
    (choice,) = answer.choices
    calls = [(call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls or ()]
    return Seen(choice.message.content or "", tuple(calls), {"tool_calls": "tools"}.get(choice.finish_reason, "stop"))


def _messages(clients: Clients, model: str, *, stream: bool, result: bool) -> Seen:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    messages: list[Any] = [{"role": "user", "content": [{"type": "text", "text": QUESTION}, picture]}]
    tools: Any = [{"name": "get_weather", "description": "Of a place", "input_schema": SCHEMA}]
    asked: Any = {"model": model, "system": SYSTEM, "tools": tools, "max_tokens": TOKENS_MAX}

    def ask() -> Any:
        if not stream:
            return clients.anthropic.messages.create(messages=messages, **asked)
        with clients.anthropic.messages.stream(messages=messages, **asked) as events:
            return events.get_final_message()

    answer = ask()
    if result:
        blocks = [block.to_dict() for block in answer.content]
        uses = [block for block in answer.content if block.type == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": use.id, "content": "sunny"} for use in uses]
        messages += [{"role": "assistant", "content": blocks}, {"role": "user", "content": results}]
        answer = ask()
    text = "".join(block.text for block in answer.content if block.type == "text")
    calls = tuple((block.name, block.input) for block in answer.content if block.type == "tool_use")
    return Seen(text, calls, {"tool_use": "tools"}.get(answer.stop_reason, "stop"))


def _responses(clients: Clients, model: str, *, stream: bool, result: bool) -> Seen:
    picture = {"type": "input_image", "image_url": DATA_URL, "detail": "auto"}
    items: list[Any] = [{"role": "user", "content": [{"type": "input_text", "text": QUESTION}, picture]}]
    tool = {
        "type": "function",
        "name": "get_weather",
        "description": "Of a place",
        "parameters": SCHEMA,
        "strict": False,
    }
    asked: Any = {
        "model": model,
        "instructions": SYSTEM,
        "tools": [tool],
        "max_output_tokens": TOKENS_MAX,
        "store": False,
    }

    def ask() -> Any:
        if not stream:
            return clients.openai.responses.create(input=items, **asked)
        with clients.openai.responses.stream(input=items, **asked) as events:
            return events.get_final_response()

    answer = ask()
    if result:
        calls = [item for item in answer.output if item.type == "function_call"]
        items += [call.to_dict() for call in calls]
        items += [{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"} for call in calls]
        answer = ask()
    made = tuple((item.name, json.loads(item.arguments)) for item in answer.output if item.type == "function_call")
    assert answer.status == "completed"
    return Seen(answer.output_text, made, "tools" if made else "stop")


Door = Callable[..., Seen]
DOORS: Mapping[str, Door] = {"chat": _chat, "messages": _messages, "responses": _responses}
every_dialect = pytest.mark.parametrize("dialect", sorted(adapters()))


def _model(dialect: str) -> str:
    return f"@{OF_THE_STACK.get(dialect, dialect)}/sim-chat"


@every_dialect
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_chat_with_tools_vision_and_a_stream_is_the_same(
    clients: Clients, dialect: str, door: str, stream: bool
) -> None:
    assert DOORS[door](clients, _model(dialect), stream=stream, result=False) == CALLED
    assert DOORS[door](clients, _model(dialect), stream=stream, result=True) == Seen(ANSWERED)


@every_dialect
def test_the_model_sees_the_picture(clients: Clients, dialect: str) -> None:
    """It counts: whoever asks the same without it pays for as much less as the simulator takes for one."""
    text = {"type": "text", "text": QUESTION}
    picture = {"type": "image_url", "image_url": {"url": DATA_URL}}
    read = []
    for content in ([text, picture], [text]):
        asked: Any = {"model": _model(dialect), "messages": [{"role": "user", "content": content}]}
        raw = clients.openai.chat.completions.with_raw_response.create(**asked)
        assert "x-gatehouse-left-out" not in raw.headers
        usage = raw.parse().usage
        assert usage is not None
        read.append(usage.prompt_tokens)
    assert read[0] - read[1] == TOKENS_PER_IMAGE


def _with_picture(url: str) -> list[Any]:
    picture = {"type": "image_url", "image_url": {"url": url}}
    return [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": [{"type": "text", "text": QUESTION}, picture]},
    ]


MORE: Mapping[str, Mapping[str, Any]] = {
    "a picture by its address": {"messages": _with_picture("https://example.org/a.png")},
    "some tool": {"tool_choice": "required", "tools": [TOOL]},
    "a tool by its name": {"tool_choice": {"type": "function", "function": {"name": "get_weather"}}, "tools": [TOOL]},
}


@every_dialect
@pytest.mark.parametrize("more", MORE)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_what_a_provider_cannot_do_is_refused_by_its_parameter(
    clients: Clients, dialect: str, more: str, stream: bool
) -> None:
    asked: Any = {"model": _model(dialect), "messages": _with_picture(DATA_URL), **MORE[more]}

    def ask() -> Any:
        if not stream:
            return clients.openai.chat.completions.create(**asked)
        with clients.openai.chat.completions.stream(**asked) as events:
            return events.get_final_completion()

    pointer = CANNOT.get(dialect, {}).get(more)
    if pointer is None:
        message = ask().choices[0].message
        called = [call.function.name for call in message.tool_calls or ()]
        assert (called, message.content or "") == ((["get_weather"], "") if "tools" in asked else ([], ANSWERED))
        return
    with pytest.raises(openai.BadRequestError) as refused:
        ask()
    assert (refused.value.code, refused.value.param) == ("parameter_unsupported", pointer)
    assert pointer in refused.value.message
