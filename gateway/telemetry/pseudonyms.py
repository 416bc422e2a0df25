"""Pseudonyms of end users: HMAC under a key that never leaves the gateway's nodes (GHS/1 17.9).

Before the key is there (`user_key_file.py`), nobody has one.
"""

import hmac
from collections.abc import Callable
from functools import lru_cache, partial

from gateway.telemetry.user_key_file import UserKeyFile
from shared.crypto.secret import Secret

PSEUDONYM_BYTES = 16

CACHED_MAX = 10_000
CACHED_CHARS_MAX = 256
"""A longer name is worked out each time: what callers send must not fill a worker's memory."""


class Pseudonyms:
    """One per worker, used on its loop only."""

    __slots__ = ("_cached", "_file", "_key")

    _cached: Callable[[str], str]
    """Remembers what it made under this key."""

    def __init__(self, file: UserKeyFile) -> None:
        self._file = file
        self._key: Secret | None = None

    def pseudonym(self, user: str) -> str | None:
        """32 hex digits; None as long as there is no key."""
        key = self._file.key()
        if key is None:
            return None
        if key is not self._key:
            self._key = key
            self._cached = lru_cache(maxsize=CACHED_MAX)(partial(_pseudonym, key))
        return self._cached(user) if len(user) <= CACHED_CHARS_MAX else _pseudonym(key, user)


def _pseudonym(key: Secret, user: str) -> str:
    return hmac.digest(key.reveal(), user.encode("utf-8", "surrogatepass"), "sha256")[:PSEUDONYM_BYTES].hex()
