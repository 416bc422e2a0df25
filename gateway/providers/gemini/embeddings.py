"""Embeddings there and back (pure). Source: https://ai.google.dev/api/embeddings."""

from collections.abc import Mapping
from typing import Any

from gateway.providers.base import BrokenAnswer, Call, Usage
from gateway.providers.embeddings import listed, texts_of
from gateway.providers.fields import given
from gateway.providers.gemini.usage import counted

EXTENSIONS = frozenset(("task_type", "title"))


def to_batch(body: Mapping[str, Any], model: str) -> dict[str, Any]:
    """The body of `batchEmbedContents`. Raises Untranslatable."""
    settings: dict[str, Any] = {"model": f"models/{model}"}
    if (dimensions := given(int, body, "dimensions", ())) is not None:
        settings["outputDimensionality"] = dimensions
    if (task := given(str, body, "task_type", ())) is not None:
        settings["taskType"] = task
    if (title := given(str, body, "title", ())) is not None:
        settings["title"] = title
    return {"requests": [{**settings, "content": {"parts": [{"text": text}]}} for text in texts_of(body, EXTENSIONS)]}


def from_batch(call: Call, answer: Mapping[str, Any]) -> tuple[bytes, Usage]:
    """Raises BrokenAnswer."""
    found = answer.get("embeddings")
    if not isinstance(found, list):
        raise BrokenAnswer("the answer holds no embeddings")
    usage = counted(answer.get("usageMetadata"))
    vectors = [vector.get("values") if isinstance(vector, dict) else None for vector in found]
    return listed(call, vectors, None if usage is None else usage.input_tokens)
