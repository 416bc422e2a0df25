"""Access tokens as OAuth's token endpoints grant them (pure). Source: RFC 6749, section 5."""

from typing import Any

import orjson

from gateway.providers.base import USER_AGENT, GrantRefused
from shared.crypto.secret import Secret

FORM_HEADERS = b"content-type: application/x-www-form-urlencoded\r\naccept: application/json\r\n" + USER_AGENT
_SECONDS_MAX = 24 * 3_600


def granted(status: int, body: bytes, now_ms: int) -> tuple[Secret, int]:
    """The token, and when it ends in Unix milliseconds. Raises GrantRefused."""
    try:
        told: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        told = None
    told = told if isinstance(told, dict) else {}
    if status != 200:
        word = told.get("error")
        raise GrantRefused(f"no token is granted: {word if isinstance(word, str) else f'status {status}'}")
    token, seconds = told.get("access_token"), told.get("expires_in")
    if not isinstance(token, str) or not token or type(seconds) is not int or not 0 < seconds <= _SECONDS_MAX:
        raise GrantRefused("no token is granted: what came is none")
    return Secret(token), now_ms + seconds * 1_000
