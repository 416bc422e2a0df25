"""Mistral's errors in our shape (pure): a message, what its validator found, or a word of the proxy before it."""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.providers.base import StreamFailure
from gateway.providers.body import word
from gateway.providers.openai.errors import client_error, status_of
from shared.models.config import pointer

_TOO_LONG = "too large for model with"
"""What stands in the message when a prompt does not fit; its code is a number that says less."""


def chat_error(provider: str, status: int, content_type: str, body: bytes) -> bytes:
    try:
        parsed: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        parsed = None
    error = _error(parsed) if isinstance(parsed, dict) else None
    return client_error(provider, status, content_type, body if error is None else orjson.dumps({"error": error}))


def failure_in(event: Mapping[str, Any]) -> StreamFailure | None:
    """What an event of a stream says went wrong; None: nothing."""
    if event.get("object") != "error" and not event.get("error"):
        return None
    error = _error(event) or {"message": "its stream ended with an error"}
    status = status_of({**error, "status": event.get("raw_status_code")})
    return StreamFailure(status, orjson.dumps({"error": error}))


def _error(parsed: Mapping[str, Any]) -> dict[str, Any] | None:
    """None: it is of no form that is known."""
    error = parsed.get("error")
    if isinstance(error, str):
        return {"message": error}
    said = error if isinstance(error, dict) else parsed
    message = said.get("message", said.get("detail"))
    found = message.get("detail") if isinstance(message, dict) else message
    kept = {name: value for name in ("type", "param", "code") if isinstance(value := said.get(name), str)}
    if isinstance(found, list) and found and isinstance(first := found[0], dict):
        return {**kept, "message": _sentence(found), "param": _pointer(first.get("loc"))}
    if not isinstance(found, str):
        return None
    if _TOO_LONG in found:
        kept["code"] = "context_length_exceeded"
    return {**kept, "message": found}


def _sentence(found: list[Any]) -> str:
    """All that the validator found, each with its place."""
    faults = [fault for fault in found if isinstance(fault, dict)]
    return "; ".join(f"{_pointer(fault.get('loc'))} {word(fault.get('msg'))}".strip() for fault in faults)


def _pointer(location: Any) -> str:
    """Of `["body", "messages", 0]`, as we name places."""
    if not isinstance(location, list):
        return ""
    path = [step for step in location if isinstance(step, str | int)]
    return pointer(tuple(path[1:] if path[:1] == ["body"] else path))
