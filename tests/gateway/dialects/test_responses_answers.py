"""A chat's answers as responses: what the official SDK makes of them, whole and as events, however they are cut."""

import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseErrorEvent, ResponseStreamEvent
from pydantic import RootModel

from gateway.dialects.registry import DIALECTS
from gateway.dialects.responses.request import to_chat
from gateway.providers.base import BrokenAnswer, Call, Door, Provider, StreamReader
from gateway.providers.openai.provider import OpenAI
from gateway.providers.signatures import UNSIGNED
from gateway.upstream.events import EventSplitter, data_of, name_of
from tests.conformance.test_simulator import parse
from tests.gateway.dialects.chats import CHECKED, JSON, LINE_ENDS, PLACE, Answer, answers, fuzz
from tests.gateway.dialects.chats import Call as ToolCall

TOOLS = [{"type": "function", "name": "f", "parameters": {"type": "object"}}]
ASKED: dict[str, Any] = {
    "model": "m",
    "input": "Hello",
    "instructions": "Be brief",
    "metadata": {"a": "b"},
    "tools": TOOLS,
    "temperature": 0.5,
    "reasoning": {"effort": "low"},
}
StreamEvent = RootModel[ResponseStreamEvent]
table = pytest.mark.parametrize


def spoken(stream: bool = False) -> tuple[Call, Provider]:
    dialect = DIALECTS[Door.RESPONSES]
    body = {**ASKED, "stream": True} if stream else ASKED
    call = Call(Door.RESPONSES, orjson.dumps(body), body, stream, dialect=dialect)
    adapter = dialect.between(OpenAI(), PLACE)
    adapter.request(call, PLACE, None, {}, "m")
    return call, adapter


def whole(chat: dict[str, Any]) -> Response:
    call, adapter = spoken()
    body, _ = adapter.answer(call, orjson.dumps(chat))
    answered: Response = parse(Response, body)
    return answered


def reader() -> StreamReader:
    call, adapter = spoken(stream=True)
    return adapter.stream(call)


def read(pieces: list[bytes]) -> bytes:
    stream = reader()
    return b"".join([*(stream.feed(piece) for piece in pieces), stream.end()])


def events(stream: bytes) -> list[Any]:
    splitter = EventSplitter()
    found = []
    for event in [*splitter.feed(stream), *splitter.finish()]:
        said = parse(StreamEvent, data_of(event) or b"").root
        assert name_of(event) == said.type.encode()
        found.append(said)
    assert [event.sequence_number for event in found] == list(range(len(found)))
    return found


@fuzz
@given(answer=answers())
def test_a_whole_answer_says_what_the_chat_said(answer: Answer) -> None:
    said = whole(answer.whole())
    assert (said.id, said.model, said.created_at) == ("resp_chatcmpl-1", "acme-chat", 1_750_000_000)
    assert (said.instructions, said.metadata, said.temperature) == ("Be brief", {"a": "b"}, 0.5)
    assert (said.reasoning.effort, said.tools[0].name) == ("low", "f")  # type: ignore[union-attr]
    assert said.output_text == answer.text
    kinds = (
        ["reasoning"] * bool(answer.thought) + ["message"] * bool(answer.text) + ["function_call"] * len(answer.calls)
    )
    assert [item.type for item in said.output] == kinds
    calls = [(item.call_id, item.name, item.arguments) for item in said.output if item.type == "function_call"]
    assert calls == [(call.id, call.name, call.arguments) for call in answer.calls]
    if answer.thought:
        thought: Any = said.output[0]
        seal = f"gatehouse::{answer.signature}" if answer.signature else UNSIGNED
        assert (thought.content[0].text, thought.encrypted_content) == (answer.thought, seal)
    cut = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(answer.finish)
    assert said.status == ("incomplete" if cut else "completed")
    assert (said.incomplete_details.reason if said.incomplete_details else None) == cut
    used = said.usage
    assert used is not None
    assert (used.input_tokens, used.output_tokens, used.total_tokens) == (11, 7, 18)
    assert used.input_tokens_details.cached_tokens == 4


