"""What is held of each adapter, case by case. Used by the tests, and by what writes `docs/providers.md`."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import orjson

from gateway.providers.base import BrokenAnswer, Call, Door, Translated, Untranslatable, Usage
from tests.conformance.corpus.cases import ANSWERS, EMBEDDED, ERRORS, REQUESTS, arrived, marks
from tests.conformance.corpus.said import Counts, Said, seen_stream, seen_whole
from tests.conformance.corpus.wire import Wire

CREATED_S = 1_750_000_000
WHY = "§why it failed"
_RATHER_LONG = 2_000


def chat_call(body: dict[str, Any], *, stream: bool = False, model: str = "model-1") -> Call:
    body = {"model": model, **body, **({"stream": True, "stream_options": {"include_usage": True}} if stream else {})}
    return Call(Door.CHAT, orjson.dumps(body), body, stream=stream, created_s=CREATED_S)


ASKED = chat_call({"messages": [{"role": "user", "content": "Hello"}]})
STREAMED = chat_call({"messages": [{"role": "user", "content": "Hello"}]}, stream=True)


def asked(wire: Wire, call: Call) -> Translated:
    return wire.adapter.request(call, wire.place, wire.key, {}, call.body["model"])


def _tried(wire: Wire, call: Call) -> Translated | Untranslatable:
    try:
        return asked(wire, call)
    except Untranslatable as error:
        return error


def _is_refused_at(refusal: Untranslatable, pointer: str | None) -> None:
    assert refusal.pointer == pointer, f"refused at {refusal.pointer}: {refusal}"
    assert refusal.unsupported, f"{refusal}: it is right, and cannot be said"
    assert refusal.pointer in str(refusal)


def request(wire: Wire, name: str) -> str:
    """`said`, `refused` or `left out`: what became of a request. Raises AssertionError for anything silent."""
    body = _signed(wire, REQUESTS[name])
    translated = _tried(wire, chat_call(body, model=wire.model))
    if isinstance(translated, Untranslatable):
        _is_refused_at(translated, wire.cannot.get(name))
        return "refused"
    assert name not in wire.cannot, f"{name}: not refused"
    assert translated.left_out == wire.left_out.get(name, frozenset())
    sent = orjson.loads(translated.body)
    lost = {mark for mark in marks(body) if not arrived(mark, sent)}
    lost -= _named_in(body, translated.left_out)
    assert not lost, f"{name}: {lost} went lost"
    wire.answers.validate(sent)
    return "left out" if translated.left_out else "said"


def _signed(wire: Wire, body: dict[str, Any]) -> dict[str, Any]:
    """With the provider's own signature where there is one."""
    signed: dict[str, Any] = orjson.loads(orjson.dumps(body).replace('"§sig"'.encode(), f'"{wire.mark}§sig"'.encode()))
    return signed


def _seen(wire: Wire, said: Said) -> Said:
    """What callers see of it."""
    return replace(said, signature=wire.mark + said.signature) if said.signature else said


def _named_in(value: Any, names: frozenset[str]) -> set[str | float]:
    """What of a request has to arrive, and stands under one of these names."""
    if isinstance(value, list):
        return {mark for inner in value for mark in _named_in(inner, names)}
    if not isinstance(value, dict):
        return set()
    inside = {mark for inner in value.values() for mark in _named_in(inner, names)}
    of_names = {name: inner for name, inner in value.items() if name in names}
    return inside | marks(of_names) | ({"strict"} if of_names.get("strict") else set())


def whole(wire: Wire, name: str) -> None:
    said = ANSWERS[name]
    body, usage = wire.adapter.answer(ASKED, wire.answers.whole(said))
    chat = orjson.loads(body)
    assert replace(seen_whole(chat), counts=said.counts) == _seen(wire, said)
    assert counts(usage) == said.counts
    assert _told(chat["usage"]) == said.counts
    assert chat["usage"]["total_tokens"] == said.counts.input + said.counts.output


