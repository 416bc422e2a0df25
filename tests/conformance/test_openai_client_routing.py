"""The official client, unmodified, through configs that choose, retry, end in time and leave targets out."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from openai import APIStatusError, APITimeoutError, OpenAI

from tests.fixtures.stack import Stack

Ask = Callable[..., Any]
MESSAGES = [{"role": "user", "content": "Hello"}]
SIMULATOR = {"virtual_key": "simulator"}
OTHER = {"virtual_key": "other"}
INDEX = "x-portkey-last-used-option-index"
RETRIES = "x-portkey-retry-attempt-count"


def failing(model: str, **fields: Any) -> dict[str, Any]:
    return {**SIMULATOR, "override_params": {"model": model}, **fields}


@pytest.fixture
def ask(through: OpenAI) -> Ask:
    """One chat through a config; the raw answer, whatever its status."""

    def asked(config: dict[str, Any], headers: dict[str, str] | None = None, **body: Any) -> Any:
        extra = {"x-portkey-config": json.dumps(config), **(headers or {})}
        given = {"model": "sim-chat", "messages": MESSAGES, **body}
        try:
            return through.chat.completions.with_raw_response.create(**given, extra_headers=extra)
        except APIStatusError as error:
            return error.response

    return asked


def test_a_fallback_answers_from_the_target_that_is_well(ask: Ask) -> None:
    config = {"strategy": {"mode": "fallback"}, "targets": [failing("sim-error-503"), failing("sim-badjson"), OTHER]}
    answer = ask(config)
    assert answer.headers[INDEX] == "config.targets[2]"
    assert answer.parse().choices[0].message.content


def test_a_stream_whose_first_event_is_an_error_is_another_target_s_stream(ask: Ask) -> None:
    config = {"strategy": {"mode": "fallback"}, "targets": [failing("sim-errorevent-0"), OTHER]}
    answer = ask(config, stream=True)
    assert answer.headers[INDEX] == "config.targets[1]"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in answer.parse() if chunk.choices)


async def test_retries_are_made_and_told(ask: Ask, stack: Stack) -> None:
    before = await stack.last_call()
    answer = ask({"retry": {"attempts": 1}, "targets": [failing("sim-error-503")]})
    assert (answer.status_code, answer.headers[RETRIES]) == (503, "-1")
    assert len(await stack.simulator_calls(before)) == 2
    assert ask({"retry": {"attempts": 3}, **SIMULATOR}).headers[RETRIES] == "0"


@pytest.mark.parametrize("stream", [False, True])
def test_a_timeout_is_a_408_in_the_original_s_words(ask: Ask, stream: bool) -> None:
    answer = ask({"request_timeout": 200, "targets": [failing("sim-slow-60000")]}, stream=stream)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (408, "timeout_error")
    assert error["message"] == "Request exceeded the timeout sent in the request: 200ms"


def test_a_timeout_moves_a_call_on(ask: Ask) -> None:
    targets = [failing("sim-silent", request_timeout=200), OTHER]
    assert ask({"strategy": {"mode": "fallback"}, "targets": targets}).headers[INDEX] == "config.targets[1]"


@pytest.mark.parametrize(
    ("metadata", "body", "index"),
    [({"plan": "paid"}, {}, 1), ({}, {"max_tokens": 5}, 2), ({"plan": "free"}, {"max_tokens": 50}, 0)],
)
def test_a_condition_names_the_target(ask: Ask, metadata: dict[str, str], body: dict[str, Any], index: int) -> None:
    config = {
        "strategy": {
            "mode": "conditional",
            "conditions": [
                {"query": {"metadata.plan": {"$eq": "paid"}}, "then": "paid"},
                {"query": {"params.max_tokens": {"$lte": 10}}, "then": "short"},
            ],
            "default": "rest",
        },
        "targets": [{**SIMULATOR, "name": "rest"}, {**OTHER, "name": "paid"}, {**OTHER, "name": "short"}],
    }
    answer = ask(config, {"x-portkey-metadata": json.dumps(metadata)}, **body)
    assert answer.headers[INDEX] == f"config.targets[{index}]"


def test_a_session_stays_at_one_target_over_all_workers(ask: Ask) -> None:
    strategy = {"mode": "loadbalance", "sticky": {"enabled": True, "hash_fields": ["metadata.user"]}}
    config = {"strategy": strategy, "targets": [SIMULATOR, OTHER, SIMULATOR, OTHER]}

    def homes(user: str, calls: int) -> set[str]:
        headers = {"x-portkey-metadata": json.dumps({"user": user}), "connection": "close"}
        return {ask(config, headers).headers[INDEX] for _ in range(calls)}

    assert len(homes("one", 8)) == 1
    assert len(set.union(*(homes(f"user {number}", 1) for number in range(20)))) > 1


def test_a_weight_of_nothing_is_never_drawn(ask: Ask) -> None:
    config = {"strategy": {"mode": "loadbalance"}, "targets": [{**OTHER, "weight": 0}, {**SIMULATOR, "weight": 0.1}]}
    assert {ask(config).headers[INDEX] for _ in range(8)} == {"config.targets[1]"}


def test_parameters_are_defaulted_overridden_and_dropped(ask: Ask) -> None:
    config = {**SIMULATOR, "default_params": {"max_tokens": 2}, "drop_params": ["stop"]}
    assert ask(config).parse().usage.completion_tokens == 2
    assert ask(config, max_tokens=3, stop=["a", "e", "i", "o"]).parse().usage.completion_tokens == 3


def test_a_passthrough_takes_the_target_that_the_client_names(ask: Ask) -> None:
    config = {"targets": [{"passthrough": True}]}
    assert ask(config, {"x-portkey-virtual-key": "other"}).headers["x-portkey-provider"] == "other"


def test_the_client_s_own_timeout_is_its_own(through: OpenAI) -> None:
    with pytest.raises(APITimeoutError):
        through.with_options(timeout=0.2).chat.completions.create(model="sim-silent", messages=MESSAGES)
