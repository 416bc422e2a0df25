"""Converse: what the simulated model answers, whole or as frames of an event stream; and vectors by Invoke. Pure.

It says what it would say in a chat. Source of the shapes: AWS's API reference of Converse, ConverseStream and
InvokeModel, and the specification of its event streams.
"""

import struct
from collections.abc import Iterator
from typing import Any
from zlib import crc32

import orjson

from embedded.simulator import checks, errors, tokens
from embedded.simulator.chat import Chat, Choice
from embedded.simulator.checks import Body
from embedded.simulator.embeddings import DIMENSIONS_DEFAULT, vector
from embedded.simulator.messages import SIGNATURE, THOUGHT
from embedded.simulator.replies import Events, Reply, Whole

FRAMES = "application/vnd.amazon.eventstream"
RULES = {
    "messages": checks.ARRAY,
    "system": checks.ARRAY,
    "inferenceConfig": checks.OBJECT,
    "toolConfig": checks.OBJECT,
    "outputConfig": checks.OBJECT,
    "additionalModelRequestFields": checks.OBJECT,
}
_KNOWN = frozenset(
    (*RULES, "model", "guardrailConfig", "requestMetadata", "performanceConfig", "serviceTier", "promptVariables")
)
_BLOCKS = ("text", "image", "document", "audio", "toolUse", "toolResult", "reasoningContent", "cachePoint")


def create(body: Body, words: int | None, *, stream: bool) -> Reply:
    """Raises errors.Refused if the body is not a proper request."""
    for name in body:
        if name not in _KNOWN:
            raise errors.invalid(f"The model returned the following errors: extraneous key [{name}] is not permitted")
    checks.check(body, RULES)
    if not body.get("messages"):
        raise errors.invalid("A conversation must have at least one message.")
    choice, counts = Chat(_chat(body), words).said()
    blocks = [*_blocks(body, choice)]
    stop = {"length": "max_tokens", "tool_calls": "tool_use"}.get(choice.finish_reason, "end_turn")
    usage = {
        "inputTokens": counts["prompt_tokens"],
        "outputTokens": counts["completion_tokens"],
        "totalTokens": counts["total_tokens"],
    }
    if stream:
        return Events(_events(blocks, choice, stop, usage), b"", _failure(), framed, FRAMES)
    message = {"role": "assistant", "content": blocks}
    answer = {"output": {"message": message}, "stopReason": stop, "usage": usage, "metrics": {"latencyMs": 1}}
    return Whole(orjson.dumps(answer))


def embed(body: Body) -> Reply:
    text = body.get("inputText")
    if not isinstance(text, str) or not text:
        raise errors.invalid("Malformed input request: #: required key [inputText] not found")
    numbers = vector(text, body.get("dimensions") or DIMENSIONS_DEFAULT)
    return Whole(orjson.dumps({"embedding": numbers.tolist(), "inputTextTokenCount": tokens.count(text)}))


def framed(data: bytes, name: str | None) -> bytes:
    """An event of this name as a frame."""
    return _frame({":event-type": name or "", ":content-type": "application/json", ":message-type": "event"}, data)


def _failure() -> bytes:
    kind = {":exception-type": "serviceUnavailableException", ":message-type": "exception"}
    headers = {**kind, ":content-type": "application/json"}
    return _frame(headers, orjson.dumps({"message": "Bedrock is unable to process your request."}))


def _frame(headers: dict[str, str], payload: bytes) -> bytes:
    block = b""
    for name, value in headers.items():
        block += struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(value)) + value.encode()
    prelude = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    frame = prelude + struct.pack(">I", crc32(prelude)) + block + payload
    return frame + struct.pack(">I", crc32(frame))


