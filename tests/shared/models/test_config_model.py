"""The config JSON: what it says is supported or refused by name, and nothing given to it makes it stumble."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.models.config import (
    DEPTH_MAX,
    PARAMS_DEPTH_MAX,
    TARGETS_MAX,
    ConfigBody,
    ConfigError,
    Mode,
    parse_config,
    pointer,
)

MARKER = "sk-marker-6f1d"

SUPPORTED: dict[str, Any] = {
    "strategy": {"mode": "fallback", "on_status_codes": [429, 503]},
    "targets": [{"provider": "openai"}],
    "name": "mine",
    "provider": "openai",
    "virtual_key": "main",
    "api_key": "sk-1",
    "custom_host": "https://host/v1",
    "override_params": {"temperature": 0},
}
REFUSED: dict[str, Any] = {
    "weight": 1,
    "prompt_id": "pp-1",
    "passthrough": True,
    "default_params": {},
    "drop_params": [],
    "request_timeout": 1_000,
    "retry": {"attempts": 3},
    "cache": "simple",
    "forward_headers": [],
    "strict_open_ai_compliance": True,
    "input_guardrails": [],
    "output_guardrails": [],
    "before_request_hooks": [],
    "after_request_hooks": [],
    "input_mutators": [],
    "output_mutators": [],
    "default_input_guardrails": [],
    "default_output_guardrails": [],
    "on_status_codes": [429],
    "cb_config": {},
    # What comes with providers that are not built in yet, and legacy forms.
    **dict.fromkeys(
        "openai_organization openai_project resource_name deployment_id api_version deployments azure_auth_mode "
        "aws_access_key_id aws_secret_access_key aws_session_token aws_region aws_auth_type aws_role_arn "
        "vertex_project_id vertex_region vertex_service_account_json mode options".split(),
        "x",
    ),
}
STRATEGY_REFUSED: dict[str, Any] = {"conditions": [], "default": "a", "sticky": {}, "cb_config": {}}
KEYS = [*SUPPORTED, *REFUSED, *STRATEGY_REFUSED, "mode", "strategy.mode", "☃"]

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.sampled_from(["fallback", "single", "loadbalance", "openai", "@main", "main", "", 429, 2**70])
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner, max_size=5),
    max_leaves=25,
)


def refused(data: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse_config(data)
    return caught.value


def parsed_or_fault(data: Any) -> ConfigBody | ConfigError:
    """Any other exception fails the test."""
    try:
        return parse_config(data)
    except ConfigError as error:
        return error


def places(error: ConfigError) -> list[str]:
    return [pointer(path) for path, _ in error.faults]


@pytest.mark.parametrize("key", SUPPORTED)
def test_each_supported_key_does_what_it_says(key: str) -> None:
    beside = {"strategy": {"targets": SUPPORTED["targets"]}, "api_key": {"provider": "openai"}}.get(key, {})
    body = parse_config({key: SUPPORTED[key], **beside})
    value = getattr(body, key)
    if key == "api_key":
        assert value.reveal() == b"sk-1"
    elif key == "targets":
        assert [target.provider for target in value] == ["openai"]
    elif key == "strategy":
        assert (value.mode, value.on_status_codes) == (Mode.FALLBACK, (429, 503))
    else:
        assert value == SUPPORTED[key]


@pytest.mark.parametrize("key", REFUSED)
@pytest.mark.parametrize("at", ["", "/targets/0"])
def test_each_other_key_of_the_original_is_refused_by_name(key: str, at: str) -> None:
    node = {"provider": "openai", key: REFUSED[key]}
    error = refused({"targets": [node]} if at else node)
    assert key in str(error)
    assert places(error)[0].startswith(at)


@pytest.mark.parametrize("key", STRATEGY_REFUSED)
def test_each_strategy_key_not_built_yet_is_refused_by_name(key: str) -> None:
    error = refused({"strategy": {"mode": "single", key: STRATEGY_REFUSED[key]}, "targets": [{"provider": "a"}]})
    assert key in str(error)
    assert places(error) == [f"/strategy/{key}"]


@pytest.mark.parametrize("mode", ["loadbalance", "conditional", "optimize", "Fallback", None, [], {}])
def test_a_strategy_mode_not_built_yet_is_refused_at_its_place(mode: object) -> None:
    error = refused({"strategy": {"mode": mode}, "targets": [{"provider": "a"}]})
    assert places(error)[0].startswith("/strategy")
    if mode == "loadbalance":
        assert "loadbalance" in str(error)


@given(st.text(min_size=1))
def test_an_unknown_key_is_refused_by_name(key: str) -> None:
    if key in SUPPORTED or key in REFUSED or key in STRATEGY_REFUSED:
        return
    assert ("/" + key.replace("~", "~0").replace("/", "~1")) in places(refused({"provider": "openai", key: 1}))


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ({"strategy": {"mode": "fallback"}}, ""),
        ({"targets": []}, "/targets"),
        ({"targets": [{"provider": "a"}], "provider": "a"}, ""),
        ({"targets": [{"provider": "a", "virtual_key": "b"}]}, "/targets/0"),
        ({"api_key": "sk-1"}, ""),
        ({"provider": "@main", "api_key": "sk-1"}, ""),
        ({"strategy": {"mode": "single", "on_status_codes": [500]}, "targets": [{"provider": "a"}]}, "/strategy"),
        ({"strategy": {"mode": "fallback", "on_status_codes": [99]}, "targets": [{"provider": "a"}]}, "/strategy/on_s"),
        ({"targets": [{"provider": "a"}, {"targets": [{"provider": ""}]}]}, "/targets/1/targets/0/provider"),
        ({"virtual_key": "no slug"}, "/virtual_key"),
        ({"override_params": []}, "/override_params"),
        ({"override_params": {"stream": True}}, "/override_params"),
        ({"override_params": {"model": ""}}, "/override_params"),
        ({"override_params": {"model": None}}, "/override_params"),
        ({"override_params": {"seed": 2**64}}, "/override_params"),
        ({"override_params": {"text": "\ud800"}}, "/override_params"),
    ],
)
def test_what_cannot_work_is_refused_where_it_stands(body: dict[str, Any], at: str) -> None:
    assert any(place.startswith(at) and (at or place == "") for place in places(refused(body)))


@pytest.mark.parametrize("key", ["gh_abc", "line\r\nhost: evil", "with space", "tab\t", "", "schlüssel", "nul\x00"])
def test_a_key_that_must_not_or_cannot_be_sent_is_refused(key: str) -> None:
    error = refused({"provider": "openai", "api_key": key})
    assert places(error) == ["/api_key"]
    assert key == "" or key not in str(error)


def test_overrides_that_nest_too_deep_to_be_written_are_refused() -> None:
    deep: Any = 1
    for _ in range(400):
        deep = [deep]
    assert places(refused({"override_params": {"a": deep}})) == ["/override_params"]


def nested(depth: int) -> dict[str, Any]:
    node: dict[str, Any] = {"provider": "openai"}
    for _ in range(depth):
        node = {"targets": [node]}
    return node


@pytest.mark.parametrize("layer", [lambda inner: [inner], lambda inner: {"a": inner}])
def test_overrides_nest_up_to_the_limit_and_no_deeper(layer: Callable[[Any], Any]) -> None:
    deep: Any = {}
    for _ in range(PARAMS_DEPTH_MAX - 2):
        deep = layer(deep)
    assert parse_config({"override_params": {"a": deep}}).override_params == {"a": deep}
    assert places(refused({"override_params": {"a": layer(deep)}})) == ["/override_params"]


def test_targets_nest_up_to_the_limit_and_no_deeper() -> None:
    assert parse_config(nested(DEPTH_MAX)).targets
    assert str(DEPTH_MAX) in str(refused(nested(DEPTH_MAX + 1)))
    assert places(refused(nested(400))) == ["/targets"]


def test_targets_are_as_many_as_the_limit_and_no_more() -> None:
    target = {"provider": "openai"}
    assert len(parse_config({"targets": [target] * TARGETS_MAX}).targets or ()) == TARGETS_MAX
    assert places(refused({"targets": [target] * (TARGETS_MAX + 1)})) == ["/targets"]


@given(JSON)
def test_any_json_parses_or_raises_a_config_error(data: Any) -> None:
    read = parsed_or_fault(data)
    if isinstance(read, ConfigBody):
        orjson.dumps(read.override_params)
    else:
        assert str(read)


SECRET_PLACES = st.sampled_from(["api_key", "retry", "provider", "targets", "strategy", "custom_host", "virtual_key"])
HOLDERS = st.sampled_from([MARKER + "\n", [MARKER], {"a": MARKER}, f" {MARKER}"])


@given(st.dictionaries(SECRET_PLACES, HOLDERS, min_size=1))
def test_no_value_is_repeated_in_an_error(body: dict[str, Any]) -> None:
    read = parsed_or_fault(body)
    if isinstance(read, ConfigError):
        assert MARKER not in str(read)
        assert MARKER not in repr(read.faults)


def test_a_parsed_key_does_not_print() -> None:
    body = parse_config({"provider": "openai", "api_key": MARKER})
    assert MARKER not in repr(body)
    assert MARKER not in str(body)


def test_every_fault_is_named_at_once() -> None:
    error = refused({"targets": [{"provider": "a", "retry": {}}, {"virtual_key": "no slug"}]})
    assert places(error) == ["/targets/0/retry", "/targets/1/virtual_key"]


def test_a_config_that_only_sets_parameters_names_no_target() -> None:
    assert not parse_config({"override_params": {"temperature": 0}}).names_a_target
    assert parse_config({"provider": "openai"}).names_a_target


def test_a_pointer_escapes_as_rfc_6901_says() -> None:
    assert pointer(("a/b", 0, "c~d")) == "/a~1b/0/c~0d"
    assert pointer(()) == ""
