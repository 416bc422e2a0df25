"""The ways to say who calls and where a call goes, as Portkey's and OpenAI's clients say it, in both spellings."""

import json
from typing import Any

import orjson
import pytest

from tests.conformance.test_openai_client_corpus import provider_call, received, weighed
from tests.fixtures.stack import Stack, chat
from tests.fixtures.wire import Reply

cases = pytest.mark.parametrize
FALLBACK = {
    "strategy": {"mode": "fallback"},
    "targets": [{"virtual_key": "closed"}, {"virtual_key": "refused"}, {"virtual_key": "other"}],
}


def target(reply: Reply) -> tuple[str, str]:
    """Provider, and place in the config, of the target that answered."""
    assert reply.status == 200, reply.body
    return reply.headers["x-portkey-provider"], reply.headers["x-portkey-last-used-option-index"]


@cases(
    "header",
    [
        "authorization",
        "x-portkey-api-key",
        "x-gatehouse-api-key",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
    ],
)
@cases("form", ["{}", "Bearer {}", "bearer {}"])
async def test_our_key_is_found_wherever_it_stands(stack: Stack, header: str, form: str) -> None:
    reply = await stack.call(headers={header: form.format(stack.api_key)})
    assert reply.status == 200


async def test_same_key_in_several_places_is_one_key(stack: Stack) -> None:
    places = dict.fromkeys(("x-portkey-api-key", "x-gatehouse-api-key", "api-key"), stack.api_key)
    assert (await stack.call(headers={**stack.authorization, **places})).status == 200


async def test_our_key_never_leaves_and_the_stored_one_goes_instead(stack: Stack) -> None:
    before = await stack.last_call()
    everywhere = dict.fromkeys(("x-portkey-api-key", "x-api-key", "api-key", "cookie"), stack.api_key)
    await stack.call(headers={**stack.authorization, **everywhere})
    (call,) = await stack.simulator_calls(before)
    headers = dict(call["headers"])
    assert stack.api_key not in json.dumps(call)
    assert not {"cookie", "x-api-key", "api-key"} & set(headers)
    assert [name for name in headers if name.startswith(("x-portkey-", "x-gatehouse-"))] == ["x-gatehouse-hop"]
    assert headers["authorization"] == "sha256:" + weighed(f"Bearer {stack.simulator_key}".encode())[0]


@cases("prefix", ["x-portkey-", "x-gatehouse-"])
@cases(
    ("words", "model", "answered"),
    [
        ({}, "sim-chat", ("simulator", "config")),
        ({}, "fast", ("simulator", "config")),
        ({}, "@other/sim-chat", ("other", "config")),
        ({"virtual-key": "other"}, "sim-chat", ("other", "config")),
        ({"provider": "@other"}, "sim-chat", ("other", "config")),
        ({"provider": "@other"}, "@other/sim-chat", ("other", "config")),
        ({"config": "rescued"}, "sim-chat", ("other", "config.targets[1]")),
        ({"config": json.dumps({"virtual_key": "other"})}, "sim-chat", ("other", "config")),
        ({"config": json.dumps({"provider": "@other"})}, "sim-chat", ("other", "config")),
        ({"config": json.dumps(FALLBACK)}, "sim-chat", ("other", "config.targets[2]")),
        (
            {"config": json.dumps({"targets": [{"targets": [{"virtual_key": "other"}]}]})},
            "sim-chat",
            ("other", "config.targets[0].targets[0]"),
        ),
        ({"config": json.dumps({"override_params": {"model": "sim-chat"}})}, "fast", ("simulator", "config")),
        ({"config": "rescued", "virtual-key": "simulator", "provider": "@closed"}, "@refused/x", None),
    ],
    ids=str,
)
async def test_each_way_to_name_a_target_in_both_spellings(
    stack: Stack, prefix: str, words: dict[str, str], model: str, answered: tuple[str, str] | None
) -> None:
    headers = {**stack.authorization, **{prefix + word: value for word, value in words.items()}}
    reply = await stack.call(headers=headers, model=model)
    if answered is None:  # The strongest way decides, so the model goes to it as it stands; the provider knows no such.
        assert reply.status == 404
        assert reply.headers["x-portkey-last-used-option-index"] == "config.targets[1]"
        return
    assert target(reply) == answered


