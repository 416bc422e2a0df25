"""A chat's answers as messages: what the official SDK makes of them, whole and as events, however they are cut."""

import re
from typing import Any

import orjson
import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.shared import ErrorResponse
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from gateway.dialects.messages.answer import message
from gateway.dialects.messages.request import to_chat
from gateway.dialects.registry import DIALECTS
from gateway.providers.base import BrokenAnswer, Call, Door, Provider, StreamReader, Usage
from gateway.providers.openai.provider import OpenAI
from gateway.providers.signatures import UNSIGNED
from gateway.upstream.events import EventSplitter, data_of, name_of
from tests.conformance.test_simulator import parse, unknown_fields
from tests.gateway.dialects.chats import CHECKED, JSON, LINE_ENDS, PLACE, USAGE, Answer, answers, fuzz
from tests.gateway.dialects.chats import Call as ToolCall

ASKED: dict[str, Any] = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hello"}]}
ASKED["stop_sequences"] = ["END"]
EVENT = TypeAdapter(RawMessageStreamEvent)
USED = {
    "input_tokens": 7,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 4,
    "output_tokens": 7,
}
table = pytest.mark.parametrize


def spoken(stream: bool = False) -> tuple[Call, Provider]:
    """A call of the door, and what speaks for it with a host that knows chats alone."""
    dialect = DIALECTS[Door.MESSAGES]
    body = {**ASKED, "stream": True} if stream else ASKED
    call = Call(Door.MESSAGES, orjson.dumps(body), body, stream, dialect=dialect)
    adapter = dialect.between(OpenAI(), PLACE)
    adapter.request(call, PLACE, None, {}, "m")
    return call, adapter


def whole(chat: dict[str, Any]) -> Message:
    call, adapter = spoken()
    body, usage = adapter.answer(call, orjson.dumps(chat))
    assert usage.input_tokens is not None
    answered: Message = parse(Message, body)
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
        said = EVENT.validate_json(data_of(event) or b"", strict=True)
        assert unknown_fields(said) == []
        assert name_of(event) == said.type.encode()
        found.append(said)
    return found


def accumulated(found: list[Any]) -> Any:
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in found:
        snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)
    return snapshot


@fuzz
@given(answer=answers())
def test_a_whole_answer_says_what_the_chat_said(answer: Answer) -> None:
    said = whole(answer.whole())
    assert (said.id, said.model, said.role) == ("chatcmpl-1", "acme-chat", "assistant")
    blocks = [block.model_dump(exclude_none=True) for block in said.content]
    expected: list[dict[str, Any]] = []
    if answer.thought:
        expected.append({"type": "thinking", "thinking": answer.thought, "signature": answer.signature or UNSIGNED})
    if answer.text:
        expected.append({"type": "text", "text": answer.text})
    expected += [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.input} for call in answer.calls]
    assert blocks == expected
    reasons = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
    assert said.stop_reason == reasons[answer.finish]
    assert said.usage.model_dump(exclude_none=True) == USED


@fuzz
@given(
    answer=answers(),
    cut=st.integers(1, 5),
    turns=st.lists(st.integers(0, 2), max_size=20),
    line=st.sampled_from(LINE_ENDS),
)
def test_events_add_up_to_the_whole_answer(answer: Answer, cut: int, turns: list[int], line: bytes) -> None:
    found = events(read([answer.stream(line, cut, turns)]))
    said = accumulated(found)
    expected = whole(answer.whole())
    assert [block.to_dict() for block in said.content] == [block.to_dict() for block in expected.content]
    assert (said.stop_reason, said.stop_sequence) == (expected.stop_reason, expected.stop_sequence)
    assert said.usage.to_dict() == expected.usage.to_dict()
    assert [found[0].type, found[-2].type, found[-1].type] == ["message_start", "message_delta", "message_stop"]
    indexes = [event.index for event in found if event.type == "content_block_start"]
    assert indexes == list(range(len(expected.content)))


FULL = Answer(
    "hm, 日本語",
    "sig",
    "Grüße",
    [],
    "stop",
)


@table("line", LINE_ENDS)
@table("name", ["text", "calls", "cut"])
def test_a_stream_cut_at_any_byte_gives_the_same_events(line: bytes, name: str) -> None:
    calls = [ToolCall("call_0", "f", {"x": "é"}), ToolCall("call_1", "g", {})]
    answer = {
        "text": FULL,
        "calls": Answer(calls=calls, finish="tool_calls"),
        "cut": Answer(text="Hi", finish="length"),
    }[name]
    data = answer.stream(line, cut=8)
    expected = read([data])
    assert events(expected)
    for at in range(1, len(data)):
        assert read([data[:at], data[at:]]) == expected, at
    assert read([data[at : at + 1] for at in range(len(data))]) == expected


