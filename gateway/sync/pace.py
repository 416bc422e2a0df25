"""How soon the next request may follow: a random wait after failures, and a bound whatever happens (GHS/1 12.6)."""

from random import Random

from shared.clock import Clock

BASE_S = 0.5
CAP_S = 30.0
BURST = 2
EVERY_S = 0.25

_DOUBLINGS_MAX = 16


class Backoff:
    """Full jitter: nodes that lost the same control plane do not come back at the same moment."""

    __slots__ = ("_chance", "_failures")

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._failures = 0

    def failed(self) -> float:
        """How many seconds to wait."""
        longest_s = min(CAP_S, BASE_S * 2.0 ** min(self._failures, _DOUBLINGS_MAX))
        self._failures += 1
        return self._chance.uniform(0, longest_s)

    def succeeded(self) -> None:
        self._failures = 0


class Pace:
    """At most BURST requests at once, then one each EVERY_S: no answer can make a loop spin."""

    __slots__ = ("_clock", "_free_at_s")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._free_at_s = clock.monotonic_s() - BURST * EVERY_S

    def take(self) -> float:
        """Take the next place; how many seconds it is away."""
        now_s = self._clock.monotonic_s()
        place_s = max(self._free_at_s + EVERY_S, now_s - (BURST - 1) * EVERY_S)
        self._free_at_s = place_s
        return max(0.0, place_s - now_s)
