"""OpenAI's usage object, read with distrust: what is not a sane number is unknown, never 0."""

from typing import Any

from gateway.providers.base import Usage

_TOKENS_MAX = 2**40


def usage_of(usage: Any) -> Usage | None:
    """`{"prompt_tokens", "completion_tokens", …_details}` as Usage; None when the provider said nothing."""
    if not isinstance(usage, dict):
        return None
    input_details, output_details = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    return Usage(
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        cache_read_tokens=_count(input_details.get("cached_tokens")) if isinstance(input_details, dict) else None,
        reasoning_tokens=_count(output_details.get("reasoning_tokens")) if isinstance(output_details, dict) else None,
    )


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= _TOKENS_MAX else None
