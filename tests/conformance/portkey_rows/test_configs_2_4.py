"""Rows of reference/portkey.md 2.4 through the whole corridor: what each key of a config does, and what is inherited.

Each operator has its tests in `tests/shared/test_query.py`, each strategy in `tests/gateway/pipeline/test_choose.py`.
"""

import random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.upstream.errors import Cut
from tests.fakes.upstream import Step, answers
from tests.fakes.world import World
from tests.gateway.pipeline.test_attempts import Worker
from tests.gateway.pipeline.test_pipeline import OK, RAW, Run

MAIN, SECOND = {"virtual_key": "main"}, {"virtual_key": "second"}
ASKED = {"model": "sim-chat", "messages": [], "a": 1, "b": {"c": [{"d": 1, "e": 2}, {"d": 3}]}}


def ok() -> Any:
    return answers(200, OK)


async def sent(config: dict[str, Any], **fields: Any) -> dict[str, Any]:
    done = await Run(ok(), config=config, raw=orjson.dumps(ASKED), **fields)()
    assert done.answer.status == 200, done.answer.body
    body: dict[str, Any] = orjson.loads(done.requests[0].body)
    return body


def routed(query: dict[str, Any], **strategy: Any) -> dict[str, Any]:
    conditions = [{"query": query, "then": "yes"}]
    return {
        "strategy": {"mode": "conditional", "conditions": conditions, "default": "no", **strategy},
        "targets": [{"name": "yes", **MAIN}, {"name": "no", **SECOND}],
    }


async def test_2_4_a_config_without_a_strategy_is_single() -> None:
    assert (await Run(ok(), config=MAIN)()).hosts == ["sim.test"]


async def test_2_4_weight_0_is_never_drawn_and_1_is_the_default() -> None:
    targets = [{**MAIN, "weight": 0}, SECOND]
    for _ in range(5):
        assert (await Run(ok(), config={"strategy": {"mode": "loadbalance"}, "targets": targets})()).hosts == [
            "acme.test"
        ]


async def test_2_4_defaults_then_overrides_then_what_is_dropped() -> None:
    config = {
        **MAIN,
        "default_params": {"a": 7, "x": 7, "y": 7},
        "override_params": {"y": 8, "z": 8},
        "drop_params": ["z", "b.c[0].d", "b.c[*].e"],
    }
    assert await sent(config) == {**ASKED, "b": {"c": [{}, {"d": 3}]}, "x": 7, "y": 8}


async def test_2_4_forward_headers_go_on_as_they_are() -> None:
    config = {**MAIN, "forward_headers": ["X-Team"]}
    done = await Run(ok(), config=config, headers={"x-team": "search", "x-other": "no"})()
    assert b"x-team: search\r\n" in done.requests[0].head.headers
    assert b"x-other" not in done.requests[0].head.headers


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ({"metadata.team": "a"}, True),
        ({"metadata.team": {"$eq": "b"}}, False),
        ({"metadata.nobody": {"$ne": "b"}}, True),
        ({"metadata.size": {"$gte": 5, "$lt": 10}}, True),
        ({"metadata.size": {"$gt": 7}}, False),
        ({"metadata.size": {"$lte": 7}}, True),
        ({"metadata.team": {"$in": ["a", "b"]}}, True),
        ({"metadata.team": {"$nin": ["a", "b"]}}, False),
        ({"metadata.team": {"$regex": "^a$"}}, True),
        ({"metadata.team": {"$regex": "a", "$ne": "a"}}, False),
        ({"$and": [{"metadata.team": "a"}, {"metadata.size": "7"}]}, True),
        ({"$or": [{"metadata.team": "b"}, {"metadata.size": "7"}], "metadata.team": "b"}, False),
        ({"params.model": "sim-chat"}, True),
        ({"url.pathname": "/v1/chat/completions"}, True),
        ({"metadata.size": 7}, False),
        ({}, True),
    ],
    ids=lambda value: orjson.dumps(value).decode() if isinstance(value, dict) else str(value),
)
async def test_2_4_operators_decide_where_a_call_goes(query: dict[str, Any], holds: bool) -> None:
    done = await Run(ok(), config=routed(query), headers={"x-portkey-metadata": '{"team": "a", "size": "7"}'})()
    assert done.hosts == ["sim.test" if holds else "acme.test"]


@pytest.mark.parametrize(
    "config",
    [
        routed({"metadata.a": {"$zzz": 1}}),
        routed({}, default="nobody"),
        {"mode": "single", "options": [MAIN]},
        {**MAIN, "nonsense": 1},
    ],
    ids=["unknown operator", "unknown target", "legacy", "unknown key"],
)
async def test_2_4_what_cannot_work_is_400_before_anybody_is_asked(config: dict[str, Any]) -> None:
    done = await Run(config=config)()
    assert (done.answer.status, done.requests) == (400, [])


PARAMS = st.dictionaries(st.sampled_from(["p", "q", "r"]), st.integers(0, 9), max_size=3)
WAIT = st.none() | st.integers(100, 900)


