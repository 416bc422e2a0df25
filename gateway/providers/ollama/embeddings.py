"""Embeddings there and back (pure). Source: https://docs.ollama.com/api/embed."""

from collections.abc import Mapping
from typing import Any

from gateway.providers.base import BrokenAnswer, Call, Usage
from gateway.providers.embeddings import listed, texts_of
from gateway.providers.ollama.answer import counted
from gateway.providers.ollama.request import options_of

_SAME = frozenset(("model", "dimensions", "truncate", "keep_alive"))
EXTENSIONS = frozenset(("truncate", "keep_alive", "options"))


def to_embed(body: Mapping[str, Any]) -> dict[str, Any]:
    """Raises Untranslatable."""
    asked: dict[str, Any] = {"input": texts_of(body, EXTENSIONS)}
    asked |= {name: value for name in _SAME if (value := body.get(name)) is not None}
    options = options_of(body)
    return {**asked, "options": options} if options else asked


def from_embed(call: Call, answer: Mapping[str, Any]) -> tuple[bytes, Usage]:
    """Raises BrokenAnswer."""
    found = answer.get("embeddings")
    if not isinstance(found, list):
        raise BrokenAnswer("the answer holds no embeddings")
    usage = counted(answer)
    return listed(call, found, None if usage is None else usage.input_tokens)
