"""Bodies of requests and answers, as every adapter writes and reads them (pure)."""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.providers.base import BrokenAnswer, Untranslatable


def dumped(asked: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(asked)
    except orjson.JSONEncodeError:  # orjson reads 1,024 levels and writes 254.
        raise Untranslatable("the body is nested too deep to be changed on its way") from None


def parsed_answer(body: bytes) -> dict[str, Any]:
    """Raises BrokenAnswer."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BrokenAnswer("the answer is not JSON") from None
    if not isinstance(parsed, dict):
        raise BrokenAnswer("the answer is not a JSON object")
    return parsed


def caller_wants_usage(body: Mapping[str, Any]) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True
