"""Mistral's and Ollama's dialects: their own clients straight at the simulator, and OpenAI's through the gateway."""

import json
from collections.abc import Iterator
from typing import Any

import ollama
import openai
import pytest
from mistralai.client import Mistral
from mistralai.client.errors import SDKError
from openai import OpenAI

from embedded.simulator.messages import THOUGHT
from tests.fixtures.stack import Stack
from tests.fixtures.wire import HANG_S

QUESTION = "What is the weather?"
SAID = f"This is a simulated answer. You said: {QUESTION}"
HELLO: Any = [{"role": "user", "content": QUESTION}]
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
TOOLS: Any = [
    {"type": "function", "function": {"name": name, "description": "d", "parameters": SCHEMA}}
    for name in ("get_weather", "get_time")
]


@pytest.fixture(scope="module")
def chunked(stack: Stack) -> Iterator[Mistral]:
    with Mistral(
        api_key=stack.simulator_key, server_url=f"{stack.simulator_url}/chunked", timeout_ms=int(HANG_S * 1_000)
    ) as client:
        yield client


@pytest.fixture(scope="module")
def lines(stack: Stack) -> Iterator[ollama.Client]:
    with ollama.Client(host=stack.simulator_url, timeout=HANG_S) as client:
        yield client


@pytest.fixture(scope="module")
def through(stack: Stack) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{stack.url}/v1", api_key=stack.api_key, max_retries=0, timeout=HANG_S) as client:
        yield client


def test_the_official_client_of_chunks_reads_the_simulator(chunked: Mistral) -> None:
    said = chunked.chat.complete(model="sim-chat", messages=HELLO, prompt_mode="reasoning")
    thought, text = said.choices[0].message.content
    assert (thought.thinking[0].text, text.text) == (THOUGHT, SAID)
    events = [event.data for event in chunked.chat.stream(model="sim-chat", messages=HELLO)]
    assert "".join(event.choices[0].delta.content for event in events) == SAID
    assert events[-1].usage.total_tokens == chunked.chat.complete(model="sim-chat", messages=HELLO).usage.total_tokens
    called = chunked.chat.complete(model="sim-chat", messages=HELLO, tools=TOOLS).choices[0].message
    (streamed,) = [
        event.data.choices[0].delta.tool_calls
        for event in chunked.chat.stream(model="sim-chat", messages=HELLO, tools=TOOLS)
        if event.data.choices[0].delta.tool_calls
    ]
    assert [call.function.name for call in called.tool_calls] == ["get_weather", "get_time"]
    assert [call.id for call in streamed] == [call.id for call in called.tool_calls]
    results: Any = [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in called.tool_calls]
    answer = chunked.chat.complete(model="sim-chat", messages=[*HELLO, called, *results], tools=TOOLS)
    assert answer.choices[0].message.content == SAID
    vectors = chunked.embeddings.create(model="sim-embed", inputs=["a", "b"], output_dimension=8)
    assert [len(row.embedding) for row in vectors.data] == [8, 8]


def test_the_official_client_of_chunks_knows_the_simulator_s_errors(chunked: Mistral, stack: Stack) -> None:
    for model, status in (("sim-error-429", 429), ("sim-error-503", 503), ("no-such", 404)):
        with pytest.raises(SDKError) as raised:
            chunked.chat.complete(model=model, messages=HELLO)
        assert raised.value.status_code == status
    call = {"id": "call_1", "function": {"name": "f", "arguments": "{}"}}
    bad: Any = [*HELLO, {"role": "assistant", "content": "", "tool_calls": [call]}, *HELLO]
    with pytest.raises(SDKError, match="length of 9"):
        chunked.chat.complete(model="sim-chat", messages=bad)
    with Mistral(api_key="other", server_url=f"{stack.simulator_url}/chunked") as other, pytest.raises(SDKError) as no:
        other.chat.complete(model="sim-chat", messages=HELLO)
    assert no.value.status_code == 401


