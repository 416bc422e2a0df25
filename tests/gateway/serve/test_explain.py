"""`POST /v1/explain`: what it says is what a call does, it takes nothing, and it shows no secret."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.upstream.errors import ConnectFailed
from gateway.upstream.messages import UpstreamRequest
from tests.fakes.front import CHAT, error, opened
from tests.fakes.upstream import answers
from tests.fakes.world import OTHER_STORED_KEY, STORED_KEY, World
from tests.fixtures.wire import Reply

EXPLAIN = "/v1/explain"
OK = b'{"id": "1", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}'
CALL: dict[str, Any] = {"model": "sim-chat", "messages": [{"role": "user", "content": "Hello there"}], "max_tokens": 10}
OWN_KEY = "sk-own-canary"
MAIN = {"virtual_key": "main"}


def asking(**configs: dict[str, Any]) -> World:
    """Whose caller may ask why; with saved configs."""
    world = World()
    world.workspace(inline={"keys": True, "configs": True, "hosts": True})
    world.api_key("k1", world.key, scopes=["completions.write", "explain"])
    for slug, body in configs.items():
        world.config(slug, body)
    return world


def config(body: Any) -> dict[str, str]:
    return {"x-portkey-config": json.dumps(body)}


def told(reply: Reply) -> dict[str, Any]:
    assert reply.status == 200, reply
    found: dict[str, Any] = reply.json()
    return found


def sent(request: UpstreamRequest) -> tuple[str, str, dict[str, str], Any]:
    """Method, URL, headers and body as an explanation shows them, but for the secrets."""
    lines = (line.partition(": ") for line in request.head.headers.decode().split("\r\n") if line)
    url = f"{request.origin.scheme}://{request.origin.authority}{request.head.target}"
    return request.head.method, url, {name: value for name, _, value in lines}, json.loads(request.body)


def shown(target: dict[str, Any]) -> tuple[str, str, dict[str, str], Any]:
    request = target["request"]
    return request["method"], request["url"], request["headers"], request["body"]


TARGETS = st.sampled_from(
    [
        {"virtual_key": "main"},
        {"virtual_key": "second", "override_params": {"model": "acme-chat", "temperature": 0.5}},
        {"virtual_key": "main", "default_params": {"top_p": 0.1}, "drop_params": ["max_tokens"]},
        {"provider": "sim", "api_key": OWN_KEY, "request_timeout": 5_000},
        {"virtual_key": "main", "custom_host": "https://elsewhere.test/v9", "retry": {"attempts": 3}},
    ]
)
CONFIGS = st.one_of(
    TARGETS,
    st.lists(TARGETS, min_size=1, max_size=3).map(lambda of: {"strategy": {"mode": "fallback"}, "targets": of}),
    TARGETS.map(
        lambda of: {
            "strategy": {
                "mode": "conditional",
                "conditions": [{"query": {"metadata.team": {"$eq": "a"}}, "then": "one"}],
                "default": "two",
            },
            "targets": [{"name": "one", **of}, {"name": "two", "virtual_key": "main"}],
        }
    ),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    body=CONFIGS,
    team=st.sampled_from([None, "a", "b"]),
    path=st.sampled_from([CHAT, "/v1/messages", "/v1/responses", "/v1/embeddings", "/v1/images/generations"]),
)
async def test_what_is_explained_is_what_is_sent(body: dict[str, Any], team: str | None, path: str) -> None:
    """The first target, its URL, headers and body, or the refusal; through every kind of door."""
    call = {**CALL} if path != "/v1/responses" else {"model": "sim-chat", "input": "Hello", "max_output_tokens": 10}
    headers = config(body) | ({} if team is None else {"x-portkey-metadata": json.dumps({"team": team})})
    async with opened(*(ConnectFailed("scripted") for _ in range(20)), world=asking()) as door:
        explained = told(await door.post(call, headers, f"{EXPLAIN}?path={path}"))
        assert door.client.requests == []
        answer = await door.post(call, headers, path)
    targets = explained.get("targets", [explained])
    first = next((target for target in targets if target.get("request")), None)
    assert (first is None) == (door.client.requests == [])
    if first is None:
        refusal = targets[-1]["refusal"]
        assert (answer.status, answer.json()["error"]["code"]) == (refusal["status"], refusal["code"])
        return
    method, url, lines, sent_body = sent(door.client.requests[0])
    shown_method, shown_url, shown_lines, shown_body = shown(first)
    assert (shown_method, shown_url, shown_body) == (method, url, sent_body)
    assert shown_lines.keys() == lines.keys()
    different = {name for name in lines if lines[name] != shown_lines[name]}
    assert different <= {"authorization"}
    assert answer.headers["x-portkey-last-used-option-index"] in [target["path"] for target in explained["targets"]]
    text = json.dumps(explained)
    assert not any(secret in text for secret in (STORED_KEY, OTHER_STORED_KEY, OWN_KEY))


async def test_the_whole_decision() -> None:
    world = asking(
        mine={
            "retry": {"attempts": 2},
            "strategy": {
                "mode": "conditional",
                "conditions": [{"query": {"params.max_tokens": {"$gt": 5}}, "then": "many"}],
                "default": "few",
            },
            "targets": [
                {
                    "name": "many",
                    "strategy": {"mode": "loadbalance"},
                    "targets": [{"virtual_key": "main", "weight": 1}, {"virtual_key": "second", "weight": 0}],
                },
                {"name": "few", "virtual_key": "second"},
            ],
        }
    )
    async with opened(world=world) as door:
        found = told(await door.post(CALL, {"x-portkey-config": "mine"}, EXPLAIN))
    assert (found["way"], found["config"]) == ("config", {"id": "pc-mine", "slug": "mine", "revision": 1})
    assert (found["door"], found["model"], found["stream"]) == ("chat", "sim-chat", False)
    assert (found["api_key"]["id"], found["api_key"]["workspace"]) == ("k1", "w1")
    (condition,) = found["conditions"]
    assert (condition["key"], condition["operator"], condition["operand"]) == ("params.max_tokens", "$gt", 5)
    assert (condition["value"], condition["holds"]) == (10, True)
    assert [reason["because"] for reason in found["reasons"]] == ["condition", "weight"]
    assert found["reasons"][1]["weights"] == {"0": 1}
    (target,) = found["targets"]
    assert (target["path"], target["provider"], target["virtual_key"], target["slug"]) == (
        "config.targets[0].targets[0]",
        "sim",
        "vk-main",
        "main",
    )
    assert target["retry"]["attempts"] == 2
    assert target["request"]["url"] == "http://sim.test:8000/v1/chat/completions"
    assert target["request"]["headers"]["authorization"] == "Bearer ****"
    assert target["request"]["body"] == CALL
    assert target["waits"]["total_s"] == 900.0
    price = target["price"]
    # Eleven bytes of text are three tokens; a million of input cost one dollar, of output two.
    assert (price["price"], price["input_tokens"], price["output_tokens_max"]) == ("pr1", 3, 10)
    assert (price["input_usd"], price["usd_max"]) == ("0.000003", "0.000023")


async def test_what_a_call_never_comes_to_is_no_refusal_of_it() -> None:
    """Metadata that cannot be read matter to nobody where an earlier condition holds."""
    conditions = [
        {"query": {"params.max_tokens": {"$gt": 5}}, "then": "one"},
        {"query": {"metadata.team": {"$eq": "a"}}, "then": "one"},
    ]
    body = {"strategy": {"mode": "conditional", "conditions": conditions}, "targets": [{"name": "one", **MAIN}]}
    headers = {**config(body), "x-portkey-metadata": "no JSON"}
    async with opened(answers(200, OK), world=asking()) as door:
        found = told(await door.post(CALL, headers, EXPLAIN))
        assert (await door.post(CALL, headers)).status == 200
    assert "refusal" not in found
    first, second = found["conditions"]
    assert (first["holds"], second["holds"]) == (True, None)
    assert "x-portkey-metadata" in second["fault"]


async def test_a_model_without_a_price_is_of_unknown_cost() -> None:
    async with opened(world=asking()) as door:
        found = told(await door.post({"model": "@second/acme-chat", "messages": []}, None, EXPLAIN))
    price = found["targets"][0]["price"]
    assert (price["price"], price["input_usd"], price["usd_max"]) == (None, None, None)


@pytest.mark.parametrize(
    ("body", "headers", "code", "status"),
    [
        (CALL, {"x-portkey-config": "nowhere"}, "slug_unknown", 400),
        (CALL, config({"strategy": {"mode": "fallback"}}), "config_invalid", 400),
        ({**CALL, "model": "@nobody/x"}, {}, "slug_unknown", 400),
        ({**CALL, "model": "what-is-this"}, {}, "target_missing", 400),
        ({**CALL, "model": 5}, {}, "body_invalid", 400),
        ({**CALL, "stream": "yes"}, {}, "body_invalid", 400),
    ],
)
async def test_a_call_that_would_be_refused_is_explained_all_the_same(
    body: Any, headers: dict[str, str], code: str, status: int
) -> None:
    async with opened(world=asking()) as door:
        refusal = told(await door.post(body, headers, EXPLAIN))["refusal"]
        answer = await door.post(body, headers)
    assert answer.json()["error"]["code"] == refusal["code"] == code
    assert answer.status == refusal["status"] == status
    assert refusal["message"] == answer.json()["error"]["message"]


async def test_a_key_that_may_ask_but_not_call_is_told_so() -> None:
    world = asking()
    world.api_key("k1", world.key, scopes=["explain"])
    async with opened(world=world) as door:
        assert told(await door.post(CALL, None, EXPLAIN))["refusal"]["code"] == "scope_missing"


async def test_who_may_not_ask_is_refused() -> None:
    world = asking()
    world.api_key("k1", world.key, scopes=["completions.write"])
    async with opened(world=world) as door:
        error(await door.post(CALL, None, EXPLAIN), 403, "scope_missing")
        error(await door.get(EXPLAIN), 405, "method_not_allowed")
        error(await door.post(CALL, {"authorization": "Bearer gh_wrong"}, EXPLAIN), 401, "invalid_api_key")


async def test_a_call_may_be_as_large_as_where_it_is_made() -> None:
    call = {**CALL, "messages": [{"role": "user", "content": "x" * 2_000_000}]}
    async with opened(world=asking(), body_bytes_max=3_000_000) as door:
        (target,) = told(await door.post(call, None, EXPLAIN))["targets"]
        assert target["request"]["body"]["messages"] == call["messages"]


@pytest.mark.parametrize("path", ["/v1/configs", "/v1/models", "/elsewhere", "/v1/../x"])
async def test_a_path_that_is_no_call_cannot_be_explained(path: str) -> None:
    async with opened(world=asking()) as door:
        error(await door.post(CALL, None, f"{EXPLAIN}?path={path}"), 404, "path_unknown")


async def test_explaining_takes_nothing_from_breakers_and_is_no_record() -> None:
    rules = {"failure_threshold": 1, "cooldown_interval": 60_000}
    body = {
        "strategy": {"mode": "fallback"},
        "targets": [{"virtual_key": "main", "cb_config": rules}, {"virtual_key": "second"}],
    }
    world = asking(mine=body)
    headers = {"x-portkey-config": "mine"}
    async with opened(answers(500, b"{}"), answers(200, OK), answers(200, OK), world=world) as door:
        assert (await door.post(CALL, headers)).status == 200
        assert len(door.records.records) == 1
        for _ in range(100):
            found = told(await door.post(CALL, headers, EXPLAIN))
        assert [target["slug"] for target in found["targets"]] == ["second"]
        assert found["reasons"] == [{"path": "config", "because": "breaker_open", "child": 0}]
        assert len(door.records.records) == 1
        assert len(door.client.requests) == 2
        assert (await door.post(CALL, headers)).headers["x-portkey-last-used-option-index"] == "config.targets[1]"
        assert len(door.records.records) == 2


async def test_the_callers_own_secrets_are_not_shown_either() -> None:
    headers = {
        "x-portkey-provider": "sim",
        "authorization": f"Bearer {OWN_KEY}",
        "x-portkey-forward-headers": "x-team-token, x-plain",
        "x-team-token": "canary-token",
        "x-plain": "seen",
    }
    world = asking()
    async with opened(world=world) as door:
        found = told(await door.post(CALL, {**headers, "x-portkey-api-key": world.key}, EXPLAIN))
    lines = found["targets"][0]["request"]["headers"]
    assert (lines["authorization"], lines["x-team-token"], lines["x-plain"]) == ("Bearer ****", "****", "seen")
    text = json.dumps(found)
    assert OWN_KEY not in text
    assert world.key not in text


async def test_every_answer_says_by_which_revision_it_was_decided() -> None:
    async with opened(answers(200, OK), world=asking()) as door:
        explained = told(await door.post(CALL, None, EXPLAIN))
        answered = await door.post(CALL)
        refused = await door.post({**CALL, "model": "@nobody/x"})
    revision = str(explained["revision"])
    assert answered.headers["x-gatehouse-revision"] == refused.headers["x-gatehouse-revision"] == revision


async def test_the_record_keeps_what_led_on_by_numbers_alone() -> None:
    targets = [{"virtual_key": "main", "weight": 1}, {"virtual_key": "second", "weight": 0}]
    body = {
        "strategy": {
            "mode": "conditional",
            "conditions": [{"query": {"metadata.team": {"$eq": "canary"}}, "then": "them"}],
        },
        "targets": [{"name": "them", "strategy": {"mode": "loadbalance"}, "targets": targets}],
    }
    headers = {**config(body), "x-portkey-metadata": '{"team": "canary"}'}
    async with opened(answers(200, OK), world=asking()) as door:
        explained = told(await door.post(CALL, headers, EXPLAIN))
        await door.post(CALL, headers)
        decision = door.records.last.decision
    assert decision == [("config", "condition", 0), ("config.targets[0]", "weight", 0)]
    assert decision == [(reason["path"], reason["because"], reason["child"]) for reason in explained["reasons"]]
    assert "canary" not in repr(door.records.last)
