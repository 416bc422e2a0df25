"""Row by row what reference/portkey.md 2.3, 2.5 and 2.6 say, through the whole corridor and a scripted provider.

Where the original has a fault, the test's name says what happens here. 2.4 is beside this, 2.7 is in
`tests/gateway/pipeline/test_cached.py`.
"""

from typing import Any

import orjson
import pytest

from gateway.errors import Code, GatewayError
from gateway.pipeline.relay import refusal
from gateway.providers.base import Door, Passage
from gateway.upstream.errors import ConnectFailed, ConnectTimeout, Cut, FirstByteTimeout
from tests.fakes.front import error, opened
from tests.fakes.upstream import Later, answers, streams
from tests.fakes.world import World
from tests.gateway.pipeline.test_pipeline import DONE, EVENT, FALLBACK, ID, OK, RAW, ROLE, STREAMED, Run

COUNT, INDEX = "x-portkey-retry-attempt-count", "x-portkey-last-used-option-index"
ERROR = b'{"error": {"message": "No", "type": "t", "param": null, "code": "c"}}'


def fails(status: int, **headers: str) -> Any:
    return answers(status, ERROR, headers={name.replace("_", "-"): value for name, value in headers.items()})


def ok() -> Any:
    return answers(200, OK)


def retrying(attempts: int, **fields: Any) -> dict[str, Any]:
    return {"virtual_key": "main", "retry": {"attempts": attempts, **fields}}


def on(*codes: int) -> dict[str, Any]:
    return {**FALLBACK, "strategy": {"mode": "fallback", "on_status_codes": list(codes)}}


# 2.3


async def test_2_3_trace_id_is_echoed_and_made_where_none_came() -> None:
    given = await Run(ok(), headers={"x-portkey-trace-id": "t-1"})()
    assert given.answer.headers["x-portkey-trace-id"] == "t-1"
    assert (await Run(ok())()).answer.headers["x-portkey-trace-id"] == ID


@pytest.mark.parametrize(
    ("config", "script", "path"),
    [
        ({"virtual_key": "main"}, [200], "config"),
        (FALLBACK, [500, 200], "config.targets[1]"),
        (
            {
                "strategy": {"mode": "fallback"},
                "targets": [
                    {"virtual_key": "main"},
                    {"strategy": {"mode": "single"}, "targets": [{"virtual_key": "second"}]},
                ],
            },
            [500, 200],
            "config.targets[1].targets[0]",
        ),
    ],
)
async def test_2_3_last_used_option_index(config: Any, script: list[int], path: str) -> None:
    done = await Run(*(ok() if status == 200 else fails(status) for status in script), config=config)()
    assert done.answer.headers[INDEX] == path


async def test_2_3_provider_request_id_and_cache_status() -> None:
    headers = (await Run(answers(500, ERROR), ok(), config=FALLBACK)()).answer.headers
    assert headers["x-portkey-provider"] == "acme"
    assert headers["x-portkey-request-id"] == ID
    assert headers["x-portkey-cache-status"] == "DISABLED"


def test_2_3_gateway_exception_marks_a_fault_of_the_gateway_and_nothing_else() -> None:
    for code in Code:
        headers = dict(refusal(GatewayError(code, "m"), ID, ID)[0])
        assert headers.get("x-portkey-gateway-exception") == ("true" if code is Code.INTERNAL else None)


async def test_2_3_lengths_and_encodings_of_the_provider_do_not_pass() -> None:
    sent = {"content-length": "999", "content-encoding": "identity", "transfer-encoding": "x", "x-request-id": "p-1"}
    done = await Run(answers(200, OK, headers=sent))()
    assert not {"content-length", "content-encoding", "transfer-encoding"} & done.answer.headers.keys()
    assert (done.answer.length, done.answer.headers["x-request-id"]) == (len(OK), "p-1")


async def test_2_3_retry_after_passes_on_a_429() -> None:
    done = await Run(fails(429, retry_after="7"))()
    assert (done.answer.status, done.answer.headers["retry-after"]) == (429, "7")


