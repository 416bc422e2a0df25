"""How many retries a worker makes at all: when everything fails, retries must not be what keeps it failing. Pure."""

SHARE = 0.2
"""Of the calls of the last ten seconds."""
FLOOR_PER_S = 10
"""So many at least, so that a quiet gateway may retry too."""
WINDOW_S = 10


class RetryBudget:
    """Counts by the second. Times are of a clock that only grows."""

    __slots__ = ("_calls", "_calls_by_s", "_calls_now", "_now", "_retries", "_retries_by_s")

    def __init__(self) -> None:
        self._now = 0
        self._calls_now = 0
        """Of this second; the others stand in their places."""
        self._calls = 0
        self._retries = 0
        self._calls_by_s = [0] * WINDOW_S
        self._retries_by_s = [0] * WINDOW_S

    def called(self, now_s: float) -> None:
        """A call begins."""
        if now_s >= self._now + 1:
            self._forget(int(now_s))
        self._calls_now += 1

    def take(self, now_s: float) -> bool:
        """Whether a retry may be made; if so it is counted."""
        now = int(now_s)
        if now != self._now:
            self._forget(now)
        if self._retries >= max(SHARE * (self._calls + self._calls_now), FLOOR_PER_S * WINDOW_S):
            return False
        self._retries += 1
        self._retries_by_s[now % WINDOW_S] += 1
        return True

    def _forget(self, now: int) -> None:
        self._calls_by_s[self._now % WINDOW_S] += self._calls_now
        self._calls += self._calls_now
        self._calls_now = 0
        for second in range(self._now + 1, min(now, self._now + WINDOW_S) + 1):
            slot = second % WINDOW_S
            self._calls -= self._calls_by_s[slot]
            self._retries -= self._retries_by_s[slot]
            self._calls_by_s[slot] = self._retries_by_s[slot] = 0
        self._now = now
