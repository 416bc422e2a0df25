"""Wakes who waits for new records of an organisation: a notice of PostgreSQL follows each batch that counts.

A notice may be lost while the listener has no connection; when it is back everybody is woken, and looks.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

TIMES_MAX = 1_000
"""Noted for one who does not look; of more, the first."""


class News(asyncio.Event):
    """Set when records of an organisation have come; also by what turns out none."""

    def __init__(self) -> None:
        super().__init__()
        self.received_ms: set[int] = set()
        """Of the batches that came: long ago, of one that was delivered again until it counted."""


class Arrivals:
    """Heard by `sync/notices.py`, on the one connection that listens."""

    def __init__(self) -> None:
        self._news: defaultdict[str, set[News]] = defaultdict(set)

    @contextmanager
    def waiting(self, organisation: str) -> Iterator[News]:
        """Set by each notice from now on, until the block ends.

        Whoever waits looks before it waits, clears the event before it looks again, and looks now and then anyway.
        """
        news = News()
        self._news[organisation].add(news)
        try:
            yield news
        finally:
            self._news[organisation].discard(news)
            if not self._news[organisation]:
                del self._news[organisation]

    def heard(self, payload: str) -> None:
        organisation, _, received_ms = payload.partition(" ")
        for news in self._news.get(organisation, ()):
            if received_ms.isdecimal() and len(news.received_ms) < TIMES_MAX:
                news.received_ms.add(int(received_ms))
            news.set()

    def back(self) -> None:
        """The listener was away: whatever may have come meanwhile."""
        for waiting in self._news.values():
            for news in waiting:
                news.set()
