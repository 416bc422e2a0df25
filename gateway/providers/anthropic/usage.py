"""Usage as the Messages API tells it, read with distrust (pure)."""

from collections.abc import Mapping
from typing import Any

from gateway.providers.base import Usage
from gateway.providers.openai.usage import count, in_tier, unreadable

CACHED = ("cache_read_input_tokens", "cache_creation_input_tokens")
"""What stands beside its input tokens."""
_COUNTS = ("input_tokens", "output_tokens", *CACHED)


def counted(before: Usage | None, usage: Any, *, is_end: bool) -> Usage | None:
    """What is known now. Input is told at the start, and once more at the end by some; output is told at the end.

    Its input tokens are those that were neither read from a cache nor written to one.
    """
    if not isinstance(usage, Mapping):
        return before
    before = before or Usage()
    rounds = _rounds(usage)
    fresh, output, read, written = [_sum(name, usage, rounds) for name in _COUNTS]
    details, writes = usage.get("output_tokens_details"), usage.get("cache_creation")
    thought = count(details.get("thinking_tokens")) if isinstance(details, Mapping) else None
    # A price list has one price for what is written to a cache, and what is kept there for an hour costs more.
    for_an_hour = count(writes.get("ephemeral_1h_input_tokens")) if isinstance(writes, Mapping) else None
    if fresh is None:
        fresh = _fresh(before)
    if read is None:
        read = before.cache_read_tokens
    if written is None:
        written = before.cache_write_tokens
    known = Usage(
        input_tokens=None if fresh is None else fresh + (read or 0) + (written or 0),
        output_tokens=output if is_end and output is not None else before.output_tokens,
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=before.reasoning_tokens if thought is None else thought,
        unpriced=(before.unpriced and not before.tiered)
        or bool(for_an_hour)
        or any(one.get("type") != "compaction" for one in rounds)
        or unreadable(usage, CACHED)
        or any(unreadable(one, _COUNTS) for one in rounds),
    )
    tier = "priority" if before.tiered else usage.get("service_tier")
    return in_tier(known, "fast" if usage.get("speed") == "fast" else tier)


def _rounds(usage: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a model was set to work for that is not in the counts beside: a compaction, by the same model; or advice, by
    another one.
    """
    told = usage.get("iterations")
    if not isinstance(told, list):
        return []
    return [one for one in told if isinstance(one, Mapping) and one.get("type") != "message"]


def _sum(name: str, usage: Mapping[str, Any], rounds: list[Mapping[str, Any]]) -> int | None:
    own = count(usage.get(name))
    return None if own is None else own + sum([count(one.get(name)) or 0 for one in rounds])


def _fresh(usage: Usage) -> int | None:
    """Of its input, what is in no cache."""
    if usage.input_tokens is None:
        return None
    return usage.input_tokens - (usage.cache_read_tokens or 0) - (usage.cache_write_tokens or 0)
