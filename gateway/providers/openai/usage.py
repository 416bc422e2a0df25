"""OpenAI's usage object, read with distrust: what is not a sane number is unknown, never 0.

Hosts that speak the dialect count in ways of their own. What their total says is trusted where it explains the rest.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import orjson

from gateway.providers.base import BrokenAnswer, Door, FailedAnswer, Usage
from gateway.providers.body import parsed_answer, usage_in
from gateway.providers.openai.errors import failure_in

Told = TypeVar("Told", Usage, Usage | None)

_TOKENS_MAX = 2**40
_READS_ONLY = frozenset((Door.EMBEDDINGS, Door.RERANK, Door.MODERATIONS))
_NOTHING: dict[str, int] = {}
_SOLD_APART = ("prompt_audio_seconds", "citation_tokens")
"""What some hosts charge beside the tokens: no price list tells for how much."""
_OF_ALL = ("prompt_cache_hit_tokens", "cached_tokens")
_OF_INPUT = ("cached_tokens", "audio_tokens", "cache_write_tokens", "cache_creation_tokens")
_OF_OUTPUT = ("reasoning_tokens", "audio_tokens", "image_tokens")

_OTHERWISE_PRICED = frozenset("flex priority fast scale performance reserved batch".split())
"""Tiers, in the words of whoever has any."""
_USUAL_TIERS = Literal["default", "auto", "standard", "on_demand"]
"""What hosts say in nearly each answer that was carried as others are."""

_Tokens = Annotated[int, msgspec.Meta(ge=0, le=_TOKENS_MAX)]


class _Read(msgspec.Struct, gc=False):
    cached_tokens: _Tokens | None = None
    audio_tokens: _Tokens | None = None
    cache_write_tokens: _Tokens | None = None
    cache_creation_tokens: _Tokens | None = None


class _Written(msgspec.Struct, gc=False):
    reasoning_tokens: _Tokens | None = None
    audio_tokens: _Tokens | None = None
    image_tokens: _Tokens | None = None


class _Usual(msgspec.Struct, gc=False):
    """What nearly every host says of a chat's usage, or of texts that were only read."""

    prompt_tokens: _Tokens | None = None
    completion_tokens: _Tokens | None = None
    total_tokens: _Tokens | None = None
    prompt_tokens_details: _Read | None = None
    completion_tokens_details: _Written | None = None
    prompt_cache_hit_tokens: _Tokens | None = None
    cached_tokens: _Tokens | None = None
    prompt_audio_seconds: Any = None
    citation_tokens: Any = None


class _Choice(msgspec.Struct, gc=False):
    error: None = None


class _Answer(msgspec.Struct, gc=False):
    usage: _Usual | None = None
    service_tier: _USUAL_TIERS | None = None
    error: None = None
    choices: list[_Choice] | None = None


class _Tier(msgspec.Struct, gc=False):
    service_tier: Any = None


class _LastWord(msgspec.Struct, gc=False):
    """A stream's event that tells the usage and nothing else."""

    usage: _Usual
    choices: Annotated[list[msgspec.Raw], msgspec.Meta(max_length=0)]
    service_tier: _USUAL_TIERS | None = None
    error: None = None
    x_groq: None = None


_ANSWER = msgspec.json.Decoder(_Answer)
_LAST_WORD = msgspec.json.Decoder(_LastWord)
_TIER = msgspec.json.Decoder(_Tier)
_NOTHING_READ, _NOTHING_WRITTEN = _Read(), _Written()


def usage_read(body: bytes, door: Door) -> Usage | None:
    """Of a whole answer. The usual shape is read into place, without a dictionary between.

    Raises BrokenAnswer, and FailedAnswer for one that says in place of an answer that there is none.
    """
    try:
        if not body.isascii():
            body.decode()  # Of what it skips, the decoder does not look whether it is text.
        said = _ANSWER.decode(body).usage
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        return _usage_parsed(body, door)
    if said is None:
        return None
    usage = _usual(said, door)
    return _usage_parsed(body, door) if usage is None else usage


def usage_alone(data: bytes, door: Door) -> Usage | None:
    """Of an event that tells nothing else, in the usual shape; None: it has to be looked at more closely."""
    if not data.isascii():
        return None
    try:
        said = _LAST_WORD.decode(data).usage
    except (msgspec.DecodeError, RecursionError):
        return None
    return _usual(said, door)


def _usual(said: _Usual, door: Door) -> Usage | None:
    """None: it says too little, or what the usual shape has no place for."""
    if said.prompt_audio_seconds or said.citation_tokens:
        return None
    input_, output, total = said.prompt_tokens, said.completion_tokens, said.total_tokens
    read, written = said.prompt_tokens_details or _NOTHING_READ, said.completion_tokens_details or _NOTHING_WRITTEN
    cached, write, reasoning = read.cached_tokens, read.cache_write_tokens, written.reasoning_tokens
    if cached is None:
        cached = said.cached_tokens if said.prompt_cache_hit_tokens is None else said.prompt_cache_hit_tokens
    if write is None:
        write = read.cache_creation_tokens
    if input_ is None or output is None or total != input_ + output:
        input_, output = _explained(input_, output, total, door, (cached or 0) + (write or 0), reasoning)
        if input_ is None and output is None:
            return None
    audio = read.audio_tokens
    usage = Usage(input_, output, cached, write, reasoning, audio, written.audio_tokens)
    if (audio and cached) or written.image_tokens:
        usage.unpriced = True
    return usage


