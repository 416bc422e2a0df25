"""Pseudonyms of end users: HMAC under a key that never leaves the gateway's nodes (GHS/1 17.9).

The agent brings the key into a file (`user_key.py`); workers look for it here. Before it is there, nobody has one.
"""

import hmac
from collections import OrderedDict
from pathlib import Path

import structlog

from shared.clock import Clock
from shared.crypto.secret import Secret

FILE = "user.key"
KEY_BYTES = 32
PSEUDONYM_BYTES = 16

MISSING_LOOK_S = 1.0
"""How often a worker without the key looks for it."""
CHANGED_LOOK_S = 10.0
"""How often one that has it looks whether it is another by now."""
CACHED_MAX = 10_000
CACHED_CHARS_MAX = 256
"""A longer name is worked out each time: what callers send must not fill a worker's memory."""

_Signature = tuple[int, int, int]

log = structlog.get_logger("telemetry.pseudonyms")


class Pseudonyms:
    """One per worker, used on its loop only."""

    __slots__ = ("_cached", "_clock", "_due_s", "_key", "_path", "_seen")

    def __init__(self, state_dir: Path, clock: Clock) -> None:
        self._path = state_dir / FILE
        self._clock = clock
        self._key: Secret | None = None
        self._seen: _Signature | None = None
        """Of the file as last read; one that is damaged is read once."""
        self._due_s = clock.monotonic_s()
        self._cached: OrderedDict[str, str] = OrderedDict()

    def pseudonym(self, user: str) -> str | None:
        """32 hex digits; None as long as there is no key."""
        if self._clock.monotonic_s() >= self._due_s:
            self._look()
        if self._key is None:
            return None
        if (known := self._cached.get(user)) is not None:
            self._cached.move_to_end(user)
            return known
        made = _pseudonym(self._key, user)
        if len(user) <= CACHED_CHARS_MAX:
            self._cached[user] = made
            if len(self._cached) > CACHED_MAX:
                self._cached.popitem(last=False)
        return made

    def _look(self) -> None:
        try:
            stat = self._path.stat()
            seen = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if seen != self._seen:
                self._take(self._path.read_bytes(), seen)
        except OSError:
            pass  # None yet; or it is away just now, and the key that was read stays in use.
        now_s = self._clock.monotonic_s()
        self._due_s = now_s + (MISSING_LOOK_S if self._key is None else CHANGED_LOOK_S)

    def _take(self, data: bytes, seen: _Signature) -> None:
        self._seen = seen
        if len(data) != KEY_BYTES:
            log.error("user_key_damaged", path=str(self._path))
            return
        self._key = Secret(data)
        self._cached.clear()


def _pseudonym(key: Secret, user: str) -> str:
    return hmac.digest(key.reveal(), user.encode("utf-8", "surrogatepass"), "sha256")[:PSEUDONYM_BYTES].hex()