async def test_bare_provider_takes_the_callers_own_key(stack: Stack) -> None:
    own = {
        "x-portkey-api-key": stack.api_key,
        "x-portkey-provider": "simulator",
        "authorization": f"Bearer {stack.simulator_key}",
    }
    assert target(await stack.call(headers=own)) == ("simulator", "config")
    refused = await stack.call(headers={**own, "authorization": "Bearer sk-wrong"})
    assert refused.status == 401
    assert refused.json()["error"]["code"] == "invalid_api_key"
    assert refused.headers["x-portkey-provider"] == "simulator"


async def test_inline_config_carries_its_own_key_and_host(stack: Stack) -> None:
    config = {
        "strategy": {"mode": "fallback", "on_status_codes": [401, 502]},
        "targets": [
            {"provider": "closed", "api_key": "sk-any"},
            {"provider": "openai", "api_key": "sk-wrong", "custom_host": f"{stack.simulator_url}/v1"},
            {"provider": "openai", "api_key": stack.simulator_key, "custom_host": f"{stack.simulator_url}/v1"},
        ],
    }
    headers = {**stack.authorization, "x-portkey-config": json.dumps(config)}
    assert target(await stack.call(headers=headers)) == ("openai", "config.targets[2]")


async def test_fallback_stops_at_a_status_that_is_not_named(stack: Stack) -> None:
    config = {"strategy": {"mode": "fallback", "on_status_codes": [500]}, "targets": FALLBACK["targets"]}
    headers = {**stack.authorization, "x-portkey-config": json.dumps(config)}
    reply = await stack.call(headers=headers)
    assert reply.status == 401
    assert reply.headers["x-portkey-last-used-option-index"] == "config.targets[1]"


async def test_fallback_streams_from_the_target_that_answers(stack: Stack) -> None:
    reply = await stack.call(headers={**stack.authorization, "x-portkey-config": json.dumps(FALLBACK)}, stream=True)
    assert target(reply) == ("other", "config.targets[2]")
    assert reply.events[-1] == "[DONE]"


@cases(("model", "stream"), [("fast", False), ("@other/sim-chat", False), ("fast", True)])
async def test_only_the_model_changes_where_its_name_is_ours(stack: Stack, model: str, stream: bool) -> None:
    body = chat("Grüße 🙂", model=model, unknown={"b": 1, "a": [None, 0.5]}, stream=stream)
    reply = await stack.call(body)
    assert reply.status == 200
    asked: dict[str, Any] = {**body, "model": "sim-chat"}
    if stream:
        asked["stream_options"] = {"include_usage": True}
    assert await received(stack, provider_call(reply.headers)) == weighed(orjson.dumps(asked))


async def test_override_params_win_over_what_the_caller_sent(stack: Stack) -> None:
    config = {"virtual_key": "simulator", "override_params": {"max_tokens": 2, "model": "sim-chat"}}
    headers = {**stack.authorization, "x-portkey-config": json.dumps(config)}
    reply = await stack.call(headers=headers, model="whatever", max_tokens=500)
    assert reply.json()["usage"]["completion_tokens"] == 2


async def test_allowed_request_headers_go_on_and_no_others(stack: Stack) -> None:
    before = await stack.last_call()
    passed = {"openai-organization": "org-1", "openai-beta": "b", "idempotency-key": "i-1", "traceparent": "00-a-b-01"}
    kept = {
        "cookie": "a=b",
        "x-forwarded-for": "10.1.2.3",
        "referer": "http://x",
        "x-custom": "1",
        "origin": "http://x",
    }
    assert (await stack.call(headers={**stack.authorization, **passed, **kept})).status == 200
    (call,) = await stack.simulator_calls(before)
    headers = dict(call["headers"])
    assert passed.items() <= headers.items()
    assert not kept.keys() & headers.keys()
