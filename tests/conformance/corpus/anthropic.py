"""The Messages API's wire, after Anthropic's documentation of it."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from pydantic import TypeAdapter

from gateway.dialects.messages.request import to_chat
from gateway.providers.registry import adapters, built_in_rows
from gateway.view.plan import place_of
from shared.crypto.secret import Secret
from tests.conformance.corpus.said import Said
from tests.conformance.corpus.typed import require
from tests.conformance.corpus.wire import Wire

_PARAMS: TypeAdapter[Any] = TypeAdapter(MessageCreateParamsNonStreaming)
_STOP = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_ERRORS = {
    "auth": (401, "authentication_error"),
    "permission": (403, "permission_error"),
    "not found": (404, "not_found_error"),
    "rate limit": (429, "rate_limit_error"),
    "overloaded": (529, "overloaded_error"),
    "too long": (400, "invalid_request_error"),
    "invalid": (400, "invalid_request_error"),
    "server": (500, "api_error"),
}
_PLACE = place_of(built_in_rows()["anthropic"])


class _Answers:
    def validate(self, sent: dict[str, Any]) -> None:
        # Models before those of this SDK take them still.
        require(_PARAMS, {name: value for name, value in sent.items() if name not in ("temperature", "top_p", "top_k")})

    def whole(self, said: Said) -> bytes:
        return orjson.dumps({**_head(), "content": _blocks(said), **_stopped(said), "usage": _usage(said, at_end=True)})

    def frames(self, said: Said, cut: int = 3) -> list[bytes]:
        return [_frame(event) for event in _events(said, cut)]

    def at_once(self, said: Said) -> None:
        pass

    def error(self, kind: str, why: str) -> tuple[int, Mapping[str, str], bytes] | None:
        if kind not in _ERRORS:
            return None
        status, type_ = _ERRORS[kind]
        why = f"prompt is too long: 9 tokens > 8 maximum, {why}" if kind == "too long" else why
        error = {"type": "error", "error": {"type": type_, "message": why}, "request_id": "req_1"}
        return status, {"content-type": "application/json"}, orjson.dumps(error)

    def error_frame(self, why: str) -> bytes:
        return _frame({"type": "error", "error": {"type": "overloaded_error", "message": why}})

    def back(self, sent: dict[str, Any]) -> dict[str, Any]:
        return to_chat(sent, _PLACE).body


def _head() -> dict[str, Any]:
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-1"}


def _stopped(said: Said) -> dict[str, Any]:
    return {"stop_reason": said.word or _STOP[said.finish], "stop_sequence": None}


def _usage(said: Said, *, at_end: bool) -> dict[str, Any]:
    counts = said.counts
    usage: dict[str, Any] = {
        "input_tokens": counts.input - (counts.cache_read or 0) - (counts.cache_write or 0),
        "output_tokens": counts.output if at_end else 1,
    }
    if counts.cache_read is not None:
        usage["cache_read_input_tokens"] = counts.cache_read
        usage["cache_creation_input_tokens"] = counts.cache_write
    if counts.reasoning is not None and at_end:
        usage["output_tokens_details"] = {"thinking_tokens": counts.reasoning}
    return usage


def _blocks(said: Said) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if said.thought:
        blocks.append({"type": "thinking", "thinking": said.thought, "signature": said.signature})
    if said.text:
        blocks.append({"type": "text", "text": said.text})
    blocks += [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.input} for call in said.calls]
    return blocks


def _events(said: Said, cut: int) -> Iterator[dict[str, Any]]:
    begun = {**_head(), "content": [], "stop_reason": None, "stop_sequence": None}
    yield {"type": "message_start", "message": {**begun, "usage": _usage(said, at_end=False)}}
    yield {"type": "ping"}
    for index, block in enumerate(_blocks(said)):
        yield {"type": "content_block_start", "index": index, "content_block": _empty(block)}
        for delta in _deltas(block, cut):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {"type": "message_delta", "delta": _stopped(said), "usage": _usage(said, at_end=True)}
    yield {"type": "message_stop"}


def _empty(block: dict[str, Any]) -> dict[str, Any]:
    return {**block, **{name: "" for name in ("text", "thinking", "signature") if name in block}, **_no_input(block)}


def _no_input(block: dict[str, Any]) -> dict[str, Any]:
    return {"input": {}} if "input" in block else {}


def _deltas(block: dict[str, Any], cut: int) -> Iterator[dict[str, Any]]:
    match block["type"]:
        case "text":
            for piece in _cut(block["text"], cut):
                yield {"type": "text_delta", "text": piece}
        case "thinking":
            for piece in _cut(block["thinking"], cut):
                yield {"type": "thinking_delta", "thinking": piece}
            if block["signature"]:
                yield {"type": "signature_delta", "signature": block["signature"]}
        case "tool_use":
            yield {"type": "input_json_delta", "partial_json": ""}
            if block["input"]:
                for piece in _cut(orjson.dumps(block["input"]).decode(), cut):
                    yield {"type": "input_json_delta", "partial_json": piece}


def _frame(event: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), orjson.dumps(event))


def _cut(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


WIRE = Wire(
    "anthropic",
    adapters()["anthropic"],
    _PLACE,
    Secret("k"),
    _Answers(),
    cannot={
        "begun answer": "/messages/1/prefix",
        "sound": "/messages/0/content/0/type",
        "json object": "/response_format/type",
        "seed": "/seed",
        "several answers": "/n",
        "logprobs": "/logprobs",
        "penalties": "/presence_penalty",
        "logit bias": "/logit_bias",
        "made up field": "/zzz_param",
    },
    left_out={"thoughts of before, another's": frozenset({"signature", "content_blocks"})},
    ends={
        "end_turn": "stop",
        "stop_sequence": "stop",
        "pause_turn": "stop",
        "max_tokens": "length",
        "model_context_window_exceeded": "length",
        "refusal": "content_filter",
    },
    unsaid=frozenset({"heard and spoken"}),
    blanks=False,
)
