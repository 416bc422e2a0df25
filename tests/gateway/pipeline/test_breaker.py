"""Circuit breakers: when one opens, how one closes again, and that a probe is one call and never lost."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import replace

from gateway.pipeline.breaker import (
    KEPT_MAX,
    Breakers,
    Closed,
    Open,
    Probing,
    State,
    abandoned,
    began,
    ended,
    is_failure,
    is_out,
)
from gateway.view.route import AS_IT_COMES, BreakerRules, Target
from tests.gateway.view.test_plan import MAIN, target

THREE = BreakerRules(failures=3, failure_share=None, calls_min=10, cooldown_s=30.0, status_codes=None)
HALF = BreakerRules(failures=None, failure_share=0.5, calls_min=4, cooldown_s=30.0, status_codes=None)


def after(rules: BreakerRules, outcomes: str, state: State | None = None, now_s: float = 0.0) -> State:
    """`x` is a failure, `.` is none; all at once."""
    state = Closed(now_s) if state is None else state
    for outcome in outcomes:
        state = ended(state, rules, now_s, failed=outcome == "x", probe=None)
    return state


def test_it_opens_with_so_many_failures() -> None:
    assert after(THREE, "xx") == Closed(0.0, 2, 2)
    assert after(THREE, "xxx") == Open(30.0)
    assert after(THREE, "x.x..x") == Open(30.0)
    assert after(THREE, "." * 100 + "xx") == Closed(0.0, 102, 2)


def test_it_opens_at_a_share_of_failures_of_enough_calls() -> None:
    assert after(HALF, "xxx") == Closed(0.0, 3, 3), "three calls are too few to say"
    assert after(HALF, "xx.x") == Open(30.0)
    assert after(HALF, "x..") == Closed(0.0, 3, 1)
    assert after(HALF, "x..x") == Open(30.0)
    assert after(HALF, "x...x") == Closed(0.0, 5, 2)


def test_either_rule_opens_it() -> None:
    both = replace(HALF, failures=3)
    assert after(both, "xxx") == Open(30.0)
    assert after(both, "x..x") == Open(30.0)


def test_failures_are_counted_as_far_back_as_the_cooldown() -> None:
    state = after(THREE, "xx")
    assert after(THREE, "x", state, now_s=29.9) == Open(59.9)
    assert after(THREE, "x", state, now_s=30.0) == Closed(30.0, 1, 1)


def test_an_open_one_is_out_until_its_cooldown_is_over_and_the_next_call_is_the_probe() -> None:
    state = Open(30.0)
    assert is_out(state, THREE, 29.9)
    assert began(state, THREE, 29.9) is state, "calls that go there all the same, since all are out, are no probes"
    assert not is_out(state, THREE, 30.0)
    probing = began(state, THREE, 30.0)
    assert probing == Probing(30.0)
    assert is_out(probing, THREE, 30.0), "one call is enough to see"
    assert began(probing, THREE, 30.0) is probing


def test_a_probe_that_goes_well_closes_it_with_nothing_counted() -> None:
    probe = Probing(30.0)
    assert ended(probe, THREE, 31.0, failed=False, probe=probe) == Closed(31.0)


def test_a_probe_that_fails_opens_it_again_for_as_long() -> None:
    probe = Probing(30.0)
    assert ended(probe, THREE, 31.0, failed=True, probe=probe) == Open(61.0)


def test_what_began_before_it_opened_says_nothing_of_a_probe() -> None:
    probe = Probing(30.0)
    for failed in (True, False):
        assert ended(probe, THREE, 31.0, failed=failed, probe=None) is probe
        assert ended(probe, THREE, 31.0, failed=failed, probe=Probing(0.0)) is probe
        assert ended(Open(30.0), THREE, 1.0, failed=failed, probe=None) == Open(30.0)


def test_a_probe_whose_caller_left_is_another_call_s_to_make() -> None:
    probe = Probing(30.0)
    state = abandoned(probe, 31.0, probe=probe)
    assert not is_out(state, THREE, 31.0)
    assert began(state, THREE, 31.0) == Probing(31.0)
    assert abandoned(probe, 31.0, probe=None) is probe
    assert abandoned(Closed(0.0), 31.0, probe=probe) == Closed(0.0)


def test_a_probe_that_takes_longer_than_the_cooldown_holds_nobody_up() -> None:
    probe = Probing(30.0)
    assert is_out(probe, THREE, 59.9)
    assert not is_out(probe, THREE, 60.0)
    second = began(probe, THREE, 60.0)
    assert second == Probing(60.0)
    assert ended(second, THREE, 61.0, failed=True, probe=probe) is second, "the lost one comes too late to say"


@pytest.mark.parametrize(
    ("codes", "status", "failure"),
    [
        (None, None, True),
        (None, 500, True),
        (None, 503, True),
        (None, 529, True),
        (None, 499, False),
        (None, 429, False),
        (None, 200, False),
        (frozenset({401, 429}), 429, True),
        (frozenset({401, 429}), 500, False),
        (frozenset({401, 429}), None, True),
    ],
)
def test_what_is_a_failure(codes: frozenset[int] | None, status: int | None, failure: bool) -> None:
    assert is_failure(replace(THREE, status_codes=codes), status) is failure


# A worker's

RULES = {"failure_threshold": 2, "cooldown_interval": 30_000}
WATCHED = target({**MAIN, "cb_config": RULES})


def test_a_worker_knows_a_breaker_by_its_target_from_one_view_to_the_next() -> None:
    breakers = Breakers()
    assert breakers.state(WATCHED) is None
    for _ in range(2):
        breakers.ended(WATCHED, 0.0, 500, None)
    again = target({**MAIN, "cb_config": RULES})
    assert again is not WATCHED
    assert breakers.is_out(again, 1.0)
    assert not breakers.is_out(target({**MAIN, "cb_config": RULES}, owner="another"), 1.0)
    probe = breakers.began(again, 30.0)
    assert probe == Probing(30.0)
    assert breakers.began(again, 30.0) is None
    breakers.ended(again, 31.0, 200, probe)
    assert breakers.state(again) == Closed(31.0)


def test_a_target_without_rules_is_not_known() -> None:
    breakers = Breakers()
    plain = replace(WATCHED, handling=AS_IT_COMES)
    breakers.ended(plain, 0.0, None, None)
    assert breakers.state(plain) is None
    assert breakers.began(plain, 0.0) is None


def test_a_worker_remembers_so_many_and_forgets_the_oldest() -> None:
    breakers = Breakers()
    for number in range(KEPT_MAX + 5):
        breakers.ended(replace(WATCHED, breaker_key=str(number)), 0.0, 500, None)
    assert len(breakers._states) == KEPT_MAX
    assert breakers.state(replace(WATCHED, breaker_key="4")) is None
    assert breakers.state(replace(WATCHED, breaker_key="5")) is not None


@dataclass
class UnderWay:
    probe: Probing | None
    while_open: bool


class Machine(RuleBasedStateMachine):
    """Calls begin, end and are given up in any order, and time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.breakers = Breakers()
        self.target: Target = WATCHED
        self.now_s = 0.0
        self.calls: list[UnderWay] = []

    @rule(seconds=st.sampled_from([0.0, 1.0, 29.9, 30.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule()
    def a_call_begins(self) -> None:
        out = self.breakers.is_out(self.target, self.now_s)
        probe = self.breakers.began(self.target, self.now_s)
        assert not (out and probe), "who is left out is not probed"
        self.calls.append(UnderWay(probe, out))

    @rule(data=st.data(), status=st.sampled_from([200, 500, None]))
    def a_call_ends(self, data: st.DataObject, status: int | None) -> None:
        if not self.calls:
            return
        call = self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))
        before = self.breakers.state(self.target)
        self.breakers.ended(self.target, self.now_s, status, call.probe)
        state = self.breakers.state(self.target)
        assert state is not None
        if isinstance(before, Probing) and before is call.probe:
            assert isinstance(state, Closed) == (status == 200)
        elif isinstance(before, Open | Probing):
            assert state is before, "only a probe says that it is well again"
        elif status == 200:
            assert isinstance(state, Closed)

    @rule(data=st.data())
    def a_caller_leaves(self, data: st.DataObject) -> None:
        if self.calls:
            call = self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))
            self.breakers.abandoned(self.target, self.now_s, call.probe)

    @invariant()
    def at_most_one_probe_counts(self) -> None:
        state = self.breakers.state(self.target)
        if isinstance(state, Probing):
            assert [call.probe for call in self.calls if call.probe is state] == [state]

    @invariant()
    def nobody_is_left_out_for_longer_than_the_cooldown(self) -> None:
        assert not self.breakers.is_out(self.target, self.now_s + 30.0)


TestMachine = Machine.TestCase


@given(st.text("x.", max_size=40), st.integers(1, 5))
def test_it_opens_exactly_when_so_many_have_failed(outcomes: str, failures: int) -> None:
    state = after(replace(THREE, failures=failures), outcomes)
    assert isinstance(state, Open) == (outcomes.count("x") >= failures)
