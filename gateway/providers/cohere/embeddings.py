"""Embeddings there and back (pure). Source: https://docs.cohere.com/reference/embed."""

from collections.abc import Mapping
from typing import Any

from gateway.providers.base import BrokenAnswer, Call, Usage
from gateway.providers.cohere.answer import counted
from gateway.providers.embeddings import listed, texts_of
from gateway.providers.fields import given

EXTENSIONS = frozenset(("input_type",))
INPUT_DEFAULT = "search_document"
"""Every request must say what its texts are; callers of OpenAI's dialect have no word for it."""


def to_embed(body: Mapping[str, Any]) -> dict[str, Any]:
    """Raises Untranslatable."""
    task = given(str, body, "input_type", ())
    asked: dict[str, Any] = {
        "model": body["model"],
        "texts": texts_of(body, EXTENSIONS),
        "input_type": INPUT_DEFAULT if task is None else task,
        "embedding_types": ["float"],
    }
    if (dimensions := given(int, body, "dimensions", ())) is not None:
        asked["output_dimension"] = dimensions
    return asked


def from_embed(call: Call, answer: Mapping[str, Any]) -> tuple[bytes, Usage]:
    """Raises BrokenAnswer."""
    found = answer.get("embeddings")
    vectors = found.get("float") if isinstance(found, dict) else None
    if not isinstance(vectors, list):
        raise BrokenAnswer("the answer holds no embeddings")
    usage = counted(answer.get("meta"))
    return listed(call, vectors, None if usage is None else usage.input_tokens)