@settings(max_examples=60, deadline=None)
@given(PARAMS, PARAMS, PARAMS, WAIT, WAIT, WAIT)
async def test_2_4_a_target_inherits_and_its_own_word_wins_at_any_depth(
    top: dict[str, int], middle: dict[str, int], leaf: dict[str, int], t: int | None, m: int | None, own: int | None
) -> None:
    def node(params: dict[str, int], wait_ms: int | None) -> dict[str, Any]:
        timeout = {} if wait_ms is None else {"request_timeout": wait_ms}
        return {"override_params": params, **timeout} if params else timeout

    single = {"strategy": {"mode": "single"}}
    config = {
        **single,
        **node(top, t),
        "targets": [{**single, **node(middle, m), "targets": [{**MAIN, **node(leaf, own)}]}],
    }
    done = await Run(ok(), config=config)()
    assert orjson.loads(done.requests[0].body) == {**orjson.loads(RAW), **top, **middle, **leaf}
    wait_ms = next((wait for wait in (own, m, t) if wait is not None), None)
    head_s = done.requests[0].deadlines.head_s
    assert head_s == wait_ms / 1_000 if wait_ms is not None else head_s > 1


@pytest.mark.parametrize("own", [None, 0])
async def test_2_4_retry_is_inherited_unless_a_target_has_its_own(own: int | None) -> None:
    target = MAIN if own is None else {**MAIN, "retry": {"attempts": own}}
    config = {"strategy": {"mode": "single"}, "retry": {"attempts": 1}, "targets": [target]}
    script = [answers(503, b"{}"), ok()] if own is None else [answers(503, b"{}")]
    assert (await Run(*script, config=config)()).answer.status == (200 if own is None else 503)


async def test_2_4_a_header_wins_over_the_config() -> None:
    done = await Run(ok(), config={**MAIN, "request_timeout": 900}, headers={"x-portkey-request-timeout": "200"})()
    assert done.requests[0].deadlines.head_s == 0.2


# What a target has of its own


@pytest.mark.parametrize(
    ("target", "host", "key"),
    [
        ({"virtual_key": "second"}, "acme.test", "sk-stored-of-second"),
        ({"provider": "@second"}, "acme.test", "sk-stored-of-second"),
        ({"provider": "acme", "api_key": "sk-own"}, "acme.test", "sk-own"),
        ({"provider": "acme", "api_key": "sk-own", "custom_host": "https://own.test/v1"}, "own.test", "sk-own"),
    ],
)
async def test_2_4_a_target_is_named_with_its_key_and_host(target: dict[str, Any], host: str, key: str) -> None:
    done = await Run(ok(), config=target)()
    assert done.hosts == [host]
    assert f"authorization: Bearer {key}\r\n".encode() in done.requests[0].head.headers


async def test_2_4_passthrough_takes_the_target_that_the_request_names() -> None:
    config = {"strategy": {"mode": "fallback"}, "targets": [{"passthrough": True}, MAIN]}
    done = await Run(answers(500, b"{}"), ok(), config=config, headers={"x-portkey-virtual-key": "second"})()
    assert done.hosts == ["acme.test", "sim.test"]


async def test_2_4_on_status_codes_may_stand_in_their_older_place() -> None:
    config = {"strategy": {"mode": "fallback"}, "on_status_codes": [429], "targets": [MAIN, SECOND]}
    assert (await Run(answers(429, b"{}"), ok(), config=config)()).hosts == ["sim.test", "acme.test"]
    assert (await Run(answers(500, b"{}"), config=config)()).hosts == ["sim.test"]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 529])
async def test_2_4_what_is_retried_where_nothing_is_listed_the_documents_529_among_it(status: int) -> None:
    done = await Run(answers(status, b"{}"), ok(), config={**MAIN, "retry": {"attempts": 1}})()
    assert done.answer.status == 200


# Sticky sessions and circuit breakers, of which the open original knows nothing


async def reached(user: str, seed: int) -> str:
    sticky = {"enabled": True, "hash_fields": ["metadata.user"], "ttl": 3_600}
    config = {"strategy": {"mode": "loadbalance", "sticky": sticky}, "targets": [MAIN, SECOND]}
    run = Run(ok(), config=config, headers={"x-portkey-metadata": orjson.dumps({"user": user}).decode()})
    run.chance.setstate(random.Random(seed).getstate())
    return (await run()).hosts[0]


async def test_2_4_sticky_keeps_a_session_at_one_target_and_spreads_sessions() -> None:
    places = {user: {await reached(user, seed) for seed in range(8)} for user in map(str, range(16))}
    assert all(len(hosts) == 1 for hosts in places.values())
    assert set.union(*places.values()) == {"sim.test", "acme.test"}


@pytest.mark.parametrize("at", ["strategy", "node", "target"])
async def test_2_4_cb_config_leaves_out_what_failed_until_its_cooldown_is_over(at: str) -> None:
    rules = {"cb_config": {"failure_threshold": 2, "cooldown_interval": 60_000}}
    strategy = {"mode": "fallback", **(rules if at == "strategy" else {})}
    first = {**MAIN, **(rules if at == "target" else {})}
    worker = Worker({"strategy": strategy, "targets": [first, SECOND], **(rules if at == "node" else {})})
    for failure in (Cut("scripted"), answers(500, b"{}")):
        assert (await worker.call(failure, ok())).hosts == ["sim.test", "acme.test"]
    assert (await worker.call(ok())).hosts == ["acme.test"]
    worker.run.clock.advance(60.0)
    assert (await worker.call(ok())).hosts == ["sim.test"]