@fuzz
@given(
    answer=answers(),
    cut=st.integers(1, 5),
    turns=st.lists(st.integers(0, 2), max_size=20),
    line=st.sampled_from(LINE_ENDS),
)
def test_events_add_up_to_the_whole_answer(answer: Answer, cut: int, turns: list[int], line: bytes) -> None:
    found = events(read([answer.stream(line, cut, turns)]))
    expected = whole(answer.whole())
    assert [event.type for event in found[:2]] == ["response.created", "response.in_progress"]
    last = found[-1]
    assert last.type == f"response.{expected.status}"
    assert last.response == expected
    done = [event.item for event in found if event.type == "response.output_item.done"]
    assert done == expected.output
    for index, item in enumerate(expected.output):
        mine = [event for event in found if getattr(event, "output_index", None) == index]
        assert {event.item_id for event in mine if hasattr(event, "item_id")} <= {item.id}
        assert [mine[0].type, mine[-1].type] == ["response.output_item.added", "response.output_item.done"]
        spoken_text = "".join(event.delta for event in mine if event.type.endswith(".delta"))
        written = item.arguments if item.type == "function_call" else item.content[0].text  # type: ignore[union-attr]
        assert spoken_text == written


@table("line", LINE_ENDS)
@table("name", ["text", "calls"])
def test_a_stream_cut_at_any_byte_gives_the_same_events(line: bytes, name: str) -> None:
    calls = [ToolCall("call_0", "f", {"x": "é"}), ToolCall("call_1", "g", {})]
    answer = {"text": Answer("hm, 日本語", "sig", "Grüße"), "calls": Answer(calls=calls, finish="length")}[name]
    data = answer.stream(line, cut=8)
    expected = read([data])
    assert events(expected)
    for at in range(1, len(data)):
        assert read([data[:at], data[at:]]) == expected, at
    assert read([data[at : at + 1] for at in range(len(data))]) == expected


@fuzz
@given(answer=answers())
def test_an_answer_given_back_as_input_is_the_chats_own_message(answer: Answer) -> None:
    """There and back: what the model said is what it hears it said."""
    items = [item.to_dict() for item in whole(answer.whole()).output]
    messages = to_chat({**ASKED, "input": items}, PLACE).body["messages"][1:]
    original = answer.whole()["choices"][0]["message"]
    if answer.signature:
        original["content_blocks"] = original["content_blocks"][:1]  # Beside the text, which stands in `content` too.
    if not answer.text and not answer.calls:
        original["content"] = ""
    assert messages == ([original] if items else [])


def test_probabilities_come_along() -> None:
    told = {"token": "Hi", "logprob": -0.5, "bytes": None, "top_logprobs": [{"token": "Hi", "logprob": -0.5}]}
    choice = {"message": {"content": "Hi"}, "logprobs": {"content": [told]}, "finish_reason": "stop"}
    part: Any = whole({"id": "x", "choices": [choice]}).output[0].content[0]  # type: ignore[union-attr]
    assert (part.logprobs[0].token, part.logprobs[0].bytes, part.logprobs[0].top_logprobs[0].logprob) == (
        "Hi",
        [72, 105],
        -0.5,
    )
    stream = reader()
    chunk = {"id": "x", "choices": [{"delta": {"content": "Hi"}, "logprobs": {"content": [told]}}]}
    said = stream.feed(b"data: " + orjson.dumps(chunk) + b"\n\n")
    (delta,) = [event for event in events(said) if event.type == "response.output_text.delta"]
    assert delta.logprobs[0].token == "Hi"


def test_a_response_that_was_checked_before_it_began_bears_its_own_id() -> None:
    """Every one of Azure's was `resp_0`, made in 1970."""
    found = events(read([CHECKED, Answer(text="Hi").stream()]))
    seen = {(e.response.id, e.response.created_at, e.response.model) for e in found if hasattr(e, "response")}
    assert seen == {("resp_chatcmpl-1", 1_750_000_000, "acme-chat")}


def test_a_refusal_is_a_part_of_its_own() -> None:
    said = whole({"choices": [{"message": {"content": "Well", "refusal": "No."}, "finish_reason": "stop"}]})
    assert [item.content[0].type for item in said.output] == ["output_text", "refusal"]  # type: ignore[union-attr]
    found = events(
        read([b'data: {"choices":[{"delta":{"refusal":"No."},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'])
    )
    assert {"response.refusal.delta", "response.refusal.done"} <= {event.type for event in found}


