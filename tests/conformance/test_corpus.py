"""Every adapter passes one corpus (`corpus/`): requests, answers, streams cut anywhere, errors, embeddings, doors."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from msgspec import structs

from gateway.dialects.registry import DIALECTS
from gateway.providers.base import Call, Door, Untranslatable
from gateway.providers.chat import Conversation, conversation
from gateway.providers.registry import adapters
from tests.conformance.corpus import checks, table
from tests.conformance.corpus.cases import (
    ANSWERS,
    EMBEDDED,
    ERRORS,
    MALFORMED,
    PIXEL,
    REQUESTS,
    SCHEMA,
    WEATHER,
    chats,
)
from tests.conformance.corpus.said import Call as ToolCall
from tests.conformance.corpus.said import Said, seen_stream, seen_whole
from tests.conformance.corpus.wire import Wire
from tests.conformance.corpus.wires import WIRES

READING = [wire for wire in WIRES if wire.reads_requests]
every_wire = pytest.mark.parametrize("wire", WIRES, ids=[wire.name for wire in WIRES])


def test_every_adapter_is_in_the_corpus() -> None:
    assert {wire.name for wire in WIRES} == adapters().keys()
    for wire in WIRES:
        assert wire.cannot.keys() <= REQUESTS.keys()
        assert wire.left_out.keys() <= REQUESTS.keys()
        assert wire.unsaid <= ANSWERS.keys()


@every_wire
@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_arrives_whole_or_is_refused_by_name(wire: Wire, name: str) -> None:
    checks.request(wire, name)


@pytest.mark.parametrize("wire", READING, ids=[wire.name for wire in READING])
@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_is_refused_by_its_place(wire: Wire, name: str) -> None:
    body, pointer = MALFORMED[name]
    with pytest.raises(Untranslatable) as refused:
        checks.asked(wire, checks.chat_call(body, model=wire.model))
    assert (refused.value.pointer, refused.value.unsupported) == (pointer, False)


@every_wire
@pytest.mark.parametrize("name", ANSWERS)
def test_a_whole_answer_says_the_same(wire: Wire, name: str) -> None:
    if name not in wire.unsaid:
        checks.whole(wire, name)


@every_wire
@pytest.mark.parametrize("name", ANSWERS)
def test_a_stream_says_the_same_wherever_it_is_cut(wire: Wire, name: str) -> None:
    if name not in wire.unsaid:
        checks.streams(wire, name)


@every_wire
def test_each_word_for_why_an_answer_ended_is_told_in_a_chat_s(wire: Wire) -> None:
    checks.ends(wire)


@every_wire
def test_text_and_calls_in_one_frame_are_both_told(wire: Wire) -> None:
    checks.at_once(wire)


@every_wire
@pytest.mark.parametrize("name", ["plain", "tools in parallel", "thought, text and tools"])
def test_a_stream_that_ends_too_early_is_none(wire: Wire, name: str) -> None:
    checks.cut(wire, name)


@every_wire
def test_a_broken_answer_is_none(wire: Wire) -> None:
    checks.broken(wire)


@every_wire
@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_is_told_in_our_shape(wire: Wire, kind: str) -> None:
    checks.error(wire, kind)


@every_wire
def test_a_page_is_no_error_of_the_provider(wire: Wire) -> None:
    checks.page(wire)


@every_wire
def test_an_error_in_a_stream_ends_it_without_its_last_word(wire: Wire) -> None:
    checks.error_in_stream(wire)


@every_wire
def test_a_stream_begins_with_its_first_content(wire: Wire) -> None:
    checks.begins(wire)


@every_wire
def test_what_a_stream_that_was_left_had_said_is_estimated(wire: Wire) -> None:
    checks.estimated(wire)


@every_wire
@pytest.mark.parametrize("name", EMBEDDED)
def test_embeddings(wire: Wire, name: str) -> None:
    if wire.embeddings is None:
        assert Door.EMBEDDINGS not in wire.place.doors
    else:
        checks.embedded(wire, name)


@every_wire
@given(body=chats())
@settings(deadline=None, max_examples=60)
def test_there_and_back_nothing_is_lost_that_both_sides_can_say(wire: Wire, body: dict[str, Any]) -> None:
    choice = body.get("tool_choice")
    if ("tool choice by name" if isinstance(choice, dict) else f"tool choice {choice}") in wire.cannot:
        body = {**body, "tool_choice": "auto"}
    call = Call(Door.CHAT, orjson.dumps(body), body, stream=False)
    sent = orjson.loads(checks.asked(wire, call).body)
    back = wire.answers.back(sent)
    read, meant = (_read(wire, conversation(chat, blanks=wire.blanks)) for chat in (back, body))
    assert read == meant
    for name in ("temperature", "top_p", "tools"):
        assert back.get(name) == body.get(name)
    assert back.get("tool_choice", "auto") == body.get("tool_choice", "auto")
    assert [back.get("stop")] == [body.get("stop")]
    if "max_completion_tokens" in body:
        assert body["max_completion_tokens"] in (back.get("max_tokens"), back.get("max_completion_tokens"))


def _read(wire: Wire, said: Conversation) -> list[Any]:
    """What both sides can say."""
    system, *turns = _without_paths(said)
    ids: dict[str, int] = {}
    for _, parts in turns:
        for part in parts if wire.own_call_ids else ():
            if "id" in part:
                part["id"] = ids.setdefault(part["id"], len(ids))
    return [system, *((role, _one_text(parts) if wire.one_text and role == "user" else parts) for role, parts in turns)]


def _one_text(parts: list[dict[str, Any]]) -> Any:
    """The text of a turn, and its pictures' bytes, beside what tools said."""
    kinds = {kind: [part for part in parts if part["kind"] == kind] for kind in ("Text", "Image", "ToolResult")}
    text = "\n\n".join(part["text"] for part in kinds["Text"])
    return kinds["ToolResult"], text, [part["data"] for part in kinds["Image"]]


