"""A message as the answer of a chat (pure)."""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.providers.anthropic.usage import counted
from gateway.providers.base import BrokenAnswer, Call, Usage
from gateway.providers.body import word
from gateway.providers.chat_answer import whole
from gateway.providers.estimate import settled, text_bytes

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}


def to_chat(call: Call, message: Mapping[str, Any]) -> tuple[bytes, Usage]:
    """Raises BrokenAnswer."""
    content = message.get("content")
    if not isinstance(content, list):
        raise BrokenAnswer("the answer holds no content")
    said: dict[str, Any] = {"role": "assistant", "content": None}
    texts: list[str] = []
    thoughts: list[str] = []
    own: list[Any] = []
    calls: list[dict[str, Any]] = []
    for block in content:
        if not isinstance(block, dict):
            raise BrokenAnswer("the answer holds a block that is none")
        match block.get("type"):
            case "text":
                texts.append(_text(block))
                if block.get("citations"):
                    own.append(block)
            case "tool_use":
                calls.append(_call(block))
            case kind:
                if kind == "thinking":
                    thoughts.append(word(block.get("thinking")))
                own.append(block)
    if texts:
        said["content"] = "".join(texts)
    if "".join(thoughts):
        said["reasoning_content"] = "".join(thoughts)
    if own:
        said["content_blocks"] = own
    if calls:
        said["tool_calls"] = calls
    usage = settled(counted(None, message.get("usage"), is_end=True), call, text_bytes(said))
    try:
        return whole(
            call,
            word(message.get("id")),
            word(message.get("model")) or str(call.body.get("model")),
            said,
            FINISH.get(word(message.get("stop_reason")), "stop"),
            usage,
            **stopped_at(message.get("stop_sequence")),
        ), usage
    except orjson.JSONEncodeError:  # orjson reads deeper than it writes.
        raise BrokenAnswer("the answer is nested too deep to be translated") from None


def stopped_at(sequence: Any) -> dict[str, Any]:
    """What a choice says of the stop sequence that was met, in the word other hosts use."""
    return {"stop_reason": sequence} if isinstance(sequence, str) else {}


def _text(block: Mapping[str, Any]) -> str:
    text = block.get("text")
    if not isinstance(text, str):
        raise BrokenAnswer("the answer holds a text that is none")
    return text


def _call(block: Mapping[str, Any]) -> dict[str, Any]:
    id_, name = block.get("id"), block.get("name")
    if not isinstance(id_, str) or not isinstance(name, str):
        raise BrokenAnswer("it calls a tool without a name")
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": written(block.get("input"))}}


def written(input_: Any) -> str:
    """What a tool is called with, as chats have it: JSON in a text. Raises BrokenAnswer."""
    try:
        return orjson.dumps(input_ or {}).decode()
    except orjson.JSONEncodeError:  # orjson reads deeper than it writes.
        raise BrokenAnswer("the answer is nested too deep to be translated") from None