def test_calls_to_which_their_host_gave_no_ids_are_not_called_alike_in_two_answers() -> None:
    """Of two of one id in a conversation nobody could say which a result is of, and Anthropic refuses them."""
    call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    found = set()
    for id_ in ("chatcmpl-1", "chatcmpl-2"):
        choice = {"message": {"tool_calls": [call]}, "finish_reason": "tool_calls"}
        said: Any = whole({"id": id_, "choices": [choice]})
        found.add(said.output[0].call_id)
        choice = {"delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}
        chunk = orjson.dumps({"id": id_, "choices": [choice]})
        stream = read([b"data: " + chunk + b"\n\ndata: [DONE]\n\n"])
        assert said.output[0].call_id.encode() in stream
    assert len(found) == 2
    assert all(re.fullmatch("[a-zA-Z0-9_-]{1,40}", id_) for id_ in found)


def test_a_tool_whose_input_is_text_is_called_as_one() -> None:
    call = {"id": "a", "type": "custom", "custom": {"name": "f", "input": "x y"}}
    said = whole({"choices": [{"message": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]})
    item: Any = said.output[0]
    assert (item.type, item.call_id, item.name, item.input) == ("custom_tool_call", "a", "f", "x y")
    chunk = orjson.dumps(
        {"choices": [{"delta": {"tool_calls": [{"index": 0, **call}]}, "finish_reason": "tool_calls"}]}
    )
    found = events(read([b"data: " + chunk + b"\n\ndata: [DONE]\n\n"]))
    assert {"response.custom_tool_call_input.delta", "response.custom_tool_call_input.done"} <= {e.type for e in found}


@table(
    "chat",
    [
        {},
        {"choices": []},
        {"choices": [{"message": {"tool_calls": [{"function": {"arguments": "{}"}}]}}]},
        {"choices": [{"message": {"content": "x"}, "logprobs": {"content": ["x"]}}]},
    ],
    ids=str,
)
def test_an_answer_that_no_response_can_say_is_broken(chat: dict[str, Any]) -> None:
    call, adapter = spoken()
    with pytest.raises(BrokenAnswer):
        adapter.answer(call, orjson.dumps(chat))


def test_a_stream_that_breaks_ends_with_a_numbered_error() -> None:
    stream = reader()
    said = stream.feed(b'data: {"id":"x","choices":[{"delta":{"content":"Hi"}}]}\n\n')
    with pytest.raises(BrokenAnswer):
        stream.end()
    last = stream.error_event(
        {"error": {"message": "broke off", "type": "upstream_error", "code": "upstream_broken"}}, 502
    )
    found = events(said + last)
    assert isinstance(found[-1], ResponseErrorEvent)
    assert (found[-1].code, found[-1].message, found[-1].param) == ("upstream_broken", "broke off", None)
    assert "response.completed" not in [event.type for event in found]


def test_a_providers_error_event_is_told_in_the_dialect_and_ends_the_stream() -> None:
    stream = reader()
    said = stream.feed(b'data: {"id":"x","choices":[{"delta":{"content":"Hi"}}]}\n\n')
    said += stream.feed(b'data: {"error": {"message": "Overloaded", "type": "overloaded_error"}}\n\n') + stream.end()
    assert stream.failed
    assert (events(said)[-1].type, events(said)[-1].code) == ("error", "overloaded_error")


def test_a_providers_error_is_told_as_a_chats() -> None:
    _, adapter = spoken()
    body = orjson.dumps({"error": {"message": "No", "type": "t", "param": "x", "code": "y"}})
    assert orjson.loads(adapter.error("acme", 400, JSON, body)) == {
        "error": {"message": "acme error: No", "type": "t", "param": "x", "code": "y"},
        "provider": "acme",
    }


@fuzz
@given(st.binary(max_size=300))
def test_any_bytes_are_a_stream_that_ends_or_breaks_and_never_a_fault_of_ours(data: bytes) -> None:
    stream = reader()
    try:
        stream.feed(data)
        stream.feed(b"\n\ndata: {}\n\ndata: []\n\n")
        stream.end()
    except BrokenAnswer:
        return