def _without_paths(said: Conversation) -> list[Any]:
    return [
        "".join(text.text for text in said.system),
        *((turn.role, [_plain(part) for part in turn.parts]) for turn in said.turns),
    ]


def _plain(part: Any) -> dict[str, Any]:
    fields = {name: getattr(part, name) for name in part.__slots__ if name != "path"}
    if "parts" in fields:
        # A result that says nothing holds an empty text, or none where a provider takes none that is empty.
        fields["parts"] = [_plain(inner) for inner in fields["parts"] if getattr(inner, "text", None) != ""]
    return {"kind": type(part).__name__, **fields}


# The same through every adapter, from every door.

_SAID = Said(
    "It is sunny. ",
    calls=(ToolCall("call_1", "get_weather", {"city": "Rome 漢字"}), ToolCall("call_2", "get_weather", {})),
    finish="tool_calls",
)
_DATA_URL = f"data:image/png;base64,{PIXEL}"
_DOORS: dict[Door, dict[str, Any]] = {
    Door.CHAT: {
        "messages": [
            {"role": "system", "content": "§terse"},
            {
                "role": "user",
                "content": [{"type": "text", "text": "§what"}, {"type": "image_url", "image_url": {"url": _DATA_URL}}],
            },
        ],
        "tools": [WEATHER],
        "max_tokens": 1234,
    },
    Door.MESSAGES: {
        "system": "§terse",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "§what"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
                ],
            }
        ],
        "tools": [{"name": "get_weather", "description": "§weather of a place", "input_schema": SCHEMA}],
        "max_tokens": 1234,
    },
    Door.RESPONSES: {
        "instructions": "§terse",
        "store": False,
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "§what"},
                    {"type": "input_image", "image_url": _DATA_URL, "detail": "auto"},
                ],
            }
        ],
        "tools": [
            {
                "type": "function",
                "name": "get_weather",
                "description": "§weather of a place",
                "parameters": SCHEMA,
                "strict": False,
            }
        ],
        "max_output_tokens": 1234,
    },
}


