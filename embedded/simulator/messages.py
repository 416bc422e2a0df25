"""Messages: what the simulated model answers to turns of content blocks, whole or block after block. Pure.

It says what it would say in a chat, and thinks first where it is asked to. Source of the shapes: the Messages API's
reference, `message` and its stream.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from embedded.simulator import checks, errors, tokens
from embedded.simulator.chat import Chat, Choice
from embedded.simulator.checks import Body, Rule
from embedded.simulator.replies import Events, Reply, Whole
from embedded.simulator.wire import event

RULES = {
    "messages": checks.ARRAY,
    "system": Rule((str, list), "a string or an array of blocks"),
    "max_tokens": checks.integer(1, 1_000_000),
    "temperature": checks.decimal(0, 1),
    "top_p": checks.decimal(0, 1),
    "top_k": checks.integer(0, 1_000),
    "stop_sequences": checks.ARRAY,
    "stream": checks.BOOLEAN,
    "thinking": checks.OBJECT,
    "tools": checks.ARRAY,
    "tool_choice": checks.OBJECT,
    "metadata": checks.OBJECT,
    "output_config": checks.OBJECT,
}
THOUGHT = "The caller wants to know. I say what I always say."
SIGNATURE = "c2lnbmVkIGJ5IHRoZSBzaW11bGF0b3I="
_TYPES = ("text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking")
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_ERROR = event(orjson.dumps({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}), "error")


def create(body: Body, words: int | None) -> Reply:
    """Raises errors.Refused if the body is not a proper request."""
    checks.check(body, RULES)
    for name in ("max_tokens", "messages"):
        if body.get(name) is None:
            raise errors.invalid(f"{name}: Field required", name)
    choice, counts = Chat(_chat(body), words).said()
    message = _message(body, choice, counts)
    if body.get("stream"):
        return Events(_events(message, choice), done=b"", error=_ERROR)
    return Whole(orjson.dumps(message))


def count_tokens(body: Body) -> Reply:
    _, counts = Chat(_chat(body), None).said()
    return Whole(orjson.dumps({"input_tokens": counts["prompt_tokens"]}))


def _chat(body: Body) -> Body:
    """The chat that asks the same."""
    messages: list[dict[str, Any]] = []
    if body.get("system"):
        messages.append({"role": "system", "content": _words(body["system"], "system")})
    for index, turn in enumerate(body["messages"]):
        if not isinstance(turn, dict) or turn.get("role") not in ("user", "assistant"):
            raise errors.invalid(f"messages.{index}.role: Input should be 'user' or 'assistant'", "messages")
        messages += _turn(turn, f"messages.{index}.content")
    tools = [_tool(index, tool) for index, tool in enumerate(body.get("tools") or [])]
    choice = body.get("tool_choice") or {}
    format_ = (body.get("output_config") or {}).get("format")
    chat = {
        "model": body["model"],
        "messages": messages,
        "tools": tools or None,
        "tool_choice": _choice(choice) if tools else None,
        "parallel_tool_calls": not choice.get("disable_parallel_tool_use") if tools else None,
        "stop": body.get("stop_sequences"),
        "max_tokens": body.get("max_tokens"),
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": format_["schema"]}}
        if format_
        else None,
    }
    return {name: value for name, value in chat.items() if value is not None}


def _turn(turn: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    content = turn.get("content")
    if isinstance(content, str):
        if not content:
            raise errors.invalid(f"{name}: text content blocks must be non-empty", "messages")
        yield {"role": turn["role"], "content": content}
        return
    if not isinstance(content, list) or not content:
        raise errors.invalid(f"{name}: Input should be a valid list of content blocks", "messages")
    parts = []
    for index, block in enumerate(content):
        kind = block.get("type") if isinstance(block, dict) else None
        if kind not in _TYPES:
            raise errors.invalid(f"{name}.{index}.type: Input should be one of {', '.join(_TYPES)}", "messages")
        if kind == "tool_result":
            yield {"role": "tool", "tool_call_id": block["tool_use_id"], "content": _words(block.get("content"), name)}
        elif kind == "text":
            if not block.get("text"):
                raise errors.invalid(f"{name}.{index}: text content blocks must be non-empty", "messages")
            parts.append({"type": "text", "text": block["text"]})
        elif kind == "image":
            parts.append({"type": "image_url", "image_url": {"url": str(block["source"].get("url", "data:"))}})
    if parts:
        yield {"role": turn["role"], "content": parts}


def _words(content: Any, name: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise errors.invalid(f"{name}: Input should be a string or a list of blocks", name)
    return " ".join(block["text"] for block in content if block.get("type") == "text")


def _tool(index: int, tool: Any) -> dict[str, Any]:
    if not isinstance(tool, dict) or not tool.get("name") or not isinstance(tool.get("input_schema"), dict):
        raise errors.invalid(f"tools.{index}.custom.input_schema: Field required", "tools")
    return {"type": "function", "function": {"name": tool["name"], "parameters": tool["input_schema"]}}


def _choice(choice: dict[str, Any]) -> Any:
    if choice.get("type") == "tool":
        return {"type": "function", "function": {"name": choice.get("name")}}
    return _CHOICES.get(choice.get("type", "auto"))


def _message(body: Body, choice: Choice, counts: dict[str, Any]) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if (body.get("thinking") or {}).get("type") in ("enabled", "adaptive"):
        content.append({"type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE})
    if choice.words:
        content.append({"type": "text", "text": "".join(choice.words), "citations": None})
    content += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": orjson.loads(call.arguments)}
        for call in choice.calls
    ]
    reason = {"length": "max_tokens", "tool_calls": "tool_use"}.get(choice.finish_reason, "end_turn")
    return {
        "id": f"msg_{checks.digest(body)[:24]}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "stop_details": None,
        "usage": {
            "input_tokens": counts["prompt_tokens"],
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": counts["completion_tokens"],
            "service_tier": "standard",
        },
    }


def _events(message: dict[str, Any], choice: Choice) -> Iterator[tuple[str | None, bytes]]:
    for said in _steps(message, choice):
        yield said["type"], orjson.dumps(said)


def _steps(message: dict[str, Any], choice: Choice) -> Iterator[dict[str, Any]]:
    begun = {**message, "content": [], "stop_reason": None, "usage": {**message["usage"], "output_tokens": 1}}
    yield {"type": "message_start", "message": begun}
    yield {"type": "ping"}
    for index, block in enumerate(message["content"]):
        empty: dict[str, Any] = {name: "" for name in ("text", "thinking", "signature") if name in block}
        empty = {**block, **empty, **({"input": {}} if "input" in block else {})}
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        for delta in _deltas(block, choice):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    stopped = {name: message[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
    usage = {name: count for name, count in message["usage"].items() if name != "service_tier"}
    yield {"type": "message_delta", "delta": stopped, "usage": usage}
    yield {"type": "message_stop"}


def _deltas(block: dict[str, Any], choice: Choice) -> Iterator[dict[str, Any]]:
    match block["type"]:
        case "text":
            for word in choice.words:
                yield {"type": "text_delta", "text": word}
        case "thinking":
            for word in tokens.split(block["thinking"]):
                yield {"type": "thinking_delta", "thinking": word}
            yield {"type": "signature_delta", "signature": block["signature"]}
        case "tool_use":
            yield {"type": "input_json_delta", "partial_json": ""}
            for piece in tokens.split(orjson.dumps(block["input"]).decode()):
                yield {"type": "input_json_delta", "partial_json": piece}
