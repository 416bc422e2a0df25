"""What adapters of other dialects answer with: a chat, whole or in chunks (pure)."""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.providers.base import BrokenAnswer, Call, Usage

DONE = b"data: [DONE]\n\n"


def usage_body(usage: Usage) -> dict[str, Any]:
    """`usage` as OpenAI words it; what is not known is absent."""
    details = {
        "cached_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "audio_tokens": usage.audio_input_tokens,
    }
    written = {"reasoning_tokens": usage.reasoning_tokens, "audio_tokens": usage.audio_output_tokens}
    input_, output = usage.input_tokens or 0, usage.output_tokens or 0
    body: dict[str, Any] = {
        "prompt_tokens": input_,
        "completion_tokens": output,
        "total_tokens": input_ + output,
    }
    for name, counts in (("prompt_tokens_details", details), ("completion_tokens_details", written)):
        if known := {word: count for word, count in counts.items() if count is not None}:
            body[name] = known
    return body


def whole(call: Call, id_: str, model: str, message: dict[str, Any], finish: str, usage: Usage, **choice: Any) -> bytes:
    """A chat's whole answer of one choice; `choice`: what the choice says beside. Raises orjson.JSONEncodeError."""
    return orjson.dumps(
        {
            "id": id_,
            "object": "chat.completion",
            "created": call.created_s,
            "model": model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish, **choice}],
            "usage": usage_body(usage),
        }
    )


def listed(said: Mapping[str, Any], name: str) -> list[Any]:
    """A list in a provider's answer; what is not there is empty. Raises BrokenAnswer."""
    found = said.get(name) or []
    if not isinstance(found, list):
        raise BrokenAnswer(f"the answer's `{name}` is no list")
    return found


class Chunks:
    """Chunks of one stream: what they have in common is written once."""

    __slots__ = ("_head",)

    def __init__(self, call: Call, id_: str, model: str) -> None:
        head = {"id": id_, "object": "chat.completion.chunk", "created": call.created_s, "model": model}
        self._head = b"data: " + orjson.dumps(head)[:-1]

    def delta(self, delta: dict[str, Any], logprobs: dict[str, Any] | None = None) -> bytes:
        """Raises BrokenAnswer."""
        try:
            said = orjson.dumps(delta)
            likely = b"null" if logprobs is None else orjson.dumps(logprobs)
        except orjson.JSONEncodeError:  # orjson reads deeper than it writes.
            raise BrokenAnswer("its stream is nested too deep to be translated") from None
        return b'%b,"choices":[{"index":0,"delta":%b,"logprobs":%b,"finish_reason":null}]}\n\n' % (
            self._head,
            said,
            likely,
        )

    def finish(self, reason: str, **choice: Any) -> bytes:
        """Raises BrokenAnswer."""
        try:
            last = orjson.dumps({"index": 0, "delta": {}, "logprobs": None, "finish_reason": reason, **choice})
        except orjson.JSONEncodeError:
            raise BrokenAnswer("its stream is nested too deep to be translated") from None
        return b'%b,"choices":[%b]}\n\n' % (self._head, last)

    def usage(self, usage: Usage) -> bytes:
        return b'%b,"choices":[],"usage":%b}\n\n' % (self._head, orjson.dumps(usage_body(usage)))


def tool_begun(index: int, id_: str, name: str, arguments: str = "") -> dict[str, Any]:
    """A delta that begins a tool's call."""
    function = {"name": name, "arguments": arguments}
    return {"tool_calls": [{"index": index, "id": id_, "type": "function", "function": function}]}


def tool_more(index: int, arguments: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}


def thought_more(index: int, text: str) -> dict[str, Any]:
    """Under both names: that which clients show, and that which keeps signatures."""
    return {"reasoning_content": text, "content_blocks": [{"index": index, "delta": {"thinking": text}}]}


def block_more(index: int, delta: dict[str, Any]) -> dict[str, Any]:
    """What only its provider has words for."""
    return {"content_blocks": [{"index": index, "delta": delta}]}
