"""Errors in the messages dialect's shape (pure)."""

from collections.abc import Mapping
from typing import Any

from gateway.providers.body import word

_BY_STATUS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_WORDS = frozenset(_BY_STATUS.values())


def error_body(body: Mapping[str, Any], status: int) -> dict[str, Any]:
    """`{"type": "error", "error": {type, message, …}}`, with whatever stood beside the error in OpenAI's shape."""
    error = body.get("error")
    detail = dict(error) if isinstance(error, Mapping) else {"message": word(error)}
    # By the status first: hosts of another dialect use some of these words for other things.
    if status in _BY_STATUS:
        detail["type"] = _BY_STATUS[status]
    elif word(detail.get("type")) not in _WORDS:
        detail["type"] = "invalid_request_error" if status < 500 else "api_error"
    return {**body, "type": "error", "error": detail}
