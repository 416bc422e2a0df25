"""Whatever a host answers, an adapter answers a chat, or says that there is none. Nothing else is raised."""

import json
import re
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.providers.base import BrokenAnswer, Call, Door, Untranslatable
from gateway.providers.bedrock.event_stream import FrameReader
from tests.conformance.corpus.bedrock import frame
from tests.conformance.corpus.cases import ANSWERS
from tests.conformance.corpus.checks import ASKED, STREAMED
from tests.conformance.corpus.wire import Wire
from tests.conformance.corpus.wires import WIRES
from tests.gateway.odd import TOO_DEEP, everywhere

NATIVE = [wire for wire in WIRES if wire.name not in ("openai", "azure")]
"""Those that translate: of a host that speaks a caller's own dialect bytes pass."""
every_wire = pytest.mark.parametrize("wire", NATIVE, ids=[wire.name for wire in NATIVE])
EVENTS = ("messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata")
# Deeper than what orjson writes, though it reads it.
DEEP: Any = orjson.loads(b'{"a":' * 400 + b"1" + b"}" * 400)


def vocabulary(wire: Wire) -> list[str]:
    """The names that its answers are made of."""
    text = b"".join(wire.answers.frames(ANSWERS["thought, text and tools"])) + wire.answers.whole(
        ANSWERS["thought, text and tools"]
    )
    return sorted({name.decode() for name in re.findall(rb'"([A-Za-z_]{2,30})"', text)})


def anything(wire: Wire) -> st.SearchStrategy[Any]:
    words = st.sampled_from(vocabulary(wire))
    leaf = st.none() | st.booleans() | st.integers(-5, 5) | words | st.text(max_size=3) | st.just(DEEP)
    return st.recursive(leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4))


@every_wire
@given(data=st.data())
@settings(deadline=None, max_examples=150)
def test_a_whole_answer_of_anything(wire: Wire, data: st.DataObject) -> None:
    proper = orjson.loads(wire.answers.whole(ANSWERS["thought, text and tools"]))
    body = _disturbed(proper, data, anything(wire))
    try:
        chat, usage = wire.adapter.answer(ASKED, json.dumps(body).encode())
    except BrokenAnswer:
        return
    assert orjson.loads(chat)["choices"][0]["finish_reason"]
    assert usage.input_tokens is not None


@pytest.mark.parametrize("said", [True, 1, "word", {"a": 1}])
@pytest.mark.parametrize(("name", "place"), [("cohere", "content"), ("cohere", "tool_calls"), ("gemini", "parts")])
def test_what_should_be_a_list_and_is_none_is_broken(name: str, place: str, said: Any) -> None:
    wire = next(wire for wire in NATIVE if wire.name == name)
    body = {"message": {place: said}, "candidates": [{"content": {place: said}}]}
    with pytest.raises(BrokenAnswer):
        wire.adapter.answer(ASKED, orjson.dumps(body))


@every_wire
@given(data=st.data())
@settings(deadline=None, max_examples=150)
def test_a_stream_with_anything_in_it(wire: Wire, data: st.DataObject) -> None:
    frames = wire.answers.frames(ANSWERS["thought, text and tools"])
    at = data.draw(st.integers(0, len(frames) - 1))
    frames[at] = _frame(wire, data.draw(anything(wire)), data, frames[at])
    reader = wire.adapter.stream(STREAMED)
    try:
        events = b"".join([reader.feed(frame) for frame in frames]) + reader.end()
    except BrokenAnswer:
        return
    for line in events.split(b"\n\n"):
        assert line in (b"", b"data: [DONE]") or isinstance(orjson.loads(line.removeprefix(b"data: ")), dict)


@every_wire
@given(body=st.binary(max_size=40), status=st.integers(400, 599), kind=st.text("abcException:/#", max_size=12))
@settings(deadline=None, max_examples=60)
def test_an_error_of_anything(wire: Wire, body: bytes, status: int, kind: str) -> None:
    for said in (body, orjson.dumps({"error": {"message": kind}}), b'{"error":' + b'{"a":' * 300 + b"1" + b"}" * 301):
        shaped = orjson.loads(wire.adapter.error("acme", status, {"x-amzn-errortype": kind}, said))
        assert shaped["error"]["message"]


