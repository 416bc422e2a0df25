"""OpenAI's dialect: requests pass, so what is tried is that they do, and that streams come whole."""

from collections.abc import Mapping
from typing import Any

import orjson
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter

from gateway.providers.registry import adapters, built_in_rows
from gateway.view.plan import place_of
from shared.crypto.secret import Secret
from tests.conformance.corpus.said import Said
from tests.conformance.corpus.typed import require
from tests.conformance.corpus.wire import Wire

_PARAMS: TypeAdapter[Any] = TypeAdapter(CompletionCreateParamsNonStreaming)
_HEAD = {"id": "chatcmpl-1", "created": 1_750_000_000, "model": "gpt-1"}
_CODES = {
    "auth": "invalid_api_key",
    "rate limit": "rate_limit_exceeded",
    "too long": "context_length_exceeded",
    "filtered": "content_filter",
    "not found": "model_not_found",
}
_STATUSES = {
    "auth": 401,
    "permission": 403,
    "not found": 404,
    "rate limit": 429,
    "overloaded": 503,
    "server": 500,
}


class _Answers:
    def validate(self, sent: dict[str, Any]) -> None:
        if "zzz_param" in sent or any({"content_blocks", "prefix"} & message.keys() for message in sent["messages"]):
            return  # What callers say beyond the dialect passes too.
        require(_PARAMS, sent)

    def whole(self, said: Said) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "content": said.text or None}
        if said.signature:
            message["content_blocks"] = [{"type": "thinking", "thinking": said.thought, "signature": said.signature}]
        elif said.thought:
            message["reasoning_content"] = said.thought
        if said.calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in said.calls
            ]
        choice = {"index": 0, "message": message, "finish_reason": said.finish}
        return orjson.dumps({**_HEAD, "object": "chat.completion", "choices": [choice], "usage": _usage(said)})

    def frames(self, said: Said, cut: int = 3) -> list[bytes]:
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        for piece in _cut(said.thought, cut):
            if said.signature:
                deltas.append({"content_blocks": [{"index": 0, "delta": {"thinking": piece}}]})
            else:
                deltas.append({"reasoning_content": piece})
        if said.signature:
            deltas.append({"content_blocks": [{"index": 0, "delta": {"signature": said.signature}}]})
        deltas += [{"content": piece} for piece in _cut(said.text, cut)]
        for index, call in enumerate(said.calls):
            begun = {
                "index": index,
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": ""},
            }
            deltas.append({"tool_calls": [begun]})
            deltas += [
                {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
                for piece in _cut(call.arguments, cut)
            ]
        chunks = [_chunk([{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
        chunks.append(_chunk([{"index": 0, "delta": {}, "finish_reason": said.finish}]))
        chunks.append(_chunk([], usage=_usage(said)))
        return [*(b"data: %b\n\n" % chunk for chunk in chunks), b"data: [DONE]\n\n"]

    def at_once(self, said: Said) -> list[bytes]:
        calls = [
            {
                "index": index,
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for index, call in enumerate(said.calls)
        ]
        delta = {"role": "assistant", "content": said.text, "tool_calls": calls}
        chunks = (
            _chunk([{"index": 0, "delta": delta, "finish_reason": said.finish}]),
            _chunk([], usage=_usage(said)),
        )
        return [*(b"data: %b\n\n" % chunk for chunk in chunks), b"data: [DONE]\n\n"]

    def error(self, kind: str, why: str) -> tuple[int, Mapping[str, str], bytes] | None:
        error = {"message": why, "type": "invalid_request_error", "param": None, "code": _CODES.get(kind)}
        return _STATUSES.get(kind, 400), {"content-type": "application/json"}, orjson.dumps({"error": error})

    def error_frame(self, why: str) -> bytes:
        return b"data: %b\n\n" % orjson.dumps({"error": {"message": why, "type": "overloaded_error"}})

    def back(self, sent: dict[str, Any]) -> dict[str, Any]:
        return sent


class _Embeddings:
    model = "embed-1"
    cannot: Mapping[str, str] = {}

    def validate(self, sent: dict[str, Any]) -> None:
        assert "input" in sent

    def answer(self, sent: dict[str, Any]) -> bytes:
        given = sent["input"]
        count = len(given) if isinstance(given, list) and isinstance(given[0], str) else 1
        vector: Any = [0.5, -0.25, 1.0]
        if sent.get("encoding_format") == "base64":
            vector = "AAAAPwAAgL4AAIA/"
        data = [{"object": "embedding", "index": index, "embedding": vector} for index in range(count)]
        usage = {"prompt_tokens": 7, "total_tokens": 7}
        return orjson.dumps({"object": "list", "data": data, "model": sent["model"], "usage": usage})


def _chunk(choices: list[dict[str, Any]], **more: Any) -> bytes:
    return orjson.dumps({**_HEAD, "object": "chat.completion.chunk", "choices": choices, **more})


def _usage(said: Said) -> dict[str, Any]:
    counts = said.counts
    usage: dict[str, Any] = {
        "prompt_tokens": counts.input,
        "completion_tokens": counts.output,
        "total_tokens": counts.input + counts.output,
    }
    if counts.cache_read is not None or counts.audio_input is not None:
        usage["prompt_tokens_details"] = {
            "cached_tokens": counts.cache_read,
            "cache_write_tokens": counts.cache_write,
            "audio_tokens": counts.audio_input,
        }
    if counts.reasoning is not None or counts.audio_output is not None:
        usage["completion_tokens_details"] = {
            "reasoning_tokens": counts.reasoning,
            "audio_tokens": counts.audio_output,
        }
    return usage


def _cut(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


WIRE = Wire(
    "openai",
    adapters()["openai"],
    place_of(built_in_rows()["openai"]),
    Secret("k"),
    _Answers(),
    reads_requests=False,
    embeddings=_Embeddings(),
)
