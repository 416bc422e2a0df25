"""Google's errors in the shape of a chat's (pure). Source: https://google.aip.dev/193."""

from typing import Any

import orjson

from gateway.providers.openai.errors import client_error

_CODES = {
    "UNAUTHENTICATED": "invalid_api_key",
    "RESOURCE_EXHAUSTED": "rate_limit_exceeded",
    "NOT_FOUND": "model_not_found",
}
_WRONG_KEY = "API_KEY_INVALID"
_TOO_LONG = "exceeds the maximum number of tokens"


def chat_error(provider: str, status: int, content_type: str, body: bytes) -> bytes:
    """Google's word for the error is its type; what clients switch on is said beside it."""
    return client_error(provider, status, content_type, _coded(body))


def first(parsed: Any) -> Any:
    """Streams that fail at once come as a list, and so do some errors."""
    return parsed[0] if isinstance(parsed, list) and parsed else parsed


def _coded(body: bytes) -> bytes:
    try:
        parsed = first(orjson.loads(body))
    except orjson.JSONDecodeError:
        return body
    error = parsed.get("error") if isinstance(parsed, dict) else None
    if not isinstance(error, dict):
        return body
    word = error.get("status")
    code = _CODES.get(word) if isinstance(word, str) else None
    details = error.get("details")
    if isinstance(details, list) and any(isinstance(one, dict) and one.get("reason") == _WRONG_KEY for one in details):
        code = "invalid_api_key"
    if _TOO_LONG in str(error.get("message")):
        code = "context_length_exceeded"
    try:
        return orjson.dumps({"error": {**error, "type": word, "code": code}})
    except orjson.JSONEncodeError:
        return body
