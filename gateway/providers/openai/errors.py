"""A provider's error, in the shape both OpenAI's and the original's clients read (reference/portkey.md 2.6)."""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.providers.base import StreamFailure
from gateway.providers.retry_info import first

_TEXT_CHARS_MAX = 4_000
_UNKNOWN_STATUS = 502
_STATUSES = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "insufficient_quota": 429,
    "tokens": 429,
    "requests": 429,
    "overloaded_error": 529,
    "overloaded": 529,
    "engine_overloaded": 503,
    "server_error": 500,
    "internal_error": 500,
    "internal_server_error": 500,
    "api_error": 500,
    "timeout_error": 504,
    "timeout": 504,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "content_filter": 400,
}
"""What hosts call an error in the middle of a stream, and the status they give it elsewhere."""


def status_of(error: Mapping[str, Any] | str) -> int:
    """The status that an error event would have had as an answer of its own."""
    if isinstance(error, str):
        return _UNKNOWN_STATUS
    for word in (error.get("code"), error.get("status"), error.get("status_code"), error.get("type")):
        if isinstance(word, str) and word.isdecimal() and len(word) == len("500"):
            word = int(word)  # noqa: PLW2901
        if isinstance(word, int) and not isinstance(word, bool) and 400 <= word <= 599:
            return word
        if isinstance(word, str) and word.lower() in _STATUSES:
            return _STATUSES[word.lower()]
    return _UNKNOWN_STATUS


def failure_in(answer: Mapping[str, Any]) -> StreamFailure | None:
    """What a whole 2xx answer says in place of an answer: an error alone, or one in each of its choices, as OpenRouter
    has it where a model fails that had begun. Of several choices, one that is none is an answer.
    """
    error = error_in_choices(answer)
    if error is None and not answer.get("choices") and not answer.get("data"):
        error = answer.get("error")
    return failure_of(error) if error and isinstance(error, dict | str) else None


def failure_of(error: dict[str, Any] | str) -> StreamFailure:
    try:
        return StreamFailure(status_of(error), orjson.dumps({"error": error}))
    except orjson.JSONEncodeError:  # orjson reads deeper than it writes.
        return StreamFailure(status_of(error), b"{}")


def error_in_choices(answer: Mapping[str, Any]) -> Any:
    """The first one's, where each of an answer's choices, or of an event's, has one; else None."""
    choices = answer.get("choices")
    told = [_error_of(choice, answer) for choice in choices] if isinstance(choices, list) else []
    return told[0] if told and all(told) else None


def _error_of(choice: Any, answer: Mapping[str, Any]) -> Any:
    if not isinstance(choice, dict):
        return None
    return choice.get("error") or (answer.get("error") if choice.get("finish_reason") == "error" else None)


def client_error(provider: str, status: int, content_type: str, body: bytes) -> bytes:
    """`{"error": {message, type, param, code}, "provider"}`; a page that is no JSON comes as `html-message` too."""
    try:
        parsed = first(orjson.loads(body))
    except orjson.JSONDecodeError:
        return _page(provider, status, content_type, body)
    error = parsed.get("error") if isinstance(parsed, dict) else None
    if isinstance(error, str):
        error = {"message": error}
    try:
        if not isinstance(error, dict):
            error = _elsewhere(parsed, status)
        return orjson.dumps({"error": _fields(provider, status, error), "provider": provider})
    except orjson.JSONEncodeError:  # orjson reads deeper than it writes.
        return _page(provider, status, content_type, body)


def _elsewhere(parsed: Any, status: int) -> dict[str, Any]:
    """What is wrong, where a host does not say it in the dialect's place. Raises orjson.JSONEncodeError."""
    if isinstance(parsed, dict):
        if isinstance(parsed.get("message"), str):
            return parsed
        if isinstance(detail := parsed.get("detail"), str):
            return {**parsed, "message": detail}
    if not isinstance(parsed, dict | str) or not parsed:
        return {}
    said = parsed if isinstance(parsed, str) else orjson.dumps(parsed).decode()
    return {"message": f"status {status}: {said[:_TEXT_CHARS_MAX]}"}


def _fields(provider: str, status: int, error: dict[str, Any]) -> dict[str, Any]:
    message = error.get("message")
    return {
        **error,
        "message": f"{provider} error: {message if isinstance(message, str) else f'status {status}'}",
        "type": error.get("type"),
        "param": error.get("param"),
        "code": error.get("code"),
    }


def _page(provider: str, status: int, content_type: str, body: bytes) -> bytes:
    text = body[: _TEXT_CHARS_MAX * 4].decode("utf-8", "replace")[:_TEXT_CHARS_MAX]
    kind = content_type.partition(";")[0].strip() or "no content type"
    message = f"{provider} error: status {status} with a body that is not JSON ({kind}); it follows as html-message"
    return orjson.dumps(
        {
            "error": {"message": message, "type": "upstream_error", "param": None, "code": None},
            "provider": provider,
            "html-message": text,
        }
    )
