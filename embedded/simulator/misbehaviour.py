"""Misbehaviour by model name: `sim-error-503`, `sim-slow-200`, or several at once, `sim-slow-200-cut-3`. Pure."""

import re
from dataclasses import dataclass, fields
from functools import lru_cache

CHAT = "sim-chat"
"""Answers every door."""
EMBED = "sim-embed"
"""Makes embeddings alone."""

MS_MAX = 600_000
CHUNKS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one call is answered; each field is the word in the model's name. None: not so."""

    error: int | None = None
    """Answer with this status and OpenAI's error body."""
    html: int | None = None
    """Answer with this status and a page of HTML, as a proxy in between would."""
    slow: int | None = None
    """Milliseconds before the head."""
    drip: int | None = None
    """Milliseconds between chunks."""
    cut: int | None = None
    """Close the connection after so many chunks; of a plain answer, in the middle of its body."""
    stall: int | None = None
    """Fall silent after so many chunks; of a plain answer, in the middle of its body."""
    errorevent: int | None = None
    """After so many chunks send an error event and end the stream without `[DONE]`."""
    long: int | None = None
    """Say this many tokens, one a chunk."""
    silent: bool = False
    """Take the request and never answer."""
    bytes: bool = False
    """Send the body byte by byte."""
    badjson: bool = False
    """Answer 200 with JSON that ends too early."""


PROPER = Behaviour()

_LIMITS = {
    "error": range(400, 600),
    "html": range(200, 600),
    "slow": range(MS_MAX + 1),
    "drip": range(MS_MAX + 1),
    "cut": range(CHUNKS_MAX + 1),
    "stall": range(CHUNKS_MAX + 1),
    "errorevent": range(CHUNKS_MAX + 1),
    "long": range(1, CHUNKS_MAX + 1),
}
_FLAGS = {field.name for field in fields(Behaviour)} - _LIMITS.keys()
_NAME = re.compile(r"sim((?:-[a-z]+(?:-[0-9]{1,6})?)+)")
_TRAIT = re.compile(r"-([a-z]+)(?:-([0-9]+))?")


@lru_cache(maxsize=1_000)
def behaviour_of(model: str) -> Behaviour | None:
    """How to answer a call for `model`; None if there is no such model."""
    if model in (CHAT, EMBED):
        return PROPER
    name = _NAME.fullmatch(model)
    if name is None:
        return None
    traits: dict[str, int | bool] = {}
    for word, number in _TRAIT.findall(name[1]):
        if word in _FLAGS and not number:
            traits[word] = True
        elif word in _LIMITS and number and int(number) in _LIMITS[word]:
            traits[word] = int(number)
        else:
            return None
    return Behaviour(**traits)  # type: ignore[arg-type]