@fuzz
@given(answer=answers())
def test_an_answer_given_back_as_the_next_turn_is_the_chats_own_message(answer: Answer) -> None:
    """There and back: what the model said is what it hears it said."""
    turn = whole(answer.whole()).to_param()
    body = {**ASKED, "messages": [{"role": "assistant", "content": [dict(b.to_dict()) for b in turn["content"]]}]}  # type: ignore[union-attr]
    (heard,) = to_chat(body, PLACE).body["messages"]
    original = answer.whole()["choices"][0]["message"]
    if answer.signature:
        original["content_blocks"] = original["content_blocks"][:1]  # Beside the text, which stands in `content` too.
    if not answer.text and not answer.calls:
        original["content"] = ""
    assert heard == original


@table(
    ("choice", "reason", "sequence"),
    [
        ({"finish_reason": "stop", "stop_reason": "END"}, "stop_sequence", "END"),
        ({"finish_reason": "stop", "stop_reason": "other"}, "end_turn", None),
        ({"finish_reason": "stop"}, "end_turn", None),
        ({"finish_reason": None}, "end_turn", None),
        ({"finish_reason": "something_new"}, "end_turn", None),
        ({"finish_reason": "function_call"}, "end_turn", None),
        ({"finish_reason": "tool_calls"}, "end_turn", None),
    ],
)
def test_why_it_ended(choice: dict[str, Any], reason: str, sequence: str | None) -> None:
    said = whole({"id": "x", "model": "m", "choices": [{"index": 0, "message": {"content": "Hi"}, **choice}]})
    assert (said.stop_reason, said.stop_sequence) == (reason, sequence)