def stream(wire: Wire, said: Said, pieces: Iterable[bytes]) -> None:
    reader = wire.adapter.stream(STREAMED)
    events = b"".join([reader.feed(piece) for piece in pieces]) + reader.end()
    assert replace(seen_stream(events), counts=said.counts) == _seen(wire, said)
    assert counts(reader.usage) == said.counts
    assert reader.complete
    assert reader.failure is None
    plain = events.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    told = [frame for frame in plain.split(b"\n\n") if b'"usage":{' in frame.replace(b" ", b"")]
    assert told, "a caller who asks for the usage is told it"
    assert _told(orjson.loads(told[-1].removeprefix(b"data: "))["usage"]) == said.counts


def _told(usage: dict[str, Any]) -> Counts:
    """What a client reads."""
    read, written = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    return Counts(
        usage["prompt_tokens"],
        usage["completion_tokens"],
        read.get("cached_tokens"),
        read.get("cache_write_tokens"),
        written.get("reasoning_tokens"),
        read.get("audio_tokens"),
        written.get("audio_tokens"),
    )


def ends(wire: Wire) -> None:
    """Each of the provider's words for why an answer ended, whole and as a stream."""
    for word, finish in wire.ends.items():
        said = Said("Hello there.", finish=finish, word=word)
        body, _ = wire.adapter.answer(ASKED, wire.answers.whole(said))
        assert orjson.loads(body)["choices"][0]["finish_reason"] == finish, word
        stream(wire, replace(said, word=""), wire.answers.frames(said))


def at_once(wire: Wire) -> None:
    """Text and calls in one frame."""
    for name in ("text, then a tool", "tools in parallel"):
        said = ANSWERS[name]
        frames = wire.answers.at_once(said)
        if frames is None:
            return
        data = b"".join(frames)
        for pieces in ([data], frames, [data[at : at + 1] for at in range(len(data))]):
            stream(wire, said, pieces)


def streams(wire: Wire, name: str) -> None:
    """Whole, byte by byte, cut in two at every place, and with every line end."""
    said = ANSWERS[name]
    data = b"".join(wire.answers.frames(said))
    stream(wire, said, [data])
    stream(wire, said, [data[at : at + 1] for at in range(len(data))])
    if len(data) > _RATHER_LONG * 10:
        return
    step = 1 if len(data) < _RATHER_LONG else 97
    for at in range(0, len(data), step):
        stream(wire, said, [data[:at], data[at:]])
    for line_end in wire.line_ends:
        other = data.replace(b"\n", line_end)
        stream(wire, said, [other])
        stream(wire, said, [other[at : at + 1] for at in range(len(other))])


def cut(wire: Wire, name: str) -> None:
    """A stream that ends too early is never taken for a whole one, wherever it ends."""
    frames = wire.answers.frames(ANSWERS[name], cut=40)
    data = b"".join(frames)
    ends = {sum(map(len, frames[:count])) for count in range(len(frames))} | set(range(0, len(data), 13))
    for end in ends:
        reader = wire.adapter.stream(STREAMED)
        try:
            events = reader.feed(data[:end]) + reader.end()
        except BrokenAnswer:
            assert not reader.complete
            continue
        # A host may leave out its stream's last word; what it said must be whole then.
        assert seen_stream(events).finish == ANSWERS[name].finish


