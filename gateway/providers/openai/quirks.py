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
    if not absent and not renamed and not as_system:
        return body, frozenset()

    fitted = {name: value for name, value in body.items() if name not in absent}
    for name, own in renamed:
        value = fitted.pop(name)
        fitted.setdefault(own, value)
    if as_system:
        fitted["messages"] = [
            {**message, "role": "system"} if _is_developer(message) else message for message in body["messages"]
        ]
    return fitted, frozenset(name for name in quirks.ignored if body.get(name) is not None)


def _has_developer(messages: Any) -> bool:
    return isinstance(messages, list) and any(map(_is_developer, messages))


def _is_developer(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") == "developer"
