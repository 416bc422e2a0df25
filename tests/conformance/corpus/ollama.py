"""Ollama's own wire, after its documentation: JSON by the line."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from ollama import ChatResponse, Options
from ollama._types import ChatRequest, EmbedRequest

from gateway.providers.registry import adapters, built_in_rows
from gateway.view.plan import place_of
from tests.conformance.corpus.said import Said
from tests.conformance.corpus.wire import Wire

_STATUSES = {"auth": 401, "permission": 403, "not found": 404, "rate limit": 429, "overloaded": 503, "server": 500}
_HEAD = {"model": "llama-1", "created_at": "2025-06-15T15:06:40.123456Z"}
_OPTIONS = {"temperature": "temperature", "top_p": "top_p", "stop": "stop", "num_predict": "max_completion_tokens"}


class _Answers:
    def validate(self, sent: dict[str, Any]) -> None:
        assert sent.keys() <= ChatRequest.model_fields.keys()
        ChatRequest.model_validate(sent)
        assert sent.get("options", {}).keys() <= Options.model_fields.keys()
        Options.model_validate(sent.get("options", {}))

    def whole(self, said: Said) -> bytes:
        message = {"role": "assistant", "content": said.text, **_thinking(said.thought), **_calls(said)}
        return _line({"message": message, **_end(said)}).rstrip()

    def frames(self, said: Said, cut: int = 3) -> list[bytes]:
        return [_line(event) for event in _events(said, cut)]

    def at_once(self, said: Said) -> list[bytes]:
        return [_line(_piece({"content": said.text, **_calls(said)})), _line({**_piece({}), **_end(said)})]

    def error(self, kind: str, why: str) -> tuple[int, Mapping[str, str], bytes] | None:
        if kind == "filtered":
            return None
        why = f"the input length exceeds the context length: {why}" if kind == "too long" else why
        return _STATUSES.get(kind, 400), {"content-type": "application/json"}, orjson.dumps({"error": why})

    def error_frame(self, why: str) -> bytes:
        return orjson.dumps({"error": why}) + b"\n"

    def back(self, sent: dict[str, Any]) -> dict[str, Any]:
        chat = {**sent, "messages": [_said(message) for message in sent["messages"]]}
        return chat | {_OPTIONS[name]: value for name, value in sent.get("options", {}).items()}


def _said(message: dict[str, Any]) -> dict[str, Any]:
    if message["role"] == "assistant":
        calls = [_called(call) for call in message.get("tool_calls", ())]
        return {"role": "assistant", "content": message["content"] or None, "tool_calls": calls or None}
    pictures = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
        for data in message.get("images", ())
    ]
    # A result names its call; the tool's name beside it is Ollama's own, as is where pictures stand.
    said = {name: value for name, value in message.items() if name not in ("tool_name", "images")}
    if not pictures:
        return said
    texts = [{"type": "text", "text": message["content"]}] if message["content"] else []
    return {**said, "content": [*texts, *pictures]}


def _called(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    arguments = orjson.dumps(function["arguments"]).decode()
    return {"id": call["id"], "type": "function", "function": {"name": function["name"], "arguments": arguments}}


def _thinking(thought: str) -> dict[str, Any]:
    return {"thinking": thought} if thought else {}


def _calls(said: Said) -> dict[str, Any]:
    calls = [{"id": call.id, "function": {"name": call.name, "arguments": call.input}} for call in said.calls]
    return {"tool_calls": calls} if calls else {}


def _end(said: Said) -> dict[str, Any]:
    return {
        "done": True,
        "done_reason": said.word or {"tool_calls": "stop"}.get(said.finish, said.finish),
        "total_duration": 5_000_000,
        "prompt_eval_count": said.counts.input,
        "eval_count": said.counts.output,
    }


def _events(said: Said, cut: int) -> Iterator[dict[str, Any]]:
    yield _piece({})
    for at in range(0, len(said.thought), cut):
        yield _piece(_thinking(said.thought[at : at + cut]))
    for at in range(0, len(said.text), cut):
        yield _piece({"content": said.text[at : at + cut]})
    for call in _calls(said).get("tool_calls", ()):
        yield _piece({"tool_calls": [call]})
    yield {**_piece({}), **_end(said)}


def _piece(message: dict[str, Any]) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": "", **message}, "done": False}


def _line(event: dict[str, Any]) -> bytes:
    ChatResponse.model_validate({**_HEAD, **event})
    return orjson.dumps({**_HEAD, **event}) + b"\n"


class _Embeddings:
    model = "embed-1"
    cannot: Mapping[str, str] = {"tokens": "/input"}

    def validate(self, sent: dict[str, Any]) -> None:
        assert sent.keys() <= EmbedRequest.model_fields.keys()
        EmbedRequest.model_validate(sent)

    def answer(self, sent: dict[str, Any]) -> bytes:
        vectors = [[0.5, -0.25, 1.0] for _ in sent["input"]]
        return orjson.dumps({"model": sent["model"], "embeddings": vectors, "prompt_eval_count": 7})


WIRE = Wire(
    "ollama",
    adapters()["ollama"],
    place_of(built_in_rows()["ollama"]),
    None,
    _Answers(),
    cannot={
        "begun answer": "/messages/1/prefix",
        "tool choice required": "/tool_choice",
        "tool choice none": "/tool_choice",
        "tool choice by name": "/tool_choice",
        "one tool at a time": "/parallel_tool_calls",
        "vision, address": "/messages/0/content/0/image_url/url",
        "document": "/messages/0/content/0/type",
        "sound": "/messages/0/content/0/type",
        "several answers": "/n",
        "logit bias": "/logit_bias",
        "made up field": "/zzz_param",
    },
    left_out={
        "end user": frozenset({"user"}),
        "strict tool": frozenset({"strict"}),
        "thoughts of before": frozenset({"signature"}),
        "thoughts of before, another's": frozenset({"signature"}),
    },
    unsaid=frozenset(
        {
            "thought, signed",
            "thought, text and tools",
            "refused",
            "cached",
            "read from a cache",
            "reasoned",
            "heard and spoken",
        }
    ),
    line_ends=(b"\n", b"\r\n"),
    overloaded=502,
    embeddings=_Embeddings(),
    stream_type="application/x-ndjson",
    one_text=True,
    ends={"stop": "stop", "length": "length"},
)
