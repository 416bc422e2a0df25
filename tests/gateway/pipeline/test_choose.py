"""Which target a call goes to: by condition, by weight, by session, and not to one that its breaker leaves out."""

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Code, GatewayError
from gateway.pipeline.choose import EXPLORED_SHARE, Draw, Facts, Reason, Why, decide
from gateway.pipeline.metadata import read_metadata
from gateway.providers.base import Call, Door
from gateway.view.route import DeadEnd, Fallback, Route, Target, targets_of
from tests.gateway.view.test_plan import MAIN, SECOND, route, strategy

RULES = {"failure_threshold": 1}
DRAWS = 3_000


def facts(
    metadata: str | None = None, door: Door = Door.CHAT, headers: dict[str, str] | None = None, **body: Any
) -> Facts:
    sent = {**(headers or {}), **({} if metadata is None else {"x-portkey-metadata": metadata})}
    return Facts(Call(door, b"", body, stream=False), sent, lambda: read_metadata(sent))


@lru_cache(maxsize=8)
def compiled(body: bytes) -> Route:
    return route(orjson.loads(body))


def chosen(
    body: dict[str, Any],
    asked: Facts | None = None,
    *,
    chance: Callable[[], float] = lambda: 0.5,
    out: frozenset[str] = frozenset(),
    wall_ms: int = 0,
    picousd: Mapping[str, int] = {},
    seconds: Mapping[str, float] = {},
    why: Why | None = None,
) -> Route:
    """`out` are the paths of targets whose breakers are open."""
    asked = asked or facts()
    decided = decide(compiled(orjson.dumps(body)), asked, why)
    cost, speed = (lambda target: picousd.get(target.path)), (lambda target: seconds.get(target.path))
    return Draw(asked, chance, lambda target: target.path in out, wall_ms, cost, speed, why).plan(decided)


def paths(plan: Route) -> list[str]:
    return [target.path.removeprefix("config") for target in targets_of(plan)]


def one(*arguments: Any, **options: Any) -> str:
    (path,) = paths(chosen(*arguments, **options))
    return path


# Conditions


def conditional(*conditions: tuple[dict[str, Any], str], default: str | None = None, **fields: Any) -> dict[str, Any]:
    targets = [{**MAIN, "name": "a"}, {**SECOND, "name": "b"}, {**MAIN, "name": "c"}]
    rows = [{"query": query, "then": name} for query, name in conditions]
    return strategy(
        "conditional", *targets, conditions=rows, **({} if default is None else {"default": default}), **fields
    )


PAID = {"metadata.plan": {"$eq": "paid"}}


def test_the_first_condition_that_holds_names_the_target() -> None:
    body = conditional((PAID, "b"), ({"params.n": {"$gt": 1}}, "c"), default="a")
    assert one(body, facts('{"plan": "paid"}', n=2)) == ".targets[1]"
    assert one(body, facts('{"plan": "free"}', n=2)) == ".targets[2]"
    assert one(body, facts()) == ".targets[0]"


def test_the_path_a_call_came_by_is_the_door_s() -> None:
    body = conditional(({"url.pathname": {"$regex": "embeddings$"}}, "b"), default="a")
    assert one(body, facts(door=Door.EMBEDDINGS)) == ".targets[1]"
    assert one(body, facts(door=Door.CHAT)) == ".targets[0]"


def test_where_nothing_holds_and_there_is_no_default_the_call_is_refused() -> None:
    plan = chosen(conditional((PAID, "b")))
    assert isinstance(plan, DeadEnd)
    assert plan.error.row.status == 400
    assert plan.error.message.startswith("Query router did not resolve to any valid target")


def test_a_dead_end_in_a_fallback_is_one_of_its_places() -> None:
    plan = chosen(strategy("fallback", conditional((PAID, "b")), MAIN))
    assert isinstance(plan, Fallback)
    assert isinstance(plan.routes[0], DeadEnd)
    assert paths(plan) == [".targets[1]"]


