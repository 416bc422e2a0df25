"""Converse's answer as that of a chat (pure)."""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.providers.anthropic.answer import written
from gateway.providers.base import BrokenAnswer, Call, Usage
from gateway.providers.body import word
from gateway.providers.chat_answer import whole
from gateway.providers.estimate import settled, text_bytes
from gateway.providers.openai.usage import count, in_tier, unreadable

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}


def to_chat(call: Call, answer: Mapping[str, Any]) -> tuple[bytes, Usage]:
    """Raises BrokenAnswer."""
    output = answer.get("output")
    message = output.get("message") if isinstance(output, Mapping) else None
    content = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(content, list):
        raise BrokenAnswer("the answer holds no content")
    said: dict[str, Any] = {"role": "assistant", "content": None}
    texts: list[str] = []
    thoughts: list[str] = []
    own: list[Any] = []
    calls: list[dict[str, Any]] = []
    for block in content:
        match block:
            case {"text": str(text)}:
                texts.append(text)
            case {"toolUse": {"toolUseId": str(id_), "name": str(name)} as use}:
                calls.append(
                    {"id": id_, "type": "function", "function": {"name": name, "arguments": written(use.get("input"))}}
                )
            case {"reasoningContent": {"reasoningText": {"text": str(thought)} as told}}:
                thoughts.append(thought)
                own.append({"type": "thinking", "thinking": thought, "signature": word(told.get("signature"))})
            case {"reasoningContent": {"redactedContent": str(sealed)}}:
                own.append({"type": "redacted_thinking", "data": sealed})
            case {"toolUse": _} | {"reasoningContent": _}:
                raise BrokenAnswer("the answer holds a block that is none")
            case dict():
                own.append(block)
            case _:
                raise BrokenAnswer("the answer holds a block that is none")
    if texts:
        said["content"] = "".join(texts)
    if "".join(thoughts):
        said["reasoning_content"] = "".join(thoughts)
    if own:
        said["content_blocks"] = own
    if calls:
        said["tool_calls"] = calls
    usage = settled(counted(answer), call, text_bytes(said))
    finish = FINISH.get(word(answer.get("stopReason")), "stop")
    try:
        return whole(call, answer_id(call), model_of(call), said, finish, usage), usage
    except orjson.JSONEncodeError:  # orjson reads deeper than it writes.
        raise BrokenAnswer("the answer is nested too deep to be translated") from None


def counted(said: Mapping[str, Any]) -> Usage | None:
    """Of an answer, or of a stream's last frame. Its input tokens are those that were neither read from a cache nor
    written to one.
    """
    usage, tier = said.get("usage"), said.get("serviceTier")
    if not isinstance(usage, Mapping):
        return None
    fresh, output = count(usage.get("inputTokens")), count(usage.get("outputTokens"))
    read, written = count(usage.get("cacheReadInputTokens")), count(usage.get("cacheWriteInputTokens"))
    details = usage.get("cacheDetails")
    told = Usage(
        input_tokens=None if fresh is None else fresh + (read or 0) + (written or 0),
        output_tokens=output,
        cache_read_tokens=read,
        cache_write_tokens=written,
        unpriced=unreadable(usage, ("cacheReadInputTokens", "cacheWriteInputTokens"))
        or (isinstance(details, list) and any(_is_for_an_hour(detail) for detail in details)),
    )
    return in_tier(told, tier.get("type") if isinstance(tier, Mapping) else None)


def _is_for_an_hour(detail: Any) -> bool:
    """Such a write to the cache costs more than price lists say of writes."""
    return isinstance(detail, Mapping) and detail.get("ttl") == "1h" and bool(count(detail.get("inputTokens")))


def answer_id(call: Call) -> str:
    """This provider's answers have none."""
    return f"chatcmpl-{call.id}"


def model_of(call: Call) -> str:
    """As the caller named it: the answer does not say."""
    model = str(call.body.get("model"))
    return model.partition("/")[2] if model.startswith("@") else model
