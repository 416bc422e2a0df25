"""OpenAI's usage object, read with distrust: what is not a sane number is unknown, never 0.

Hosts that speak the dialect count in ways of their own. What their total says is trusted where it explains the rest.
"""

from operator import itemgetter
from typing import Any

from gateway.providers.base import Door, Usage

_TOKENS_BITS = 40
"""A number without the last so many bits is 0, unless it is negative or too large."""
_TOKENS_MAX = 2**_TOKENS_BITS
_READS_ONLY = frozenset((Door.EMBEDDINGS, Door.RERANK, Door.MODERATIONS))
_NOTHING: dict[str, int] = {}

_TOLD = itemgetter(
    "prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"
)
_READ = itemgetter("cached_tokens", "audio_tokens")
_WRITTEN = itemgetter("reasoning_tokens", "audio_tokens")


def usage_of(usage: Any, door: Door) -> Usage | None:
    """`{"prompt_tokens", "completion_tokens", …_details}` as Usage; None when the provider said nothing."""
    try:
        input_, output, total, were_read, written = _TOLD(usage)
        read, audio_input = _READ(were_read)
        reasoning, audio_output = _WRITTEN(written)
    except (KeyError, TypeError):
        return _usage_of(usage, door)
    if (
        type(input_) is int
        and type(output) is int
        and type(read) is int
        and type(audio_input) is int
        and type(reasoning) is int
        and type(audio_output) is int
        and not (input_ | output | read | audio_input | reasoning | audio_output) >> _TOKENS_BITS
        and total == input_ + output
        and len(were_read) == 2
    ):
        return Usage(input_, output, read, None, reasoning, audio_input, audio_output)
    return _usage_of(usage, door)


def _usage_of(usage: Any, door: Door) -> Usage | None:
    """The same of whatever is not in just the shape that OpenAI itself gives a chat's usage."""
    if not isinstance(usage, dict):
        return None
    input_, output = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
    read = write = reasoning = audio_input = audio_output = None
    were_read = usage.get("prompt_tokens_details")
    if isinstance(were_read, dict):
        read, audio_input = count(were_read.get("cached_tokens")), count(were_read.get("audio_tokens"))
        write = _either(were_read, "cache_write_tokens", "cache_creation_tokens")
    if read is None:
        read = _either(usage, "prompt_cache_hit_tokens", "cached_tokens")
    written = usage.get("completion_tokens_details")
    if isinstance(written, dict):
        reasoning, audio_output = count(written.get("reasoning_tokens")), count(written.get("audio_tokens"))
    total = count(usage.get("total_tokens"))
    input_, output = _explained(input_, output, total, door, (read or 0) + (write or 0), reasoning)
    if input_ is None and output is None:
        return None
    return Usage(input_, output, read, write, reasoning, audio_input, audio_output)


def _explained(
    input_: int | None, output: int | None, total: int | None, door: Door, cached: int, reasoning: int | None
) -> tuple[int | None, int | None]:
    """Input and output, with what their total says of them."""
    if door in _READS_ONLY and output is None:
        output = 0
    if total is None:
        return input_, output
    if input_ is None and output is not None and output <= total:
        return total - output, output
    if output is None and input_ is not None and input_ <= total:
        return input_, total - input_
    if input_ is not None and output is not None and total > input_ + output:
        # Some hosts count what was cached, more of them what was thought, in the total alone. Thoughts are output.
        more = total - input_ - output
        if more == cached and more != reasoning:
            return input_ + more, output
        return input_, output + more
    return input_, output


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


def _either(said: dict[str, Any], name: str, other: str) -> int | None:
    found = count(said.get(name))
    return count(said.get(other)) if found is None else found


def count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= _TOKENS_MAX else None