@every_wire
@pytest.mark.parametrize("odd", TOO_DEEP.values(), ids=TOO_DEEP)
def test_what_is_nested_deeper_than_python_writes_is_no_fault_of_ours(wire: Wire, odd: bytes) -> None:
    """At any place of an answer, of a stream's event, or of an error, in the middle of a stream too."""
    said = ANSWERS["thought, text and tools"]
    for whole in everywhere(orjson.loads(wire.answers.whole(said)), odd):
        with suppress(BrokenAnswer):
            wire.adapter.answer(ASKED, whole)
    frames = wire.answers.frames(said, cut=40)
    for at, framed in enumerate([*frames, wire.answers.error_frame("why")]):
        for event in everywhere(_said_in(wire, framed), odd):
            reader = wire.adapter.stream(STREAMED)
            with suppress(BrokenAnswer):
                for one in [*frames[:at], _framed_like(wire, framed, event), *frames[at + 1 :]]:
                    reader.feed(one)
                reader.end()
    for kind in ("too long", "invalid"):
        failed = wire.answers.error(kind, "why")
        assert failed is not None
        status, headers, body = failed
        for error in everywhere(orjson.loads(body), odd):
            assert isinstance(orjson.loads(wire.adapter.error("acme", status, headers, error))["error"]["message"], str)


@pytest.mark.parametrize("rivals", [True, 5, "x"])
def test_rivals_of_a_token_that_are_no_list_are_none(rivals: Any) -> None:
    result = {"chosenCandidates": [{"token": "Hi"}], "topCandidates": [{"candidates": rivals}]}
    candidate = {"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP", "logprobsResult": result}
    wire = next(wire for wire in NATIVE if wire.name == "gemini")
    chat, _ = wire.adapter.answer(ASKED, orjson.dumps({"candidates": [candidate]}))
    assert orjson.loads(chat)["choices"][0]["logprobs"]["content"][0]["top_logprobs"] == []


@pytest.mark.parametrize("wire", [wire for wire in NATIVE if wire.embeddings], ids=lambda wire: wire.name)
@pytest.mark.parametrize("odd", [b"1e300", b'"x"', *TOO_DEEP.values()], ids=["large", "text", *TOO_DEEP])
@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_embeddings_of_anything(wire: Wire, odd: bytes, encoding: str) -> None:
    assert wire.embeddings is not None
    body = {"model": wire.embeddings.model, "input": "x", "encoding_format": encoding}
    call = Call(Door.EMBEDDINGS, orjson.dumps(body), body, stream=False)
    asked = orjson.loads(wire.adapter.request(call, wire.place, wire.key, {}, wire.embeddings.model).body)
    for answer in everywhere(orjson.loads(wire.embeddings.answer(asked)), odd):
        with suppress(BrokenAnswer):
            wire.adapter.answer(call, answer)


@every_wire
def test_what_is_nested_too_deep_is_refused_either_way(wire: Wire) -> None:
    body = {"model": wire.model, "messages": [{"role": "user", "content": "x"}], "tools": [_deep_tool()]}
    with pytest.raises(Untranslatable, match="too deep"):
        wire.adapter.request(Call(Door.CHAT, b"", body, stream=False), wire.place, wire.key, {}, wire.model)


def _deep_tool() -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "parameters": DEEP}}


def _disturbed(value: Any, data: st.DataObject, other: st.SearchStrategy[Any]) -> Any:
    """With something else at one place of it."""
    if isinstance(value, dict) and value and data.draw(st.integers(0, 3)):
        name = data.draw(st.sampled_from(sorted(value)))
        return {**value, name: _disturbed(value[name], data, other)}
    if isinstance(value, list) and value and data.draw(st.integers(0, 3)):
        at = data.draw(st.integers(0, len(value) - 1))
        return [*value[:at], _disturbed(value[at], data, other), *value[at + 1 :]]
    return data.draw(other)


def _said_in(wire: Wire, framed: bytes) -> Any:
    if wire.stream_type == "application/x-ndjson":
        return orjson.loads(framed)
    if wire.stream_type != "text/event-stream":
        return orjson.loads(FrameReader().feed(framed)[0].payload)
    told = framed.partition(b"data: ")[2].strip()
    return {} if told == b"[DONE]" else orjson.loads(told)


def _framed_like(wire: Wire, framed: bytes, said: bytes) -> bytes:
    if wire.stream_type == "application/x-ndjson":
        return said + b"\n"
    if wire.stream_type != "text/event-stream":
        return frame(FrameReader().feed(framed)[0].headers, said)
    return framed.partition(b"data: ")[0] + b"data: %b\n\n" % said


def _frame(wire: Wire, said: Any, data: st.DataObject, instead_of: bytes) -> bytes:
    if wire.stream_type == "application/x-ndjson":
        return json.dumps(said).encode() + b"\n"
    if wire.stream_type != "text/event-stream":
        name = data.draw(st.sampled_from(EVENTS))
        return frame({":event-type": name, ":message-type": "event"}, json.dumps(said).encode())
    told = instead_of.partition(b"data: ")[2].strip()
    kind = None if told == b"[DONE]" else orjson.loads(told).get("type")
    if isinstance(said, dict) and kind is not None:
        said = {**said, "type": kind}
    return b"data: %b\n\n" % json.dumps(said).encode()