def _through(wire: Wire, door: Door, *, stream: bool) -> tuple[dict[str, Any], Said]:
    """What the provider was asked, and what the client sees, of the door's own request."""
    body = {"model": wire.model, **_DOORS[door], "stream": stream}
    dialect = DIALECTS.get(door)
    call = Call(door, orjson.dumps(body), body, stream=stream, dialect=dialect, created_s=checks.CREATED_S)
    # Passing as it came has tests of its own: here every door is translated.
    place = structs.replace(wire.place, doors=wire.place.doors - {Door.RESPONSES, Door.MESSAGES})
    adapter = wire.adapter if dialect is None else dialect.between(wire.adapter, place)
    sent = orjson.loads(adapter.request(call, place, wire.key, {}, wire.model).body)
    if not stream:
        answer, _ = adapter.answer(call, wire.answers.whole(_SAID))
        return sent, _SEEN[door](orjson.loads(answer))
    reader = adapter.stream(call)
    data = b"".join(wire.answers.frames(_SAID))
    events = b"".join([reader.feed(data[at : at + 7]) for at in range(0, len(data), 7)]) + reader.end()
    return sent, seen_stream(events) if door is Door.CHAT else _SEEN[door](_last(door, events))


def _last(door: Door, events: bytes) -> dict[str, Any]:
    """The whole answer that a stream's events come to."""
    told = [orjson.loads(frame.split(b"data: ", 1)[1]) for frame in events.split(b"\n\n") if b"data: " in frame]
    if door is Door.RESPONSES:
        assert told[-1]["type"] == "response.completed"
        response: dict[str, Any] = told[-1]["response"]
        return response
    assert told[-1]["type"] == "message_stop"
    blocks: list[dict[str, Any]] = []
    for event in told:
        if event["type"] == "content_block_start":
            blocks.append({**event["content_block"], "json": ""})
        elif event["type"] == "content_block_delta":
            delta = event["delta"]
            if "text" in delta:
                blocks[event["index"]]["text"] += delta["text"]
            blocks[event["index"]]["json"] += delta.get("partial_json", "")
    for block in blocks:
        if block["type"] == "tool_use":
            block["input"] = orjson.loads(block["json"] or "{}")
    (end,) = [event["delta"] for event in told if event["type"] == "message_delta"]
    return {"content": blocks, "stop_reason": end["stop_reason"]}


def _seen_message(message: dict[str, Any]) -> Said:
    text = "".join(block["text"] for block in message["content"] if block["type"] == "text")
    calls = [block for block in message["content"] if block["type"] == "tool_use"]
    made = tuple(ToolCall(call["id"], call["name"], call["input"]) for call in calls)
    return Said(text, calls=made, finish={"tool_use": "tool_calls"}.get(message["stop_reason"], "stop"))


def _seen_response(response: dict[str, Any]) -> Said:
    texts = [part["text"] for item in response["output"] if item["type"] == "message" for part in item["content"]]
    calls = [item for item in response["output"] if item["type"] == "function_call"]
    made = tuple(ToolCall(call["call_id"], call["name"], orjson.loads(call["arguments"])) for call in calls)
    return Said("".join(texts), calls=made, finish="tool_calls" if made else "stop")


_SEEN = {Door.CHAT: seen_whole, Door.MESSAGES: _seen_message, Door.RESPONSES: _seen_response}


@every_wire
@pytest.mark.parametrize("door", _DOORS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_every_door_sees_the_same_through_every_adapter(wire: Wire, door: Door, stream: bool) -> None:
    sent, seen = _through(wire, door, stream=stream)
    assert replace(seen, counts=_SAID.counts) == _SAID
    text = orjson.dumps(sent).decode()
    for mark in ("§terse", "§what", PIXEL, "§weather of a place", "§city", "1234"):
        assert mark in text


def test_the_published_table_is_what_was_found() -> None:
    published = table.PATH.read_text()
    assert published.partition(table.TIMES)[0] == f"{table.document()}\n", "run scripts/providers --write"
