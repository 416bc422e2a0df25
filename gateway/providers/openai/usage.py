"""OpenAI's usage object, read with distrust: what is not a sane number is unknown, never 0.

Hosts that speak the dialect count in ways of their own. What their total says is trusted where it explains the rest.
"""

from typing import Any

from gateway.providers.base import Door, Usage

_TOKENS_MAX = 2**40
_NOTHING: dict[str, Any] = {}


def usage_of(usage: Any, door: Door) -> Usage | None:
    """`{"prompt_tokens", "completion_tokens", …_details}` as Usage; None when the provider said nothing."""
    if not isinstance(usage, dict):
        return None
    input_ = count(usage.get("prompt_tokens"))
    output = count(usage.get("completion_tokens"))
    total = count(usage.get("total_tokens"))
    if door is Door.EMBEDDINGS and output is None:
        output = 0
    if total is not None:
        if input_ is None and output is not None and output <= total:
            input_ = total - output
        elif output is None and input_ is not None and input_ <= total:
            output = total - input_
    if input_ is None and output is None:
        return None
    details = usage.get("prompt_tokens_details")
    read_details = details if isinstance(details, dict) else _NOTHING
    details = usage.get("completion_tokens_details")
    written_details = details if isinstance(details, dict) else _NOTHING
    read = _first(read_details.get("cached_tokens"), usage.get("prompt_cache_hit_tokens"), usage.get("cached_tokens"))
    write = _first(read_details.get("cache_write_tokens"), read_details.get("cache_creation_tokens"))
    reasoning = count(written_details.get("reasoning_tokens"))
    if total is not None and input_ is not None and output is not None and total > input_ + output:
        # Some hosts count what was cached, more of them what was thought, in the total alone. Thoughts are output.
        more = total - input_ - output
        if more == (read or 0) + (write or 0) and more != reasoning:
            input_ += more
        else:
            output += more
    return Usage(
        input_tokens=input_,
        output_tokens=output,
        cache_read_tokens=read,
        cache_write_tokens=write,
        reasoning_tokens=reasoning,
        audio_input_tokens=count(read_details.get("audio_tokens")),
        audio_output_tokens=count(written_details.get("audio_tokens")),
    )


def _first(*values: Any) -> int | None:
    return next((count for count in map(count, values) if count is not None), None)


def count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= _TOKENS_MAX else None
