"""Conversations as agents have them, from every door to every provider: pictures that tools gave, thoughts, calls in
parallel, calls and words in one turn, long names, all at once. What was said arrives in its order, is refused by its
place, or is told of.
"""

import itertools
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from gateway.dialects.registry import DIALECTS
from gateway.providers.base import Call, Door, Place, Provider, Translated, Untranslatable
from gateway.providers.signatures import UNSIGNED
from tests.conformance.corpus.cases import ANSWERS
from tests.conformance.corpus.checks import CREATED_S
from tests.conformance.corpus.said import Call as ToolCall
from tests.conformance.corpus.said import Counts, Said
from tests.conformance.corpus.wire import Wire
from tests.conformance.corpus.wires import WIRES

Body = dict[str, Any]
every_wire = pytest.mark.parametrize("wire", WIRES, ids=[wire.name for wire in WIRES])

LONG = "mcp__a_server_with_a_rather_long_name__and_a_tool_whose_name_is_no_shorter"
TOOLS = ("get_weather", "get_time", LONG)
_MARKED = re.compile(r"§[a-z]+\d+")


class Journey:
    """One conversation in no dialect's words."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._count = 0
        self.order: list[str] = []
        """The marks of what is said in turns, as they were said."""
        self.system = [self._mark("s", told=False) for _ in range(draw(st.integers(0, 2)))]
        self.turns: list[Body] = []
        for _ in range(draw(st.integers(1, 3))):
            self.turns.append({"role": "user", "parts": self._parts()})
            self.turns.append(self._answer())
            if self.turns[-1]["calls"]:
                calls = draw(st.permutations(self.turns[-1]["calls"]))
                self.turns.append({"role": "tools", "results": [self._result(call) for call in calls]})
                if draw(st.booleans()):
                    self.turns.append({"role": "system", "text": self._mark("l", told=False)})
                if draw(st.booleans()):
                    self.turns.append(self._answer(calls=False))
        self.turns.append({"role": "user", "parts": self._parts()})
        self.stream = draw(st.booleans())
        self.schema = draw(st.booleans())
        self.effort = draw(st.sampled_from([None, "low", "high"]))

    def _mark(self, kind: str, *, told: bool = True) -> str:
        self._count += 1
        mark = f"§{kind}{self._count}"
        if told:
            self.order.append(mark)
        return mark

    def _picture(self) -> str:
        self._count += 1
        return b64encode(b"\x89PNG\r\n\x1a\n%06d" % self._count).decode()

    def _parts(self) -> list[Body]:
        kinds = self._draw(st.lists(st.sampled_from(["text", "text", "image", "paper"]), min_size=1, max_size=3))
        return [{"text": self._mark("u")} if kind == "text" else {kind: self._picture()} for kind in kinds]

    def _answer(self, *, calls: bool = True) -> Body:
        draw = self._draw
        thought = self._mark("t", told=False) if draw(st.booleans()) else None
        many = draw(st.integers(0, 3)) if calls else 0
        text = self._mark("a") if not many or draw(st.booleans()) else None
        called = []
        for at in range(many):
            given = {"place": self._mark("c")} if draw(st.booleans()) else {}
            called.append({"id": f"call_{self._count}_{at}", "name": draw(st.sampled_from(TOOLS)), "input": given})
        return {"role": "assistant", "thought": thought, "text": text, "calls": called}

    def _result(self, call: Body) -> Body:
        kind = self._draw(st.sampled_from(["text", "parts", "picture", "nothing"]))
        parts: list[Body] = []
        if kind in ("text", "parts"):
            parts.append({"text": self._mark("r")})
        if kind in ("parts", "picture"):
            parts.append({"image": self._picture()})
        return {"id": call["id"], "parts": parts, "plain": kind == "text"}

    @property
    def pictures(self) -> set[str]:
        held = [turn.get("parts", []) for turn in self.turns]
        held += [result["parts"] for turn in self.turns for result in turn.get("results", [])]
        return {part[kind] for parts in held for part in parts for kind in ("image", "paper") if kind in part}

    @property
    def later(self) -> set[str]:
        return {turn["text"] for turn in self.turns if turn["role"] == "system"}

    def shows_more(self, *, tools: bool) -> bool:
        """Whether there is a paper in it; a picture that a tool gave, where these count."""
        parts = [part for turn in self.turns for part in turn.get("parts", [])]
        given = [part for turn in self.turns for result in turn.get("results", []) for part in result["parts"]]
        return any("paper" in part for part in parts) or (tools and any("image" in part for part in given))

    @property
    def thoughts(self) -> set[str]:
        return {turn["thought"] for turn in self.turns if turn.get("thought")}


@st.composite
def journeys(draw: st.DrawFn) -> Journey:
    return Journey(draw)


_SCHEMA = {
    "type": "object",
    "properties": {"§place": {"type": "string"}},
    "required": ["§place"],
    "additionalProperties": False,
}


def chat(said: Journey) -> Body:
    def part(one: Body) -> Body:
        if "text" in one:
            return {"type": "text", "text": one["text"]}
        if "paper" in one:
            data = f"data:application/pdf;base64,{one['paper']}"
            return {"type": "file", "file": {"filename": "paper.pdf", "file_data": data}}
        return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{one['image']}"}}

    messages: list[Body] = [{"role": "system", "content": text} for text in said.system]
    for turn in said.turns:
        match turn["role"]:
            case "system":
                messages.append({"role": "developer", "content": turn["text"]})
            case "user":
                messages.append({"role": "user", "content": [part(one) for one in turn["parts"]]})
            case "assistant":
                message: Body = {"role": "assistant", "content": turn["text"]}
                if turn["thought"]:
                    message["reasoning_content"] = turn["thought"]
                if turn["calls"]:
                    message["tool_calls"] = [_called(call) for call in turn["calls"]]
                messages.append(message)
            case "tools":
                for result in turn["results"]:
                    content = [part(one) for one in result["parts"]]
                    told = result["parts"][0]["text"] if result["plain"] else content or ""
                    messages.append({"role": "tool", "tool_call_id": result["id"], "content": told})
    body: Body = {"messages": messages, "max_tokens": 4_000}
    tools = [{"name": _short(name), "description": "D", "parameters": _SCHEMA} for name in TOOLS]
    body["tools"] = [{"type": "function", "function": tool} for tool in tools]
    if said.schema:
        form = {"name": "output", "schema": _SCHEMA, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    if said.effort:
        body["reasoning_effort"] = said.effort
    return body


def _called(call: Body) -> Body:
    function = {"name": _short(call["name"]), "arguments": orjson.dumps(call["input"]).decode()}
    return {"id": call["id"], "type": "function", "function": function}


def _short(name: str) -> str:
    """Chats take no longer ones."""
    return name[:64]


def _source(kind: str, data: str) -> Body:
    return {"type": "base64", "media_type": kind, "data": data}


def messages(said: Journey) -> Body:
    def block(one: Body) -> Body:
        if "text" in one:
            return {"type": "text", "text": one["text"]}
        if "paper" in one:
            return {"type": "document", "source": _source("application/pdf", one["paper"])}
        return {"type": "image", "source": _source("image/png", one["image"])}

    turns: list[Body] = []
    results: list[Body] = []
    for turn in said.turns:
        match turn["role"]:
            case "user":
                turns.append({"role": "user", "content": [*results, *(block(one) for one in turn["parts"])]})
                results = []
            case "assistant":
                if results:
                    turns.append({"role": "user", "content": results})
                    results = []
                blocks: list[Body] = []
                if turn["thought"]:
                    blocks.append({"type": "thinking", "thinking": turn["thought"], "signature": UNSIGNED})
                if turn["text"]:
                    blocks.append({"type": "text", "text": turn["text"]})
                blocks += [{"type": "tool_use", **call} for call in turn["calls"]]
                turns.append({"role": "assistant", "content": blocks})
            case "tools":
                for result in turn["results"]:
                    content = [block(one) for one in result["parts"]]
                    told = result["parts"][0]["text"] if result["plain"] else content
                    results.append({"type": "tool_result", "tool_use_id": result["id"], "content": told})
    body: Body = {"messages": turns, "max_tokens": 4_000}
    if said.system:
        body["system"] = [{"type": "text", "text": text} for text in said.system]
    body["tools"] = [{"name": name, "description": "D", "input_schema": _SCHEMA} for name in TOOLS]
    config: Body = {}
    if said.schema:
        config["format"] = {"type": "json_schema", "schema": _SCHEMA}
    if said.effort:
        config["effort"] = said.effort
    return {**body, **({"output_config": config} if config else {})}


def responses(said: Journey) -> Body:
    def part(one: Body) -> Body:
        if "text" in one:
            return {"type": "input_text", "text": one["text"]}
        if "paper" in one:
            data = f"data:application/pdf;base64,{one['paper']}"
            return {"type": "input_file", "filename": "paper.pdf", "file_data": data}
        return {"type": "input_image", "image_url": f"data:image/png;base64,{one['image']}", "detail": "auto"}

    items: list[Body] = [{"role": "developer", "content": text} for text in said.system[1:]]
    for at, turn in enumerate(said.turns):
        match turn["role"]:
            case "system":
                items.append({"role": "system", "content": turn["text"]})
            case "user":
                items.append({"role": "user", "content": [part(one) for one in turn["parts"]]})
            case "assistant":
                if turn["thought"]:
                    thought = [{"type": "reasoning_text", "text": turn["thought"]}]
                    item = {"type": "reasoning", "id": f"rs_{at}", "summary": [], "content": thought}
                    items.append({**item, "encrypted_content": UNSIGNED})
                if turn["text"]:
                    text = {"type": "output_text", "text": turn["text"], "annotations": []}
                    item = {"type": "message", "id": f"msg_{at}", "status": "completed", "role": "assistant"}
                    items.append({**item, "content": [text]})
                for call in turn["calls"]:
                    arguments = orjson.dumps(call["input"]).decode()
                    items.append(
                        {"type": "function_call", "call_id": call["id"], "name": call["name"], "arguments": arguments}
                    )
            case "tools":
                for result in turn["results"]:
                    content = [part(one) for one in result["parts"]]
                    told = result["parts"][0]["text"] if result["plain"] else content or ""
                    items.append({"type": "function_call_output", "call_id": result["id"], "output": told})
    body: Body = {"input": items, "store": False, "max_output_tokens": 4_000}
    if said.system:
        body["instructions"] = said.system[0]
    body["tools"] = [
        {"type": "function", "name": name, "description": "D", "parameters": _SCHEMA, "strict": False} for name in TOOLS
    ]
    if said.schema:
        body["text"] = {"format": {"type": "json_schema", "name": "output", "schema": _SCHEMA, "strict": True}}
    if said.effort:
        body["reasoning"] = {"effort": said.effort}
    return body


WORDED: Mapping[Door, Any] = {Door.CHAT: chat, Door.MESSAGES: messages, Door.RESPONSES: responses}


def through(wire: Wire, door: Door, body: Body, *, stream: bool) -> tuple[Call, Provider, Place]:
    """The call, and who speaks with the provider for it: passing as it came has tests of its own."""
    body = {"model": wire.model, **body, **({"stream": True} if stream else {})}
    dialect = DIALECTS.get(door)
    call = Call(door, orjson.dumps(body), body, stream=stream, dialect=dialect, created_s=CREATED_S)
    place = structs.replace(wire.place, doors=wire.place.doors - {Door.RESPONSES, Door.MESSAGES})
    return call, wire.adapter if dialect is None else dialect.between(wire.adapter, place), place


def asked(wire: Wire, door: Door, body: Body, *, stream: bool) -> Translated | Untranslatable:
    call, adapter, place = through(wire, door, body, stream=stream)
    try:
        return adapter.request(call, place, wire.key, {}, wire.model)
    except Untranslatable as refusal:
        return refusal


def _anthropic(sent: Body) -> None:
    roles = [turn["role"] for turn in sent["messages"]]
    assert roles[0] == "user"
    for turn, after in zip(sent["messages"], [*sent["messages"][1:], None], strict=True):
        content = turn["content"]
        if isinstance(content, str):
            assert content
            continue
        assert content
        assert all(block["text"].strip() for block in content if block["type"] == "text")
        calls = [block["id"] for block in content if block["type"] == "tool_use"]
        if calls:
            assert after
            assert after["role"] == "user"
            results = [block["tool_use_id"] for block in after["content"] if block["type"] == "tool_result"]
            assert sorted(results) == sorted(calls)
            assert all(block["type"] == "tool_result" for block in after["content"][: len(results)])


def _bedrock(sent: Body) -> None:
    turns = sent["messages"]
    assert [turn["role"] for turn in turns] == [("user", "assistant")[at % 2] for at in range(len(turns))]
    for turn, after in zip(turns, [*turns[1:], None], strict=True):
        assert turn["content"]
        assert all(block["text"].strip() for block in turn["content"] if "text" in block)
        if any("document" in block for block in turn["content"]):
            assert any("text" in block for block in turn["content"]), "a document needs a text beside it"
        calls = [block["toolUse"]["toolUseId"] for block in turn["content"] if "toolUse" in block]
        if calls:
            assert after
            results = [block["toolResult"]["toolUseId"] for block in after["content"] if "toolResult" in block]
            assert sorted(results) == sorted(calls)


def _gemini(sent: Body) -> None:
    turns = sent["contents"]
    for turn, after in zip(turns, [*turns[1:], None], strict=True):
        assert turn["parts"]
        calls = [part["functionCall"]["name"] for part in turn["parts"] if "functionCall" in part]
        if calls:
            assert after
            results = [part["functionResponse"]["name"] for part in after["parts"] if "functionResponse" in part]
            assert sorted(results) == sorted(calls)
    assert [turn["role"] for turn in turns] == [("user", "model")[at % 2] for at in range(len(turns))]


def _mistral(sent: Body) -> None:
    allowed = {
        "system": {"user", "assistant", "system"},
        "user": {"assistant", "system", "user"},
        "assistant": {"assistant", "user", "tool"},
        "tool": {"assistant", "tool"},
    }
    roles = [message["role"] for message in sent["messages"]]
    for one, after in itertools.pairwise(roles):
        assert after in allowed[one], f"{after} after {one}"


def _chat(sent: Body) -> None:
    waiting: list[str] = []
    for message in sent["messages"]:
        if message["role"] == "tool":
            waiting.remove(message["tool_call_id"])
            assert isinstance(message["content"], str) or all(p["type"] == "text" for p in message["content"])
            continue
        assert not waiting, "a call without its result"
        waiting = [call["id"] for call in message.get("tool_calls") or ()]
    assert not waiting


SHAPES: Mapping[str, Any] = {
    "anthropic": _anthropic,
    "bedrock": _bedrock,
    "gemini": _gemini,
    "vertex": _gemini,
    "mistral": _mistral,
    "cohere": _chat,
    "openai": _chat,
    "azure": _chat,
}
"""What a provider refuses beside what its types say."""


@every_wire
@pytest.mark.parametrize("door", WORDED)
@given(said=journeys())
@settings(deadline=None, max_examples=60)
def test_nothing_of_a_conversation_goes_lost_on_its_way(wire: Wire, door: Door, said: Journey) -> None:
    body = WORDED[door](said)
    sent = asked(wire, door, body, stream=said.stream)
    if isinstance(sent, Untranslatable):
        assert sent.unsupported, sent
        assert sent.pointer.startswith(("/messages/", "/input/"))
        assert wire.name in ("cohere", "ollama"), sent
        assert said.shows_more(tools=door is Door.CHAT), sent
        return
    made = orjson.loads(sent.body)
    # The types of most SDKs are those of a plain call. To hosts of OpenAI's dialect thoughts go beyond its types.
    if not said.stream and (wire.reads_requests or (door is not Door.CHAT and not said.thoughts)):
        wire.answers.validate(made)
    if wire.name in SHAPES and (wire.reads_requests or door is not Door.CHAT):
        SHAPES[wire.name](made)
    text = orjson.dumps(made).decode()
    found = list(dict.fromkeys(_MARKED.findall(text)))
    later = set() if door is Door.MESSAGES else said.later  # There it has no place.
    lost = {*said.system, *said.order, *said.thoughts, *later} - {*found}
    if lost & said.thoughts:
        assert sent.left_out, f"{lost} went lost"
        lost -= said.thoughts
    assert not lost
    assert {picture for picture in said.pictures if picture not in text} == set()
    # What a tool gave may be shown behind the results of its neighbours.
    assert [mark for mark in found if mark in said.order] == said.order
    assert ("§place" in text) or not said.schema


# And back: what a model answers, in the words of the other doors.

_ASKED: Mapping[Door, Body] = {
    Door.MESSAGES: {"max_tokens": 4_000, "messages": [{"role": "user", "content": "Hello"}]},
    Door.RESPONSES: {"store": False, "input": "Hello"},
}
_ENDS = {"end_turn": "stop", "tool_use": "tool_calls", "max_tokens": "length", "refusal": "content_filter"}
_INCOMPLETE = {"max_output_tokens": "length", "content_filter": "content_filter"}


def of_message(message: Body) -> Said:
    blocks = message["content"]
    thoughts = [block for block in blocks if block["type"] == "thinking"]
    usage = message["usage"]
    read, written = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
    return Said(
        "".join(block["text"] for block in blocks if block["type"] == "text"),
        "".join(block["thinking"] for block in thoughts),
        "".join(block["signature"] for block in thoughts if block["signature"] != UNSIGNED),
        tuple(ToolCall(b["id"], b["name"], b["input"]) for b in blocks if b["type"] == "tool_use"),
        _ENDS[message["stop_reason"]],
        counts=Counts(usage["input_tokens"] + read + written, usage["output_tokens"]),
    )


def of_response(response: Body) -> Said:
    items = response["output"]
    thoughts = [item for item in items if item["type"] == "reasoning"]
    calls = tuple(
        ToolCall(item["call_id"], item["name"], orjson.loads(item["arguments"]))
        for item in items
        if item["type"] == "function_call"
    )
    parts = [part for item in items if item["type"] == "message" for part in item["content"]]
    ended = "tool_calls" if calls else "stop"
    if response["status"] == "incomplete":
        ended = _INCOMPLETE[response["incomplete_details"]["reason"]]
    usage = response["usage"]
    return Said(
        "".join(part.get("text", "") for part in parts),
        "".join(part["text"] for item in thoughts for part in item["content"]),
        "sealed" if any(item["encrypted_content"] != UNSIGNED for item in thoughts) else "",
        calls,
        ended,
        counts=Counts(usage["input_tokens"], usage["output_tokens"]),
    )


def put_together(door: Door, events: bytes) -> Body:
    told = [orjson.loads(frame.split(b"data: ", 1)[1]) for frame in events.split(b"\n\n") if b"data: " in frame]
    if door is Door.RESPONSES:
        assert told[-1]["type"] in ("response.completed", "response.incomplete")
        deltas = "".join(event["delta"] for event in told if event["type"] == "response.output_text.delta")
        response: Body = told[-1]["response"]
        assert deltas == of_response(response).text
        return response
    assert told[-1]["type"] == "message_stop"
    blocks: list[Body] = []
    for event in told:
        if event["type"] == "content_block_start":
            assert event["index"] == len(blocks)
            blocks.append({**event["content_block"], "json": ""})
        elif event["type"] == "content_block_delta":
            for name, more in event["delta"].items():
                held = {"partial_json": "json"}.get(name, name)
                if held != "type":
                    blocks[event["index"]][held] = blocks[event["index"]].get(held, "") + more
    for block in blocks:
        if block["type"] == "tool_use":
            block["input"] = orjson.loads(block["json"] or "{}")
    (end,) = [event for event in told if event["type"] == "message_delta"]
    return {"content": blocks, "stop_reason": end["delta"]["stop_reason"], "usage": end["usage"]}


READ: Mapping[Door, Any] = {Door.MESSAGES: of_message, Door.RESPONSES: of_response}


@every_wire
@pytest.mark.parametrize("door", _ASKED)
@pytest.mark.parametrize("piece", [None, 1, 7, 10_000])
def test_every_answer_comes_to_every_door(wire: Wire, door: Door, piece: int | None) -> None:
    for name, said in ANSWERS.items():
        if name in wire.unsaid:
            continue
        call, adapter, place = through(wire, door, _ASKED[door], stream=piece is not None)
        adapter.request(call, place, wire.key, {}, wire.model)
        if piece is None:
            answer, _ = adapter.answer(call, wire.answers.whole(said))
            whole = orjson.loads(answer)
        else:
            reader = adapter.stream(call)
            data = b"".join(wire.answers.frames(said))
            events = b"".join([reader.feed(data[at : at + piece]) for at in range(0, len(data), piece)]) + reader.end()
            whole = put_together(door, events)
        signature = wire.mark + said.signature if said.signature else ""
        if door is Door.RESPONSES and signature:
            signature = "sealed"
        counts = Counts(said.counts.input, said.counts.output)
        assert READ[door](whole) == replace(said, signature=signature, counts=counts), name