# 2.5


async def test_2_5_two_failures_then_an_answer() -> None:
    done = await Run(fails(500), fails(500), ok(), config=retrying(3))()
    assert (done.answer.status, done.answer.headers[COUNT], len(done.sleep.slept_s)) == (200, "2", 2)


async def test_2_5_failures_until_retries_are_used_up() -> None:
    done = await Run(*(fails(503) for _ in range(3)), config=retrying(2))()
    assert (done.answer.status, done.answer.headers[COUNT], len(done.requests)) == (503, "-1", 3)


async def test_2_5_what_is_not_listed_is_not_retried() -> None:
    done = await Run(fails(400), config=retrying(2))()
    assert (done.answer.status, done.answer.headers[COUNT]) == (400, "0")


async def test_2_5_what_is_listed_is_retried() -> None:
    done = await Run(fails(400), fails(400), config=retrying(1, on_status_codes=[400]))()
    assert (done.answer.status, done.answer.headers[COUNT], len(done.requests)) == (400, "-1", 2)


@pytest.mark.parametrize("flag", ["use_retry_after_header", "use_retry_after_headers"])
async def test_2_5_retry_after_is_waited_for_by_either_spelling_of_the_flag(flag: str) -> None:
    done = await Run(fails(429, retry_after="1"), ok(), config=retrying(1, **{flag: True}))()
    assert (done.answer.status, done.answer.headers[COUNT], done.sleep.slept_s) == (200, "1", [1.0])


@pytest.mark.parametrize("flag", ["use_retry_after_header", "use_retry_after_headers"])
async def test_2_5_a_long_retry_after_ends_it_at_once_and_passes(flag: str) -> None:
    done = await Run(fails(429, retry_after="90"), config=retrying(1, **{flag: True}))()
    assert (done.answer.status, done.answer.headers[COUNT], done.sleep.slept_s) == (429, "-1", [])
    assert done.answer.headers["retry-after"] == "90"


async def test_2_5_a_connection_that_is_reset_is_retried_whatever_the_list_says_and_finally_502_not_500() -> None:
    done = await Run(Cut("scripted"), Cut("scripted"), config=retrying(1, on_status_codes=[429]))()
    assert (done.answer.status, done.answer.headers[COUNT], len(done.requests)) == (502, "-1", 2)


async def test_2_5_a_connection_that_is_not_taken_in_time_is_504_not_503() -> None:
    assert (await Run(ConnectTimeout("scripted"))()).answer.status == 504


@pytest.mark.parametrize("status", [400, 401, 404, 429, 446, 500, 503])
async def test_2_5_fallback_without_a_list_goes_on_from_whatever_is_no_2xx(status: int) -> None:
    done = await Run(fails(status), ok(), config=FALLBACK)()
    assert (done.answer.status, done.answer.headers[INDEX]) == (200, "config.targets[1]")


@pytest.mark.parametrize(("status", "goes_on"), [(429, True), (500, False), (401, False)])
async def test_2_5_fallback_with_a_list_goes_on_from_what_is_listed(status: int, goes_on: bool) -> None:
    done = await Run(fails(status), ok(), config=on(429))()
    assert done.answer.status == (200 if goes_on else status)


@pytest.mark.parametrize(
    "first",
    [
        lambda: Cut("scripted"),
        lambda: ConnectFailed("scripted"),
        lambda: ConnectTimeout("scripted"),
        lambda: answers(502, b"<html>", content_type="text/html"),
    ],
    ids=["reset", "no connection", "timeout", "html"],
)
async def test_2_5_fallback_goes_on_where_nobody_answers_well(first: Any) -> None:
    assert (await Run(first(), ok(), config=FALLBACK)()).answer.headers[INDEX] == "config.targets[1]"


