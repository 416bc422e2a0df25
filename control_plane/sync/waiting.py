"""Who in this process waits for news of which organisation."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Set
from contextlib import contextmanager


class Waiting:
    def __init__(self) -> None:
        self._events: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    @property
    def organisations(self) -> Set[str]:
        return self._events.keys()

    @contextmanager
    def event(self, organisation: str) -> Iterator[asyncio.Event]:
        """One that is set by each wake-up from now on, until the block ends."""
        event = asyncio.Event()
        self._events[organisation].add(event)
        try:
            yield event
        finally:
            self._events[organisation].discard(event)
            if not self._events[organisation]:
                del self._events[organisation]

    def wake(self, organisation: str) -> None:
        for event in self._events.get(organisation, ()):
            event.set()

    def wake_all(self) -> None:
        for events in self._events.values():
            for event in events:
                event.set()