def test_the_official_client_of_lines_reads_the_simulator(lines: ollama.Client) -> None:
    said = lines.chat(model="sim-chat", messages=HELLO, think=True)
    assert (said.message.thinking, said.message.content, said.done_reason) == (THOUGHT, SAID, "stop")
    events = list(lines.chat(model="sim-chat", messages=HELLO, think=True, stream=True))
    assert "".join(event.message.content or "" for event in events) == SAID
    assert "".join(event.message.thinking or "" for event in events) == THOUGHT
    assert events[-1].eval_count == said.eval_count
    called = lines.chat(model="sim-chat", messages=HELLO, tools=TOOLS).message
    assert [call.function.name for call in called.tool_calls or ()] == ["get_weather", "get_time"]
    streamed = [
        call
        for event in lines.chat(model="sim-chat", messages=HELLO, tools=TOOLS, stream=True)
        for call in event.message.tool_calls or ()
    ]
    assert streamed == called.tool_calls
    history = [*HELLO, called, {"role": "tool", "tool_name": "get_weather", "content": "sunny"}]
    assert lines.chat(model="sim-chat", messages=history, tools=TOOLS).message.content == SAID
    assert json.loads(lines.chat(model="sim-chat", messages=HELLO, format=SCHEMA).message.content or "").keys() == {
        "place"
    }
    cut = lines.chat(model="sim-chat", messages=HELLO, options={"num_predict": 1})
    assert (cut.done_reason, cut.eval_count) == ("length", 1)
    assert [len(row) for row in lines.embed(model="sim-embed", input=["a", "b"], dimensions=8).embeddings] == [8, 8]


def test_the_official_client_of_lines_knows_the_simulator_s_errors(lines: ollama.Client) -> None:
    for model, status in (("sim-error-503", 503), ("no-such", 404)):
        with pytest.raises(ollama.ResponseError) as raised:
            lines.chat(model=model, messages=HELLO)
        assert raised.value.status_code == status
    with pytest.raises(ollama.ResponseError, match="runner"):
        list(lines.chat(model="sim-errorevent-3", messages=HELLO, stream=True))


# Through the gateway


@pytest.mark.parametrize(("slug", "more"), [("chunked", {"prompt_mode": "reasoning"}), ("lines", {"think": True})])
def test_thoughts_come_and_go_back(through: OpenAI, slug: str, more: dict[str, Any]) -> None:
    asked: Any = {"model": f"@{slug}/sim-chat", "extra_body": more}
    message = through.chat.completions.create(messages=HELLO, **asked).choices[0].message.to_dict()
    assert (message["reasoning_content"], message["content"]) == (THOUGHT, SAID)
    chunks = list(through.chat.completions.create(messages=HELLO, stream=True, **asked))
    deltas = [chunk.choices[0].delta.to_dict() for chunk in chunks if chunk.choices]
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == THOUGHT
    history: Any = [*HELLO, message, *HELLO]
    assert through.chat.completions.create(messages=history, **asked).choices[0].message.content == SAID


@pytest.mark.parametrize("slug", ["chunked", "lines"])
def test_embeddings_of_a_length(through: OpenAI, slug: str) -> None:
    asked: Any = {"model": f"@{slug}/sim-embed", "input": ["a", "b"], "dimensions": 8}
    vectors = through.embeddings.create(**asked)
    assert [len(row.embedding) for row in vectors.data] == [8, 8]
    floats = through.embeddings.create(encoding_format="float", **asked)
    assert [row.embedding for row in floats.data] == [pytest.approx(row.embedding) for row in vectors.data]
    assert vectors.usage.prompt_tokens == 2


def test_calls_of_another_provider_are_answered_by_one_with_ids_of_its_own(through: OpenAI) -> None:
    first = through.chat.completions.create(model="@simulator/sim-chat", messages=HELLO, tools=TOOLS).choices[0].message
    results: Any = [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in first.tool_calls or ()]
    history: Any = [*HELLO, first.to_dict(), *results]
    said = through.chat.completions.create(model="@chunked/sim-chat", messages=history, tools=TOOLS)
    assert said.choices[0].message.content == SAID


def test_a_refusal_of_the_provider_is_told_with_its_place(through: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="Expected last role"):
        through.chat.completions.create(
            model="@chunked/sim-chat", messages=[*HELLO, {"role": "assistant", "content": "Once"}]
        )
    begun: Any = {"role": "assistant", "content": "Once", "prefix": True}
    assert through.chat.completions.create(model="@chunked/sim-chat", messages=[*HELLO, begun]).choices


def test_options_reach_the_runner(through: OpenAI) -> None:
    more: Any = {"options": {"num_predict": 1, "num_ctx": 2_048}, "keep_alive": "5m"}
    said = through.chat.completions.create(model="@lines/sim-chat", messages=HELLO, extra_body=more)
    assert said.choices[0].finish_reason == "length"
    with pytest.raises(openai.BadRequestError) as raised:
        through.chat.completions.create(model="@lines/sim-chat", messages=HELLO, extra_body={"options": {"zzz": 1}})
    assert raised.value.param == "/options/zzz"
