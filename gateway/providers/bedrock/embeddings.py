"""Embeddings by Invoke (pure): each maker's models have words of their own.

Sources: Amazon Bedrock user guide, Titan Text Embeddings and Cohere Embed.
"""

import base64
from array import array
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.providers.base import BrokenAnswer, Call, Usage
from gateway.providers.bedrock.answer import model_of
from gateway.providers.chat import refuse
from gateway.providers.embeddings import checked
from gateway.providers.estimate import settled
from gateway.providers.fields import given, malformed, of
from gateway.providers.openai.usage import count

PURPOSE = "search_document"
"""What the texts are for, where the caller does not say: `input_type` does."""
_LEFT_OUT = ("user",)
_READ = frozenset(
    {"model", "input", "encoding_format", "dimensions", "input_type", "truncate", "normalize", *_LEFT_OUT}
)


def to_invoke(body: Mapping[str, Any], model: str) -> tuple[dict[str, Any], frozenset[str]]:
    """The request, and the names of what was left out of it. Raises Untranslatable."""
    for name, value in body.items():
        if value is not None and name not in _READ:
            raise refuse((name,))
    if body.get("encoding_format") not in (None, "float", "base64"):
        raise malformed(("encoding_format",), "must be `float` or `base64`")
    texts = _texts(body.get("input"))
    left_out = frozenset(name for name in _LEFT_OUT if body.get(name) is not None)
    dimensions = given(int, body, "dimensions", ())
    if "cohere.embed" in model:
        asked: dict[str, Any] = {
            "texts": texts,
            "input_type": given(str, body, "input_type", ()) or PURPOSE,
            "embedding_types": ["float"],
        }
        if (truncate := given(str, body, "truncate", ())) is not None:
            asked["truncate"] = truncate
        if dimensions is not None:
            asked["output_dimension"] = dimensions
        _only(body, ("input_type", "truncate"))
        return asked, left_out
    if "titan-embed" in model:
        if len(texts) != 1:
            raise refuse(("input",), "is more than one text, and this model takes one at a time")
        asked = {"inputText": texts[0]}
        if dimensions is not None:
            asked["dimensions"] = dimensions
        if (normalize := given(bool, body, "normalize", ())) is not None:
            asked["normalize"] = normalize
        _only(body, ("normalize",))
        return asked, left_out
    raise refuse(("model",), "names a model whose embeddings this gateway has no words for")


def _only(body: Mapping[str, Any], own: tuple[str, ...]) -> None:
    for name in ("input_type", "truncate", "normalize"):
        if body.get(name) is not None and name not in own:
            raise refuse((name,))


def _texts(given_: Any) -> list[str]:
    if isinstance(given_, str):
        return [given_]
    texts = of(list, given_, ("input",))
    for at, text in enumerate(texts):
        if isinstance(text, int | list):
            raise refuse(("input",), "is made of tokens, and this provider takes texts")
        of(str, text, ("input", at))
    if not texts:
        raise malformed(("input",), "is empty")
    return texts


def to_embeddings(call: Call, answer: Mapping[str, Any]) -> tuple[bytes, Usage]:
    """Raises BrokenAnswer."""
    vectors = _vectors(answer)
    if not vectors or not all(isinstance(vector, list) and vector for vector in vectors):
        raise BrokenAnswer("the answer holds no embeddings")
    tokens = count(answer.get("inputTextTokenCount"))
    usage = settled(None if tokens is None else Usage(input_tokens=tokens, output_tokens=0), call, 0)
    encode = _base64 if call.body.get("encoding_format") == "base64" else checked
    try:
        data = [
            {"object": "embedding", "index": index, "embedding": encode(vector)} for index, vector in enumerate(vectors)
        ]
    except TypeError:
        raise BrokenAnswer("the answer holds embeddings that are no numbers") from None
    told = {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens}
    return orjson.dumps({"object": "list", "data": data, "model": model_of(call), "usage": told}), usage


def _vectors(answer: Mapping[str, Any]) -> list[Any]:
    if "embedding" in answer:
        return [answer["embedding"]]
    embeddings = answer.get("embeddings")
    if isinstance(embeddings, Mapping):
        embeddings = embeddings.get("float")
    return embeddings if isinstance(embeddings, list) else []


def _base64(vector: list[Any]) -> str:
    """Of the little-endian 32-bit floats, as clients read it."""
    numbers = array("f", vector)
    if _BIG_ENDIAN:
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()


_BIG_ENDIAN = array("H", [1]).tobytes() == b"\x00\x01"
