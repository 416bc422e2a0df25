"""Sleep that takes no time: the clock is turned on by so much, and what was slept is seen."""

import asyncio

from shared.clock import FakeClock


class FakeSleep:
    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.slept_s: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self._clock.advance(seconds)
        await asyncio.sleep(0)