def _chat(body: Body) -> Body:
    """The chat that asks the same."""
    messages: list[dict[str, Any]] = []
    if system := [block["text"] for block in body.get("system") or [] if "text" in block]:
        messages.append({"role": "system", "content": " ".join(system)})
    for turn in body["messages"]:
        messages += _turn(turn)
    config = body.get("inferenceConfig") or {}
    tools = body.get("toolConfig") or {}
    functions = [_tool(tool["toolSpec"]) for tool in tools.get("tools") or [] if "toolSpec" in tool]
    format_ = (body.get("outputConfig") or {}).get("textFormat")
    chat = {
        "model": body["model"],
        "messages": messages,
        "tools": functions or None,
        "tool_choice": _choice(tools.get("toolChoice") or {}) if functions else None,
        "parallel_tool_calls": True if functions else None,
        "stop": config.get("stopSequences"),
        "max_tokens": config.get("maxTokens"),
        "temperature": config.get("temperature"),
        "top_p": config.get("topP"),
        "response_format": _format(format_["structure"]["jsonSchema"]) if format_ else None,
    }
    return {name: value for name, value in chat.items() if value is not None}


def _turn(turn: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if turn.get("role") not in ("user", "assistant") or not isinstance(turn.get("content"), list):
        raise errors.invalid("1 validation error detected: a message has a role and a list of content blocks")
    parts: list[dict[str, Any]] = []
    for block in turn["content"]:
        if not isinstance(block, dict) or len(block) != 1 or next(iter(block)) not in _BLOCKS:
            raise errors.invalid("1 validation error detected: a content block is exactly one of its kinds")
        match block:
            case {"text": str(text)}:
                if not text.strip():
                    raise errors.invalid("The text field in the ContentBlock object is blank.")
                parts.append({"type": "text", "text": text})
            case {"image": _}:
                parts.append({"type": "image_url", "image_url": {"url": "data:"}})
            case {"toolResult": {"toolUseId": id_, "content": content}}:
                words = " ".join(inner["text"] for inner in content if "text" in inner)
                yield {"role": "tool", "tool_call_id": id_, "content": words}
    if parts:
        yield {"role": turn["role"], "content": parts}


def _tool(spec: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": spec["name"], "parameters": spec["inputSchema"]["json"]}}


def _choice(choice: dict[str, Any]) -> Any:
    match choice:
        case {"any": _}:
            return "required"
        case {"tool": {"name": name}}:
            return {"type": "function", "function": {"name": name}}
    return "auto"


def _format(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": orjson.loads(schema["schema"])}}


def _blocks(body: Body, choice: Choice) -> Iterator[dict[str, Any]]:
    fields = body.get("additionalModelRequestFields") or {}
    if (fields.get("thinking") or {}).get("type") == "enabled":
        yield {"reasoningContent": {"reasoningText": {"text": THOUGHT, "signature": SIGNATURE}}}
    if choice.words:
        yield {"text": "".join(choice.words)}
    for call in choice.calls:
        use = {"toolUseId": call.id, "name": call.name, "input": orjson.loads(call.arguments)}
        yield {"toolUse": use}


def _events(
    blocks: list[dict[str, Any]], choice: Choice, stop: str, usage: dict[str, Any]
) -> Iterator[tuple[str | None, bytes]]:
    yield "messageStart", orjson.dumps({"role": "assistant", "p": "abcd"})
    for index, block in enumerate(blocks):
        at = {"contentBlockIndex": index}
        if use := block.get("toolUse"):
            start = {"toolUse": {"toolUseId": use["toolUseId"], "name": use["name"]}}
            yield "contentBlockStart", orjson.dumps({**at, "start": start})
        for delta in _deltas(block, choice):
            yield "contentBlockDelta", orjson.dumps({**at, "delta": delta, "p": "abcdefgh"})
        yield "contentBlockStop", orjson.dumps(at)
    yield "messageStop", orjson.dumps({"stopReason": stop})
    yield "metadata", orjson.dumps({"usage": usage, "metrics": {"latencyMs": 1}})


def _deltas(block: dict[str, Any], choice: Choice) -> Iterator[dict[str, Any]]:
    match block:
        case {"text": _}:
            for word in choice.words:
                yield {"text": word}
        case {"reasoningContent": {"reasoningText": thought}}:
            for word in tokens.split(thought["text"]):
                yield {"reasoningContent": {"text": word}}
            yield {"reasoningContent": {"signature": thought["signature"]}}
        case {"toolUse": {"input": given}}:
            for piece in tokens.split(orjson.dumps(given).decode()):
                yield {"toolUse": {"input": piece}}