def test_conditions_nest() -> None:
    inner = conditional(({"params.n": 1}, "c"), default="b")
    targets = [{**inner, "name": "inner"}, {**SECOND, "name": "outer"}]
    body = strategy("conditional", *targets, conditions=[{"query": PAID, "then": "inner"}], default="outer")
    assert one(body, facts('{"plan": "paid"}', n=1)) == ".targets[0].targets[2]"
    assert one(body, facts('{"plan": "paid"}')) == ".targets[0].targets[1]"
    assert one(body, facts()) == ".targets[1]"


@pytest.mark.parametrize("text", ["{", "[]", "7", '{"plan": 7}', f'{{"plan": "{"x" * 129}"}}'])
def test_metadata_that_is_none_is_a_400_only_where_a_condition_needs_it(text: str) -> None:
    with pytest.raises(GatewayError) as caught:
        chosen(conditional((PAID, "b"), default="a"), facts(text))
    assert (caught.value.code, caught.value.param) == (Code.HEADER_INVALID, "x-portkey-metadata")
    assert one(conditional(({"params.n": 1}, "b"), default="a"), facts(text)) == ".targets[0]"


def test_metadata_of_other_names_may_be_what_it_likes() -> None:
    assert one(conditional((PAID, "b"), default="a"), facts('{"plan": "paid", "size": 7}')) == ".targets[1]"


def test_metadata_is_read_when_it_is_asked_for() -> None:
    def read() -> Any:
        raise AssertionError("nobody asked")

    asked = Facts(Call(Door.CHAT, b"", {"n": 1}, stream=False), {}, read)
    assert one(conditional(({"params.n": 1}, "b"), default="a"), asked) == ".targets[1]"


# Weights


def drawn(body: dict[str, Any], seed: int = 7, out: frozenset[str] = frozenset()) -> Counter[str]:
    chance = random.Random(seed).random
    return Counter(one(body, chance=chance, out=out) for _ in range(DRAWS))


def balanced(*weights: float | None, **fields: Any) -> dict[str, Any]:
    nodes = [{**MAIN, **({} if weight is None else {"weight": weight})} for weight in weights]
    return {**strategy("loadbalance", *nodes, **fields), "cb_config": RULES}


def fits(counts: Counter[str], weights: list[float]) -> bool:
    """Pearson's chi-square test, at one in a million."""
    total = sum(weights)
    draws = counts.total()
    expected = {f".targets[{i}]": draws * weight / total for i, weight in enumerate(weights) if weight > 0}
    if set(counts) - set(expected):
        return False
    statistic = sum((counts[path] - share) ** 2 / share for path, share in expected.items())
    freedom = len(expected) - 1
    # Wilson and Hilferty: the cube root of a chi-square is nearly normal.
    limit = max(freedom, 1) * (1 - 2 / (9 * max(freedom, 1)) + 4.75 * math.sqrt(2 / (9 * max(freedom, 1)))) ** 3
    return statistic <= limit


@settings(deadline=None, max_examples=20)
@given(st.lists(st.sampled_from([0, 0.25, 0.5, 1, 3, 70]), min_size=1, max_size=5).filter(any), st.integers(0, 99))
def test_targets_are_drawn_by_their_weights(weights: list[float], seed: int) -> None:
    assert fits(drawn(balanced(*weights), seed), weights)


def test_a_test_of_weights_can_fail() -> None:
    assert not fits(drawn(balanced(1, 1)), [1, 2])
    assert not fits(drawn(balanced(1, 1, 1)), [1, 1, 0])


def test_a_weight_that_is_left_out_counts_as_one() -> None:
    assert fits(drawn(balanced(None, 3)), [1, 3])


@given(st.floats(0, 1, exclude_max=True), st.lists(st.sampled_from([0, 1e-9, 1.1, 3]), min_size=1).filter(any))
def test_whatever_is_drawn_is_a_target_that_has_a_weight(number: float, weights: list[float]) -> None:
    path = one(balanced(*weights), chance=lambda: number)
    assert weights[int(path.removeprefix(".targets[").removesuffix("]"))] > 0


