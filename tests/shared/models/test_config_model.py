"""The config JSON: what it says is supported or refused by name, and nothing given to it makes it stumble."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.models.config import (
    CONDITIONAL_TARGETS_MAX,
    DEPTH_MAX,
    NESTED_TARGETS_MAX,
    NODES_MAX,
    PARAMS_DEPTH_MAX,
    TARGETS_MAX,
    ConfigBody,
    ConfigError,
    parse_config,
    pointer,
    slug_in,
)
from shared.models.strategy import RETRIED, Cache, CacheMode, CircuitBreaker, Mode, Retry

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
    "weight": 0.25,
    "passthrough": True,
    "default_params": {"temperature": 1},
    "drop_params": ["user", "messages[*].name"],
    "request_timeout": 1_000,
    "retry": {"attempts": 3},
    "forward_headers": ["X-Custom", "x-other"],
    "cb_config": {"failure_threshold": 3},
    "cache": {"mode": "simple", "max_age": 90},
    "on_status_codes": [429],
}
PARSED: dict[str, Any] = {
    "drop_params": ("user", "messages[*].name"),
    "retry": Retry(attempts=3),
    "forward_headers": ("x-custom", "x-other"),
    "cb_config": CircuitBreaker(failure_threshold=3),
    "cache": Cache(mode=CacheMode.SIMPLE, max_age=90),
    "on_status_codes": (429,),
}
NEEDED: dict[str, Any] = {
    "strategy": {"targets": SUPPORTED["targets"]},
    "api_key": {"provider": "openai"},
    "on_status_codes": {"strategy": {"mode": "fallback"}, "targets": SUPPORTED["targets"]},
}
"""What must stand beside a key, so that it can work."""
REFUSED: dict[str, Any] = {
    "prompt_id": "pp-1",
    "strict_open_ai_compliance": True,
    "input_guardrails": [],
    "output_guardrails": [],
    "before_request_hooks": [],
    "after_request_hooks": [],
    "input_mutators": [],
    "output_mutators": [],
    "default_input_guardrails": [],
    "default_output_guardrails": [],
    # What comes with providers that are not built in yet, and legacy forms.
    **dict.fromkeys(
        "openai_organization openai_project resource_name deployment_id api_version deployments azure_auth_mode "
        "aws_access_key_id aws_secret_access_key aws_session_token aws_region aws_auth_type aws_role_arn "
        "vertex_project_id vertex_region vertex_service_account_json mode options".split(),
        "x",
    ),
}
STRATEGY_KEYS = ["conditions", "default", "sticky", "sticky_session", "cb_config", "mode", "query", "then", "attempts"]
KEYS = [*SUPPORTED, *REFUSED, *STRATEGY_KEYS, "strategy.mode", "hash_fields", "metadata.x", "$or", "☃"]

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.sampled_from(["fallback", "single", "loadbalance", "conditional", "openai", "@main", "main", "", 429, 2**70])
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
    body = parse_config({key: SUPPORTED[key], **NEEDED.get(key, {})})
    value = getattr(body, key)
    if key == "api_key":
        assert value.reveal() == b"sk-1"
    elif key == "targets":
        assert [target.provider for target in value] == ["openai"]
    elif key == "strategy":
        assert (value.mode, value.on_status_codes) == (Mode.FALLBACK, (429, 503))
    else:
        assert value == PARSED.get(key, SUPPORTED[key])


def test_every_key_of_the_model_is_tried_here() -> None:
    assert set(ConfigBody.model_fields) == set(SUPPORTED)


@pytest.mark.parametrize("key", REFUSED)
@pytest.mark.parametrize("at", ["", "/targets/0"])
def test_each_other_key_of_the_original_is_refused_by_name(key: str, at: str) -> None:
    node = {"provider": "openai", key: REFUSED[key]}
    error = refused({"targets": [node]} if at else node)
    assert key in str(error)
    assert places(error)[0].startswith(at)


@pytest.mark.parametrize("mode", ["best", "Fallback", None, [], {}])
def test_a_strategy_mode_there_is_not_is_refused_at_its_place(mode: object) -> None:
    error = refused({"strategy": {"mode": mode}, "targets": [{"provider": "a"}]})
    assert places(error)[0].startswith("/strategy/mode")


@pytest.mark.parametrize(
    ("strategy", "targets", "place"),
    [
        ({"mode": "optimize"}, [{"provider": "a"}], "/strategy"),
        ({"mode": "optimize", "objective": "quality"}, [{"provider": "a"}], "/strategy/objective"),
        ({"mode": "fallback", "objective": "cost"}, [{"provider": "a"}], "/strategy"),
        ({"mode": "optimize", "objective": "cost"}, [{"provider": "a"}, {"passthrough": True}], "/targets/1"),
        ({"mode": "optimize", "objective": "cost"}, [{"targets": [{"provider": "a"}]}], "/targets/0"),
    ],
)
def test_what_cannot_be_compared_is_refused_at_its_place(
    strategy: dict[str, Any], targets: list[dict[str, Any]], place: str
) -> None:
    assert places(refused({"strategy": strategy, "targets": targets}))[0] == place


@pytest.mark.parametrize("body", [{"targets": [{"provider": "a"}]}, {"strategy": {}, "targets": [{"provider": "a"}]}])
def test_a_strategy_without_a_mode_is_single(body: dict[str, Any]) -> None:
    parsed = parse_config(body)
    assert parsed.strategy is None or parsed.strategy.mode is Mode.SINGLE


def strategy(mode: str, **fields: Any) -> dict[str, Any]:
    targets = fields.pop("targets", [{"name": "a", "provider": "a"}, {"name": "b", "provider": "b"}])
    return {"strategy": {"mode": mode, **fields}, "targets": targets}


@pytest.mark.parametrize(
    ("key", "value", "mode"),
    [
        ("on_status_codes", [429], "fallback"),
        ("conditions", [], "conditional"),
        ("sticky", {"enabled": True, "hash_fields": ["metadata.user"]}, "loadbalance"),
        ("sticky_session", {"hash_fields": ["metadata.user", "params.user", "headers.X-Session"]}, "loadbalance"),
    ],
)
def test_a_key_of_one_mode_is_refused_in_the_others(key: str, value: Any, mode: str) -> None:
    assert parse_config(strategy(mode, **{key: value})).strategy
    for other in {"single", "fallback", "loadbalance"} - {mode}:
        error = refused(strategy(other, **{key: value}))
        assert places(error) == ["/strategy"]
        assert f"`{key}` belongs to the mode `{mode}`" in str(error)


def test_conditions_name_targets() -> None:
    conditions = [{"query": {"metadata.plan": "paid"}, "then": "b"}, {"query": {}, "then": "a"}]
    read = parse_config(strategy("conditional", conditions=conditions, default="a")).strategy
    assert read is not None
    assert [condition.then for condition in read.conditions or ()] == ["b", "a"]
    assert read.default == "a"


@pytest.mark.parametrize(
    ("fields", "place", "word"),
    [
        ({}, "/strategy", "conditions"),
        ({"conditions": [{"then": "a"}]}, "/strategy/conditions/0/query", "required"),
        ({"conditions": [{"query": {}}]}, "/strategy/conditions/0/then", "required"),
        (
            {"conditions": [{"query": {}, "then": "z"}]},
            "/strategy/conditions/0/then",
            "Invalid target name found in the query router: z",
        ),
        ({"conditions": [], "default": "z"}, "/strategy/default", "Invalid target name found in the query router: z"),
        (
            {"conditions": [{"query": {"metadata.x": {"$zzz": 1}}, "then": "a"}]},
            "/strategy/conditions/0/query/metadata.x/$zzz",
            "Unsupported operator used in the query router: $zzz",
        ),
        (
            {"conditions": [{"query": {"$or": [{"metadata.x": {"$regex": "["}}]}, "then": "a"}]},
            "/strategy/conditions/0/query/$or/0/metadata.x/$regex",
            "RE2",
        ),
        (
            {"conditions": [], "default": "a", "targets": [{"name": "a", "provider": "a"}] * 2},
            "/strategy/default",
            "2 of the targets have the name 'a'",
        ),
        ({"conditions": [], "sticky": {}}, "/strategy", "sticky"),
    ],
)
def test_what_cannot_be_decided_is_refused_where_it_stands(fields: dict[str, Any], place: str, word: str) -> None:
    error = refused(strategy("conditional", **fields))
    assert places(error) == [place]
    assert word in str(error)


def test_weights_may_be_left_out_or_be_0_but_not_all() -> None:
    for weights in ((None, None), (0, 1), (0, None), (0.0, 1e-9)):
        targets = [{"provider": "a", **({} if w is None else {"weight": w})} for w in weights]
        assert parse_config(strategy("loadbalance", targets=targets)).targets
    error = refused(strategy("loadbalance", targets=[{"provider": "a", "weight": 0}, {"provider": "b", "weight": 0.0}]))
    assert places(error) == ["/targets"], "the original never answers a call with such a config"
    for weight in (-1, "1", True, 1e13):
        assert places(refused({"provider": "a", "weight": weight})) == ["/weight"]


@pytest.mark.parametrize(
    ("sticky", "place"),
    [
        ({"enabled": True}, "/strategy"),
        ({"enabled": True, "hash_fields": ["user"]}, "/strategy/sticky/hash_fields"),
        ({"enabled": True, "hash_fields": ["params.a..b"]}, "/strategy/sticky/hash_fields"),
        ({"enabled": True, "hash_fields": ["metadata.x"], "ttl": 0}, "/strategy/sticky/ttl"),
    ],
)
def test_a_session_that_cannot_be_known_is_refused(sticky: dict[str, Any], place: str) -> None:
    assert places(refused(strategy("loadbalance", sticky=sticky))) == [place]


def test_a_sticky_session_is_off_or_on_as_each_spelling_has_it() -> None:
    fields = {"hash_fields": ["metadata.user"]}

    def session(**given: Any) -> Any:
        read = parse_config(strategy("loadbalance", **given)).strategy
        assert read is not None
        return read.session

    assert session(sticky=fields) is None
    assert session(sticky={}) is None
    assert session(sticky={**fields, "enabled": True}).ttl == 3_600
    assert session(sticky_session={**fields, "ttl": 60}).ttl == 60
    assert session(sticky_session={**fields, "enabled": False}) is None
    both = strategy("loadbalance", sticky={}, sticky_session=fields)
    assert places(refused(both)) == ["/strategy"]


def test_retries_are_read_in_both_spellings_of_the_flag() -> None:
    def retry(**fields: Any) -> Retry:
        read = parse_config({"retry": {"attempts": 2, **fields}}).retry
        assert read is not None
        return read

    assert retry().on_status_codes == RETRIED == (429, 500, 502, 503, 504, 529)
    assert retry(on_status_codes=[400, 408]).on_status_codes == (400, 408)
    assert not retry().heeds_retry_after
    assert retry(use_retry_after_header=True).heeds_retry_after
    assert retry(use_retry_after_headers=True).heeds_retry_after, "which the original's code does not see"
    assert retry(use_retry_after_header=False, use_retry_after_headers=False).heeds_retry_after is False
    differing = {"attempts": 1, "use_retry_after_header": True, "use_retry_after_headers": False}
    assert places(refused({"retry": differing})) == ["/retry"]


def test_more_attempts_than_five_are_read_and_fewer_than_none_are_not() -> None:
    assert parse_config({"retry": {"attempts": 9}}).retry is not None
    for attempts in (-1, "3", 1.5, None, True):
        assert places(refused({"retry": {"attempts": attempts}})) == ["/retry/attempts"]


@pytest.mark.parametrize("at", ["cb_config", "strategy"])
def test_a_circuit_breaker_stands_in_a_strategy_or_at_a_target(at: str) -> None:
    rules = {
        "failure_threshold": 5,
        "failure_threshold_percentage": 20.5,
        "minimum_requests": 10,
        "cooldown_interval": 60_000,
        "failure_status_codes": [401, 429, 500],
    }
    body = {"cb_config": rules, "provider": "a"} if at == "cb_config" else strategy("fallback", cb_config=rules)
    parsed = parse_config(body)
    read = parsed.cb_config if at == "cb_config" else parsed.strategy and parsed.strategy.cb_config
    assert isinstance(read, CircuitBreaker)
    assert (read.failure_threshold, read.failure_threshold_percentage) == (5, 20.5)
    assert (read.minimum_requests, read.cooldown_interval) == (10, 60_000)
    assert read.failure_status_codes == (401, 429, 500)


@pytest.mark.parametrize(
    ("rules", "place"),
    [
        ({}, "/cb_config"),
        ({"cooldown_interval": 30_000}, "/cb_config"),
        ({"failure_threshold": 0}, "/cb_config/failure_threshold"),
        ({"failure_threshold": 1, "cooldown_interval": 29_999}, "/cb_config/cooldown_interval"),
        ({"failure_threshold_percentage": 101}, "/cb_config/failure_threshold_percentage"),
        ({"failure_threshold_percentage": 0}, "/cb_config/failure_threshold_percentage"),
        ({"failure_threshold": 1, "minimum_requests": 0}, "/cb_config/minimum_requests"),
        ({"failure_threshold": 1, "failure_status_codes": [99]}, "/cb_config/failure_status_codes/0"),
    ],
)
def test_a_circuit_breaker_that_cannot_work_is_refused(rules: dict[str, Any], place: str) -> None:
    assert places(refused({"cb_config": rules, "provider": "a"})) == [place]


@pytest.mark.parametrize(
    "name", ["cookie", "Cookie", "x-portkey-api-key", "x-gatehouse-anything", "host", "content-length"]
)
def test_headers_that_never_go_on_cannot_be_forwarded(name: str) -> None:
    assert places(refused({"forward_headers": ["x-fine", name]})) == ["/forward_headers"]


@pytest.mark.parametrize("name", ["", "a b", "ä", "a:b", "line\r\n"])
def test_what_is_no_header_s_name_is_refused(name: str) -> None:
    assert places(refused({"forward_headers": [name]})) == ["/forward_headers"]


@given(st.text(min_size=1))
def test_an_unknown_key_is_refused_by_name(key: str) -> None:
    if key in SUPPORTED or key in REFUSED:
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
        ({"default_params": {"stream": True}}, "/default_params"),
        ({"default_params": {"model": 7}}, "/default_params"),
        ({"drop_params": ["a..b"]}, "/drop_params"),
        ({"drop_params": ["stream"]}, "/drop_params"),
        ({"drop_params": ["model"]}, "/drop_params"),
        ({"request_timeout": 0}, "/request_timeout"),
        ({"request_timeout": "5"}, "/request_timeout"),
        ({"on_status_codes": [429]}, ""),
        ({"targets": [{"provider": "a"}], "passthrough": True}, ""),
        ({"passthrough": True, "provider": "a"}, ""),
        (
            {
                "strategy": {"mode": "fallback", "on_status_codes": [429]},
                "targets": [{"provider": "a"}],
                "on_status_codes": [500],
            },
            "",
        ),
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
    nest = {"targets": [target] * NESTED_TARGETS_MAX}
    assert parse_config({"targets": [nest]}).targets
    assert places(refused({"targets": [target, {"targets": [target] * (NESTED_TARGETS_MAX + 1)}]})) == [
        "/targets/1/targets"
    ]
    assert parse_config(strategy("conditional", conditions=[], targets=[target] * CONDITIONAL_TARGETS_MAX)).targets
    many = NODES_MAX // (NESTED_TARGETS_MAX + 1)
    assert parse_config({"targets": [nest] * many}).targets
    assert str(NODES_MAX) in str(refused({"targets": [nest] * (many + 1)}))


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
    error = refused({"targets": [{"provider": "a", "prompt_id": "p"}, {"virtual_key": "no slug", "retry": {}}]})
    assert places(error) == ["/targets/0/prompt_id", "/targets/1/virtual_key", "/targets/1/retry/attempts"]


@pytest.mark.parametrize("given", ["simple", {"mode": "simple"}])
def test_a_bare_simple_cache_keeps_answers_for_a_week(given: Any) -> None:
    cache = parse_config({"cache": given}).cache
    assert cache is not None
    assert (cache.mode, cache.max_age) == ("simple", 7 * 86_400)


@pytest.mark.parametrize("given", ["semantic", {"mode": "semantic"}])
def test_a_semantic_cache_is_refused_by_name(given: Any) -> None:
    error = refused({"cache": given})
    assert places(error) == ["/cache/mode"]
    assert "`semantic` is not supported" in str(error)


@pytest.mark.parametrize("seconds", [59, 7_776_001, 90.0, "90", True])
def test_a_cache_s_age_is_whole_seconds_from_a_minute_to_90_days(seconds: Any) -> None:
    assert places(refused({"targets": [{"cache": {"mode": "simple", "max_age": seconds}}]})) == [
        "/targets/0/cache/max_age"
    ]


@pytest.mark.parametrize("given", ["exact", 7, [], {"mode": "exact"}, {}, {"mode": "simple", "ttl": 90}])
def test_what_is_no_cache_is_refused_where_it_stands(given: Any) -> None:
    assert all(place.startswith("/cache") for place in places(refused({"cache": given})))


def test_a_config_that_only_sets_parameters_names_no_target() -> None:
    assert not parse_config({"override_params": {"temperature": 0}}).names_a_target
    assert parse_config({"provider": "openai"}).names_a_target


def test_a_model_names_a_virtual_key_as_slug_and_model() -> None:
    assert slug_in("@main/org/model") == "main"
    for model in ("main/x", "@main", "@main/", "@/x", "", None, 7):
        assert slug_in(model) is None


def test_the_schema_of_configs_names_every_key_and_says_what_it_is() -> None:
    schema = ConfigBody.model_json_schema()
    assert orjson.loads(orjson.dumps(schema)) == schema
    keys = schema["$defs"]["ConfigBody"]["properties"]
    assert set(keys) == set(SUPPORTED)
    assert all(key.get("description") for key in keys.values())
    assert keys["api_key"]["writeOnly"] is True


def test_a_pointer_escapes_as_rfc_6901_says() -> None:
    assert pointer(("a/b", 0, "c~d")) == "/a~1b/0/c~0d"
    assert pointer(()) == ""
