"""Waits: random and bounded after failures, and never a loop without any."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from gateway.sync.pace import BURST, CAP_S, EVERY_S, Backoff, Pace
from shared.clock import FakeClock


class Highest(Random):
    """Always the longest wait."""

    def uniform(self, a: float, b: float) -> float:
        return b


def test_waits_double_to_their_cap_and_start_again() -> None:
    """GHS/1 12.6."""
    backoff = Backoff(Highest())
    assert [backoff.failed() for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, CAP_S, CAP_S]
    backoff.succeeded()
    assert backoff.failed() == 0.5


@given(st.integers(0, 2**32), st.integers(1, 2_000))
def test_a_wait_is_anywhere_below_its_bound(seed: int, failures: int) -> None:
    """GHS/1 12.6."""
    backoff = Backoff(Random(seed))
    assert all(0 <= backoff.failed() <= CAP_S for _ in range(failures))


@given(st.lists(st.floats(0, 2), min_size=3, max_size=60))
def test_no_loop_is_faster_than_its_pace(pauses: list[float]) -> None:
    """GHS/1 12.6: two at once, then one in 250 ms, whatever the time between."""
    clock = FakeClock()
    pace = Pace(clock)
    starts = []
    for pause in pauses:
        clock.advance(pause)
        clock.advance(pace.take())
        starts.append(clock.monotonic_s())
    for index in range(len(starts) - BURST):
        assert starts[index + BURST] - starts[index] >= EVERY_S * (1 - 1e-9)
    for index in range(0, len(starts) - 10, 10):
        assert starts[index + 10] - starts[index] >= EVERY_S * (10 - BURST) * (1 - 1e-9)
