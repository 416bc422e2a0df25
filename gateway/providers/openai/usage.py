"""OpenAI's usage object, read with distrust: what is not a sane number is unknown, never 0.

Hosts that speak the dialect count in ways of their own. What their total says is trusted where it explains the rest.
"""

from typing import Any

from gateway.providers.base import Door, Usage

_TOKENS_MAX = 2**40
_READS_ONLY = frozenset((Door.EMBEDDINGS, Door.RERANK, Door.MODERATIONS))
_NOTHING: dict[str, Any] = {}


def usage_of(usage: Any, door: Door) -> Usage | None:
    """`{"prompt_tokens", "completion_tokens", …_details}` as Usage; None when the provider said nothing."""
    if not isinstance(usage, dict):
        return None
    input_ = count(usage.get("prompt_tokens"))
    output = count(usage.get("completion_tokens"))
    total = count(usage.get("total_tokens"))
    if door in _READS_ONLY and output is None:
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


def usage_said(answer: dict[str, Any], door: Door) -> Usage | None:
    """Of an answer or event that is no chat's: `usage` with `input_tokens` and `output_tokens`, or in a chat's words.

    None: it says nothing, or counts something else (seconds, pictures, searches).
    """
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return None
    input_, output = count(usage.get("input_tokens")), count(usage.get("output_tokens"))
    if input_ is None and output is None:
        return usage_of(usage, door)
    read, written = _details(usage, "input"), _details(usage, "output")
    return Usage(
        input_tokens=input_,
        output_tokens=output,
        cache_read_tokens=count(read.get("cached_tokens")),
        cache_write_tokens=count(read.get("cache_write_tokens")),
        reasoning_tokens=count(written.get("reasoning_tokens")),
        audio_input_tokens=count(read.get("audio_tokens")),
        audio_output_tokens=count(written.get("audio_tokens")),
        unpriced=bool(count(read.get("image_tokens"))),
    )


def _details(usage: dict[str, Any], side: str) -> dict[str, Any]:
    """Spelt with `tokens` by most doors, with `token` by transcriptions."""
    details = usage.get(f"{side}_tokens_details", usage.get(f"{side}_token_details"))
    return details if isinstance(details, dict) else _NOTHING


def _first(*values: Any) -> int | None:
    for value in values:
        if value is not None and (known := count(value)) is not None:
            return known
    return None


def count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= _TOKENS_MAX else None
