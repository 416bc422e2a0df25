"""The Messages API's errors in the shape of a chat's (pure)."""

from typing import Any

import orjson

from gateway.providers.body import word
from gateway.providers.openai.errors import client_error

CONTEXT_TOO_LONG = "context_length_exceeded"
"""The word by which clients of chats know that a request was too long for its model."""
_TOO_LONG = ("prompt is too long", "input length and `max_tokens` exceed")


def chat_error(provider: str, status: int, content_type: str, body: bytes) -> bytes:
    """The provider's own type stays; what clients switch on is said beside it."""
    return client_error(provider, status, content_type, _coded(body))


def _coded(body: bytes) -> bytes:
    try:
        parsed: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    error = parsed.get("error") if isinstance(parsed, dict) else None
    if not isinstance(error, dict) or not word(error.get("message")).startswith(_TOO_LONG):
        return body
    try:
        return orjson.dumps({"error": {**error, "code": CONTEXT_TOO_LONG}})
    except orjson.JSONEncodeError:  # orjson reads deeper than it writes.
        return body
