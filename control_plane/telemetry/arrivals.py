"""Wakes who waits for new records of an organisation: a notice of PostgreSQL follows each batch that counts.

A notice may be lost while the listener has no connection; when it is back everybody is woken, and looks.
"""

import asyncio
from contextlib import AbstractContextManager

from control_plane.sync.waiting import Waiting


class Arrivals:
    """Heard by `sync/notices.py`, on the one connection that listens."""

    def __init__(self) -> None:
        self._waiting = Waiting()

    def waiting(self, organisation: str) -> AbstractContextManager[asyncio.Event]:
        """An event that is set when records of this organisation have come from now on; also by what turns out none.

        Whoever waits looks before it waits, clears the event before it looks again, and looks now and then anyway.
        """
        return self._waiting.event(organisation)

    def heard(self, organisation: str) -> None:
        self._waiting.wake(organisation)

    def back(self) -> None:
        """The listener was away: whatever may have come meanwhile."""
        self._waiting.wake_all()
