"""OpenAI's usage object, read with distrust: what is not a sane number is unknown, never 0.

Hosts that speak the dialect count in ways of their own. What their total says is trusted where it explains the rest.
"""

from typing import Any

from gateway.providers.base import Door, Usage

_TOKENS_MAX = 2**40
_READS_ONLY = frozenset((Door.EMBEDDINGS, Door.RERANK, Door.MODERATIONS))
_NOTHING: dict[str, int] = {}


def usage_of(usage: Any, door: Door) -> Usage | None:
    """`{"prompt_tokens", "completion_tokens", …_details}` as Usage; None when the provider said nothing."""
    if not isinstance(usage, dict):
        return None
    said = counts(usage)
    input_, output, total = said.get("prompt_tokens"), said.get("completion_tokens"), said.get("total_tokens")
    if door in _READS_ONLY and output is None:
        output = 0
    if total is not None:
        if input_ is None and output is not None and output <= total:
            input_ = total - output
        elif output is None and input_ is not None and input_ <= total:
            output = total - input_
    if input_ is None and output is None:
        return None
    were_read = counts(usage.get("prompt_tokens_details"))
    written = counts(usage.get("completion_tokens_details"))
    read = were_read.get("cached_tokens", said.get("prompt_cache_hit_tokens", said.get("cached_tokens")))
    write = were_read.get("cache_write_tokens", were_read.get("cache_creation_tokens"))
    reasoning = written.get("reasoning_tokens")
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
        audio_input_tokens=were_read.get("audio_tokens"),
        audio_output_tokens=written.get("audio_tokens"),
    )


def usage_said(answer: dict[str, Any], door: Door) -> Usage | None:
    """Of an answer or event that is no chat's: `usage` with `input_tokens` and `output_tokens`, or in a chat's words.

    None: it says nothing, or counts something else (seconds, pictures, searches).
    """
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return None
    said = counts(usage)
    input_, output = said.get("input_tokens"), said.get("output_tokens")
    if input_ is None and output is None:
        return usage_of(usage, door)
    read, written = _details(usage, "input"), _details(usage, "output")
    return Usage(
        input_tokens=input_,
        output_tokens=output,
        cache_read_tokens=read.get("cached_tokens"),
        cache_write_tokens=read.get("cache_write_tokens"),
        reasoning_tokens=written.get("reasoning_tokens"),
        audio_input_tokens=read.get("audio_tokens"),
        audio_output_tokens=written.get("audio_tokens"),
        unpriced=bool(read.get("image_tokens")),
    )


def _details(usage: dict[str, Any], side: str) -> dict[str, int]:
    """Spelt with `tokens` by most doors, with `token` by transcriptions."""
    return counts(usage.get(f"{side}_tokens_details", usage.get(f"{side}_token_details")))


def counts(said: Any) -> dict[str, int]:
    """What of an object can be a count, by its name; nothing of what is no object."""
    if not isinstance(said, dict):
        return _NOTHING
    return {name: value for name, value in said.items() if type(value) is int and 0 <= value <= _TOKENS_MAX}


def count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= _TOKENS_MAX else None
