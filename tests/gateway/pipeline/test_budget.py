"""The retry budget: a fifth of the calls of the last ten seconds, and ten a second whatever the calls."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.pipeline.budget import FLOOR_PER_S, SHARE, WINDOW_S, RetryBudget

STEPS = st.lists(st.tuples(st.sampled_from(["call", "retry"]), st.floats(0, 4)), max_size=200)


def taken(budget: RetryBudget, now_s: float, wanted: int = 10_000) -> int:
    return sum(budget.take(now_s) for _ in range(wanted))


def test_a_quiet_gateway_has_the_floor() -> None:
    assert taken(RetryBudget(), 0.0) == FLOOR_PER_S * WINDOW_S == 100


def test_a_busy_gateway_has_a_fifth_of_its_calls() -> None:
    budget = RetryBudget()
    for _ in range(5_000):
        budget.called(0.0)
    assert taken(budget, 0.5) == 1_000
    assert not budget.take(9.9)


def test_what_was_ten_seconds_ago_counts_no_more() -> None:
    budget = RetryBudget()
    for _ in range(5_000):
        budget.called(0.0)
    assert taken(budget, 9.0) == 1_000
    assert not budget.take(10.0), "the calls have gone, the retries have not"
    assert taken(budget, 19.0) == 100


def test_a_long_silence_leaves_nothing_behind() -> None:
    budget = RetryBudget()
    assert taken(budget, 3.0) == 100
    assert taken(budget, 1_000_003.0) == 100


@given(STEPS)
def test_it_agrees_with_a_list_of_all_that_ever_was(steps: list[tuple[str, float]]) -> None:
    budget, now_s = RetryBudget(), 0.0
    calls: list[int] = []
    retries: list[int] = []
    for _ in range(95):
        retries.append(0)
        assert budget.take(0.0)
    for step, pause_s in steps:
        now_s += pause_s
        since = int(now_s) - WINDOW_S
        calls, retries = [s for s in calls if s > since], [s for s in retries if s > since]
        if step == "call":
            budget.called(now_s)
            calls.append(int(now_s))
            continue
        expected = len(retries) < max(SHARE * len(calls), FLOOR_PER_S * WINDOW_S)
        assert budget.take(now_s) is expected
        if expected:
            retries.append(int(now_s))
