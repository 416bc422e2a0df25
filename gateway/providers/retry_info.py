"""When an error's body says to come back: a detail by that name (pure). Source: https://google.aip.dev/193."""

import re
from typing import Any

import orjson

_KIND = "google.rpc.RetryInfo"
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)s")


def retry_after_s(body: bytes) -> float | None:
    """How long one of an error's details says to wait, seconds; None: none does."""
    if _KIND.encode() not in body:
        return None
    details = (error_in(body) or {}).get("details")
    for one in details if isinstance(details, list) else ():
        kind, delay = (one.get("@type"), one.get("retryDelay")) if isinstance(one, dict) else (None, None)
        if isinstance(kind, str) and kind.endswith(_KIND) and isinstance(delay, str):
            found = _DURATION.fullmatch(delay)
            return None if found is None else float(found[1])
    return None


def first(parsed: Any) -> Any:
    """Streams that fail at once come as a list, and so do some errors."""
    return parsed[0] if isinstance(parsed, list) and parsed else parsed


def error_in(body: bytes) -> dict[str, Any] | None:
    try:
        parsed = first(orjson.loads(body))
    except orjson.JSONDecodeError:
        return None
    error = parsed.get("error") if isinstance(parsed, dict) else None
    return error if isinstance(error, dict) else None
