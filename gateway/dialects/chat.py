"""What every dialect's translation has in common on the chat's side (pure)."""

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.providers.base import Place
from gateway.providers.fields import Path

CACHE_HINT = "cache_control"
_CONTENT = "content"


class Asked(msgspec.Struct, frozen=True):
    """The chat that asks the same."""

    body: dict[str, Any]
    sources: tuple[Path, ...]
    """Of each message: where the caller said it, or the first of what it was made of."""
    left_out: frozenset[str] = frozenset()
    """Advice that this target cannot be given. It changes no answer; the caller is told."""


class Hints(msgspec.Struct):
    """What the caller advises about the provider's own cache: given on in its own name where the host takes it."""

    place: Place
    _left_out: set[str] = msgspec.field(default_factory=set)

    @property
    def left_out(self) -> frozenset[str]:
        return frozenset(self._left_out)

    def kept(self, asked: Mapping[str, Any], made: dict[str, Any]) -> dict[str, Any]:
        """What was made of something, with the hint that stood beside it."""
        hint = asked.get(CACHE_HINT)
        if hint is None:
            return made
        if self.place.cache_hints:
            return {**made, CACHE_HINT: hint}
        self._left_out.add(CACHE_HINT)
        return made

    def leave_out(self, asked: Mapping[str, Any], name: str = CACHE_HINT) -> None:
        """A hint that stands where a chat has no place for one."""
        if asked.get(name) is not None:
            self._left_out.add(name)


def text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def simplest(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """A message's content: a plain string where it is one text and nothing else. Every host reads that."""
    if len(parts) == 1 and parts[0].keys() == {"type", "text"} and parts[0]["type"] == "text":
        text: str = parts[0]["text"]
        return text
    return parts
