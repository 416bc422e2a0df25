"""Mistral's wire, after its documentation."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from mistralai.client.models import ChatCompletionRequest, ChatCompletionResponse, CompletionChunk, EmbeddingRequest

from gateway.providers.registry import adapters, built_in_rows
from gateway.view.plan import place_of
from shared.crypto.secret import Secret
from tests.conformance.corpus.said import Said
from tests.conformance.corpus.wire import Wire

_HEAD = {"id": "c1", "created": 1_750_000_000, "model": "mistral-1"}
_STOP = {"length": "model_length"}
_STATUSES = {"auth": 401, "permission": 403, "not found": 404, "rate limit": 429, "overloaded": 503, "server": 500}
_CODES = {"rate limit": "1300", "overloaded": "3505", "too long": "3051", "not found": "1500"}


class _Answers:
    def validate(self, sent: dict[str, Any]) -> None:
        """What the client has no words for does not come back from it."""
        assert ChatCompletionRequest.model_validate(sent).model_dump(by_alias=True, exclude_unset=True) == sent

    def whole(self, said: Said) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "content": _content(said), "tool_calls": None}
        if said.calls:
            message["tool_calls"] = [_call(call, at) for at, call in enumerate(said.calls)]
        choice = {"index": 0, "message": message, "finish_reason": said.word or _STOP.get(said.finish, said.finish)}
        answer = {**_HEAD, "object": "chat.completion", "choices": [choice], "usage": _usage(said)}
        ChatCompletionResponse.model_validate(answer)
        return orjson.dumps(answer)

    def frames(self, said: Said, cut: int = 3) -> list[bytes]:
        return [*(_frame(chunk) for chunk in _chunks(said, cut)), b"data: [DONE]\n\n"]

    def at_once(self, said: Said) -> list[bytes]:
        calls = [_call(call, at) for at, call in enumerate(said.calls)]
        delta = {"role": "assistant", "content": said.text, "tool_calls": calls}
        chunk = _chunk({"index": 0, "delta": delta, "finish_reason": said.finish})
        return [_frame({**chunk, "usage": _usage(said)}), b"data: [DONE]\n\n"]

    def error(self, kind: str, why: str) -> tuple[int, Mapping[str, str], bytes] | None:
        headers, status = {"content-type": "application/json"}, _STATUSES.get(kind, 400)
        match kind:
            case "filtered":
                return None
            case "auth":
                return status, headers, orjson.dumps({"message": why, "request_id": "r1"})
            case "invalid":
                fault = {"type": "extra_forbidden", "loc": ["body", "zzz"], "msg": why, "input": 1}
                return 422, headers, orjson.dumps({"object": "error", "message": {"detail": [fault]}, "code": None})
            case "too long":
                why = f"Prompt contains 9 tokens, too large for model with 8 maximum context length. {why}"
        error = {"object": "error", "message": why, "type": "invalid_request_error", "param": None}
        return status, headers, orjson.dumps({**error, "code": _CODES.get(kind), "raw_status_code": status})

    def error_frame(self, why: str) -> bytes:
        error = {"object": "error", "message": why, "type": "service_tier_capacity_exceeded", "code": "3505"}
        return _frame({**error, "raw_status_code": 529})

    def back(self, sent: dict[str, Any]) -> dict[str, Any]:
        messages = sent["messages"]
        around = zip([{}, *messages], messages, [*messages[1:], {}], strict=False)
        said = [_said(message) for before, message, behind in around if not _bridges(before, message, behind)]
        chat = {**sent, "messages": said}
        if chat.get("tool_choice") == "any":
            chat["tool_choice"] = "required"
        return chat


def _bridges(before: dict[str, Any], message: dict[str, Any], behind: dict[str, Any]) -> bool:
    """What nobody said: no user may speak right after a tool."""
    says_nothing = message == {"role": "assistant", "content": " "}
    return says_nothing and (before.get("role"), behind.get("role")) == ("tool", "user")


def _said(message: dict[str, Any]) -> dict[str, Any]:
    if message["role"] == "assistant" and message["content"] == "":
        return {**message, "content": None}
    if isinstance(message["content"], str):
        return message
    return {**message, "content": [_part(chunk) for chunk in message["content"]]}


def _part(chunk: dict[str, Any]) -> dict[str, Any]:
    return {**chunk, "image_url": {"url": chunk["image_url"]}} if chunk["type"] == "image_url" else chunk


def _content(said: Said) -> Any:
    return [*_thoughts(said), {"type": "text", "text": said.text}] if said.thought else said.text


def _thoughts(said: Said) -> Iterator[dict[str, Any]]:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": said.thought}]}
    yield {**thought, "signature": said.signature, "closed": True} if said.signature else thought


def _call(call: Any, at: int) -> dict[str, Any]:
    return {"id": call.id, "index": at, "function": {"name": call.name, "arguments": call.arguments}}


def _usage(said: Said) -> dict[str, Any]:
    counts = said.counts
    usage: dict[str, Any] = {
        "prompt_tokens": counts.input,
        "completion_tokens": counts.output,
        "total_tokens": counts.input + counts.output,
    }
    return usage if counts.cache_read is None else {**usage, "prompt_tokens_details": {"cached_tokens": 60}}


def _chunks(said: Said, cut: int) -> Iterator[dict[str, Any]]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for at in range(0, len(said.thought), cut):
        piece = {"type": "thinking", "thinking": [{"type": "text", "text": said.thought[at : at + cut]}]}
        deltas.append({"content": [piece]})
    if said.signature:
        deltas.append({"content": [{"type": "thinking", "thinking": [], "signature": said.signature}]})
    deltas += [{"content": said.text[at : at + cut]} for at in range(0, len(said.text), cut)]
    for delta in deltas:
        yield _chunk({"index": 0, "delta": delta, "finish_reason": None})
    # Calls come whole, all of them with the finish.
    calls = {"tool_calls": [_call(call, at) for at, call in enumerate(said.calls)]} if said.calls else {}
    last = {
        "index": 0,
        "delta": {"content": "", **calls},
        "finish_reason": said.word or _STOP.get(said.finish, said.finish),
    }
    yield {**_chunk(last), "usage": _usage(said)}


def _chunk(choice: dict[str, Any]) -> dict[str, Any]:
    return {**_HEAD, "object": "chat.completion.chunk", "choices": [choice]}


def _frame(chunk: dict[str, Any]) -> bytes:
    if "choices" in chunk:
        CompletionChunk.model_validate(chunk)
    return b"data: %b\n\n" % orjson.dumps(chunk)


class _Embeddings:
    model = "embed-1"
    cannot: Mapping[str, str] = {"tokens": "/input"}

    def validate(self, sent: dict[str, Any]) -> None:
        assert EmbeddingRequest.model_validate(sent).model_dump(by_alias=True, exclude_unset=True) == sent

    def answer(self, sent: dict[str, Any]) -> bytes:
        data = [
            {"object": "embedding", "index": at, "embedding": [0.5, -0.25, 1.0]} for at in range(len(sent["input"]))
        ]
        usage = {"prompt_tokens": 7, "total_tokens": 7, "completion_tokens": 0}
        return orjson.dumps({"id": "e1", "object": "list", "data": data, "model": sent["model"], "usage": usage})


WIRE = Wire(
    "mistral",
    adapters()["mistral"],
    place_of(built_in_rows()["mistral-ai"]),
    Secret("k"),
    _Answers(),
    cannot={"logit bias": "/logit_bias", "made up field": "/zzz_param"},
    left_out={"end user": frozenset({"user"}), "thoughts of before, another's": frozenset({"signature"})},
    mark="gatehouse:mistral:",
    unsaid=frozenset({"refused", "cached", "reasoned", "heard and spoken"}),
    overloaded=529,
    embeddings=_Embeddings(),
    own_call_ids=True,
    ends={"stop": "stop", "length": "length", "model_length": "length"},
)
