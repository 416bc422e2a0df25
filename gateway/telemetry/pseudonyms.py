"""Pseudonyms of end users: HMAC under a key that never leaves the gateway's nodes (GHS/1 17.9).

Before the key is there (`user_key_file.py`), nobody has one.
"""

import hmac

from gateway.telemetry.user_key_file import UserKeyFile
from shared.crypto.secret import Secret

PSEUDONYM_BYTES = 16

KNOWN_MAX = 10_000
KNOWN_CHARS_MAX = 256
"""A longer name is worked out each time: what callers send must not fill a worker's memory."""


class Pseudonyms:
    """One per worker, used on its loop only."""

    __slots__ = ("_file", "_key", "_known")

    def __init__(self, file: UserKeyFile) -> None:
        self._file = file
        self._key: Secret | None = None
        self._known: dict[str, str] = {}
        """What was made under this key."""

    def pseudonym(self, user: str) -> str | None:
        """32 hex digits; None as long as there is no key."""
        key = self._file.key()
        if key is not self._key:
            self._key = key
            self._known = {}
        return self._known.get(user) or self._made(user)

    def _made(self, user: str) -> str | None:
        if self._key is None:
            return None
        made = _pseudonym(self._key, user)
        if len(user) <= KNOWN_CHARS_MAX:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[user] = made
        return made


def _pseudonym(key: Secret, user: str) -> str:
    return hmac.digest(key.reveal(), user.encode("utf-8", "surrogatepass"), "sha256")[:PSEUDONYM_BYTES].hex()
