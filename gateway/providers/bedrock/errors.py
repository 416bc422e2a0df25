"""AWS errors in the shape of a chat's (pure): their kind is in a header, or in the frame that brings them."""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.providers.body import word
from gateway.providers.openai.errors import client_error

_STATUSES = {
    "accessdenied": 403,
    "expiredtoken": 403,
    "unrecognizedclient": 403,
    "invalidsignature": 403,
    "internalserver": 500,
    "modelerror": 424,
    "modelstreamerror": 424,
    "modelnotready": 429,
    "modeltimeout": 408,
    "resourcenotfound": 404,
    "servicequotaexceeded": 400,
    "serviceunavailable": 503,
    "throttling": 429,
    "validation": 400,
}
_TOO_LONG = ("too long", "too many tokens", "too many input tokens", "maximum context", "context window")


def status_of(kind: str) -> int:
    """The status that a frame's exception has as an answer of its own."""
    return _STATUSES.get(kind.lower().removesuffix("exception"), 502)


def chat_error_body(kind: str, message: str) -> dict[str, Any]:
    is_too_long = kind.lower().startswith("validation") and any(word in message.lower() for word in _TOO_LONG)
    return {"error": {"message": message, "type": kind, "code": "context_length_exceeded" if is_too_long else None}}


def chat_error(provider: str, status: int, headers: Mapping[str, str], body: bytes) -> bytes:
    try:
        parsed: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        parsed = None
    content_type = headers.get("content-type", "")
    if not isinstance(parsed, dict) or "error" in parsed:
        return client_error(provider, status, content_type, body)
    kind = headers.get("x-amzn-errortype") or parsed.get("__type") or "unknown"
    message = word(parsed.get("message")) or word(parsed.get("Message")) or f"status {status}"
    # `ThrottlingException:http://…`, and `com.amazon…#ThrottlingException` in a body.
    kind = word(kind).partition(":")[0].rpartition("#")[2]
    return client_error(provider, status, content_type, orjson.dumps(chat_error_body(kind, message)))