def test_a_call_of_a_tool_that_ended_with_stop_is_a_tool_use_all_the_same() -> None:
    """Some hosts say `stop` there (reference/portkey.md 4.3)."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    said = whole({"choices": [{"message": {"tool_calls": [call]}, "finish_reason": "stop"}]})
    assert said.stop_reason == "tool_use"
    assert said.content[0].model_dump(include={"type", "input"}) == {"type": "tool_use", "input": {}}


def test_calls_to_which_their_host_gave_no_ids_are_not_called_alike_in_two_answers() -> None:
    """Of two of one id in a conversation nobody could say which a result is of, and Anthropic refuses them."""
    call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    found = set()
    for id_ in ("chatcmpl-1", "chatcmpl-2"):
        choice = {"message": {"tool_calls": [call]}, "finish_reason": "tool_calls"}
        said: Any = whole({"id": id_, "choices": [choice]})
        found.add(said.content[0].id)
        choice = {"delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}
        chunk = orjson.dumps({"id": id_, "choices": [choice]})
        stream = read([b"data: " + chunk + b"\n\ndata: [DONE]\n\n"])
        assert said.content[0].id.encode() in stream
    assert len(found) == 2
    assert all(re.fullmatch("[a-zA-Z0-9_-]{1,40}", id_) for id_ in found)


def test_a_refusal_is_text_and_a_reason() -> None:
    said = whole({"choices": [{"message": {"content": None, "refusal": "No."}, "finish_reason": "stop"}]})
    assert (said.stop_reason, said.content[0].model_dump()["text"]) == ("refusal", "No.")


def test_what_the_provider_does_not_count_is_estimated() -> None:
    said = whole({"choices": [{"message": {"content": "x" * 40}, "finish_reason": "stop"}]})
    assert said.usage.output_tokens == 10
    assert said.usage.input_tokens > 0


@table(
    "chat",
    [
        {},
        {"choices": []},
        {"choices": None},
        {"choices": [{"message": {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{"}}]}}]},
        {"choices": [{"message": {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "[]"}}]}}]},
        {"choices": [{"message": {"tool_calls": [{"id": "a", "custom": {"name": "f", "input": "x"}}]}}]},
    ],
    ids=str,
)
def test_an_answer_that_no_message_can_say_is_broken(chat: dict[str, Any]) -> None:
    with pytest.raises(BrokenAnswer):
        message(chat, Usage(), ASKED)


def test_a_call_that_was_cut_by_the_limit_is_the_last_block_and_says_why_it_ended() -> None:
    """As clients of the dialect expect it, who ask again with a higher limit; a stream tells it likewise."""

    def called(id_: str, arguments: str) -> dict[str, Any]:
        return {"id": id_, "type": "function", "function": {"name": "write", "arguments": arguments}}

    def said(finish: str, *calls: dict[str, Any]) -> dict[str, Any]:
        return {"id": "c", "model": "m", "choices": [{"message": {"tool_calls": [*calls]}, "finish_reason": finish}]}

    half = called("b", '{"path": "a.txt", "content": "Once up')
    told = message(said("length", called("a", '{"path": 1}'), half), Usage(), ASKED)
    assert [(block["id"], block["input"]) for block in told["content"]] == [("a", {"path": 1}), ("b", {})]
    assert told["stop_reason"] == "max_tokens"
    for broken in (said("length", half, called("a", "{}")), said("tool_calls", half)):
        with pytest.raises(BrokenAnswer):
            message(broken, Usage(), ASKED)


def test_an_answer_nested_deeper_than_can_be_written_is_broken() -> None:
    call, adapter = spoken()
    arguments = '{"a":' + "[" * 400 + "]" * 400 + "}"
    tool = {"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}
    with pytest.raises(BrokenAnswer, match="deep"):
        adapter.answer(call, orjson.dumps({"choices": [{"message": {"tool_calls": [tool]}}]}))


def test_a_stream_that_ends_too_early_has_no_proper_end() -> None:
    stream = reader()
    data = FULL.stream().rpartition(b"data: {")[0]
    cut = data[: data.rindex(b'data: {"id"')]
    said = stream.feed(cut)
    with pytest.raises(BrokenAnswer):
        stream.end()
    assert b"message_stop" not in said
    last = stream.error_event(
        {"error": {"message": "broke off", "type": "upstream_error", "code": "upstream_broken"}}, 502
    )
    assert last.startswith(b"event: error\ndata: ")
    error = ErrorResponse.model_validate_json(data_of(last) or b"", strict=True)
    assert (error.error.type, error.error.message) == ("api_error", "broke off")


def test_a_providers_error_event_is_told_in_the_dialect_and_ends_the_stream() -> None:
    stream = reader()
    said = stream.feed(b"".join(event + b"\n\n" for event in Answer(text="Hi").stream().split(b"\n\n")[:2]))
    said += stream.feed(b'data: {"error": {"message": "Overloaded", "type": "overloaded_error"}}\n\n')
    said += stream.end()
    assert stream.failed
    assert b"message_stop" not in said
    last = said.split(b"\n\n")[-2]
    assert last.startswith(b"event: error\n")
    assert orjson.loads(last.partition(b"data: ")[2])["error"]["type"] == "overloaded_error"


def test_a_message_that_was_checked_before_it_began_bears_its_own_id() -> None:
    """Every one of Azure's was `msg_0`."""
    found = events(read([CHECKED, Answer(text="Hi").stream()]))
    assert (found[0].message.id, found[0].message.model) == ("chatcmpl-1", "acme-chat")
    (begun, *_) = events(read([CHECKED, b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n']))
    assert begun.message.id == "msg_0", "it has none"


def test_a_whole_answer_beside_a_delta_that_says_nothing_is_that_answer() -> None:
    """Of Perplexity's nothing was left."""
    chat = Answer(text="Hi").whole()
    chat["choices"][0]["delta"] = {"role": "assistant", "content": ""}
    assert [block.model_dump(exclude_none=True) for block in whole(chat).content] == [{"type": "text", "text": "Hi"}]


def test_what_was_read_is_estimated_at_the_start_and_counted_at_the_end() -> None:
    found = events(read([Answer(text="Hi").stream()]))
    assert found[0].message.usage.input_tokens > 0
    assert found[0].message.usage.output_tokens == 0
    assert found[-2].usage.model_dump(exclude_none=True) == USED
    assert USAGE["prompt_tokens"] == 11


@table(
    ("status", "type_"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_a_providers_error_is_told_in_the_dialects_shape(status: int, type_: str) -> None:
    _, adapter = spoken()
    body = orjson.dumps({"error": {"message": "No", "type": "some_type", "param": "x", "code": "y"}})
    said = orjson.loads(adapter.error("acme", status, JSON, body))
    assert said == {
        "type": "error",
        "error": {"message": "acme error: No", "type": type_, "param": "x", "code": "y"},
        "provider": "acme",
    }


@table(("status", "type_"), [(418, "rate_limit_error"), (429, "rate_limit_error"), (401, "authentication_error")])
def test_a_word_of_the_dialect_is_kept_where_the_status_says_nothing(status: int, type_: str) -> None:
    _, adapter = spoken()
    body = orjson.dumps({"type": "error", "error": {"message": "No", "type": "rate_limit_error"}})
    assert orjson.loads(adapter.error("acme", status, {}, body))["error"]["type"] == type_


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