def test_the_last_number_before_one_is_the_last_target_that_has_a_weight() -> None:
    assert one(balanced(1, 3, 0), chance=lambda: math.nextafter(1, 0)) == ".targets[1]"


def test_what_was_drawn_may_be_a_fallback() -> None:
    body = strategy("loadbalance", {**MAIN, "weight": 0}, strategy("fallback"))
    assert paths(chosen(body)) == [".targets[1].targets[0]", ".targets[1].targets[1]"]


# Sessions


def sticky(*weights: float | None, fields: tuple[str, ...] = ("metadata.user",), ttl: int = 3_600) -> dict[str, Any]:
    return balanced(*weights, sticky={"enabled": True, "hash_fields": list(fields), "ttl": ttl})


def of_user(user: int | str) -> Facts:
    return facts(f'{{"user": "{user}"}}')


@given(st.text(st.characters(codec="ascii", exclude_characters='"\\', categories=("L", "N"))), st.integers(0, 2**40))
def test_a_session_stays_at_one_target_whatever_chance_says(user: str, wall_ms: int) -> None:
    body = sticky(1, 2, 3)
    homes = {one(body, of_user(user), chance=random.Random(seed).random, wall_ms=wall_ms) for seed in range(5)}
    assert len(homes) == 1


def test_a_session_s_target_is_the_same_in_every_worker_and_after_every_restart() -> None:
    homes = [one(sticky(1, 1, 1), of_user(user)) for user in range(8)]
    assert homes == [f".targets[{index}]" for index in HOMES]


HOMES = (2, 0, 0, 2, 1, 2, 2, 1)
"""As computed once: another answer would move every session with the update that brings it."""


def test_sessions_spread_by_the_weights() -> None:
    counts = Counter(one(sticky(1, 3, 0), of_user(user)) for user in range(DRAWS))
    assert fits(counts, [1, 3, 0])


def test_a_session_is_drawn_anew_after_its_time_and_not_before() -> None:
    body = sticky(1, 1, 1, 1, ttl=60)
    for user in range(50):
        homes = [one(body, of_user(user), wall_ms=second * 1_000) for second in range(600)]
        changes = [second for second in range(1, 600) if homes[second] != homes[second - 1]]
        assert changes, "ten times its life"
        assert all((later - earlier) % 60 == 0 for earlier, later in pairwise(changes))


def test_not_all_sessions_are_drawn_anew_at_once() -> None:
    body = sticky(1, 1, ttl=60)
    moved = sum(
        one(body, of_user(user), wall_ms=59_999) != one(body, of_user(user), wall_ms=60_000) for user in range(200)
    )
    assert moved <= 10


def test_a_target_that_goes_moves_its_own_sessions_only() -> None:
    for user in range(200):
        home = one(sticky(1, 1, 1), of_user(user))
        after = one(sticky(1, 0, 1), of_user(user))
        assert after != ".targets[1]"
        if home != ".targets[1]":
            assert after == home


def test_a_session_whose_target_is_left_out_goes_elsewhere_and_comes_back() -> None:
    body = sticky(1, 1, 1)
    for user in range(50):
        home = one(body, of_user(user))
        elsewhere = one(body, of_user(user), out=frozenset({"config" + home}))
        assert elsewhere != home
        assert elsewhere == one(body, of_user(user), out=frozenset({"config" + home}), chance=lambda: 0.1)
        assert one(body, of_user(user)) == home


def test_a_session_is_known_by_all_its_fields_together() -> None:
    body = sticky(*[1] * 50, fields=("metadata.user", "params.n", "headers.X-Session"))

    def home(user: str, n: Any, session: str) -> str:
        return one(body, facts(f'{{"user": "{user}"}}', headers={"x-session": session}, n=n))

    homes = [home("u", 1, "s"), home("v", 1, "s"), home("u", "1", "s"), home("u", 2, "s"), home("u", 1, "\udcff")]
    assert len(set(homes)) >= 4
    assert home("u", 1, "s") == homes[0]