async def test_2_5_an_error_inside_of_a_200_goes_on_to_the_next_target_unlike_in_the_original() -> None:
    assert (await Run(answers(200, ERROR), ok(), config=FALLBACK)()).answer.headers[INDEX] == "config.targets[1]"
    assert (await Run(answers(200, ERROR))()).answer.status == 502


async def test_2_5_broken_json_in_a_200_goes_on_to_the_next_target_unlike_in_the_original() -> None:
    assert (await Run(answers(200, b"{broken"), ok(), config=FALLBACK)()).answer.headers[INDEX] == "config.targets[1]"
    assert (await Run(answers(200, b"{broken"))()).answer.status == 502


async def test_2_5_a_stream_that_is_cut_ends_with_an_error_event_unlike_in_the_original() -> None:
    done = await Run(streams(ROLE + EVENT, Cut("scripted")), raw=STREAMED, config=FALLBACK)()
    assert (done.answer.status, len(done.requests), done.record.ending) == (200, 1, "broken")
    assert b'"error"' in done.answer.body
    assert DONE not in done.answer.body


async def test_2_5_when_all_targets_fail_the_last_one_is_told() -> None:
    done = await Run(fails(500), answers(503, b'{"error": {"message": "last"}}'), config=FALLBACK)()
    assert (done.answer.status, done.answer.headers[INDEX]) == (503, "config.targets[1]")
    assert b"last" in done.answer.body


async def test_2_5_weights_that_sum_to_nothing_are_told_at_once_unlike_in_the_original() -> None:
    targets = [{"virtual_key": "main", "weight": 0}, {"virtual_key": "second", "weight": 0}]
    done = await Run(config={"strategy": {"mode": "loadbalance"}, "targets": targets})()
    assert (done.answer.status, done.requests) == (400, [])


async def test_2_5_more_than_five_retries_are_five() -> None:
    done = await Run(*(fails(503) for _ in range(6)), config=retrying(9))()
    assert (done.answer.headers[COUNT], len(done.requests)) == ("-1", 6)


@pytest.mark.parametrize("codes", [None, [408]])
async def test_2_5_and_2_6_a_timeout_that_was_asked_for_is_408_in_the_original_s_words(codes: list[int] | None) -> None:
    config = {"virtual_key": "main", "request_timeout": 300}
    if codes is not None:
        config = {**config, "retry": {"attempts": 1, "on_status_codes": codes}}
    script = [Later(0.3, FirstByteTimeout("scripted")) for _ in range(1 if codes is None else 2)]
    done = await Run(*script, config=config)()
    assert (done.answer.status, done.answer.headers[COUNT]) == (408, "0" if codes is None else "-1")
    assert done.error["message"] == "Request exceeded the timeout sent in the request: 300ms"
    assert (done.error["type"], done.error["param"]) == ("timeout_error", None)


# 2.6


async def test_2_6_a_config_s_faults_are_listed_by_path() -> None:
    done = await Run(config={"strategy": {"mode": "nonsense"}, "targets": [{"virtual_key": "main"}]})()
    body = orjson.loads(done.answer.body)
    assert (done.answer.status, body["status"]) == (400, "failure")
    assert body["errors"][0]["message"].startswith("path: strategy,mode, message: ")


async def test_2_6_a_provider_s_error_says_whose_it_is() -> None:
    done = await Run(fails(404))()
    body = orjson.loads(done.answer.body)
    assert (done.answer.status, body["provider"]) == (404, "sim")
    assert body["error"] == {"message": "sim error: No", "type": "t", "param": None, "code": "c"}


async def test_2_6_an_answer_that_is_no_json_keeps_its_status_and_text() -> None:
    done = await Run(answers(503, b"<p>busy</p>", content_type="text/html"))()
    assert (done.answer.status, orjson.loads(done.answer.body)["html-message"]) == (503, "<p>busy</p>")


async def test_2_6_a_network_error_is_502_and_names_no_address_unlike_in_the_original() -> None:
    done = await Run(ConnectFailed("10.1.2.3:443"))()
    assert (done.answer.status, done.error["code"]) == (502, "upstream_unreachable")
    assert b"10.1.2.3" not in done.answer.body


