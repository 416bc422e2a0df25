"""Embeddings: what is asked and what is answered, for adapters that say it in other words (pure)."""

import base64
import struct
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from gateway.providers.base import BrokenAnswer, Call, Usage
from gateway.providers.estimate import settled
from gateway.providers.fields import malformed, must_be, needed, only, unsayable

_KNOWN = frozenset("model input dimensions encoding_format user".split())


def texts_of(body: Mapping[str, Any], extensions: frozenset[str] = frozenset()) -> list[str]:
    """The texts to embed; `extensions`: what this provider knows beyond the dialect. Raises Untranslatable."""
    only(body, _KNOWN | extensions, ())
    must_be(body, "encoding_format", ("float", "base64"), ())
    value = body.get("input")
    if isinstance(value, str):
        return [value]
    texts = needed(list, body, "input", ())
    if texts and isinstance(texts[0], int | list):
        raise unsayable(("input",), "is of tokens, which are another provider's")
    if not texts or not all(isinstance(text, str) for text in texts):
        raise malformed(("input",), "must be a text or a list of texts")
    return texts


def no_user(body: Mapping[str, Any]) -> frozenset[str]:
    """What is left out where nobody can be told whose texts they are: the end user, if one is named."""
    return frozenset({"user"} if body.get("user") is not None else ())


def listed(call: Call, vectors: Iterable[Any], tokens: int | None) -> tuple[bytes, Usage]:
    """Vectors as the answer of an embeddings call. Raises BrokenAnswer."""
    usage = settled(Usage(input_tokens=tokens, output_tokens=0), call, 0)
    packs = call.body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": at, "embedding": _packed(vector) if packs else checked(vector)}
        for at, vector in enumerate(vectors)
    ]
    counts = {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens}
    model = str(call.body.get("model"))
    return orjson.dumps({"object": "list", "data": data, "model": model, "usage": counts}), usage


def checked(vector: Any) -> list[float]:
    if not isinstance(vector, list) or not all(type(number) in (int, float) for number in vector):
        raise BrokenAnswer("the answer holds an embedding that is none")
    return vector


def _packed(vector: Any) -> str:
    numbers = checked(vector)
    try:
        return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode("ascii")
    except OverflowError:
        raise BrokenAnswer("the answer holds an embedding of numbers too large to be packed") from None
