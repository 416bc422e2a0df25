"""The sliding windows that slow guessing."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.auth.attempts import AT_ACCOUNT_MAX, FROM_ADDRESS_MAX, WINDOW_S, Attempts, SlidingWindow
from control_plane.errors import TooMany, Unavailable
from shared.clock import FakeClock

MAX, WINDOW = 3, 10.0
steps = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.sampled_from("abc")),
        st.tuples(st.just("put_back"), st.sampled_from("abc")),
        st.tuples(st.just("wait"), st.integers(1, 12)),
    ),
    max_size=60,
)


@given(steps)
def test_as_many_as_the_window_allows_and_never_more(history: list[tuple[str, str | int]]) -> None:
    clock = FakeClock()
    window = SlidingWindow(clock, attempts_max=MAX, window_s=WINDOW, keys_max=100)
    counted: dict[str, list[float]] = defaultdict(list)
    for step, what in history:
        now_s = clock.monotonic_s()
        if step == "wait":
            clock.advance(float(what))
            continue
        live = [at for at in counted[str(what)] if at > now_s - WINDOW]
        if step == "put_back":
            window.put_back(str(what))
            counted[str(what)] = counted[str(what)][:-1]
        elif len(live) < MAX:
            window.take(str(what))
            counted[str(what)] = [*live, now_s]
        else:
            with pytest.raises(TooMany) as refused:
                window.take(str(what))
            assert refused.value.retry_after_s == live[0] + WINDOW - now_s


@given(st.lists(st.integers(0, 50), max_size=200))
def test_no_more_keys_are_kept_than_allowed_and_the_latest_always_counts(keys: list[int]) -> None:
    window = SlidingWindow(FakeClock(), attempts_max=1, window_s=WINDOW, keys_max=5)
    latest: list[int] = []
    for key in keys:
        if key in latest:
            with pytest.raises(TooMany):
                window.take(str(key))
            latest.remove(key)
        else:
            window.take(str(key))
        latest = [*latest, key][-5:]


def test_a_success_is_not_counted_and_a_failure_is() -> None:
    attempts = Attempts(FakeClock())
    for _ in range(AT_ACCOUNT_MAX * 2):
        with attempts.at_account("a@example.com"):
            pass
    for _ in range(AT_ACCOUNT_MAX):
        with pytest.raises(ValueError, match="wrong"), attempts.at_account("a@example.com"):
            raise ValueError("wrong")
    with pytest.raises(TooMany), attempts.at_account("a@example.com"):
        pytest.fail("let in")


def test_what_the_database_s_absence_cut_short_is_no_failure() -> None:
    attempts = Attempts(FakeClock())
    for _ in range(FROM_ADDRESS_MAX + AT_ACCOUNT_MAX):
        with (
            pytest.raises(Unavailable),
            attempts.from_address("192.0.2.1"),
            attempts.at_account("a@example.com"),
        ):
            raise Unavailable("away")
    with attempts.from_address("192.0.2.1"), attempts.at_account("a@example.com"):
        pass


def test_attempts_that_have_not_ended_yet_count() -> None:
    attempts = Attempts(FakeClock())
    running = [attempts.at_account("a@example.com") for _ in range(AT_ACCOUNT_MAX)]
    for attempt in running:
        attempt.__enter__()
    with pytest.raises(TooMany), attempts.at_account("a@example.com"):
        pytest.fail("let in")


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("", "", True),
    ],
)
def test_an_ipv6_site_counts_as_one_address(first: str, second: str, same: bool) -> None:
    attempts = Attempts(FakeClock())
    for _ in range(FROM_ADDRESS_MAX):
        with pytest.raises(ValueError, match="wrong"), attempts.from_address(first):
            raise ValueError("wrong")
    if not same:
        with attempts.from_address(second):
            return
    with pytest.raises(TooMany), attempts.from_address(second):
        pytest.fail("let in")


@pytest.mark.parametrize("later_s", [12.5, 12.0])
def test_the_wait_is_over_when_it_was_said_to_be(later_s: float) -> None:
    clock = FakeClock()
    window = SlidingWindow(clock, attempts_max=1, window_s=WINDOW_S, keys_max=1)
    window.take("a")
    clock.advance(later_s)
    with pytest.raises(TooMany) as refused:
        window.take("a")
    clock.advance(refused.value.retry_after_s)
    window.take("a")
