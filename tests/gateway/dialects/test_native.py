"""A provider that speaks the door's dialect itself: bytes pass as they came, and what they used is read along."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from embedded.simulator.replies import Events, Whole
from embedded.simulator.responses import Responses as SimulatedResponses
from embedded.simulator.wire import event
from gateway.dialects.registry import DIALECTS
from gateway.providers.base import BrokenAnswer, Call, Door, Provider, Usage
from gateway.providers.openai.provider import OpenAI
from gateway.providers.signatures import UNSIGNED
from shared.crypto.secret import Secret
from tests.gateway.dialects.chats import JSON, LINE_ENDS, PLACE, fuzz

NATIVE = replace(PLACE, doors=frozenset({"chat", "messages", "responses"}), auth_header=b"x-api-key", auth_prefix=b"")
MESSAGES = {
    "model": "m",
    "max_tokens": 5,
    "messages": [{"role": "user", "content": "Hello there"}],
    "top_k": 1,
    "new": 1,
}
RESPONSES = {"model": "sim-chat", "input": "Hello there", "store": True, "previous_response_id": "resp_1"}
COUNTED = Usage(input_tokens=27, output_tokens=9, cache_read_tokens=20, cache_write_tokens=5, reasoning_tokens=2)
MESSAGE_USAGE = {
    "input_tokens": 2,
    "cache_read_input_tokens": 20,
    "cache_creation_input_tokens": 5,
    "output_tokens": 9,
    "output_tokens_details": {"thinking_tokens": 2},
}
MESSAGE_EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {"usage": {**MESSAGE_USAGE, "output_tokens": 1}}},
    {"type": "ping"},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi there"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 2}},
    },
    {"type": "message_stop"},
]


def spoken(door: Door, body: dict[str, Any]) -> tuple[Call, Provider]:
    dialect = DIALECTS[door]
    return Call(door, orjson.dumps(body), body, stream=True, dialect=dialect), dialect.between(OpenAI(), NATIVE)


def framed(events: list[dict[str, Any]], line: bytes = b"\n") -> bytes:
    return b"".join(
        b"event: %b%bdata: %b%b%b" % (e["type"].encode(), line, orjson.dumps(e), line, line) for e in events
    )


@pytest.mark.parametrize(
    ("door", "body", "path"),
    [
        (Door.MESSAGES, MESSAGES, "/v1/messages"),
        (Door.COUNT_TOKENS, MESSAGES, "/v1/messages/count_tokens"),
        (Door.RESPONSES, RESPONSES, "/v1/responses"),
    ],
)
def test_a_request_goes_on_as_it_came_with_the_providers_key(door: Door, body: dict[str, Any], path: str) -> None:
    call, adapter = spoken(door, body)
    call.forwarded = b"anthropic-version: 2023-06-01\r\n"
    asked = adapter.request(call, NATIVE, Secret("k"), {}, body["model"])
    assert (asked.target, asked.body, asked.answer) == (path, call.raw, None)
    assert b"x-api-key: k\r\n" in asked.headers
    assert b"anthropic-version: 2023-06-01\r\n" in asked.headers
    assert asked.left_out == frozenset()
    changed = adapter.request(call, NATIVE, None, {"temperature": 0}, "other")
    assert orjson.loads(changed.body) == {**body, "temperature": 0, "model": "other"}
    assert b"stream_options" not in changed.body


def test_a_whole_message_passes_and_is_counted() -> None:
    call, adapter = spoken(Door.MESSAGES, MESSAGES)
    body = orjson.dumps({"content": [{"type": "text", "text": "Hi"}], "usage": MESSAGE_USAGE})
    assert adapter.answer(call, body) == (body, COUNTED)


def test_a_count_of_tokens_used_none() -> None:
    call, adapter = spoken(Door.COUNT_TOKENS, MESSAGES)
    assert adapter.answer(call, b'{"input_tokens": 12}') == (b'{"input_tokens": 12}', Usage(0, 0))


def test_a_whole_response_passes_and_is_counted() -> None:
    call, adapter = spoken(Door.RESPONSES, RESPONSES)
    usage = {
        "input_tokens": 27,
        "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 5},
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 2},
    }
    body = orjson.dumps({"output": [], "usage": usage})
    assert adapter.answer(call, body) == (body, COUNTED)


@pytest.mark.parametrize("door", [Door.MESSAGES, Door.RESPONSES])
def test_what_is_not_counted_is_estimated(door: Door) -> None:
    call, adapter = spoken(door, MESSAGES if door is Door.MESSAGES else RESPONSES)
    part = {"type": "output_text", "text": "x" * 40}
    body = orjson.dumps({"content": [{"type": "text", "text": "x" * 40}], "output": [{"content": [part]}]})
    _, usage = adapter.answer(call, body)
    assert (usage.input_tokens, usage.output_tokens, usage.estimated) == (3, 10, True)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7"])
def test_an_answer_that_is_no_object_is_broken(body: bytes) -> None:
    call, adapter = spoken(Door.MESSAGES, MESSAGES)
    with pytest.raises(BrokenAnswer):
        adapter.answer(call, body)


@pytest.mark.parametrize("line", LINE_ENDS)
def test_a_stream_of_messages_passes_cut_at_any_byte_and_is_counted(line: bytes) -> None:
    data = framed(MESSAGE_EVENTS, line)
    for at in range(len(data)):
        call, adapter = spoken(Door.MESSAGES, MESSAGES)
        stream = adapter.stream(call)
        assert stream.feed(data[:at]) + stream.feed(data[at:]) + stream.end() == data
        assert stream.usage == COUNTED
        assert stream.complete
        assert not stream.failed


def test_a_stream_of_responses_passes_and_is_counted() -> None:
    reply = SimulatedResponses().create({"model": "sim-chat", "input": "Hello there", "stream": True}, None)
    whole = SimulatedResponses().create({"model": "sim-chat", "input": "Hello there"}, None)
    assert isinstance(reply, Events)
    assert isinstance(whole, Whole)
    call, adapter = spoken(Door.RESPONSES, RESPONSES)
    stream = adapter.stream(call)
    frames = [event(data, name) for name, data in reply.events]
    for index, frame in enumerate(frames):
        assert stream.feed(frame) == frame
        assert stream.begun is (index >= 2), "the first two say nothing of the answer"
    assert stream.end() == b""
    assert stream.usage == adapter.answer(call, whole.body)[1]


@pytest.mark.parametrize(("status", "estimated"), [("completed", True), ("queued", False), ("in_progress", False)])
def test_a_response_that_is_still_to_be_made_used_nobody_knows_what(status: str, estimated: bool) -> None:
    """It was recorded as one that used its input alone."""
    call, adapter = spoken(Door.RESPONSES, {**RESPONSES, "background": True})
    _, usage = adapter.answer(call, orjson.dumps({"status": status, "output": [], "usage": None}))
    assert usage == (Usage(3, 0, estimated=True) if estimated else Usage())


@pytest.mark.parametrize("background", [True, False])
def test_a_response_that_goes_on_without_its_stream_used_nobody_knows_what(background: bool) -> None:
    call, adapter = spoken(Door.RESPONSES, {**RESPONSES, "background": background})
    stream = adapter.stream(call)
    begun = {"status": "queued", "background": background, "usage": None}
    stream.feed(framed([{"type": "response.created", "response": begun}]))
    stream.feed(framed([{"type": "response.output_text.delta", "delta": "x" * 40}]))
    assert stream.usage == (Usage() if background else Usage(3, 10, estimated=True))
    usage = {"input_tokens": 4, "output_tokens": 11}
    stream.feed(framed([{"type": "response.completed", "response": {"usage": usage}}]))
    assert stream.usage == Usage(4, 11)


@pytest.mark.parametrize("count", range(len(MESSAGE_EVENTS)))
def test_a_stream_that_ends_too_early_is_broken(count: int) -> None:
    call, adapter = spoken(Door.MESSAGES, MESSAGES)
    stream = adapter.stream(call)
    stream.feed(framed(MESSAGE_EVENTS[:count]))
    with pytest.raises(BrokenAnswer):
        stream.end()
    assert stream.usage.input_tokens in (27, 3)


@pytest.mark.parametrize(
    ("door", "said", "status"),
    [
        (Door.MESSAGES, {"type": "error", "error": {"type": "overloaded_error", "message": "No"}}, 529),
        (Door.MESSAGES, {"type": "error", "error": {"type": "new", "message": "No"}}, 502),
        (Door.RESPONSES, {"type": "error", "code": "rate_limit_exceeded", "message": "No", "param": None}, 429),
        (
            Door.RESPONSES,
            {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "No"}}},
            500,
        ),
        *[
            (
                Door.RESPONSES,
                {"type": "response.failed", "response": {"error": {"code": code, "message": "No"}}},
                status,
            )
            for code, status in (("invalid_prompt", 400), ("invalid_image_url", 400), ("insufficient_quota", 429))
        ],
    ],
)
def test_an_error_event_is_a_failure_with_the_status_it_would_have_had(
    door: Door, said: dict[str, Any], status: int
) -> None:
    call, adapter = spoken(door, MESSAGES)
    stream = adapter.stream(call)
    data = framed([said])
    assert stream.feed(data) + stream.end() == data
    assert stream.failure is not None
    assert stream.failure.status == status
    shaped = orjson.loads(adapter.error("acme", status, JSON, stream.failure.body))
    assert shaped["error"]["message"] == "acme error: No"
    assert ("type" in shaped) is (door is Door.MESSAGES)


@pytest.mark.parametrize("is_told_twice", [False, True])
def test_a_response_that_failed_before_it_said_anything_can_be_taken_back(is_told_twice: bool) -> None:
    """Its last event was taken for content: no other target was tried, and the caller got the failure as a stream."""
    error = {"type": "tokens", "code": "rate_limit_exceeded", "message": "No", "param": None}
    said = [{"type": name, "response": {"error": None}} for name in ("response.created", "response.in_progress")]
    said += [{"type": "error", "error": error}] if is_told_twice else []
    call, adapter = spoken(Door.RESPONSES, RESPONSES)
    stream = adapter.stream(call)
    stream.feed(framed([*said, {"type": "response.failed", "response": {"error": error}}]))
    assert stream.failure is not None
    assert stream.failure.status == 429
    assert not stream.begun


def test_a_stream_that_breaks_ends_with_the_dialects_own_error() -> None:
    body = {"error": {"message": "broke off", "type": "upstream_error", "code": "upstream_broken", "param": None}}
    call, adapter = spoken(Door.MESSAGES, MESSAGES)
    assert (
        adapter.stream(call).error_event(body, 502).startswith(b'event: error\ndata: {"error":{"message":"broke off"')
    )
    call, adapter = spoken(Door.RESPONSES, RESPONSES)
    assert b'"message":"broke off"' in adapter.stream(call).error_event(body, 502)


@fuzz
@given(st.binary(max_size=300), st.sampled_from([Door.MESSAGES, Door.RESPONSES]))
def test_any_bytes_pass_or_break_and_never_a_fault_of_ours(data: bytes, door: Door) -> None:
    call, adapter = spoken(door, MESSAGES)
    stream = adapter.stream(call)
    try:
        passed = stream.feed(data) + stream.feed(b'\n\ndata: {"type": 7, "usage": 7, "delta": []}\n\n') + stream.end()
    except BrokenAnswer:
        return
    assert data.removeprefix(b"\xef\xbb\xbf") in passed


@pytest.mark.parametrize("odd", [[], {}, None, 7, True])
@pytest.mark.parametrize("door", [Door.MESSAGES, Door.RESPONSES])
def test_an_event_whose_type_is_no_word_passes(door: Door, odd: Any) -> None:
    call, adapter = spoken(door, MESSAGES)
    event = b"data: %b\n\n" % orjson.dumps({"type": odd, "response": odd, "delta": odd})
    assert adapter.stream(call).feed(event) == event


FOREIGN = {"type": "thinking", "thinking": "Hm.", "signature": "gatehouse:other:c2ln"}
OWN = {"type": "thinking", "thinking": "Ah.", "signature": "c2ln"}
ASKS = {"role": "user", "content": "gatehouse:"}


@pytest.mark.parametrize(
    ("door", "body", "kept"),
    [
        (
            Door.MESSAGES,
            {
                "messages": [
                    ASKS,
                    {"role": "assistant", "content": [FOREIGN, OWN]},
                    {"role": "assistant", "content": [FOREIGN]},
                ]
            },
            {"messages": [ASKS, {"role": "assistant", "content": [OWN]}]},
        ),
        (
            Door.RESPONSES,
            {"input": [ASKS, {"type": "reasoning", "encrypted_content": FOREIGN["signature"]}]},
            {"input": [ASKS]},
        ),
    ],
)
def test_a_thought_that_somebody_else_signed_stays_out(door: Door, body: dict[str, Any], kept: dict[str, Any]) -> None:
    call, adapter = spoken(door, {"model": "m", **body})
    asked = adapter.request(call, NATIVE, None, {}, "m")
    assert orjson.loads(asked.body) == {"model": "m", **kept}
    assert asked.left_out == {"signature"}


NOBODYS = {"type": "thinking", "thinking": "Hm.", "signature": UNSIGNED}
USE = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
GIVEN = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]}
BUDGET = {"type": "enabled", "budget_tokens": 2_000}


@pytest.mark.parametrize(
    ("turns", "thinking", "told"),
    [
        ([[FOREIGN, USE]], {"type": "disabled"}, {"signature", "thinking"}),
        ([[NOBODYS, USE]], {"type": "disabled"}, {"signature", "thinking"}),
        ([[OWN, USE], [FOREIGN, USE]], BUDGET, {"signature"}),
        ([[FOREIGN, USE], [OWN, USE]], BUDGET, {"signature"}),
    ],
)
def test_a_turn_that_somebody_else_began_goes_on_without_a_thought(turns: Any, thinking: Any, told: set[str]) -> None:
    """A budget is refused for it: "a final assistant message must start with a thinking block"."""
    messages: list[Any] = [ASKS]
    for blocks in turns:
        messages += [{"role": "assistant", "content": blocks}, GIVEN]
    call, adapter = spoken(Door.MESSAGES, {"model": "m", "messages": messages, "thinking": BUDGET})
    asked = adapter.request(call, NATIVE, None, {}, "m")
    assert (orjson.loads(asked.body)["thinking"], asked.left_out) == (thinking, told)
    done = {"model": "m", "messages": [*messages, {"role": "assistant", "content": "Yes."}, ASKS], "thinking": BUDGET}
    call, adapter = spoken(Door.MESSAGES, done)
    assert orjson.loads(adapter.request(call, NATIVE, None, {}, "m").body)["thinking"] == BUDGET


def test_a_thought_that_nobody_signed_stays_out_too() -> None:
    """Its maker's dialect knows no signatures; whoever knows some refuses a thought without."""
    said = {"messages": [ASKS, {"role": "assistant", "content": [NOBODYS, {"type": "text", "text": "Yes."}]}]}
    call, adapter = spoken(Door.MESSAGES, {"model": "m", **said})
    asked = orjson.loads(adapter.request(call, NATIVE, None, {}, "m").body)
    assert asked["messages"][1]["content"] == [{"type": "text", "text": "Yes."}]
    items = [ASKS, {"type": "reasoning", "summary": [], "encrypted_content": UNSIGNED}]
    call, adapter = spoken(Door.RESPONSES, {"model": "m", "input": items})
    assert orjson.loads(adapter.request(call, NATIVE, None, {}, "m").body)["input"] == [ASKS]


@pytest.mark.parametrize(
    ("door", "body"),
    [
        (
            Door.MESSAGES,
            {"messages": [ASKS, {"role": "user", "content": [{"type": "text", "text": "gatehouse:x"}]}, 5]},
        ),
        (Door.MESSAGES, {"messages": "gatehouse:"}),
        (Door.RESPONSES, {"input": [ASKS, 5]}),
        (Door.RESPONSES, {"input": "gatehouse:"}),
    ],
)
def test_whoever_says_the_mark_itself_is_passed_on_as_it_came(door: Door, body: dict[str, Any]) -> None:
    call, adapter = spoken(door, {"model": "m", **body})
    asked = adapter.request(call, NATIVE, None, {}, "m")
    assert (asked.body, asked.left_out) == (call.raw, frozenset())
