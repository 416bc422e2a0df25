"""Requests to hosts that speak the dialect with words of their own, or lack some of it (pure)."""

from collections.abc import Mapping
from typing import Any

from gateway.providers.base import Quirks
from gateway.providers.fields import unsayable

_NOTHING_ASKED: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "tool_choice": ("auto",),
    "parallel_tool_calls": (True,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "response_format": ({"type": "text"},),
    "encoding_format": ("float",),
}
"""Values with which a parameter asks for what happens without it."""


def fitted(body: Mapping[str, Any], quirks: Quirks) -> tuple[Mapping[str, Any], frozenset[str]]:
    """The body as the host takes it, `body` itself if nothing is to be changed; and what was left out of it.

    Raises Untranslatable.
    """
    for name in quirks.refused:
        value = body.get(name)
        if value is not None and value not in _NOTHING_ASKED.get(name, ()):
            raise unsayable((name,), "would be ignored by this provider")
    # Some hosts refuse fields that they do not know, whatever they say.
    absent = [name for name in (*quirks.refused, *quirks.ignored) if name in body]
    renamed = [(name, own) for name, own in quirks.renamed if name in body]
    as_system = not quirks.developer_role and _has_developer(body.get("messages"))
    messages, said = _bare(body.get("messages"), quirks.ignored_in_messages)
    if not absent and not renamed and not as_system and messages is None:
        return body, frozenset()

    fitted = {name: value for name, value in body.items() if name not in absent}
    if messages is not None:
        fitted["messages"] = messages
    for name, own in renamed:
        value = fitted.pop(name)
        fitted.setdefault(own, value)
    if as_system:
        fitted["messages"] = [
            {**message, "role": "system"} if _is_developer(message) else message for message in fitted["messages"]
        ]
    return fitted, frozenset([*(name for name in quirks.ignored if body.get(name) is not None), *said])


def _bare(messages: Any, names: tuple[str, ...]) -> tuple[list[Any] | None, set[str]]:
    """The messages without these fields, None if none has one; and which of them said something."""
    said: set[str] = set()
    if not names or not isinstance(messages, list):
        return None, said
    bare = [_bare_message(message, names, said) if isinstance(message, dict) else message for message in messages]
    changed = any(message is not before for message, before in zip(bare, messages, strict=True))
    return (bare if changed else None), said


def _bare_message(message: dict[str, Any], names: tuple[str, ...], said: set[str]) -> dict[str, Any]:
    """The message itself where nothing is to be left out."""
    message = _without(message, names, said)
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return message
    bare = [_bare_call(call, names, said) if isinstance(call, dict) else call for call in calls]
    changed = any(call is not before for call, before in zip(bare, calls, strict=True))
    return {**message, "tool_calls": bare} if changed else message


def _bare_call(call: dict[str, Any], names: tuple[str, ...], said: set[str]) -> dict[str, Any]:
    call, function = _without(call, names, said), call.get("function")
    if not isinstance(function, dict):
        return call
    bare = _without(function, names, said)
    return call if bare is function else {**call, "function": bare}


def _without(holder: dict[str, Any], names: tuple[str, ...], said: set[str]) -> dict[str, Any]:
    found = [name for name in names if name in holder]
    if not found:
        return holder
    said.update([name for name in found if holder[name]])
    return {name: value for name, value in holder.items() if name not in found}


def _has_developer(messages: Any) -> bool:
    return isinstance(messages, list) and any(map(_is_developer, messages))


def _is_developer(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") == "developer"
