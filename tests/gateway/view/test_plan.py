"""From a config to its route: what each target inherits, and what each strategy becomes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Code, GatewayError
from gateway.view.plan import CALLS_MIN, Names, compile_route
from gateway.view.route import (
    AS_IT_COMES,
    BreakerRules,
    Conditional,
    Fallback,
    LoadBalance,
    Passthrough,
    Retry,
    Route,
    Target,
    mapped,
    targets_of,
)
from shared.models.config import parse_config
from shared.models.strategy import RETRIED
from tests.fakes.world import World

CALLER = World().caller()
MAIN = {"virtual_key": "main"}
SECOND = {"virtual_key": "second"}


def route(body: dict[str, Any], *, inline: bool = False, owner: str = "pc") -> Route:
    workspace = CALLER.workspace
    names = Names(workspace.virtual_keys, workspace.providers, inline=inline, owner=owner)
    return compile_route(parse_config(body), names)


def target(body: dict[str, Any], **options: Any) -> Target:
    found = route(body, **options)
    assert isinstance(found, Target)
    return found


def strategy(mode: str, *targets: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"strategy": {"mode": mode, **fields}, "targets": list(targets or (MAIN, SECOND))}


# Inheritance

SETTINGS: dict[str, list[Any]] = {
    "override_params": [{"a": 1, "b": 1}, {"b": 2, "c": 2}, {"a": 3}, {}],
    "default_params": [{"d": 1, "e": 1}, {"e": 2}, {}],
    "drop_params": [["x"], ["y.z", "w[0]"], []],
    "request_timeout": [1, 2_000],
    "forward_headers": [["x-a"], ["x-b", "x-c"], []],
    "retry": [{"attempts": 1}, {"attempts": 2, "on_status_codes": [400]}, {"attempts": 0}],
    "cb_config": [{"failure_threshold": 1}, {"failure_threshold_percentage": 50, "cooldown_interval": 40_000}],
    "custom_host": ["http://first.test/x", "http://second.test"],
}
MERGED = ("override_params", "default_params")
NODES = st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in SETTINGS.items()})


def alone(settings: dict[str, Any]) -> Target:
    return target({**MAIN, **settings})


@given(st.lists(NODES, min_size=1, max_size=4))
def test_a_target_has_what_the_nearest_node_above_it_says_and_parameters_of_them_all(
    nodes: list[dict[str, Any]],
) -> None:
    body: dict[str, Any] = {**MAIN, **nodes[-1]}
    for node in reversed(nodes[:-1]):
        body = {"strategy": {"mode": "fallback"}, "targets": [body, SECOND], **node}
    expected: dict[str, Any] = {}
    for node in nodes:
        for key, value in node.items():
            expected[key] = {**expected.get(key, {}), **value} if key in MERGED else value
    found = next(targets_of(route(body)))
    flat = alone(expected)
    assert (found.overrides, found.handling, found.place) == (flat.overrides, flat.handling, flat.place)
    assert found.path == "config" + ".targets[0]" * (len(nodes) - 1)


@given(NODES, NODES)
def test_what_stands_at_one_target_is_nothing_to_the_other(first: dict[str, Any], second: dict[str, Any]) -> None:
    one, other = targets_of(route(strategy("fallback", {**MAIN, **first}, {**MAIN, **second})))
    for found, settings in ((one, first), (other, second)):
        flat = alone(settings)
        assert (found.overrides, found.handling, found.place) == (flat.overrides, flat.handling, flat.place)


def test_a_target_without_settings_is_handled_as_it_comes() -> None:
    assert target(MAIN).handling is AS_IT_COMES
    for found in targets_of(route(strategy("fallback"))):
        assert found.handling is AS_IT_COMES


def test_retries_are_at_most_five_and_none_is_none() -> None:
    assert target({**MAIN, "retry": {"attempts": 9}}).handling.retry == Retry(5, frozenset(RETRIED))
    plural = {"attempts": 2, "on_status_codes": [400], "use_retry_after_headers": True}
    assert target({**MAIN, "retry": plural}).handling.retry == Retry(2, frozenset({400}), heeds_retry_after=True)
    nested = {"retry": {"attempts": 3}, "targets": [{**MAIN, "retry": {"attempts": 0}}]}
    assert target(nested).handling.retry is None, "a target may have none where its parent has some"


# Strategies


def test_single_is_the_first_target() -> None:
    for body in (strategy("single"), {"strategy": {}, "targets": [MAIN, SECOND]}, {"targets": [MAIN, SECOND]}):
        found = target(body)
        assert (found.virtual_key, found.path) == ("main", "config.targets[0]")


def test_a_fallback_goes_on_at_the_statuses_it_names_in_either_place() -> None:
    for body in (strategy("fallback", on_status_codes=[429]), {**strategy("fallback"), "on_status_codes": [429]}):
        found = route(body)
        assert isinstance(found, Fallback)
        assert found.on_status_codes == frozenset({429})
    found = route(strategy("fallback"))
    assert isinstance(found, Fallback)
    assert found.on_status_codes is None


def test_a_weight_that_is_left_out_is_one() -> None:
    found = route(strategy("loadbalance", MAIN, {**SECOND, "weight": 0.25}, {**MAIN, "weight": 0}))
    assert isinstance(found, LoadBalance)
    assert found.weights == (1.0, 0.25, 0)
    assert found.cumulative == (1.0, 1.25, 1.25)
    assert found.last == 1


def test_conditions_name_their_targets() -> None:
    conditions = [{"query": {"metadata.x": "1"}, "then": "b"}, {"query": {}, "then": "a"}]
    body = strategy("conditional", {**MAIN, "name": "a"}, {**SECOND, "name": "b"}, conditions=conditions, default="a")
    found = route(body)
    assert isinstance(found, Conditional)
    assert [child for _, child in found.branches] == [1, 0]
    assert found.default == 0


def test_strategies_nest_and_targets_are_called_by_their_path() -> None:
    inner = strategy("loadbalance", SECOND, {**strategy("fallback", SECOND, MAIN), "weight": 2})
    found = route(strategy("fallback", MAIN, inner))
    assert [t.path for t in targets_of(found)] == [
        "config.targets[0]",
        "config.targets[1].targets[0]",
        "config.targets[1].targets[1].targets[0]",
        "config.targets[1].targets[1].targets[1]",
    ]
    assert mapped(found, lambda leaf: leaf) == found


# Who is named


def test_a_model_written_as_slug_and_model_names_the_target_s_virtual_key() -> None:
    body = strategy(
        "loadbalance",
        {"override_params": {"model": "@main/sim-chat"}},
        {"override_params": {"model": "@second/acme-chat"}, "weight": 0},
    )
    assert [found.virtual_key for found in targets_of(route(body))] == ["main", "second"]
    inherited = {**strategy("fallback", {"name": "a"}, MAIN), "override_params": {"model": "@second/x"}}
    assert [found.virtual_key for found in targets_of(route(inherited))] == ["second", "main"]


@pytest.mark.parametrize("node", [{"name": "a"}, {"override_params": {"model": "plain"}}])
def test_a_target_that_names_nobody_is_refused_at_its_place(node: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as caught:
        route(strategy("fallback", MAIN, node))
    assert caught.value.code is Code.TARGET_MISSING
    assert [fault.path for fault in caught.value.faults] == [("targets", 1)]


def test_a_model_of_a_slug_there_is_not_is_refused_at_its_place() -> None:
    with pytest.raises(GatewayError) as caught:
        route({"targets": [{"override_params": {"model": "@lost/x"}}]})
    assert [fault.path for fault in caught.value.faults] == [("targets", 0, "override_params", "model")]


def test_a_passthrough_waits_for_the_request() -> None:
    node = {"passthrough": True, "override_params": {"n": 1}, "request_timeout": 5}
    found = route({**strategy("fallback", MAIN, node), "custom_host": "http://host.test"}, inline=True)
    assert isinstance(found, Fallback)
    leaf = found.routes[1]
    assert isinstance(leaf, Passthrough)
    assert (leaf.path, leaf.overrides, leaf.host, leaf.inline) == (
        "config.targets[1]",
        {"n": 1},
        "http://host.test",
        True,
    )
    assert leaf.handling.timeout_ms == 5


# Circuit breakers

RULES = {"failure_threshold": 3}


def test_breaker_rules_are_read_as_they_are_written() -> None:
    full = {
        "failure_threshold": 5,
        "failure_threshold_percentage": 20,
        "minimum_requests": 7,
        "cooldown_interval": 60_000,
        "failure_status_codes": [401],
    }
    assert target({**MAIN, "cb_config": full}).handling.breaker == BreakerRules(5, 0.2, 7, 60.0, frozenset({401}))
    assert target({**MAIN, "cb_config": RULES}).handling.breaker == BreakerRules(3, None, CALLS_MIN, 30.0, None)


def test_breaker_rules_of_a_strategy_are_its_targets() -> None:
    inner = strategy("loadbalance", MAIN, SECOND, cb_config={"failure_threshold": 9})
    found = list(targets_of(route(strategy("fallback", MAIN, inner, {**MAIN, "cb_config": RULES}, cb_config=RULES))))
    assert [t.handling.breaker.failures for t in found if t.handling.breaker] == [3, 9, 9, 3]


def test_no_breaker_leaves_out_what_a_condition_names() -> None:
    conditions = [{"query": {}, "then": "deep"}]
    targets = ({**MAIN, "name": "a", "cb_config": RULES}, {**strategy("fallback"), "name": "deep"})
    found = list(targets_of(route({**strategy("conditional", *targets, conditions=conditions), "cb_config": RULES})))
    assert [t.breaker_key != "" for t in found] == [False, True, True]
    assert found[0].handling.breaker is None


def test_a_breaker_is_known_by_owner_place_and_target() -> None:
    def key(body: dict[str, Any], owner: str = "pc") -> str:
        return target({**body, "cb_config": RULES}, owner=owner).breaker_key

    keys = {
        key(MAIN),
        key(SECOND),
        key(MAIN, "other"),
        key({"targets": [MAIN]}),
        key({"provider": "sim", "api_key": "k"}),
        key({"provider": "sim", "api_key": "k", "custom_host": "http://other.test"}),
        key({"provider": "acme", "api_key": "k"}),
    }
    assert len(keys) == 7
    assert key(MAIN) == key({**MAIN, "override_params": {"n": 1}}), "the same target after an edit of its parameters"
    assert target(MAIN).breaker_key == ""
