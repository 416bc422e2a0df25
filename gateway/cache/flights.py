"""Who waits for whom: of identical calls that run at once in a worker, one goes and the others wait for its answer."""

import asyncio

from gateway.cache.entry import Entry


class Flight:
    """One call under way that others may wait for."""

    __slots__ = ("_ended", "entry")

    def __init__(self) -> None:
        self._ended = asyncio.Event()
        self.entry: Entry | None = None
        """Its answer; None: it brought none, and somebody else has to go."""

    async def wait(self, wait_s: float | None) -> Entry | None:
        """Its answer; None if it brings none, or not in time."""
        try:
            async with asyncio.timeout(wait_s):
                await self._ended.wait()
        except TimeoutError:
            return None
        return self.entry

    def end(self, entry: Entry | None) -> None:
        self.entry = entry
        self._ended.set()


class Flights:
    """Those of a worker, by what they ask."""

    __slots__ = ("_running",)

    def __init__(self) -> None:
        self._running: dict[str, Flight] = {}

    def running(self, name: str) -> Flight | None:
        return self._running.get(name)

    def begin(self, name: str) -> Flight:
        """The caller is the one that goes; it must `end` what it began."""
        flight = self._running[name] = Flight()
        return flight

    def end(self, name: str, flight: Flight, entry: Entry | None = None) -> None:
        """Harmless the second time."""
        if self._running.get(name) is flight:
            del self._running[name]
            flight.end(entry)
