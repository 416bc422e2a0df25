"""The gateway's user key as a worker sees it: a file that the agent brings (`user_key.py`), looked at now and then."""

from pathlib import Path

import structlog

from shared.clock import Clock
from shared.crypto.secret import Secret

FILE = "user.key"
KEY_BYTES = 32

MISSING_LOOK_S = 1.0
"""How often a worker without the key looks for it."""
CHANGED_LOOK_S = 10.0
"""How often one that has it looks whether it is another by now."""

_Signature = tuple[int, int, int]

log = structlog.get_logger("telemetry.user_key_file")


class UserKeyFile:
    """One per worker, used on its loop only."""

    __slots__ = ("_clock", "_due_s", "_key", "_path", "_seen")

    def __init__(self, state_dir: Path, clock: Clock) -> None:
        self._path = state_dir / FILE
        self._clock = clock
        self._key: Secret | None = None
        self._seen: _Signature | None = None
        """Of the file as last read; one that is damaged is read once."""
        self._due_s = clock.monotonic_s()

    def key(self) -> Secret | None:
        """The same object as long as it is the same key; None while there is none."""
        if self._clock.monotonic_s() >= self._due_s:
            self._look()
        return self._key

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
