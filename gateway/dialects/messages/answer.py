"""What a chat answered, as one message of blocks (pure)."""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.dialects.said import Block, Kind, Said, call_id
from gateway.providers.base import BrokenAnswer, Usage
from gateway.providers.signatures import UNSIGNED

_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


def message(chat: Mapping[str, Any], usage: Usage, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The message that says the same; `asked` is the caller's request. Raises BrokenAnswer."""
    said = Said()
    said.take(chat, whole=True)
    said.end()
    if not isinstance(chat.get("choices"), list) or not chat["choices"]:
        raise BrokenAnswer("the answer holds no choice")
    return {
        **head(said, asked),
        "content": [_block(block, said) for block in said.blocks],
        **stopped(said, asked),
        "usage": counts(usage),
    }


def head(said: Said, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Id, kind and model. `id` and `model` are the provider's where it tells them."""
    id_, model = said.head.get("id"), said.head.get("model")
    return {
        "id": id_ if isinstance(id_, str) and id_ else "msg_0",
        "type": "message",
        "role": "assistant",
        "model": model if isinstance(model, str) and model else asked.get("model"),
    }


def stopped(said: Said, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Why it ended: `stop_reason` and `stop_sequence`."""
    reason = _STOP_REASONS.get(said.finish or "stop", "end_turn")
    kinds = {block.kind for block in said.blocks}
    if reason == "end_turn" and Kind.FUNCTION in kinds:  # Some hosts say no more than that it has ended.
        reason = "tool_use"
    if reason == "tool_use" and Kind.FUNCTION not in kinds:  # Some say this of an answer that calls nothing.
        reason = "end_turn"
    if reason == "end_turn" and Kind.REFUSAL in kinds:
        reason = "refusal"
    stops = asked.get("stop_sequences")
    if reason == "end_turn" and isinstance(stops, list) and said.stop in stops:
        return {"stop_reason": "stop_sequence", "stop_sequence": said.stop}
    return {"stop_reason": reason, "stop_sequence": None}


def counts(usage: Usage) -> dict[str, Any]:
    """Here, input tokens are those that were neither read from a cache nor written to one."""
    read, written = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
    return {
        "input_tokens": max((usage.input_tokens or 0) - read - written, 0),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": usage.output_tokens or 0,
    }


def _block(block: Block, said: Said) -> dict[str, Any]:
    match block.kind:
        case Kind.THOUGHT:
            return {"type": "thinking", "thinking": block.text, "signature": block.signature or UNSIGNED}
        case Kind.SEALED_THOUGHT:
            return {"type": "redacted_thinking", "data": block.text}
        case Kind.FUNCTION:
            is_cut = said.finish == "length" and block is said.blocks[-1]
            input_ = _input(block.text, is_cut=is_cut)
            return {"type": "tool_use", "id": id_of(block, said), "name": block.name, "input": input_}
        case Kind.CUSTOM:
            raise BrokenAnswer("it calls a tool that it was not given")
    return {"type": "text", "text": block.text}


def id_of(block: Block, said: Said) -> str:
    """A call's."""
    return call_id(block, said.head.get("id"), "toolu")


def _input(arguments: str, *, is_cut: bool) -> dict[str, Any]:
    """Of a call that the limit on tokens cut off nobody can say what it would have been; the answer says it was cut."""
    try:
        parsed = orjson.loads(arguments or "{}")
    except orjson.JSONDecodeError:
        parsed = {} if is_cut else None
    if not isinstance(parsed, dict):
        raise BrokenAnswer("it calls a tool with arguments that are no JSON object")
    return parsed
