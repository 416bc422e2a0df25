"""Answers of a chat, made up: whole, as chunks, and as the bytes of a stream in any framing."""

from dataclasses import dataclass, field
from typing import Any

import orjson
from hypothesis import settings
from hypothesis import strategies as st

from gateway.providers.base import Place
from gateway.upstream.messages import Origin

PLACE = Place(
    "acme",
    Origin("https", "acme.test", 443),
    "/v1",
    b"authorization",
    b"Bearer ",
    stream_usage=True,
    doors=frozenset({"chat"}),
)
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 4}}
JSON = {"content-type": "application/json"}
CHECKED = b"data: %b\n\n" % orjson.dumps(
    {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": [{"prompt_index": 0}]}
)
"""What Azure's streams begin with: nothing of the answer."""
fuzz = settings(deadline=None)
LINE_ENDS = (b"\n", b"\r\n", b"\r")

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
names = st.text("abcdefgh_", min_size=1, max_size=8)
inputs = st.dictionaries(names, st.integers(-(2**63), 2**63) | texts | st.lists(texts, max_size=2), max_size=3)


@dataclass(frozen=True)
class Call:
    id: str
    name: str
    input: dict[str, Any]

    @property
    def arguments(self) -> str:
        return orjson.dumps(self.input).decode()


@dataclass(frozen=True)
class Answer:
    """What a model says: thoughts, then text, then calls of tools."""

    thought: str = ""
    signature: str = ""
    text: str = ""
    calls: list[Call] = field(default_factory=list)
    finish: str = "stop"

    def whole(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": self.text or None}
        if self.signature:
            message["content_blocks"] = [
                {"type": "thinking", "thinking": self.thought, "signature": self.signature},
                {"type": "text", "text": self.text},
            ]
        elif self.thought:
            message["reasoning_content"] = self.thought
        if self.calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in self.calls
            ]
        return self._with([{"index": 0, "message": message, "finish_reason": self.finish}], usage=USAGE)

    def chunks(self, cut: int = 3, turns: list[int] | None = None) -> list[dict[str, Any]]:
        """`turns`: in which order the calls go on, by their places; one that is not named goes on at the end."""
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        for piece in _cut(self.thought, cut):
            if self.signature:
                deltas.append({"content_blocks": [{"index": 0, "delta": {"thinking": piece}}]})
            else:
                deltas.append({"reasoning_content": piece})
        if self.signature:
            deltas.append({"content_blocks": [{"index": 0, "delta": {"signature": self.signature}}]})
        deltas += [{"content": piece} for piece in _cut(self.text, cut)]
        waiting = [_call_deltas(index, call, cut) for index, call in enumerate(self.calls)]
        begun = 0
        for turn in [*(turns or []), *range(len(waiting))] if waiting else []:
            place = min(turn % len(waiting), begun)  # They begin in order, and then take turns.
            begun = max(begun, place + 1)
            deltas += waiting[place][:1]
            del waiting[place][:1]
        for rest in waiting:
            deltas += rest
        chunks = [self._with([{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
        chunks.append(self._with([{"index": 0, "delta": {}, "finish_reason": self.finish}]))
        return [*chunks, self._with([], usage=USAGE)]

    def stream(self, line_end: bytes = b"\n", cut: int = 3, turns: list[int] | None = None) -> bytes:
        frames = [b"data: " + orjson.dumps(chunk) for chunk in self.chunks(cut, turns)]
        return b"".join(frame + line_end * 2 for frame in [*frames, b": a comment", b"data: [DONE]"])

    def _with(self, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1_750_000_000, "model": "acme-chat"}
        return {**head, "choices": choices, **more}


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    calls = [
        Call(f"call_{place}", name, input_)
        for place, (name, input_) in enumerate(draw(st.lists(st.tuples(names, inputs), max_size=3)))
    ]
    thought = draw(st.just("") | texts)
    finishes = ["length", "content_filter", "tool_calls"] if calls else ["length", "content_filter", "stop"]
    return Answer(
        thought,
        draw(st.just("") | names) if thought else "",
        draw(st.just("") | texts),
        calls,
        draw(st.sampled_from(finishes)),
    )


def _call_deltas(index: int, call: Call, cut: int) -> list[dict[str, Any]]:
    first = {"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
    pieces = _cut(call.arguments, cut)
    return [
        {"tool_calls": [first]},
        *({"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in pieces),
    ]


def _cut(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]
