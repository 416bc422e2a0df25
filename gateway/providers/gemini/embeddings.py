"""Embeddings there and back (pure). Source: https://ai.google.dev/api/embeddings."""

import base64
import struct
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from gateway.providers.base import BrokenAnswer, Call, Usage
from gateway.providers.chat import refuse
from gateway.providers.estimate import settled
from gateway.providers.fields import given, malformed, must_be, needed, only
from gateway.providers.gemini.usage import counted

_KNOWN = frozenset("model input dimensions encoding_format user task_type title".split())


def texts_of(body: Mapping[str, Any]) -> list[str]:
    """Raises Untranslatable."""
    only(body, _KNOWN, ())
    must_be(body, "encoding_format", ("float", "base64"), ())
    value = body.get("input")
    if isinstance(value, str):
        return [value]
    texts = needed(list, body, "input", ())
    if texts and isinstance(texts[0], int | list):
        raise refuse(("input",), "is of tokens, which are another provider's")
    if not texts or not all(isinstance(text, str) for text in texts):
        raise malformed(("input",), "must be a text or a list of texts")
    return texts


def to_batch(body: Mapping[str, Any], model: str) -> dict[str, Any]:
    """The body of `batchEmbedContents`. Raises Untranslatable."""
    settings: dict[str, Any] = {"model": f"models/{model}"}
    if (dimensions := given(int, body, "dimensions", ())) is not None:
        settings["outputDimensionality"] = dimensions
    if (task := given(str, body, "task_type", ())) is not None:
        settings["taskType"] = task
    if (title := given(str, body, "title", ())) is not None:
        settings["title"] = title
    return {"requests": [{**settings, "content": {"parts": [{"text": text}]}} for text in texts_of(body)]}


def from_batch(call: Call, answer: Mapping[str, Any]) -> tuple[bytes, Usage]:
    """Raises BrokenAnswer."""
    found = answer.get("embeddings")
    if not isinstance(found, list):
        raise BrokenAnswer("the answer holds no embeddings")
    usage = counted(answer.get("usageMetadata"))
    vectors = [vector.get("values") if isinstance(vector, dict) else None for vector in found]
    return listed(call, vectors, None if usage is None else usage.input_tokens)


def listed(call: Call, vectors: Iterable[Any], tokens: int | None) -> tuple[bytes, Usage]:
    """Vectors as the answer of an embeddings call. Raises BrokenAnswer."""
    usage = settled(Usage(input_tokens=tokens, output_tokens=0), call, 0)
    packs = call.body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": at, "embedding": _packed(vector) if packs else _checked(vector)}
        for at, vector in enumerate(vectors)
    ]
    counts = {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens}
    model = str(call.body.get("model"))
    return orjson.dumps({"object": "list", "data": data, "model": model, "usage": counts}), usage


def _checked(vector: Any) -> list[float]:
    if not isinstance(vector, list) or not all(type(number) in (int, float) for number in vector):
        raise BrokenAnswer("the answer holds an embedding that is none")
    return vector


def _packed(vector: Any) -> str:
    numbers = _checked(vector)
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode("ascii")
