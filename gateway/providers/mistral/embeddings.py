"""Embeddings there and back (pure). Source: https://docs.mistral.ai/api/endpoint/embeddings."""

from collections.abc import Mapping
from typing import Any

from gateway.providers.base import BrokenAnswer, Call, Door, Usage
from gateway.providers.embeddings import listed, texts_of
from gateway.providers.fields import given
from gateway.providers.openai.usage import usage_of

EXTENSIONS = frozenset(("output_dtype", "metadata"))


def to_embeddings(body: Mapping[str, Any]) -> dict[str, Any]:
    """Raises Untranslatable."""
    asked: dict[str, Any] = {"model": body["model"], "input": texts_of(body, EXTENSIONS)}
    if (dimensions := given(int, body, "dimensions", ())) is not None:
        asked["output_dimension"] = dimensions
    return asked | {name: value for name in EXTENSIONS if (value := body.get(name)) is not None}


def from_embeddings(call: Call, answer: Mapping[str, Any]) -> tuple[bytes, Usage]:
    """Raises BrokenAnswer."""
    found = answer.get("data")
    if not isinstance(found, list):
        raise BrokenAnswer("the answer holds no embeddings")
    usage = usage_of(answer.get("usage"), Door.EMBEDDINGS)
    vectors = [one.get("embedding") if isinstance(one, dict) else None for one in found]
    return listed(call, vectors, None if usage is None else usage.input_tokens)