def broken(wire: Wire) -> None:
    """A whole answer that is cut or is something else is none."""
    body = wire.answers.whole(ANSWERS["thought, text and tools"])
    for bad in (b"", b"<html>", body[:-1], body[: len(body) // 2], b"[]", b"null", b'"text"'):
        try:
            wire.adapter.answer(ASKED, bad)
        except BrokenAnswer:
            continue
        raise AssertionError(f"taken for an answer: {bad[:40]!r}")


def error(wire: Wire, kind: str) -> bool:
    """False: the provider does not fail so."""
    failed = wire.answers.error(kind, WHY)
    if failed is None:
        return False
    status, headers, body = failed
    shaped = orjson.loads(wire.adapter.error("acme", status, headers, body))
    assert shaped["provider"] == "acme"
    assert WHY in shaped["error"]["message"]
    assert {"message", "type", "param", "code"} <= shaped["error"].keys()
    assert 400 <= status < 600
    assert wire.adapter.retry_after_s(body) == (wire.limited_s if kind == "rate limit" else None)
    if kind == "too long":
        assert shaped["error"]["code"] == "context_length_exceeded", "clients make room when they read this word"
    assert kind in ERRORS
    return True


def page(wire: Wire) -> None:
    html = b"<html><body>Bad gateway</body></html>"
    shaped = orjson.loads(wire.adapter.error("acme", 502, {"content-type": "text/html"}, html))
    assert shaped["html-message"] == html.decode()
    for body in (b"", b"[]", b"null", b'{"error":', b'{"error": 5}', b"\xff\xfe"):
        assert orjson.loads(wire.adapter.error("acme", 500, {}, body))["error"]["message"]
        assert wire.adapter.retry_after_s(body) is None


def error_in_stream(wire: Wire) -> None:
    said = Said("Hello there.")
    frames = wire.answers.frames(said)
    for count in range(1, len(frames) - 2):
        data = b"".join(frames[:count]) + wire.answers.error_frame(WHY)
        for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
            reader = wire.adapter.stream(STREAMED)
            events = b"".join([reader.feed(piece) for piece in pieces]) + reader.end()
            assert reader.failed
            assert not reader.complete
            assert b"[DONE]" not in events
            assert WHY.encode() in events
            assert reader.failure is not None
            assert reader.failure.status == wire.overloaded
            shaped = wire.adapter.error("acme", reader.failure.status, {}, reader.failure.body)
            assert WHY in orjson.loads(shaped)["error"]["message"]


def begins(wire: Wire) -> None:
    """Until something of the answer itself came, it can be taken back and asked for elsewhere."""
    frames = wire.answers.frames(Said("Hello there."))
    reader = wire.adapter.stream(STREAMED)
    seen = [reader.begun]
    for frame in frames:
        reader.feed(frame)
        seen.append(reader.begun)
    assert seen == sorted(seen)
    assert not seen[1], "the head of a stream says nothing yet"
    assert seen[-1]


def estimated(wire: Wire) -> None:
    """A stream that is left before its usage came is counted from what it said."""
    frames = wire.answers.frames(Said("x" * 400, counts=Counts()), cut=40)
    reader = wire.adapter.stream(STREAMED)
    for frame in frames[: len(frames) - 3]:
        reader.feed(frame)
    assert reader.usage.estimated
    assert reader.usage.output_tokens
    assert 80 <= reader.usage.output_tokens <= 120


def embedded(wire: Wire, name: str) -> str:
    """`said` or `refused`."""
    embeddings = wire.embeddings
    assert embeddings is not None
    body = {"model": embeddings.model, **EMBEDDED[name]}
    call = Call(Door.EMBEDDINGS, orjson.dumps(body), body, stream=False, created_s=CREATED_S)
    translated = _tried(wire, call)
    if isinstance(translated, Untranslatable):
        _is_refused_at(translated, embeddings.cannot.get(name))
        return "refused"
    assert name not in embeddings.cannot
    sent = orjson.loads(translated.body)
    assert all(arrived(mark, sent) for mark in marks(EMBEDDED[name])) or translated.left_out
    embeddings.validate(sent)
    answer, usage = wire.adapter.answer(call, embeddings.answer(sent))
    told = orjson.loads(answer)
    given = EMBEDDED[name]["input"]
    texts = given if isinstance(given, list) and isinstance(given[0], str) else [given]
    assert [row["index"] for row in told["data"]] == list(range(len(texts)))
    for row in told["data"]:
        assert row["object"] == "embedding"
        wanted = "AAAAPwAAgL4AAIA/" if EMBEDDED[name].get("encoding_format") == "base64" else [0.5, -0.25, 1.0]
        assert row["embedding"] == wanted
    assert told["object"] == "list"
    assert told["model"]
    assert usage.input_tokens == 7
    assert usage.output_tokens == 0
    assert told["usage"]["total_tokens"] == 7
    return "left out" if translated.left_out else "said"


def counts(usage: Usage) -> Counts:
    assert not usage.estimated
    assert usage.input_tokens is not None
    assert usage.output_tokens is not None
    return Counts(
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        usage.audio_input_tokens,
        usage.audio_output_tokens,
    )
