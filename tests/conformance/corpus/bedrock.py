"""Converse's wire, after AWS's documentation of it and held to its SDK's own model of the service."""

import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from zlib import crc32

import orjson
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel
from botocore.validate import ParamValidator

from gateway.providers.registry import adapters, built_in_rows
from gateway.view.plan import place_of
from shared.models.credential import AwsForm
from tests.conformance.corpus.said import Said
from tests.conformance.corpus.wire import Wire

KEYS = AwsForm(region="eu-central-1", access_key_id="AKIDEXAMPLE", secret_access_key="s3cr3t")  # type: ignore[arg-type]
_STOP = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "guardrail_intervened"}
_ERRORS = {
    "auth": (403, "UnrecognizedClientException"),
    "permission": (403, "AccessDeniedException"),
    "not found": (404, "ResourceNotFoundException"),
    "rate limit": (429, "ThrottlingException"),
    "overloaded": (503, "ServiceUnavailableException"),
    "too long": (400, "ValidationException"),
    "invalid": (400, "ValidationException"),
    "server": (500, "InternalServerException"),
}


@lru_cache
def operation(name: str) -> OperationModel:
    loader = Loader()
    return ServiceModel(loader.load_service_model("bedrock-runtime", "service-2")).operation_model(name)


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One frame of an AWS event stream."""
    block = b""
    for name, value in headers.items():
        said = value.encode()
        block += struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(said)) + said
    prelude = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    message = prelude + struct.pack(">I", crc32(prelude)) + block + payload
    return message + struct.pack(">I", crc32(message))


def event(name: str, said: dict[str, Any]) -> bytes:
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, orjson.dumps(said))


class _Answers:
    def validate(self, sent: dict[str, Any]) -> None:
        report = ParamValidator().validate({"modelId": "m", **sent}, operation("Converse").input_shape)
        assert not report.has_errors(), report.generate_report()
        blocks = [block for turn in sent["messages"] for block in turn["content"]]
        # "The toolConfig field must be defined when using toolUse and toolResult content blocks."
        assert "toolConfig" in sent or not any(block.keys() & {"toolUse", "toolResult"} for block in blocks)

    def whole(self, said: Said) -> bytes:
        message = {"role": "assistant", "content": _blocks(said)}
        stopped = {"stopReason": said.word or _STOP[said.finish], "metrics": {"latencyMs": 1}}
        return orjson.dumps({"output": {"message": message}, **stopped, "usage": _usage(said)})

    def frames(self, said: Said, cut: int = 3) -> list[bytes]:
        return [event(name, body) for name, body in _events(said, cut)]

    def at_once(self, said: Said) -> None:
        pass

    def error(self, kind: str, why: str) -> tuple[int, Mapping[str, str], bytes] | None:
        if kind not in _ERRORS:
            return None
        status, type_ = _ERRORS[kind]
        why = f"Input is too long for requested model. {why}" if kind == "too long" else why
        headers = {"content-type": "application/json", "x-amzn-errortype": f"{type_}:http://internal.amazon.com/"}
        return status, headers, orjson.dumps({"message": why})

    def error_frame(self, why: str) -> bytes:
        headers = {":exception-type": "serviceUnavailableException", ":message-type": "exception"}
        return frame(headers, orjson.dumps({"message": why}))

    def back(self, sent: dict[str, Any]) -> dict[str, Any]:
        messages = [{"role": "system", "content": block["text"]} for block in sent.get("system", ())]
        for turn in sent["messages"]:
            messages += _user(turn) if turn["role"] == "user" else [_assistant(turn)]
        chat: dict[str, Any] = {"messages": messages}
        config = sent.get("inferenceConfig", {})
        names = {"maxTokens": "max_tokens", "temperature": "temperature", "topP": "top_p", "stopSequences": "stop"}
        chat |= {names[name]: value for name, value in config.items()}
        tools = sent.get("toolConfig", {})
        if tools and tools["tools"][0]["toolSpec"]["name"] != "nothing":
            chat["tools"] = [{"type": "function", "function": _function(tool["toolSpec"])} for tool in tools["tools"]]
        match tools.get("toolChoice"):
            case {"auto": _}:
                chat["tool_choice"] = "auto"
            case {"any": _}:
                chat["tool_choice"] = "required"
            case {"tool": {"name": name}}:
                chat["tool_choice"] = {"type": "function", "function": {"name": name}}
        return chat


class _Embeddings:
    model = "amazon.titan-embed-text-v2:0"
    cannot: Mapping[str, str] = {"list": "/input", "tokens": "/input"}

    def validate(self, sent: dict[str, Any]) -> None:
        assert isinstance(sent["inputText"], str)
        assert sent.keys() <= {"inputText", "dimensions", "normalize", "embeddingTypes"}

    def answer(self, sent: dict[str, Any]) -> bytes:
        return orjson.dumps({"embedding": [0.5, -0.25, 1.0], "inputTextTokenCount": 7})


def _function(spec: dict[str, Any]) -> dict[str, Any]:
    made = {"name": spec["name"], "description": spec.get("description"), "parameters": spec["inputSchema"]["json"]}
    return {name: value for name, value in made.items() if value is not None}


def _user(turn: dict[str, Any]) -> Iterator[dict[str, Any]]:
    parts = []
    for block in turn["content"]:
        match block:
            case {"toolResult": {"toolUseId": id_, "content": content}}:
                texts = [{"type": "text", "text": inner["text"]} for inner in content]
                yield {"role": "tool", "tool_call_id": id_, "content": texts}
            case {"text": text}:
                parts.append({"type": "text", "text": text})
            case {"image": {"format": kind, "source": {"bytes": data}}}:
                url = f"data:image/{kind};base64,{data}"
                parts.append({"type": "image_url", "image_url": {"url": url}})
            case _:
                raise AssertionError(f"{block} is not in the corpus")
    if parts:
        yield {"role": "user", "content": parts}


def _assistant(turn: dict[str, Any]) -> dict[str, Any]:
    texts = [{"type": "text", "text": block["text"]} for block in turn["content"] if "text" in block]
    calls = [
        {
            "id": use["toolUseId"],
            "type": "function",
            "function": {"name": use["name"], "arguments": orjson.dumps(use["input"]).decode()},
        }
        for use in (block["toolUse"] for block in turn["content"] if "toolUse" in block)
    ]
    return {"role": "assistant", "content": texts or None, **({"tool_calls": calls} if calls else {})}


def _usage(said: Said) -> dict[str, Any]:
    counts = said.counts
    fresh = counts.input - (counts.cache_read or 0) - (counts.cache_write or 0)
    usage = {"inputTokens": fresh, "outputTokens": counts.output, "totalTokens": counts.input + counts.output}
    if counts.cache_read is not None:
        usage["cacheReadInputTokens"] = counts.cache_read
    if counts.cache_write is not None:
        usage["cacheWriteInputTokens"] = counts.cache_write
    return usage


def _blocks(said: Said) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if said.thought:
        thought = {"text": said.thought, **({"signature": said.signature} if said.signature else {})}
        blocks.append({"reasoningContent": {"reasoningText": thought}})
    if said.text or not said.calls:
        blocks.append({"text": said.text})
    blocks += [{"toolUse": {"toolUseId": call.id, "name": call.name, "input": call.input}} for call in said.calls]
    return blocks


def _events(said: Said, cut: int) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "messageStart", {"role": "assistant", "p": "abcdef"}
    for index, block in enumerate(_blocks(said)):
        at = {"contentBlockIndex": index}
        if use := block.get("toolUse"):
            yield "contentBlockStart", {**at, "start": {"toolUse": {k: use[k] for k in ("toolUseId", "name")}}}
        for delta in _deltas(block, cut):
            yield "contentBlockDelta", {**at, "delta": delta, "p": "ab"}
        yield "contentBlockStop", at
    yield "messageStop", {"stopReason": said.word or _STOP[said.finish]}
    yield "metadata", {"usage": _usage(said), "metrics": {"latencyMs": 1}}


def _deltas(block: dict[str, Any], cut: int) -> Iterator[dict[str, Any]]:
    match block:
        case {"text": text}:
            for piece in _cut(text, cut):
                yield {"text": piece}
        case {"reasoningContent": {"reasoningText": thought}}:
            for piece in _cut(thought["text"], cut):
                yield {"reasoningContent": {"text": piece}}
            if "signature" in thought:
                yield {"reasoningContent": {"signature": thought["signature"]}}
        case {"toolUse": {"input": given}} if given:
            for piece in _cut(orjson.dumps(given).decode(), cut):
                yield {"toolUse": {"input": piece}}


def _cut(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


WIRE = Wire(
    "bedrock",
    adapters()["bedrock"],
    place_of(built_in_rows()["bedrock"]),
    KEYS,
    _Answers(),
    model="anthropic.claude-1-v1:0",
    cannot={
        "begun answer": "/messages/1/prefix",
        "tool choice none": "/tool_choice",
        "one tool at a time": "/parallel_tool_calls",
        "vision, address": "/messages/0/content/0/image_url/url",
        "json object": "/response_format/type",
        "seed": "/seed",
        "several answers": "/n",
        "logprobs": "/logprobs",
        "penalties": "/presence_penalty",
        "logit bias": "/logit_bias",
        "made up field": "/zzz_param",
    },
    left_out={
        "document": frozenset({"filename"}),
        "end user": frozenset({"user"}),
        "thoughts of before, another's": frozenset({"signature", "content_blocks"}),
    },
    unsaid=frozenset({"reasoned", "heard and spoken"}),
    blanks=False,
    line_ends=(),
    overloaded=503,
    embeddings=_Embeddings(),
    stream_type="application/vnd.amazon.eventstream",
    ends={
        "end_turn": "stop",
        "stop_sequence": "stop",
        "max_tokens": "length",
        "model_context_window_exceeded": "length",
        "guardrail_intervened": "content_filter",
        "content_filtered": "content_filter",
    },
)
