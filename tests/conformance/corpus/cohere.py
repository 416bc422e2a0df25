"""Cohere's v2 wire, after its documentation."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from cohere import ClientV2
from cohere.types import ChatMessageV2, ResponseFormatV2, Thinking, ToolV2
from pydantic import TypeAdapter

from gateway.providers.registry import adapters, built_in_rows
from gateway.view.plan import place_of
from shared.crypto.secret import Secret
from tests.conformance.corpus.said import Said
from tests.conformance.corpus.typed import nothing_extra
from tests.conformance.corpus.wire import Wire

_STOP = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL"}
_STATUSES = {"auth": 401, "permission": 403, "not found": 404, "rate limit": 429, "overloaded": 503, "server": 500}
_KNOWN = frozenset(inspect.signature(ClientV2.chat).parameters) | {"stream"}
_EMBED_KNOWN = frozenset(inspect.signature(ClientV2.embed).parameters)
_MESSAGE: TypeAdapter[Any] = TypeAdapter(ChatMessageV2)
_TOOL: TypeAdapter[Any] = TypeAdapter(ToolV2)
_FORM: TypeAdapter[Any] = TypeAdapter(ResponseFormatV2)
_THINKING: TypeAdapter[Any] = TypeAdapter(Thinking)


class _Answers:
    def validate(self, sent: dict[str, Any]) -> None:
        assert sent.keys() <= _KNOWN
        for message in sent["messages"]:
            nothing_extra(_MESSAGE.validate_python(message))
        for tool in sent.get("tools", ()):
            nothing_extra(_TOOL.validate_python(tool))
        assert sent.get("tool_choice", "NONE") in ("NONE", "REQUIRED")
        if "response_format" in sent:
            nothing_extra(_FORM.validate_python(sent["response_format"]))
        if "thinking" in sent:
            nothing_extra(_THINKING.validate_python(sent["thinking"]))

    def whole(self, said: Said) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "content": list(_content(said))}
        if said.calls:
            message["tool_calls"] = [_call(call, call.arguments if call.input else "") for call in said.calls]
        answer = {
            "id": "c1",
            "finish_reason": said.word or _STOP[said.finish],
            "message": message,
            "usage": _usage(said),
        }
        return orjson.dumps(answer)

    def frames(self, said: Said, cut: int = 3) -> list[bytes]:
        return [_frame(event) for event in _events(said, cut)]

    def at_once(self, said: Said) -> None:
        pass

    def error(self, kind: str, why: str) -> tuple[int, Mapping[str, str], bytes] | None:
        if kind == "filtered":
            return None
        why = f"too many tokens: size limit exceeded by 9 tokens. {why}" if kind == "too long" else why
        return _STATUSES.get(kind, 400), {"content-type": "application/json"}, orjson.dumps({"message": why})

    def error_frame(self, why: str) -> bytes:
        return _frame({"type": "message-end", "delta": {"finish_reason": "ERROR", "error": why}})

    def back(self, sent: dict[str, Any]) -> dict[str, Any]:
        chat = {**sent, "messages": [_said(message) for message in sent["messages"]]}
        for own, name in (("p", "top_p"), ("stop_sequences", "stop")):
            if own in chat:
                chat[name] = chat.pop(own)
        if "tool_choice" in chat:
            chat["tool_choice"] = {"NONE": "none", "REQUIRED": "required"}[chat["tool_choice"]]
        return chat


def _said(message: dict[str, Any]) -> dict[str, Any]:
    return {"content": None, **message} if message["role"] == "assistant" else message


def _content(said: Said) -> Iterator[dict[str, Any]]:
    if said.thought:
        yield {"type": "thinking", "thinking": said.thought}
    if said.text:
        yield {"type": "text", "text": said.text}


def _call(call: Any, arguments: str) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _usage(said: Said) -> dict[str, Any]:
    counts = {"input_tokens": said.counts.input, "output_tokens": said.counts.output}
    usage: dict[str, Any] = {"billed_units": counts, "tokens": {"input_tokens": 999, "output_tokens": 99}}
    return usage if said.counts.cache_read is None else {**usage, "cached_tokens": said.counts.cache_read}


def _events(said: Said, cut: int) -> Iterator[dict[str, Any]]:
    start = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    yield {"type": "message-start", "id": "c1", "delta": {"message": start}}
    for index, part in enumerate(_content(said)):
        kind = part["type"]
        begun = {"content": {"type": kind, kind: ""}}
        yield {"type": "content-start", "index": index, "delta": {"message": begun}}
        for at in range(0, len(part[kind]), cut):
            piece = {"content": {kind: part[kind][at : at + cut]}}
            yield {"type": "content-delta", "index": index, "delta": {"message": piece}}
        yield {"type": "content-end", "index": index}
    for index, call in enumerate(said.calls):
        yield {"type": "tool-call-start", "index": index, "delta": {"message": {"tool_calls": _call(call, "")}}}
        arguments = call.arguments if call.input else ""
        for at in range(0, len(arguments), cut):
            piece = {"tool_calls": {"function": {"arguments": arguments[at : at + cut]}}}
            yield {"type": "tool-call-delta", "index": index, "delta": {"message": piece}}
        yield {"type": "tool-call-end", "index": index}
    yield {"type": "message-end", "delta": {"finish_reason": said.word or _STOP[said.finish], "usage": _usage(said)}}


def _frame(event: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), orjson.dumps(event))


class _Embeddings:
    model = "embed-1"
    cannot: Mapping[str, str] = {"tokens": "/input"}

    def validate(self, sent: dict[str, Any]) -> None:
        assert sent.keys() <= _EMBED_KNOWN

    def answer(self, sent: dict[str, Any]) -> bytes:
        vectors = [[0.5, -0.25, 1.0] for _ in sent["texts"]]
        meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 7.0}}
        return orjson.dumps({"id": "e1", "embeddings": {"float": vectors}, "texts": sent["texts"], "meta": meta})


WIRE = Wire(
    "cohere",
    adapters()["cohere"],
    place_of(built_in_rows()["cohere"]),
    Secret("k"),
    _Answers(),
    cannot={
        "begun answer": "/messages/1/prefix",
        "tool choice by name": "/tool_choice",
        "one tool at a time": "/parallel_tool_calls",
        "document": "/messages/0/content/0/type",
        "sound": "/messages/0/content/0/type",
        "several answers": "/n",
        "logprobs": "/logprobs",
        "logit bias": "/logit_bias",
        "made up field": "/zzz_param",
    },
    left_out={
        "end user": frozenset({"user"}),
        "thoughts of before": frozenset({"signature"}),
        "thoughts of before, another's": frozenset({"signature"}),
    },
    unsaid=frozenset(
        {"thought, signed", "thought, text and tools", "refused", "cached", "reasoned", "heard and spoken"}
    ),
    overloaded=502,
    embeddings=_Embeddings(),
    ends={"COMPLETE": "stop", "STOP_SEQUENCE": "stop", "MAX_TOKENS": "length"},
)
