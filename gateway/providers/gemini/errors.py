"""Google's errors in the shape of a chat's (pure). Source: https://google.aip.dev/193."""

import orjson

from gateway.providers.openai.errors import client_error
from gateway.providers.retry_info import error_in

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


def _coded(body: bytes) -> bytes:
    error = error_in(body)
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
