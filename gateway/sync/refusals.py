"""Says each refusal once, and remembers the last one for status and readiness."""

import structlog

from gateway.sync.trust import Refused


class Refusals:
    """One per loop. A refusal that comes again from the same source is silent until that source was good again."""

    __slots__ = ("_log", "_said")

    def __init__(self, room: str) -> None:
        self._log = structlog.get_logger(room)
        self._said: dict[str, Refused] = {}

    @property
    def last(self) -> Refused | None:
        """The newest refusal that still stands."""
        return next(reversed(self._said.values()), None)

    def say(self, source: str, refusal: Refused) -> None:
        before = self._said.pop(source, None)
        self._said[source] = refusal
        if before is None or (before.code, before.detail) != (refusal.code, refusal.detail):
            self._log.warning("sync_refused", source=source, code=refusal.code, detail=refusal.detail)

    def clear(self, source: str) -> None:
        """What `source` has now is good."""
        self._said.pop(source, None)
