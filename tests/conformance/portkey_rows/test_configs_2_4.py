"""Rows of reference/portkey.md 2.4 through the whole corridor: what each key of a config does, and what is inherited.

Each operator has its tests in `tests/shared/test_query.py`, each strategy in `tests/gateway/pipeline/test_choose.py`.
"""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.upstream import answers
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
    assert b"x-team: search\r\n" in done.requests[0].headers
    assert b"x-other" not in done.requests[0].headers


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
