"""A provider's error, in the shape both OpenAI's and the original's clients read (reference/portkey.md 2.6)."""

from typing import Any

import orjson

_TEXT_CHARS_MAX = 4_000


def client_error(provider: str, status: int, content_type: str, body: bytes) -> bytes:
    """`{"error": {message, type, param, code}, "provider"}`; a page that is no JSON comes as `html-message` too."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _page(provider, status, content_type, body)
    error = parsed.get("error") if isinstance(parsed, dict) else None
    if isinstance(error, str):
        error = {"message": error}
    if not isinstance(error, dict):
        error = parsed if isinstance(parsed, dict) and isinstance(parsed.get("message"), str) else {}
    try:
        return orjson.dumps({"error": _fields(provider, status, error), "provider": provider})
    except orjson.JSONEncodeError:  # orjson reads deeper than it writes.
        return _page(provider, status, content_type, body)


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