@pytest.mark.parametrize("body", [b"{broken", b'"text"', b"[]"])
async def test_2_6_a_2xx_that_cannot_be_read_or_has_the_wrong_shape_is_502_and_not_500(body: bytes) -> None:
    done = await Run(answers(200, body))()
    assert (done.answer.status, done.error["code"]) == (502, "upstream_broken")


@pytest.mark.parametrize("raw", [b"", b"{broken", b"[]"])
async def test_2_6_a_request_that_is_no_json_object_is_400_and_not_500(raw: bytes) -> None:
    done = await Run(raw=raw)()
    assert done.answer.status == 400
    assert done.error["type"] == "invalid_request_error"


async def test_2_6_a_router_that_leads_nowhere_is_400() -> None:
    conditions = [{"query": {"metadata.a": "b"}, "then": "one"}]
    config = {
        "strategy": {"mode": "conditional", "conditions": conditions},
        "targets": [{"name": "one", "virtual_key": "main"}],
    }
    done = await Run(config=config)()
    assert (done.answer.status, done.requests) == (400, [])
    assert done.error["message"]


async def test_2_6_a_key_that_is_not_ours_is_401_and_says_that_the_gateway_refused_it() -> None:
    done = await Run(headers={"authorization": "Bearer gh_nonsense"})()
    assert done.answer.status == 401
    assert "x-portkey-provider" not in done.answer.headers
    theirs = await Run(fails(401))()
    assert b"sim error" in theirs.answer.body


async def test_2_6_a_model_or_scope_that_is_not_allowed_is_403() -> None:
    for fields in ({"models": ["other"]}, {"scopes": ["explain"]}):
        world = World()
        world.api_key("k1", world.key, **fields)
        done = await Run(world=world)()
        assert (done.answer.status, done.requests) == (403, [])
        assert done.error["message"]


@pytest.mark.parametrize(
    ("inline", "code"),
    [
        ({"config": {"virtual_key": "main"}}, "inline_config_blocked"),
        ({"headers": {"x-portkey-provider": "sim", "x-api-key": "sk-own"}}, "inline_provider_blocked"),
        (
            {"headers": {"x-portkey-virtual-key": "main", "x-portkey-custom-host": "https://own.test/v1"}},
            "inline_custom_host_blocked",
        ),
        (
            {"headers": {"x-portkey-virtual-key": "main", "x-portkey-forward-headers": "x-team"}},
            "inline_forward_headers_blocked",
        ),
    ],
)
async def test_2_6_where_only_what_is_saved_may_be_used_the_code_says_what_was_blocked(inline: Any, code: str) -> None:
    world = World()
    world.workspace(inline={"keys": False, "configs": False, "hosts": False})
    done = await Run(world=world, **inline)()
    assert (done.answer.status, done.error["code"]) == (400, code)


async def test_2_6_a_path_that_is_passed_has_the_same_shapes() -> None:
    passage = Passage(Door.IMAGES, "POST", "/v1/images/generations")
    done = await Run(fails(404), raw=RAW, door=Door.IMAGES, passage=passage, config={"virtual_key": "main"})()
    assert orjson.loads(done.answer.body)["provider"] == "sim"


async def test_2_6_a_key_that_forbids_configs_of_the_caller_s_is_400() -> None:
    world = World()
    world.api_key("k1", world.key, inline={"configs": False})
    done = await Run(world=world, config={"virtual_key": "main"})()
    assert (done.answer.status, done.error["code"], done.requests) == (400, "inline_config_blocked", [])


async def test_2_6_a_path_that_is_none_is_404_in_the_failure_s_shape_and_says_what_is_served() -> None:
    async with opened() as door:
        said = error(await door.post(path="/chat/completions"), 404, "path_unknown")
        assert "/v1/chat/completions" in said["message"]
        assert door.client.requests == []
