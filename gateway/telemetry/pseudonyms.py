"""Pseudonyms of end users: HMAC under a key that never leaves the gateway's nodes (GHS/1 17.9).

Before the key is there (`user_key_file.py`), nobody has one.
"""

import hmac
from collections import OrderedDict

from gateway.telemetry.user_key_file import UserKeyFile
from shared.crypto.secret import Secret

PSEUDONYM_BYTES = 16

CACHED_MAX = 10_000
CACHED_CHARS_MAX = 256
"""A longer name is worked out each time: what callers send must not fill a worker's memory."""


class Pseudonyms:
    """One per worker, used on its loop only."""

    __slots__ = ("_cached", "_file", "_key")

    def __init__(self, file: UserKeyFile) -> None:
        self._file = file
        self._key: Secret | None = None
        self._cached: OrderedDict[str, str] = OrderedDict()

    def pseudonym(self, user: str) -> str | None:
        """32 hex digits; None as long as there is no key."""
        key = self._file.key()
        if key is not self._key:
            self._key = key
            self._cached.clear()
        if key is None:
            return None
        if (known := self._cached.get(user)) is not None:
            self._cached.move_to_end(user)
            return known
        made = _pseudonym(key, user)
        if len(user) <= CACHED_CHARS_MAX:
            self._cached[user] = made
            if len(self._cached) > CACHED_MAX:
                self._cached.popitem(last=False)
        return made


def _pseudonym(key: Secret, user: str) -> str:
    return hmac.digest(key.reveal(), user.encode("utf-8", "surrogatepass"), "sha256")[:PSEUDONYM_BYTES].hex()
