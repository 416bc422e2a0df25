"""Embeddings there and back (pure). Source: Vertex AI, text embeddings API."""

from collections.abc import Mapping
from typing import Any

from gateway.providers.base import BrokenAnswer, Call, Usage
from gateway.providers.embeddings import listed, texts_of
from gateway.providers.fields import given
from gateway.providers.gemini.embeddings import EXTENSIONS
from gateway.providers.openai.usage import count


def to_predict(body: Mapping[str, Any]) -> dict[str, Any]:
    """Raises Untranslatable."""
    said: dict[str, Any] = {
        name: value for name in ("task_type", "title") if (value := given(str, body, name, ())) is not None
    }
    asked: dict[str, Any] = {"instances": [{"content": text, **said} for text in texts_of(body, EXTENSIONS)]}
    if (dimensions := given(int, body, "dimensions", ())) is not None:
        asked["parameters"] = {"outputDimensionality": dimensions}
    return asked


def from_predict(call: Call, answer: Mapping[str, Any]) -> tuple[bytes, Usage]:
    """Raises BrokenAnswer."""
    found = answer.get("predictions")
    if not isinstance(found, list):
        raise BrokenAnswer("the answer holds no predictions")
    vectors = [_vector(one) for one in found]
    told = [vector.get("statistics") for vector in vectors]
    counts = [count(statistics.get("token_count")) if isinstance(statistics, dict) else None for statistics in told]
    known = [number for number in counts if number is not None]
    tokens = sum(known) if len(known) == len(vectors) else None
    return listed(call, [vector.get("values") for vector in vectors], tokens)


def _vector(prediction: Any) -> dict[str, Any]:
    vector = prediction.get("embeddings") if isinstance(prediction, dict) else None
    if not isinstance(vector, dict):
        raise BrokenAnswer("the answer holds a prediction that is none")
    return vector