def _usage_parsed(body: bytes, door: Door) -> Usage | None:
    """The same of any shape. Raises BrokenAnswer, FailedAnswer."""
    if body.find(b'"error"') >= 0:
        answer = parsed_answer(body)
        if (failure := failure_in(answer)) is not None:
            raise FailedAnswer(failure, in_tier(usage_of(answer.get("usage"), door), answer.get("service_tier")))
    raw = usage_in(body)
    if raw is None:
        answer = parsed_answer(body)
        return in_tier(usage_of(answer.get("usage"), door), answer.get("service_tier"))
    return in_tier(usage_of(_parsed(raw), door), _tier_in(body))


def _tier_in(body: bytes) -> Any:
    try:
        return _TIER.decode(body).service_tier
    except (msgspec.DecodeError, RecursionError):  # What stands there is no tier's name.
        return None


def in_tier(usage: Told, tier: Any) -> Told:
    """The usage, of a call that was carried in this tier, as its provider says: it may have no price that is known."""
    if usage is not None and not usage.unpriced and isinstance(tier, str) and tier.lower() in _OTHERWISE_PRICED:
        usage.unpriced = usage.tiered = True
    return usage


def _parsed(raw: msgspec.Raw) -> Any:
    try:
        return orjson.loads(memoryview(raw))
    except orjson.JSONDecodeError:  # What was skipped was not looked at as closely.
        raise BrokenAnswer("the answer is not JSON") from None


def usage_of(usage: Any, door: Door) -> Usage | None:
    """`{"prompt_tokens", "completion_tokens", …_details}` as Usage; None when the provider said nothing."""
    if not isinstance(usage, dict):
        return None
    input_, output = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
    read = write = reasoning = audio_input = audio_output = None
    unpriced = unreadable(usage, _OF_ALL)
    were_read = usage.get("prompt_tokens_details")
    if isinstance(were_read, dict):
        unpriced = unpriced or unreadable(were_read, _OF_INPUT)
        read, audio_input = count(were_read.get("cached_tokens")), count(were_read.get("audio_tokens"))
        write = _first(were_read.get("cache_write_tokens"), were_read.get("cache_creation_tokens"))
    if read is None:
        read = _first(usage.get("prompt_cache_hit_tokens"), usage.get("cached_tokens"))
    written = usage.get("completion_tokens_details")
    if isinstance(written, dict):
        unpriced = unpriced or unreadable(written, _OF_OUTPUT) or bool(written.get("image_tokens"))
        reasoning, audio_output = count(written.get("reasoning_tokens")), count(written.get("audio_tokens"))
    total = count(usage.get("total_tokens"))
    if any(usage.get(name) for name in _SOLD_APART):
        unpriced = True
        if total is not None and output is not None and total - output > (input_ or 0):
            input_ = total - output  # What was heard or looked up is in the total alone, and was read.
    input_, output = _explained(input_, output, total, door, (read or 0) + (write or 0), reasoning)
    if input_ is None and output is None:
        return None
    unpriced = unpriced or bool(read and audio_input)  # Whether it was the sound that was cached, nobody says.
    return Usage(input_, output, read, write, reasoning, audio_input, audio_output, unpriced=unpriced)


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


def usage_said(usage: Any, door: Door) -> Usage | None:
    """Of an answer or event that is no chat's: with `input_tokens` and `output_tokens`, or in a chat's words.

    None: it says nothing, or counts something else (seconds, pictures, searches).
    """
    if not isinstance(usage, dict):
        return None
    input_, output = count(usage.get("input_tokens")), count(usage.get("output_tokens"))
    if input_ is None and output is None:
        return usage_of(usage, door)
    were_read, were_written = _details(usage, "input"), _details(usage, "output")
    read, written = counts(were_read), counts(were_written)
    told = Usage(
        input_tokens=input_,
        output_tokens=output,
        cache_read_tokens=read.get("cached_tokens"),
        cache_write_tokens=read.get("cache_write_tokens"),
        reasoning_tokens=written.get("reasoning_tokens"),
        audio_input_tokens=read.get("audio_tokens"),
        audio_output_tokens=written.get("audio_tokens"),
        unpriced=bool(read.get("image_tokens") or (read.get("cached_tokens") and read.get("audio_tokens")))
        or unreadable(were_read, (*_OF_INPUT, "image_tokens"))
        or unreadable(were_written, _OF_OUTPUT),
    )
    # What a model of pictures writes are pictures, where it does not say otherwise; price lists tell of its texts.
    if not told.unpriced and written.get("image_tokens", output if door is Door.IMAGES else None):
        told.unpriced = told.tiered = True
    return told


def _details(usage: dict[str, Any], side: str) -> dict[str, Any]:
    """Spelt with `tokens` by most doors, with `token` by transcriptions."""
    told = usage.get(f"{side}_tokens_details", usage.get(f"{side}_token_details"))
    return told if isinstance(told, dict) else {}


def counts(said: Any) -> dict[str, int]:
    """What of an object can be a count, by its name; nothing of what is no object."""
    if not isinstance(said, dict):
        return _NOTHING
    return {name: value for name, value in said.items() if type(value) is int and 0 <= value <= _TOKENS_MAX}


def _first(value: Any, other: Any) -> int | None:
    """The one that is a count."""
    found = count(value)
    return count(other) if found is None else found


def unreadable(said: Mapping[str, Any], names: Iterable[str]) -> bool:
    """Whether one of these is told and is no count. How much of the whole it is nobody knows, so neither the cost."""
    return any(said.get(name) is not None and count(said[name]) is None for name in names)


def count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= _TOKENS_MAX else None
