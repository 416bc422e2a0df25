"""Circuit breakers: whether a target that fails is left out for a while. Pure states, and the few a worker keeps.

closed → open when failures reach what the rules say; open → probing with the first call after the cooldown; probing →
closed if that one call goes well, else open again.
"""

import msgspec

from gateway.view.route import BreakerRules, Target

SERVER_ERRORS_FROM = 500
KEPT_MAX = 10_000
"""Breakers a worker remembers; beyond it, the one known longest is forgotten."""


class Closed(msgspec.Struct, frozen=True):
    """Calls go through and are counted."""

    since_s: float
    calls: int = 0
    failures: int = 0


class Open(msgspec.Struct, frozen=True):
    """Calls go elsewhere, if there is an elsewhere."""

    until_s: float


class Probing(msgspec.Struct, frozen=True):
    """One call tries whether the target is well again."""

    since_s: float


State = Closed | Open | Probing


def is_out(state: State, rules: BreakerRules, now_s: float) -> bool:
    """Whether calls should go elsewhere now."""
    if isinstance(state, Open):
        return now_s < state.until_s
    return isinstance(state, Probing) and not _is_lost(state, rules, now_s)


def began(state: State, rules: BreakerRules, now_s: float) -> State:
    """A call goes to the target. It is the probe if the state that comes of it is another, and `Probing`."""
    if (isinstance(state, Open) and now_s >= state.until_s) or (
        isinstance(state, Probing) and _is_lost(state, rules, now_s)
    ):
        return Probing(now_s)
    return state


def ended(state: State, rules: BreakerRules, now_s: float, *, failed: bool, probe: Probing | None) -> State:
    """A call has ended; `probe` is the state it began with if it was the probe."""
    if isinstance(state, Probing):
        if state is not probe:
            return state  # It began before the target was left out, and says nothing of how it is now.
        return Open(now_s + rules.cooldown_s) if failed else Closed(now_s)
    if isinstance(state, Open):
        return state
    if now_s >= state.since_s + rules.cooldown_s:
        state = Closed(now_s)
    state = Closed(state.since_s, state.calls + 1, state.failures + failed)
    return Open(now_s + rules.cooldown_s) if failed and _is_enough(state, rules) else state


def abandoned(state: State, now_s: float, *, probe: Probing | None) -> State:
    """A call was given up before it said anything: if it was the probe, the next call is one."""
    return Open(now_s) if probe is not None and state is probe else state


def _is_lost(state: Probing, rules: BreakerRules, now_s: float) -> bool:
    """A probe that takes longer than the cooldown holds nobody up any more."""
    return now_s >= state.since_s + rules.cooldown_s  # As a deadline is made elsewhere: a difference rounds otherwise.


def _is_enough(state: Closed, rules: BreakerRules) -> bool:
    if rules.failures is not None and state.failures >= rules.failures:
        return True
    share = rules.failure_share
    return share is not None and state.calls >= rules.calls_min and state.failures >= share * state.calls


def is_failure(rules: BreakerRules, status: int | None) -> bool:
    """Whether an attempt failed; None: nobody answered."""
    if status is None:
        return True
    return status >= SERVER_ERRORS_FROM if rules.status_codes is None else status in rules.status_codes


class Breakers:
    """Those of one worker, by target; they outlive views. Only targets with rules are known here."""

    __slots__ = ("_states",)

    def __init__(self) -> None:
        self._states: dict[str, State] = {}

    def state(self, target: Target) -> State | None:
        """None: nothing has failed, or nobody has called."""
        return self._states.get(target.breaker_key)

    def is_out(self, target: Target, now_s: float) -> bool:
        state, rules = self._states.get(target.breaker_key), target.handling.breaker
        return state is not None and rules is not None and is_out(state, rules, now_s)

    def began(self, target: Target, now_s: float) -> Probing | None:
        """The probe, if this call is one; give it to `ended` or `abandoned`."""
        state, rules = self._states.get(target.breaker_key), target.handling.breaker
        if state is None or rules is None:
            return None
        after = began(state, rules, now_s)
        if after is state or not isinstance(after, Probing):
            return None
        self._states[target.breaker_key] = after
        return after

    def ended(self, target: Target, now_s: float, status: int | None, probe: Probing | None) -> None:
        """`status` None: nobody answered."""
        rules = target.handling.breaker
        if rules is None:
            return
        state = self._states.get(target.breaker_key)
        if state is None:
            state = Closed(now_s)
            if len(self._states) >= KEPT_MAX:
                del self._states[next(iter(self._states))]
        failed = is_failure(rules, status)
        self._states[target.breaker_key] = ended(state, rules, now_s, failed=failed, probe=probe)

    def abandoned(self, target: Target, now_s: float, probe: Probing | None) -> None:
        state = self._states.get(target.breaker_key)
        if state is not None and probe is not None:
            self._states[target.breaker_key] = abandoned(state, now_s, probe=probe)
