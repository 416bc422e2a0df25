"""Usage as the Messages API tells it, read with distrust (pure)."""

from collections.abc import Mapping
from typing import Any

from gateway.providers.base import Usage
from gateway.providers.openai.usage import count


def counted(before: Usage | None, usage: Any, *, is_end: bool) -> Usage | None:
    """What is known now. Input is told at the start, and once more at the end by some; output is told at the end.

    Its input tokens are those that were neither read from a cache nor written to one.
    """
    if not isinstance(usage, Mapping):
        return before
    before = before or Usage()
    read, written = count(usage.get("cache_read_input_tokens")), count(usage.get("cache_creation_input_tokens"))
    fresh, output = count(usage.get("input_tokens")), count(usage.get("output_tokens"))
    details = usage.get("output_tokens_details")
    thought = count(details.get("thinking_tokens")) if isinstance(details, Mapping) else None
    return Usage(
        input_tokens=before.input_tokens if fresh is None else fresh + (read or 0) + (written or 0),
        output_tokens=output if is_end and output is not None else before.output_tokens,
        cache_read_tokens=before.cache_read_tokens if read is None else read,
        cache_write_tokens=before.cache_write_tokens if written is None else written,
        reasoning_tokens=before.reasoning_tokens if thought is None else thought,
    )
