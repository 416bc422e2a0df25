"""The simulator's tokens: four characters each, so that counting and cutting need no vocabulary."""

from collections.abc import Sequence
from typing import Any

CHARACTERS = 4


def count(text: str) -> int:
    return -(-len(text) // CHARACTERS)


def split(text: str) -> list[str]:
    """`text` in its tokens; joined again they are `text`."""
    return [text[start : start + CHARACTERS] for start in range(0, len(text), CHARACTERS)]


def shorten(text: str, stops: Sequence[str], tokens_max: int | None) -> tuple[list[str], bool]:
    """The tokens of `text` up to the first stop sequence and the limit, and whether the limit cut it."""
    ends = [end for stop in stops if (end := text.find(stop)) >= 0]
    tokens = split(text[: min(ends)] if ends else text)
    if tokens_max is None or len(tokens) <= tokens_max:
        return tokens, False
    return tokens[:tokens_max], True


def logprob(token: str) -> float:
    """A number that looks like a log probability and depends on the token alone."""
    return -((sum(token.encode()) % 97) + 1) / 100


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, Any]:
    """OpenAI's `usage` object of a chat or a completion."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
