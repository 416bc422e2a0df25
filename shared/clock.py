"""Time, passed in: the real clock and the one tests turn by hand, side by side."""

from math import floor
from time import monotonic, time
from typing import Protocol


class Clock(Protocol):
    def wall_ms(self) -> int:
        """Milliseconds since 1970, for what people and the other plane read."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that only grow, for waits and durations."""
        ...


class SystemClock:
    __slots__ = ()

    monotonic_s = staticmethod(monotonic)
    """The function itself: each call of a caller looks at it eight times."""

    def wall_ms(self) -> int:
        return floor(time() * 1e3)  # A division of whole numbers as large takes longer.


class FakeClock:
    """Stands still until `advance` is called."""

    __slots__ = ("_monotonic_s", "_wall_ms")

    def __init__(self, wall_ms: int = 1_800_000_000_000) -> None:
        self._wall_ms = wall_ms
        self._monotonic_s = 0.0

    def wall_ms(self) -> int:
        return self._wall_ms

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        self._wall_ms += round(seconds * 1000)
        self._monotonic_s += seconds
