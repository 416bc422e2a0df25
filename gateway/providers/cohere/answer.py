"""A chat's answer in Cohere's words, and what it used (pure)."""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.providers.base import BrokenAnswer, Call, Usage
from gateway.providers.body import word
from gateway.providers.chat_answer import listed, whole
from gateway.providers.estimate import settled, text_bytes
from gateway.providers.openai.usage import count

FINISH = {"MAX_TOKENS": "length", "TOOL_CALL": "tool_calls"}
FAILED = ("ERROR", "TIMEOUT")
"""Ends that are none of an answer: it was not finished."""


def to_chat(call: Call, answer: Mapping[str, Any]) -> tuple[bytes, Usage]:
    """Raises BrokenAnswer."""
    if answer.get("finish_reason") in FAILED:
        raise BrokenAnswer(f"it ended with {answer['finish_reason']} before it was complete")
    message = answer.get("message")
    if not isinstance(message, dict):
        raise BrokenAnswer("the answer holds no message")
    texts: list[str] = []
    thoughts: list[str] = [plan] if isinstance(plan := message.get("tool_plan"), str) else []
    for part in listed(message, "content"):
        if not isinstance(part, dict):
            raise BrokenAnswer("the answer holds a part that is none")
        if isinstance(text := part.get("text"), str):
            texts.append(text)
        elif isinstance(thought := part.get("thinking"), str):
            thoughts.append(thought)
    said: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts else None}
    if thought := "".join(thoughts):
        said["reasoning_content"] = thought
        said["content_blocks"] = [{"type": "thinking", "thinking": thought}]
    if calls := listed(message, "tool_calls"):
        said["tool_calls"] = [_whole_call(one) for one in calls]
    if citations := message.get("citations"):
        said["citations"] = citations
    usage = settled(counted(answer.get("usage")), call, text_bytes(said))
    finish = FINISH.get(word(answer.get("finish_reason")), "stop")
    try:
        return whole(call, word(answer.get("id")), str(call.body.get("model")), said, finish, usage), usage
    except orjson.JSONEncodeError:  # orjson reads deeper than it writes.
        raise BrokenAnswer("the answer is nested too deep to be translated") from None


def _whole_call(call: Any) -> dict[str, Any]:
    made = called(call)
    made["function"]["arguments"] = made["function"]["arguments"] or "{}"  # Clients parse them all the same.
    return made


def called(call: Any) -> dict[str, Any]:
    """Raises BrokenAnswer."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise BrokenAnswer("it calls a tool without a name")
    arguments = function.get("arguments")
    made = {"name": function["name"], "arguments": arguments if isinstance(arguments, str) else ""}
    return {"id": word(call.get("id")), "type": "function", "function": made}


def counted(usage: Any) -> Usage | None:
    """As it is charged; where that is not said, as it was counted. None: the provider said nothing."""
    if not isinstance(usage, Mapping):
        return None
    charged = usage.get("billed_units")
    units = charged or usage.get("tokens")
    if not isinstance(units, Mapping):
        return None
    told = _whole(usage.get("cached_tokens"))
    input_, cached = count(_whole(units.get("input_tokens"))), count(told)
    is_junk = told is not None and cached is None
    if charged and input_ is not None and cached is not None and cached > input_:
        cached = None  # They are of all that was read, of which what the provider adds itself is not charged.
    return Usage(
        input_tokens=input_,
        output_tokens=count(_whole(units.get("output_tokens"))),
        cache_read_tokens=cached,
        unpriced=is_junk,
    )


def _whole(number: Any) -> Any:
    """Counts come as `12.0` too."""
    return int(number) if isinstance(number, float) and number.is_integer() else number