async def test_2_4_cb_config_counts_the_statuses_and_the_share_that_it_names() -> None:
    rules = {"failure_threshold_percentage": 50, "minimum_requests": 4, "failure_status_codes": [429]}
    worker = Worker({"strategy": {"mode": "fallback"}, "targets": [MAIN, SECOND], "cb_config": rules})
    scripts: list[tuple[Step, ...]] = [(answers(status, b"{}"), ok()) for status in (500, 429, 500)]
    for script in scripts:
        assert (await worker.call(*script)).hosts == ["sim.test", "acme.test"]
    assert (await worker.call(answers(429, b"{}"), ok())).hosts == ["sim.test", "acme.test"]
    assert (await worker.call(ok())).hosts == ["acme.test"]


# What is refused by name

PROVIDERS_OWN = (
    "openai_organization openai_project resource_name deployment_id api_version deployments azure_auth_mode "
    "azure_ad_token azure_model_name azure_entra_tenant_id azure_foundry_url aws_access_key_id aws_secret_access_key "
    "aws_session_token aws_region aws_auth_type aws_role_arn aws_external_id vertex_project_id vertex_region "
    "vertex_service_account_json"
).split()
NOT_YET = (
    "prompt_id strict_open_ai_compliance input_guardrails output_guardrails default_input_guardrails "
    "default_output_guardrails before_request_hooks after_request_hooks input_mutators output_mutators"
).split()


async def told(config: dict[str, Any]) -> list[str]:
    done = await Run(config=config)()
    assert (done.answer.status, done.requests) == (400, [])
    return [error["message"] for error in orjson.loads(done.answer.body)["errors"]]


@pytest.mark.parametrize("key", NOT_YET)
@pytest.mark.parametrize("value", [True, False, [], "x"])
async def test_2_4_what_is_not_built_yet_is_refused_by_name_and_never_dropped(key: str, value: Any) -> None:
    (message,) = await told({**MAIN, key: value})
    assert message.startswith(f"path: {key}, message: `{key}` is not supported by this version")


@pytest.mark.parametrize("key", PROVIDERS_OWN)
async def test_2_4_a_provider_s_own_settings_are_refused_by_name_and_belong_to_its_virtual_key(key: str) -> None:
    for config, path in (({**MAIN, key: "x"}, key), ({"targets": [{**MAIN, key: "x"}]}, f"targets,0,{key}")):
        (message,) = await told(config)
        assert message.startswith(f"path: {path}, message: no such key in a config")
        assert "virtual key" in message


async def test_2_4_semantic_cache_is_refused_by_name() -> None:
    for cache in ("semantic", {"mode": "semantic"}):
        (message,) = await told({**MAIN, "cache": cache})
        assert message.startswith("path: cache,mode, message: cache mode `semantic` is not supported")


@pytest.mark.parametrize(
    "config",
    [
        {"retry": {"attempts": 1}},
        {"request_timeout": 900},
        {"forward_headers": ["x-team"]},
        {"default_params": {"a": 1}},
        {"drop_params": ["a"]},
        {"cache": "simple"},
    ],
    ids=lambda config: next(iter(config)),
)
async def test_2_4_a_config_may_name_no_target_and_joins_the_request_s(config: dict[str, Any]) -> None:
    done = await Run(ok(), config=config, headers={"x-portkey-virtual-key": "second"})()
    assert done.hosts == ["acme.test"]


# Inheritance: what the table of 2.4 names besides parameters, times and retries


async def test_2_4_forward_headers_are_inherited_unless_a_target_has_its_own() -> None:
    headers = {"x-team": "search", "x-own": "mine"}
    for own, seen, unseen in (({}, b"x-team", b"x-own"), ({"forward_headers": ["x-own"]}, b"x-own", b"x-team")):
        config = {"strategy": {"mode": "single"}, "forward_headers": ["x-team"], "targets": [{**MAIN, **own}]}
        sent_on = (await Run(ok(), config=config, headers=headers)()).requests[0].head.headers
        assert seen in sent_on
        assert unseen not in sent_on


async def test_2_4_a_custom_host_is_inherited_unless_a_target_has_its_own() -> None:
    for own, host in (({}, "above.test"), ({"custom_host": "https://own.test/v1"}, "own.test")):
        target = {"provider": "acme", "api_key": "sk-own", **own}
        config = {"strategy": {"mode": "single"}, "custom_host": "https://above.test/v1", "targets": [target]}
        assert (await Run(ok(), config=config)()).hosts == [host]


async def test_2_4_a_saved_config_is_named_by_its_slug() -> None:
    world = World()
    world.config("pc-saved", SECOND)
    assert (await Run(ok(), world=world, headers={"x-portkey-config": "pc-saved"})()).hosts == ["acme.test"]