def test_fields_do_not_run_into_each_other() -> None:
    body = sticky(*[1] * 50, fields=("params.a", "params.b"))
    homes = {one(body, facts(a=a, b=b)) for a, b in (("xy", "z"), ("x", "yz"), ("xyz", ""), ("xyz", None))}
    assert len(homes) >= 3


@pytest.mark.parametrize("value", [None, [], {}, ["x"]])
def test_a_request_that_names_no_session_is_drawn(value: Any) -> None:
    body = sticky(1, 1, fields=("params.user",))
    asked = facts() if value is None else facts(user=value)
    assert {one(body, asked, chance=lambda n=n: n) for n in (0.1, 0.9)} == {".targets[0]", ".targets[1]"}


def test_sessions_of_different_places_in_a_config_are_drawn_apart() -> None:
    inner = sticky(1, 1)
    body = strategy("fallback", inner, inner)
    pairs = {tuple(path[-3:] for path in paths(chosen(body, of_user(user)))) for user in range(100)}
    assert len(pairs) == 4


# Breakers

FALLBACK = {**strategy("fallback", MAIN, SECOND, MAIN), "cb_config": RULES}


def test_a_target_that_is_left_out_is_not_tried() -> None:
    assert paths(chosen(FALLBACK, out=frozenset({"config.targets[0]"}))) == [".targets[1]", ".targets[2]"]
    assert one(FALLBACK, out=frozenset({"config.targets[0]", "config.targets[2]"})) == ".targets[1]"


def test_if_all_were_left_out_all_are_tried() -> None:
    out = frozenset(f"config.targets[{i}]" for i in range(3))
    assert paths(chosen(FALLBACK, out=out)) == [".targets[0]", ".targets[1]", ".targets[2]"]


def test_a_balance_draws_among_those_that_are_well_and_never_one_without_a_weight() -> None:
    body = balanced(1, 1, 0)
    assert set(drawn(body, out=frozenset({"config.targets[0]"}))) == {".targets[1]"}
    all_out = frozenset({"config.targets[0]", "config.targets[1]"})
    assert set(drawn(body, out=all_out)) == {".targets[0]", ".targets[1]"}


def test_a_strategy_is_left_out_if_all_it_could_try_is() -> None:
    body = {**strategy("fallback", strategy("fallback"), balanced(1, 0), MAIN), "cb_config": RULES}
    half = frozenset({"config.targets[0].targets[0]"})
    assert paths(chosen(body, out=half)) == [".targets[0].targets[1]", ".targets[1].targets[0]", ".targets[2]"]
    whole = half | {"config.targets[0].targets[1]", "config.targets[1].targets[0]"}
    assert paths(chosen(body, out=whole)) == [".targets[2]"]


def test_what_a_condition_names_is_tried_whatever_its_breaker_says() -> None:
    body = {**conditional((PAID, "b"), default="a"), "cb_config": RULES}
    assert one(body, out=frozenset({"config.targets[0]"})) == ".targets[0]"


def test_a_target_without_rules_is_never_left_out() -> None:
    assert paths(chosen(strategy("fallback"), out=frozenset({"config.targets[0]"}))) == [".targets[0]", ".targets[1]"]


def test_a_lone_target_is_tried_whatever_its_breaker_says() -> None:
    assert one({**MAIN, "cb_config": RULES}, out=frozenset({"config"})) == ""


# Why


def test_every_choice_says_why() -> None:
    why: Why = []
    inner = balanced(1, 3)
    targets = [{**strategy("fallback", inner, MAIN), "name": "x", "cb_config": RULES}]
    body = strategy("conditional", *targets, conditions=[{"query": PAID, "then": "x"}, {"query": {}, "then": "x"}])
    chosen(body, facts(), out=frozenset({"config.targets[0].targets[1]"}), why=why)
    assert why == [
        Reason("config", "condition", 0, {"condition": 1}),
        Reason("config.targets[0]", "breaker_open", 1),
        Reason("config.targets[0].targets[0]", "weight", 1, {"weights": {"0": 1, "1": 3}, "drawn": 0.5}),
    ]


