"""Embeddings: a unit vector that depends on the text alone. Pure.

Source of the shape: OpenAI's API reference, `embedding`.
"""

import base64
import hashlib
import math
from array import array
from typing import Any

import orjson

from embedded.simulator import checks, errors, tokens
from embedded.simulator.checks import Body, Rule
from embedded.simulator.completions import texts

DIMENSIONS_DEFAULT = 256
DIMENSIONS_MAX = 3_072
INPUTS_MAX = 2_048

RULES = {
    "input": Rule((str, list), "a string, array of strings, array of tokens, or array of token arrays"),
    "dimensions": checks.integer(1, DIMENSIONS_MAX),
    "encoding_format": checks.STRING,
    "user": checks.STRING,
}


def answer(body: Body) -> bytes:
    """Raises errors.Refused if the body is not a proper request."""
    if body.get("input") is None:
        raise errors.missing("input")
    checks.check(body, RULES)
    inputs = texts(body["input"], "input")
    encoding = body.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise errors.invalid(
            f"Invalid value: '{encoding}'. Supported values are: 'float' and 'base64'.",
            "encoding_format",
            "invalid_value",
        )
    if len(inputs) > INPUTS_MAX or not all(inputs):
        raise errors.invalid(f"Invalid 'input': from 1 to {INPUTS_MAX} texts, none of them empty.", "input")
    dimensions = body.get("dimensions") or DIMENSIONS_DEFAULT
    count = sum(map(tokens.count, inputs))
    return orjson.dumps(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": _encoded(vector(text, dimensions), encoding)}
                for index, text in enumerate(inputs)
            ],
            "model": body["model"],
            "usage": {"prompt_tokens": count, "total_tokens": count},
        }
    )


def vector(text: str, dimensions: int) -> "array[float]":
    """A unit vector of 32-bit floats, drawn from a hash of the text."""
    raw = array("h", hashlib.shake_256(text.encode()).digest(2 * dimensions))
    length = math.sqrt(sum(value * value for value in raw)) or 1.0
    return array("f", (value / length for value in raw))


def _encoded(numbers: "array[float]", encoding: str) -> Any:
    """Base64 is of the little-endian 32-bit floats, as numpy and the SDK read it on every machine we run on."""
    return base64.b64encode(numbers.tobytes()).decode() if encoding == "base64" else numbers.tolist()
