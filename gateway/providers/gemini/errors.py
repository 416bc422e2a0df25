"""Google's errors in the shape of a chat's (pure). Source: https://google.aip.dev/193."""

import re
from typing import Any

import orjson

from gateway.providers.openai.errors import client_error

_CODES = {
    "UNAUTHENTICATED": "invalid_api_key",
    "RESOURCE_EXHAUSTED": "rate_limit_exceeded",
    "NOT_FOUND": "model_not_found",
}
_WRONG_KEY = "API_KEY_INVALID"
_RETRY_INFO = "google.rpc.RetryInfo"
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)s")
_TOO_LONG = "exceeds the maximum number of tokens"


def chat_error(provider: str, status: int, content_type: str, body: bytes) -> bytes:
    """Google's word for the error is its type; what clients switch on is said beside it."""
    return client_error(provider, status, content_type, _coded(body))


def retry_after_s(body: bytes) -> float | None:
    """How long one of an error's details says to wait, seconds; None: none does."""
    details = (_error(body) or {}).get("details")
    for one in details if isinstance(details, list) else ():
        kind, delay = (one.get("@type"), one.get("retryDelay")) if isinstance(one, dict) else (None, None)
        if isinstance(kind, str) and kind.endswith(_RETRY_INFO) and isinstance(delay, str):
            found = _DURATION.fullmatch(delay)
            return None if found is None else float(found[1])
    return None


def first(parsed: Any) -> Any:
    """Streams that fail at once come as a list, and so do some errors."""
    return parsed[0] if isinstance(parsed, list) and parsed else parsed


def _coded(body: bytes) -> bytes:
    error = _error(body)
    if error is None:
        return body
    word = error.get("status")
    code = _CODES.get(word) if isinstance(word, str) else None
    details = error.get("details")
    if isinstance(details, list) and any(isinstance(one, dict) and one.get("reason") == _WRONG_KEY for one in details):
        code = "invalid_api_key"
    message = error.get("message")
    if isinstance(message, str) and _TOO_LONG in message:
        code = "context_length_exceeded"
    try:
        return orjson.dumps({"error": {**error, "type": word, "code": code}})
    except orjson.JSONEncodeError:
        return body


def _error(body: bytes) -> dict[str, Any] | None:
    try:
        parsed = first(orjson.loads(body))
    except orjson.JSONDecodeError:
        return None
    error = parsed.get("error") if isinstance(parsed, dict) else None
    return error if isinstance(error, dict) else None