def test_a_session_a_default_and_a_dead_end_say_why_too() -> None:
    why: Why = []
    chosen(sticky(1), of_user("u"), why=why)
    chosen(conditional(default="b"), why=why)
    chosen(conditional(), why=why)
    chosen({**strategy("fallback", MAIN), "cb_config": RULES}, out=frozenset({"config.targets[0]"}), why=why)
    assert [(reason.because, reason.child) for reason in why] == [
        ("session", 0),
        ("default", 1),
        ("no_condition", None),
        ("all_breakers_open", 0),
    ]


def test_a_decision_is_the_same_whether_or_not_somebody_asks_why() -> None:
    body = strategy("fallback", conditional((PAID, "b"), default="a"), balanced(1, 2, 3))
    for number in (0.0, 0.2, 0.6, 0.99):
        assert paths(chosen(body, chance=lambda n=number: n)) == paths(chosen(body, chance=lambda n=number: n, why=[]))
    assert isinstance(chosen(MAIN), Target)


# The cheapest, and the fastest

THREE = [f"config.targets[{index}]" for index in range(3)]


def optimizing(objective: str) -> dict[str, Any]:
    return strategy("optimize", MAIN, SECOND, MAIN, objective=objective, cb_config=RULES)


@given(
    st.dictionaries(st.sampled_from(THREE), st.integers(0, 5)),
    st.frozensets(st.sampled_from(THREE), max_size=2),
)
def test_the_cheapest_that_no_breaker_leaves_out_is_taken_and_an_unknown_price_is_the_last(
    picousd: dict[str, int], out: frozenset[str]
) -> None:
    plan = chosen(optimizing("cost"), picousd=picousd, out=out)
    assert isinstance(plan, Target)
    healthy = [path for path in THREE if path not in out]
    known = [path for path in healthy if path in picousd]
    best = min(known, key=lambda path: picousd[path]) if known else healthy[0]
    assert plan.path == best


@given(
    st.dictionaries(st.sampled_from(THREE), st.floats(0.001, 100)),
    st.frozensets(st.sampled_from(THREE), max_size=2),
)
def test_the_fastest_is_taken_and_one_that_nobody_has_tried_before_it(
    seconds: dict[str, float], out: frozenset[str]
) -> None:
    plan = chosen(optimizing("latency"), seconds=seconds, out=out)
    assert isinstance(plan, Target)
    healthy = [path for path in THREE if path not in out]
    untried = [path for path in healthy if path not in seconds]
    assert plan.path == (untried[0] if untried else min(healthy, key=lambda path: seconds[path]))


def test_a_few_calls_go_to_the_slower_ones_so_that_they_are_seen_again() -> None:
    seconds = dict(zip(THREE, (0.1, 0.2, 0.3), strict=True))
    chance = random.Random(7)
    body = optimizing("latency")
    taken = Counter(chosen(body, seconds=seconds, chance=chance.random).path for _ in range(DRAWS))
    assert taken.keys() == set(THREE)
    assert 1 - 2 * EXPLORED_SHARE < taken[THREE[0]] / DRAWS < 1


def test_every_choice_of_the_kind_carries_what_it_was_made_by() -> None:
    why: Why = []
    chosen(optimizing("cost"), picousd={THREE[1]: 7}, why=why)
    chosen(optimizing("latency"), seconds=dict.fromkeys(THREE, 1.0), why=why)
    chosen(optimizing("latency"), seconds=dict.fromkeys(THREE, 1.0), chance=lambda: 0.0, why=why)
    assert why == [
        Reason("config", "cheapest", 1, {"picousd": {"0": None, "1": 7, "2": None}}),
        Reason("config", "fastest", 0, {"seconds": {"0": 1.0, "1": 1.0, "2": 1.0}}),
        Reason("config", "explored", 0, {"seconds": {"0": 1.0, "1": 1.0, "2": 1.0}}),
    ]
