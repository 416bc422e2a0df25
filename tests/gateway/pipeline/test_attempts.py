"""Retries, timeouts, fallbacks and breakers over a scripted provider: the rows of reference/portkey.md 2.3, 2.5, 2.6.

The clock is turned by hand: a pause takes no time and is seen. Where the original does wrong, the test's name says so.
"""

import asyncio
from email.utils import formatdate
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.pipeline.attempt import HELD_BYTES_MAX, HELD_S_MAX
from gateway.pipeline.breaker import Breakers, Closed, Open
from gateway.pipeline.exchange import Exchange
from gateway.providers.base import Door
from gateway.upstream.errors import (
    AddressForbidden,
    ConnectFailed,
    ConnectTimeout,
    Cut,
    FirstByteTimeout,
    ProtocolFault,
    StallTimeout,
    TooLarge,
    TotalTimeout,
    UpstreamError,
)
from shared.models.noun import Kind
from shared.models.strategy import RETRIED
from tests.fakes.answer import RecordedAnswer
from tests.fakes.upstream import FakeResponse, Hang, Later, Step, answers, streams
from tests.fakes.world import SHUT, World
from tests.gateway.pipeline.test_pipeline import (
    DONE,
    EVENT,
    FALLBACK,
    FINISH,
    HANG_S,
    ID,
    OK,
    PING,
    RAW,
    ROLE,
    SPENT,
    STREAMED,
    USAGE,
    WAITS,
    Run,
)

MAIN: dict[str, Any] = {"virtual_key": "main"}
ERROR_EVENT = b'data: {"error": {"message": "overloaded", "type": "overloaded_error"}}\n\n'


def retrying(attempts: int, **fields: Any) -> dict[str, Any]:
    return {**MAIN, "retry": {"attempts": attempts, **fields}}


def bad(status: int, **headers: str) -> FakeResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return answers(status, b'{"error": {"message": "no"}}', headers=named)


def ok() -> FakeResponse:
    return answers(200, OK)


def told(run: Run) -> tuple[int | None, str]:
    """Status, and what the header says of retries."""
    return run.answer.status, run.answer.headers["x-portkey-retry-attempt-count"]


# Retries (2.3, 2.5)


async def test_500_500_200_with_three_attempts_is_the_second_retry_s_200() -> None:
    run = await Run(bad(500), bad(500), ok(), config=retrying(3))()
    assert told(run) == (200, "2")
    assert len(run.sleep.slept_s) == 2
    assert run.sleep.slept_s[0] <= 1
    assert run.sleep.slept_s[1] <= 2
    assert (run.record.attempt_count, run.record.retry_count, run.record.fallback_count) == (3, 2, 0)
    assert [attempt[4] for attempt in run.record.attempts] == [500, 500, 200]
    assert {attempt[0] for attempt in run.record.attempts} == {"config"}


async def test_503_always_with_two_attempts_is_503_and_minus_one() -> None:
    run = await Run(bad(503), bad(503), bad(503), config=retrying(2))()
    assert told(run) == (503, "-1")
    assert (run.record.attempt_count, run.record.retry_count, run.record.error) == (3, 2, "provider_error")


async def test_a_400_is_answered_at_once() -> None:
    run = await Run(bad(400), config=retrying(2))()
    assert told(run) == (400, "0")
    assert run.sleep.slept_s == []


async def test_a_400_that_is_listed_is_retried() -> None:
    run = await Run(bad(400), bad(400), config=retrying(1, on_status_codes=[400]))()
    assert told(run) == (400, "-1")


async def test_the_retry_that_meets_an_error_that_is_not_retried_answers() -> None:
    run = await Run(bad(500), bad(400), config=retrying(3))()
    assert told(run) == (400, "1")


async def test_without_a_word_on_retries_nothing_is_retried() -> None:
    run = await Run(bad(503), config=MAIN)()
    assert told(run) == (503, "0")


async def test_nine_attempts_are_five() -> None:
    run = await Run(*(bad(500) for _ in range(6)), config=retrying(9))()
    assert told(run) == (500, "-1")
    assert len(run.requests) == 6


@pytest.mark.parametrize("status", RETRIED)
async def test_what_is_retried_by_default_is_retried_the_529_that_the_original_s_code_forgets_among_it(
    status: int,
) -> None:
    run = await Run(bad(status), ok(), config=retrying(1))()
    assert told(run) == (200, "1")


@pytest.mark.parametrize("status", [302, 400, 401, 404, 408, 409, 422, 501])
async def test_what_is_not_retried_by_default_is_not(status: int) -> None:
    assert told(await Run(bad(status), config=retrying(1))()) == (status, "0")


@pytest.mark.parametrize("flag", ["use_retry_after_header", "use_retry_after_headers"])
async def test_a_429_is_retried_when_the_provider_says_in_both_spellings_of_the_flag(flag: str) -> None:
    run = await Run(bad(429, retry_after="1"), ok(), config=retrying(2, **{flag: True}))()
    assert told(run) == (200, "1")
    assert run.sleep.slept_s == [1.0]


@pytest.mark.parametrize("header", ["retry_after_ms", "x_ms_retry_after_ms"])
async def test_a_provider_may_say_it_in_milliseconds(header: str) -> None:
    run = await Run(bad(429, **{header: "1500"}), ok(), config=retrying(1, use_retry_after_header=True))()
    assert run.sleep.slept_s == [1.5]


async def test_a_provider_may_say_it_as_a_date_which_the_original_does_not_read() -> None:
    run = Run(config=retrying(1, use_retry_after_header=True))
    at = formatdate(run.clock.wall_ms() / 1_000 + 20, usegmt=True)
    run.client._script = [bad(429, retry_after=at), ok()]
    await run()
    assert run.sleep.slept_s == [20.0]


@pytest.mark.parametrize("seconds", ["60", "90"])
async def test_a_429_that_asks_for_a_minute_or_more_is_answered_at_once_and_passed_on(seconds: str) -> None:
    run = await Run(bad(429, retry_after=seconds), config=retrying(2, use_retry_after_header=True))()
    assert told(run) == (429, "-1")
    assert run.answer.headers["retry-after"] == seconds
    assert (len(run.requests), run.record.retry_after_s) == (1, int(seconds))


async def test_pauses_of_a_minute_in_sum_end_the_retries() -> None:
    script = [bad(429, retry_after="20"), bad(429, retry_after="30"), bad(429, retry_after="20")]
    run = await Run(*script, config=retrying(5, use_retry_after_header=True))()
    assert told(run) == (429, "-1")
    assert run.sleep.slept_s == [20.0, 30.0]


LIMITED = {
    "code": 429,
    "message": "Quota exceeded.",
    "status": "RESOURCE_EXHAUSTED",
    "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "16.5s"}],
}


def says_it_in_bodies(dialect: str = "gemini") -> World:
    world = World()
    world.put("global", Kind.PROVIDER, id="sim", name="Sim", base_url="http://sim.test:8000/v1", dialect=dialect)
    return world


@pytest.mark.parametrize("dialect", ["gemini", "vertex", "openai"])
async def test_a_provider_may_say_it_in_the_body(dialect: str) -> None:
    limited = answers(429, orjson.dumps([{"error": LIMITED}]))
    config = retrying(1, use_retry_after_header=True)
    run = await Run(limited, bad(400), config=config, world=says_it_in_bodies(dialect))()
    assert told(run) == (400, "1")
    assert run.sleep.slept_s == [16.5]
    assert "retry-after" not in run.answer.headers, "what the last answer did not say"
    assert run.record.retry_after_s is None


async def test_a_head_counts_before_the_body() -> None:
    limited = answers(429, orjson.dumps({"error": LIMITED}), headers={"retry-after": "2"})
    config = retrying(1, use_retry_after_header=True)
    run = await Run(limited, limited, config=config, world=says_it_in_bodies())()
    assert run.sleep.slept_s == [2.0]
    assert (run.answer.headers["retry-after"], run.record.retry_after_s) == ("2", 2)


@pytest.mark.parametrize("stream", [False, True])
async def test_what_a_body_says_of_coming_back_is_in_the_caller_s_head_and_the_record(stream: bool) -> None:
    body = orjson.dumps({"error": LIMITED})
    limited = streams(b"data: %b\n\n" % body) if stream else answers(429, body)
    raw = {"model": "gemini", "messages": [{"role": "user", "content": "x"}], "stream": stream}
    run = await Run(limited, raw=orjson.dumps(raw), config=MAIN, world=says_it_in_bodies())()
    assert (run.answer.status, run.answer.headers["retry-after"], run.record.retry_after_s) == (429, "17", 17)


async def test_a_date_and_milliseconds_are_told_in_seconds_too() -> None:
    run = await Run(bad(429, x_ms_retry_after_ms="1500"), config=MAIN)()
    assert (run.answer.headers["retry-after"], run.record.retry_after_s) == ("2", 2)
    run = Run(config=MAIN)
    at = formatdate(run.clock.wall_ms() / 1_000 + 20, usegmt=True)
    run.client._script = [bad(429, retry_after=at)]
    await run()
    assert (run.answer.headers["retry-after"], run.record.retry_after_s) == (at, 20)


async def test_without_the_flag_the_provider_s_word_is_not_heeded() -> None:
    run = await Run(bad(429, retry_after="90"), ok(), config=retrying(1))()
    assert told(run) == (200, "1")
    assert run.sleep.slept_s[0] <= 1


LOST: list[UpstreamError] = [Cut("x"), ConnectFailed("x"), ConnectTimeout("x")]


@pytest.mark.parametrize("failure", LOST)
async def test_a_lost_connection_is_retried_whatever_the_list_says(failure: UpstreamError) -> None:
    run = await Run(failure, ok(), config=retrying(1, on_status_codes=[418]))()
    assert told(run) == (200, "1")
    run = await Run(failure, failure, config=retrying(1, on_status_codes=[418]))()
    assert told(run) == (504 if isinstance(failure, ConnectTimeout) else 502, "-1")
    assert run.error["code"] in ("upstream_broken", "upstream_unreachable", "upstream_timeout")


@pytest.mark.parametrize(
    ("first", "status"),
    [
        (answers(200, b"{broken"), 502),
        (answers(200, b'{"a":'), 502),
        (ProtocolFault("x"), 502),
        (TooLarge("x"), 502),
        (FirstByteTimeout("x"), 504),
        (StallTimeout("x"), 504),
    ],
)
async def test_an_answer_that_is_none_is_retried_where_its_status_is_listed_broken_json_too(
    first: Step, status: int
) -> None:
    run = await Run(first, ok(), config=retrying(1))()
    assert told(run) == (200, "1")


async def test_an_answer_that_is_none_is_not_retried_where_its_status_is_not_listed() -> None:
    run = await Run(answers(200, b"{broken"), config=retrying(1, on_status_codes=[500]))()
    assert told(run) == (502, "0")


async def test_what_a_retry_cannot_mend_is_not_retried() -> None:
    assert told(await Run(AddressForbidden("x"), config=retrying(3, on_status_codes=[502, 503]))()) == (502, "0")
    world = World()
    world.virtual_key("main", "sim", "", credential=SHUT.decode())
    run = await Run(config=retrying(3), world=world)()
    assert told(run) == (503, "0")
    assert run.requests == []


async def test_a_retry_that_would_begin_when_the_call_s_time_is_over_is_none() -> None:
    config = retrying(5, use_retry_after_header=True)
    run = await Run(Later(WAITS.plain.total_s - 2, bad(429, retry_after="2")), config=config)()
    assert told(run) == (429, "-1")
    run = await Run(Later(WAITS.plain.total_s - 3, bad(429, retry_after="2")), ok(), config=config)()
    assert told(run) == (200, "1")


async def test_the_whole_call_has_one_time_for_all_its_attempts() -> None:
    slow = [Later(40, bad(500)), Later(40, bad(500)), Later(10, ok())]
    config = {"strategy": {"mode": "fallback"}, "targets": [MAIN, MAIN, MAIN]}
    run = await Run(*slow, config=config)()
    assert [round(request.deadlines.total_s, 6) for request in run.requests] == [100, 60, 20]
    run = await Run(Later(100, bad(500)), config=config)()
    assert (run.answer.status, run.error["code"]) == (504, "upstream_timeout")
    assert len(run.requests) == 1


async def test_retries_have_a_budget_of_the_worker_s() -> None:
    async def no_time(seconds: float) -> None: ...

    worker = Worker(retrying(1))
    worker.run.pipeline._attempts._sleep = no_time
    counts = []
    for _ in range(110):
        run = await worker.call(bad(500), bad(500))
        assert told(run) == (500, "-1")
        counts.append(len(run.requests))
    assert counts == [2] * 100 + [1] * 10


async def test_each_target_of_a_fallback_has_retries_of_its_own_and_the_last_one_is_told() -> None:
    config = {**FALLBACK, "retry": {"attempts": 1}}
    run = await Run(bad(500), bad(500), bad(500), ok(), config=config)()
    assert told(run) == (200, "1")
    assert run.hosts == ["sim.test", "sim.test", "acme.test", "acme.test"]
    assert (run.record.retry_count, run.record.fallback_count) == (2, 1)
    run = await Run(bad(500), bad(500), ok(), config=config)()
    assert told(run) == (200, "0")


async def test_pauses_are_the_provider_s_time_not_the_gateway_s() -> None:
    config = retrying(1, use_retry_after_header=True)
    run = await Run(Later(0.1, bad(429, retry_after="0.5")), Later(0.2, ok()), config=config)()
    assert (run.record.provider_us, run.record.overhead_us, run.record.duration_us) == (800_000, 0, 800_000)


async def test_a_caller_who_leaves_during_a_pause_is_recorded_once_and_nothing_more_is_sent() -> None:
    hang = Hang()

    async def sleep(seconds: float) -> None:
        await hang.wait()

    run = Run(bad(500), ok(), config=retrying(1))
    run.pipeline._attempts._sleep = sleep
    task = asyncio.create_task(run.pipeline.run(run.exchange, run.answer))
    async with asyncio.timeout(HANG_S):
        await hang.reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    run.settled()
    assert (len(run.requests), run.record.ending) == (1, "left")


# The older header


@pytest.mark.parametrize("prefix", ["x-portkey-", "x-gatehouse-"])
async def test_the_older_header_asks_for_retries_where_no_config_does(prefix: str) -> None:
    run = await Run(bad(500), ok(), headers={prefix + "retry-count": "2"})()
    assert told(run) == (200, "1")
    run = await Run(*(bad(500) for _ in range(6)), headers={prefix + "retry-count": "9"})()
    assert (told(run), len(run.requests)) == ((500, "-1"), 6)
    run = await Run(bad(500), headers={prefix + "retry-count": "0"})()
    assert told(run) == (500, "0")
    run = await Run(bad(500), bad(500), config=retrying(1), headers={prefix + "retry-count": "5"})()
    assert told(run) == (500, "-1")


@pytest.mark.parametrize("name", ["retry-count", "request-timeout"])
@pytest.mark.parametrize("text", ["-1", "x", "1.5", "1e3", "٣", "123456789"])
async def test_a_number_that_is_none_is_refused_by_the_header_s_name(name: str, text: str) -> None:
    run = await Run(headers={f"x-portkey-{name}": text})()
    assert (run.answer.status, run.error["code"], run.error["param"]) == (400, "header_invalid", f"x-portkey-{name}")


# Timeouts (2.5, 2.6)

TIMED = {**MAIN, "request_timeout": 300}


@pytest.mark.parametrize("failure", [ConnectTimeout("x"), FirstByteTimeout("x"), StallTimeout("x"), TotalTimeout("x")])
async def test_a_timeout_that_was_asked_for_is_a_408_in_the_original_s_words(failure: UpstreamError) -> None:
    run = await Run(Later(0.3, failure), config=TIMED)()
    assert told(run) == (408, "0")
    assert run.error == {
        "message": "Request exceeded the timeout sent in the request: 300ms",
        "type": "timeout_error",
        "param": None,
        "code": "request_timeout",
    }
    assert (run.record.status, run.record.error) == (408, "request_timeout")
    assert "x-should-retry" not in run.answer.headers


async def test_what_takes_too_long_for_another_reason_is_no_408() -> None:
    run = await Run(Later(0.1, ConnectTimeout("x")), config=TIMED)()
    assert (run.answer.status, run.error["code"]) == (504, "upstream_timeout")


async def test_a_plain_answer_must_be_whole_in_time_and_a_stream_must_have_begun() -> None:
    plain = (await Run(ok(), config=TIMED)()).requests[0].deadlines
    assert (plain.connect_s, plain.head_s, plain.total_s) == (0.3, 0.3, 0.3)
    stream = (await Run(streams(EVENT, FINISH, DONE), config=TIMED, raw=STREAMED)()).requests[0].deadlines
    assert (stream.connect_s, stream.head_s, stream.total_s) == (0.3, 0.3, WAITS.stream.total_s)


@pytest.mark.parametrize("prefix", ["x-portkey-", "x-gatehouse-"])
async def test_the_header_s_timeout_wins_over_the_config_s(prefix: str) -> None:
    run = await Run(Later(0.05, FirstByteTimeout("x")), config=TIMED, headers={prefix + "request-timeout": "50"})()
    assert run.error["message"].endswith("50ms")


async def test_300_ms_in_the_list_with_one_attempt_is_408_and_minus_one() -> None:
    late = Later(0.3, FirstByteTimeout("x"))
    run = await Run(late, late, config={**retrying(1, on_status_codes=[408]), "request_timeout": 300})()
    assert told(run) == (408, "-1")
    run = await Run(late, config={**retrying(1), "request_timeout": 300})()
    assert told(run) == (408, "0"), "a 408 is not retried unless it is listed"


async def test_each_attempt_has_the_time_that_was_asked_for() -> None:
    late = Later(0.3, FirstByteTimeout("x"))
    run = await Run(late, Later(0.2, ok()), config={**FALLBACK, "request_timeout": 300})()
    assert run.answer.status == 200
    assert [round(request.deadlines.total_s, 6) for request in run.requests] == [0.3, 0.3]


# Fallback (2.5)


@pytest.mark.parametrize(
    ("first", "codes", "goes_on"),
    [
        (Later(0.3, FirstByteTimeout("x")), None, True),
        (Later(0.3, FirstByteTimeout("x")), [408], True),
        (Later(0.3, FirstByteTimeout("x")), [429], False),
        (Cut("x"), [429], True),
        (answers(200, b"{broken"), [429], True),
        (answers(500, b"<html>", content_type="text/html"), None, True),
        (bad(400), None, True),
        (bad(401), None, True),
        (bad(400), [429], False),
        (answers(200, b'{"error": {"message": "inside", "code": 429}}'), None, True),
        (answers(200, b'{"error": {"message": "inside", "code": 429}}'), [429], True),
        (answers(200, b'{"error": {"message": "inside", "code": 403}}'), [429], False),
    ],
)
async def test_what_goes_on_to_the_next_target_and_what_ends_it_in_the_original(
    first: Step, codes: list[int] | None, goes_on: bool
) -> None:
    strategy = {"mode": "fallback", **({} if codes is None else {"on_status_codes": codes})}
    run = await Run(first, ok(), config={**FALLBACK, "strategy": strategy, "request_timeout": 300})()
    assert len(run.requests) == (2 if goes_on else 1)


async def test_after_retries_are_used_up_the_next_target_is_tried() -> None:
    config = {**FALLBACK, "targets": [retrying(1), {"virtual_key": "second"}]}
    run = await Run(bad(500), bad(500), ok(), config=config)()
    assert run.hosts == ["sim.test", "sim.test", "acme.test"]
    assert told(run) == (200, "0")


async def test_the_last_target_s_error_is_told_with_its_path_and_its_retries() -> None:
    run = await Run(bad(500), bad(429), bad(429), config={**FALLBACK, "targets": [MAIN, retrying(1)]})()
    assert told(run) == (429, "-1")
    assert run.answer.headers["x-portkey-last-used-option-index"] == "config.targets[1]"


async def test_where_no_condition_holds_the_call_is_a_400_and_in_a_fallback_goes_on() -> None:
    condition = {"query": {"params.model": "other"}, "then": "a"}
    router = {"strategy": {"mode": "conditional", "conditions": [condition]}, "targets": [{**MAIN, "name": "a"}]}
    run = await Run(config=router)()
    assert run.answer.status == 400
    assert run.error["message"].startswith("Query router did not resolve to any valid target")
    assert (run.requests, run.record.attempt_count) == ([], 0)
    run = await Run(ok(), config={"strategy": {"mode": "fallback"}, "targets": [router, MAIN]})()
    assert run.answer.headers["x-portkey-last-used-option-index"] == "config.targets[1]"


# Errors that come as a 200


def failed_choice(**fields: Any) -> dict[str, Any]:
    """As OpenRouter words it, where a model fails that had begun to answer."""
    error = {"code": 502, "message": "high demand", "metadata": {"error_type": "provider_unavailable"}}
    return {
        "index": 0,
        "message": {"role": "assistant", "content": ""},
        "finish_reason": "error",
        "error": error,
        **fields,
    }


def inside(*choices: dict[str, Any], **fields: Any) -> Step:
    return answers(200, orjson.dumps({"id": "gen-1", "object": "chat.completion", "choices": choices, **fields}))


def theirs(run: Run) -> dict[str, Any]:
    error: dict[str, Any] = orjson.loads(run.answer.body)["error"]
    return error


COUNTED = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
GOOD = {"index": 1, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}


async def test_an_error_inside_of_the_only_choice_is_the_answer_of_a_target_that_failed() -> None:
    run = await Run(inside(failed_choice(), usage={"cost": 0, "is_byok": True}))()
    assert (run.answer.status, theirs(run)["message"], theirs(run)["code"]) == (502, "sim error: high demand", 502)
    assert (run.record.error, run.record.status, run.record.provider_status) == ("provider_error", 502, 502)
    assert run.record.usage == "none"
    run = await Run(inside(failed_choice()), ok(), config=FALLBACK)()
    assert (run.answer.status, run.hosts, run.record.fallback_count) == (200, ["sim.test", "acme.test"], 1)
    run = await Run(inside(failed_choice()), ok(), config=retrying(1))()
    assert told(run) == (200, "1")


async def test_what_a_model_used_that_failed_in_its_answer_is_counted_as_its_provider_says() -> None:
    half = failed_choice(message={"role": "assistant", "content": "Half an ans"})
    run = await Run(inside(half, usage=COUNTED))()
    assert (run.answer.status, run.spent) == (502, ("provider", 3, 5))


async def test_an_error_beside_a_choice_that_ends_with_one_is_that_choice_s() -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "error"}
    run = await Run(inside(choice, usage=COUNTED, error={"code": "rate_limit_exceeded", "message": "slow down"}))()
    assert (run.answer.status, theirs(run)["message"]) == (429, "sim error: slow down")


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [failed_choice(), GOOD], "usage": COUNTED},
        {"choices": [GOOD], "error": {"message": "a word beside the answer"}, "usage": COUNTED},
        {"choices": [{**GOOD, "error": None}], "error": None, "usage": COUNTED},
        {"choices": [{**GOOD, "error": {}}], "error": "", "usage": COUNTED},
        {"choices": [{**GOOD, "message": {"content": 'say "error"'}}]},
    ],
)
async def test_an_answer_with_something_in_it_passes_whatever_stands_beside(body: dict[str, Any]) -> None:
    raw = orjson.dumps(body)
    run = await Run(answers(200, raw), config=FALLBACK)()
    assert (run.answer.status, run.answer.body, len(run.requests)) == (200, raw, 1)


async def test_an_answer_of_an_error_says_when_to_come_back() -> None:
    body = b'{"error": {"code": 429, "message": "x"}}'
    run = await Run(answers(200, body, headers={"retry-after": "7"}))()
    assert (run.answer.status, run.answer.headers["retry-after"]) == (429, "7")


@pytest.mark.parametrize(
    ("door", "asked"),
    [
        (Door.MESSAGES, {"model": "sim-chat", "max_tokens": 5, "messages": [{"role": "user", "content": "Hello"}]}),
        (Door.RESPONSES, {"model": "sim-chat", "input": "Hello"}),
    ],
)
async def test_at_other_doors_an_error_inside_of_a_choice_is_told_in_their_words(door: Door, asked: Any) -> None:
    run = await Run(inside(failed_choice()), raw=orjson.dumps(asked), door=door)()
    assert (run.answer.status, theirs(run)["message"]) == (502, "sim error: high demand")
    assert ("type" in orjson.loads(run.answer.body)) is (door is Door.MESSAGES)


# Streams before their first content


@pytest.mark.parametrize("held", [(), (PING,), (ROLE,), (PING, ROLE)])
async def test_an_error_event_before_the_first_content_is_an_answer_like_any_other(held: tuple[bytes, ...]) -> None:
    """At the last target only what comes in one piece with it."""
    run = await Run(streams(b"".join((*held, ERROR_EVENT))), raw=STREAMED)()
    assert run.answer.status == 529
    body = orjson.loads(run.answer.body)
    assert body["error"]["message"] == "sim error: overloaded"
    assert run.answer.headers["content-type"] == "application/json"
    assert (run.record.error, run.record.status, run.record.provider_status) == ("provider_error", 529, 529)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ('{"code": 503}', 503),
        ('{"code": "429"}', 429),
        ('{"type": "server_error"}', 500),
        ('{"code": "rate_limit_exceeded", "type": "tokens"}', 429),
        ('{"type": "unheard_of"}', 502),
        ('{"code": 200}', 502),
        ('{"code": true}', 502),
        ('"just words"', 502),
    ],
)
async def test_an_error_event_has_the_status_that_it_would_have_had_alone(error: str, status: int) -> None:
    run = await Run(streams(b'data: {"error": %b}\n\n' % error.encode()), raw=STREAMED)()
    assert run.answer.status == status


ENDS_WITH_IT = (
    b'data: {"id":"gen-1","error":{"code":"server_error","message":"disconnected"},'
    b'"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}\n\n'
)
"""An error event as OpenRouter words it."""
FIRST: dict[str, list[Any]] = {
    "an error event": [ROLE, ERROR_EVENT],
    "an error event that ends a choice too": [ROLE, ENDS_WITH_IT],
    "an error event that nothing follows": [ROLE, ERROR_EVENT[:-1]],
    "a cut": [ROLE, PING, Cut("x")],
    "a stall": [StallTimeout("x")],
    "an end too early": [ROLE],
    "nothing": [],
    "an event too large": [b"data: " + b"x" * (16 * 1024 * 1024 + 10)],
}


@pytest.mark.parametrize("first", FIRST)
async def test_a_stream_that_fails_before_its_first_content_goes_on_and_nothing_of_it_is_seen(first: str) -> None:
    run = await Run(streams(*FIRST[first]), streams(EVENT, FINISH, USAGE, DONE), raw=STREAMED, config=FALLBACK)()
    assert run.hosts == ["sim.test", "acme.test"]
    assert run.answer.body == EVENT + FINISH + USAGE + DONE
    assert run.spent == SPENT
    assert (run.record.fallback_count, run.record.attempt_count) == (1, 2)


@pytest.mark.parametrize("first", FIRST)
async def test_a_stream_that_fails_before_its_first_content_is_retried(first: str) -> None:
    run = await Run(streams(*FIRST[first]), streams(EVENT, FINISH, DONE), raw=STREAMED, config=retrying(1))()
    assert run.answer.body == EVENT + FINISH + DONE
    assert told(run) == (200, "1")


@pytest.mark.parametrize("failure", [Cut("x"), StallTimeout("x"), None])
async def test_after_the_first_content_there_is_no_way_back_and_never_a_silent_cut(
    failure: UpstreamError | None,
) -> None:
    tail = [] if failure is None else [failure]
    run = await Run(streams(ROLE, EVENT, *tail), raw=STREAMED, config={**FALLBACK, "retry": {"attempts": 3}})()
    assert len(run.requests) == 1
    assert run.answer.body.startswith(ROLE + EVENT + b'data: {"error"')
    assert b"[DONE]" not in run.answer.body
    assert (run.record.ending, run.record.retry_count) == ("broken", 0)


CONTENT = [
    b'{"choices":[{"delta":{"content":"a"}}]}',
    b'{"choices":[{"delta":{"role":"assistant","content":"a"}}]}',
    b'{"choices":[{"delta":{"reasoning_content":"a"}}]}',
    b'{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":""}}]}}]}',
    b'{"choices":[{"text":"a","index":0}]}',
    b'{"choices":[{"delta":{},"finish_reason":"stop"}]}',
    b'{"choices":[{"delta":{"audio":{"id":"x"}}}]}',
]
NO_CONTENT = [
    b'{"choices":[]}',
    b'{"choices":[],"prompt_filter_results":[{"content_filter_results":{}}]}',
    b'{"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}',
    b'{"choices":[{"delta":{},"finish_reason":null}]}',
    b'{"choices":[{"text":"","index":0,"finish_reason":null}]}',
    b'{"choices":null}',
    b'{"type":"ping"}',
    b"[]",
    b"junk",
]


@pytest.mark.parametrize("chunk", CONTENT)
async def test_content_is_passed_on_at_once(chunk: bytes) -> None:
    hang = Hang()
    run = Run(streams(b"data: %b\n\n" % chunk, hang, FINISH, DONE), raw=STREAMED, config=FALLBACK)
    task = asyncio.create_task(run())
    await hang.reached.wait()
    assert run.answer.body == b"data: %b\n\n" % chunk
    hang.released.set()
    await task


@pytest.mark.parametrize("chunk", NO_CONTENT)
async def test_what_is_no_content_is_held_until_some_comes(chunk: bytes) -> None:
    event, hang = b"data: %b\n\n" % chunk, Hang()
    run = Run(streams(event, PING, hang, EVENT, FINISH, DONE), raw=STREAMED, config=FALLBACK)
    task = asyncio.create_task(run())
    await hang.reached.wait()
    assert run.answer.status is None, "it can still be taken back"
    hang.released.set()
    await task
    assert run.answer.body == event + PING + EVENT + FINISH + DONE


@pytest.mark.parametrize("config", [None, {"targets": [MAIN]}, retrying(0)])
async def test_where_nothing_is_left_to_try_nothing_is_held(config: dict[str, Any] | None) -> None:
    hang = Hang()
    run = Run(streams(PING, ROLE, hang, EVENT, FINISH, DONE), raw=STREAMED, config=config)
    task = asyncio.create_task(run())
    await hang.reached.wait()
    assert run.answer.body == PING + ROLE
    hang.released.set()
    await task


async def test_of_a_fallback_s_last_target_s_last_retry_nothing_is_held() -> None:
    hang = Hang()
    config = {**FALLBACK, "retry": {"attempts": 1}}
    script = [streams(Cut("x")), bad(500), streams(ROLE), streams(ROLE, hang, EVENT, FINISH, DONE)]
    run = Run(*script, raw=STREAMED, config=config)
    task = asyncio.create_task(run())
    await hang.reached.wait()
    assert run.answer.body == ROLE
    hang.released.set()
    await task
    assert told(run) == (200, "1")


async def test_what_is_held_is_bounded_in_bytes() -> None:
    many = PING * (HELD_BYTES_MAX // len(PING) + 1)
    hang = Hang()
    run = Run(streams(many, hang, EVENT, FINISH, DONE), raw=STREAMED, config=FALLBACK)
    task = asyncio.create_task(run())
    await hang.reached.wait()
    assert run.answer.body == many
    hang.released.set()
    await task


async def test_what_is_held_is_bounded_in_time_so_that_pings_keep_a_caller_waiting_in_peace() -> None:
    hang, second = Hang(), Hang()
    run = Run(streams(PING, hang, PING, second, EVENT, FINISH, DONE), raw=STREAMED, config=FALLBACK)
    task = asyncio.create_task(run())
    await hang.reached.wait()
    assert run.answer.body == b""
    run.clock.advance(HELD_S_MAX)
    hang.released.set()
    await second.reached.wait()
    assert run.answer.body == PING + PING
    second.released.set()
    await task


async def test_a_stream_of_nothing_but_its_end_is_a_stream() -> None:
    run = await Run(streams(DONE), raw=STREAMED)()
    assert (run.answer.status, run.answer.body) == (200, DONE)
    run = await Run(streams(DONE.rstrip()), raw=STREAMED)()
    assert run.answer.body.endswith(DONE)


async def test_a_caller_who_leaves_while_events_are_held_cancels_the_provider() -> None:
    hang = Hang()
    run = Run(streams(ROLE, hang), raw=STREAMED, config=FALLBACK)
    task = asyncio.create_task(run.pipeline.run(run.exchange, run.answer))
    async with asyncio.timeout(HANG_S):
        await hang.reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    run.settled()
    assert run.record.ending == "left"


# Circuit breakers

BROKEN = {**FALLBACK, "cb_config": {"failure_threshold": 2}}


class Worker:
    """Many calls through one worker, whose clock stands still but for pauses."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.run = Run(config=config)
        self.breakers = Breakers()
        self.run.pipeline = self.run.pipeline_of(self.run.client, self.breakers)

    async def call(self, *script: Step) -> Run:
        run = self.run
        run.client._script = list(script)
        run.client.requests.clear()
        run.answer = RecordedAnswer()
        run.records.records.clear()
        run.exchange = Exchange(ID, Door.CHAT, run.exchange.headers, RAW, run.clock.monotonic_s())
        return await run()


async def test_a_target_that_failed_so_often_is_left_out_and_is_no_attempt() -> None:
    worker = Worker(BROKEN)
    for _ in range(2):
        assert (await worker.call(bad(503), ok())).hosts == ["sim.test", "acme.test"]
    run = await worker.call(ok())
    assert run.hosts == ["acme.test"]
    assert run.answer.headers["x-portkey-last-used-option-index"] == "config.targets[1]"
    assert (run.record.attempt_count, run.record.fallback_count) == (1, 0)


async def test_after_the_cooldown_one_call_tries_it_and_closes_it() -> None:
    worker = Worker(BROKEN)
    for _ in range(2):
        await worker.call(Cut("x"), ok())
    worker.run.clock.advance(30.0)
    assert (await worker.call(ok())).hosts == ["sim.test"]
    assert (await worker.call(ok())).hosts == ["sim.test"]


async def test_a_probe_that_fails_leaves_it_out_for_as_long_again() -> None:
    worker = Worker(BROKEN)
    for _ in range(2):
        await worker.call(Cut("x"), ok())
    worker.run.clock.advance(30.0)
    assert (await worker.call(bad(500), ok())).hosts == ["sim.test", "acme.test"]
    worker.run.clock.advance(29.9)
    assert (await worker.call(ok())).hosts == ["acme.test"]


async def test_if_all_are_left_out_all_are_tried() -> None:
    worker = Worker(BROKEN)
    for _ in range(2):
        await worker.call(bad(500), bad(500))
    assert (await worker.call(bad(500), ok())).hosts == ["sim.test", "acme.test"]


async def test_what_is_no_failure_of_the_target_s_is_not_counted() -> None:
    worker = Worker(BROKEN)
    for first in (bad(429), bad(400), AddressForbidden("x")) * 2:
        run = await worker.call(first, ok())
        assert run.hosts == ["sim.test", "acme.test"]


async def test_each_retry_is_counted() -> None:
    worker = Worker({**BROKEN, "retry": {"attempts": 1}})
    await worker.call(bad(500), bad(500), ok())
    assert (await worker.call(ok())).hosts == ["acme.test"]


async def test_a_probe_whose_caller_left_is_the_next_call_s_to_make() -> None:
    worker = Worker(BROKEN)
    for _ in range(2):
        await worker.call(Cut("x"), ok())
    worker.run.clock.advance(30.0)
    run, hang = worker.run, Hang()
    run.client._script, run.answer = [hang, ok()], RecordedAnswer()
    run.exchange = Exchange(ID, Door.CHAT, run.exchange.headers, RAW, run.clock.monotonic_s())
    task = asyncio.create_task(run.pipeline.run(run.exchange, run.answer))
    await hang.reached.wait()
    (state,) = worker.breakers._states.values() if len(worker.breakers._states) == 1 else [None]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert state is None or not isinstance(state, Closed | Open)
    assert (await worker.call(ok())).hosts == ["sim.test"]


async def test_a_stream_that_never_begins_is_a_failure_of_its_target() -> None:
    worker = Worker(BROKEN)
    for _ in range(2):
        worker.run.exchange.headers = {**worker.run.exchange.headers}
        run = worker.run
        run.client._script, run.answer = [streams(ROLE), streams(EVENT, FINISH, DONE)], RecordedAnswer()
        run.records.records.clear()
        run.exchange = Exchange(ID, Door.CHAT, run.exchange.headers, STREAMED, 0.0)
        await run()
    assert (await worker.call(ok())).hosts == ["acme.test"]


# One target's changes are not another's

STEPS = st.lists(st.sampled_from([500, 429, 200, None]).map(lambda status: status), min_size=1, max_size=12)
TARGETS = st.lists(
    st.fixed_dictionaries(
        {"virtual_key": st.sampled_from(["main", "second"])},
        optional={
            "override_params": st.sampled_from([{"n": 1}, {"user": "u"}]),
            "default_params": st.sampled_from([{"seed": 7}]),
            "drop_params": st.sampled_from([["messages"], ["user"]]),
            "retry": st.sampled_from([{"attempts": 1}, {"attempts": 2}]),
        },
    ),
    min_size=1,
    max_size=3,
)


@settings(deadline=None, max_examples=60)
@given(TARGETS, STEPS)
def test_whatever_happened_before_a_target_gets_the_caller_s_body_with_its_own_changes(
    targets: list[dict[str, Any]], steps: list[int | None]
) -> None:
    script: list[Step] = [Cut("x") if status is None else answers(status, OK) for status in steps]
    script += [ok() for _ in range(12)]
    run = asyncio.run(Run(*script, config={"strategy": {"mode": "fallback"}, "targets": targets})())
    attempts = run.record.attempts
    assert len(attempts) == len(run.requests)
    for (path, *_), request in zip(attempts, run.requests, strict=True):
        own = targets[int(path.removeprefix("config.targets[").removesuffix("]"))]
        alone = asyncio.run(Run(ok(), config={key: value for key, value in own.items() if key != "retry"})())
        assert orjson.loads(request.body) == orjson.loads(alone.requests[0].body)
        assert request.head.headers == alone.requests[0].head.headers
    assert run.record.retry_count + run.record.fallback_count == len(attempts) - 1


# Headers that are forwarded


@pytest.mark.parametrize("way", ["config", "header"])
async def test_named_headers_go_on_and_no_others(way: str) -> None:
    sent = {"x-mine": "1", "x-other": "2", "user-agent": "caller/1", "cookie": "a=b"}
    if way == "config":
        run = await Run(ok(), config={**MAIN, "forward_headers": ["X-Mine", "user-agent"]}, headers=sent)()
    else:
        run = await Run(ok(), headers={**sent, "x-portkey-forward-headers": "X-Mine , user-agent"})()
    headers = run.requests[0].head.headers
    assert b"x-mine: 1\r\n" in headers
    assert headers.count(b"user-agent: ") == 1
    assert b"user-agent: caller/1\r\n" in headers
    assert b"x-other" not in headers
    assert b"cookie" not in headers


async def test_the_header_s_names_take_the_place_of_the_config_s() -> None:
    sent = {"x-mine": "1", "x-other": "2", "x-portkey-forward-headers": "x-other"}
    run = await Run(ok(), config={**MAIN, "forward_headers": ["x-mine"]}, headers=sent)()
    assert b"x-mine" not in run.requests[0].head.headers
    assert b"x-other: 2\r\n" in run.requests[0].head.headers


@pytest.mark.parametrize("names", ["cookie", "x-portkey-config", "x-portkey-forward-headers", "x-gatehouse-hop", "a b"])
async def test_a_header_that_never_goes_on_is_refused_by_name(names: str) -> None:
    run = await Run(headers={"x-portkey-forward-headers": f"x-fine,{names}"})()
    assert (run.answer.status, run.error["param"]) == (400, "x-portkey-forward-headers")


async def test_where_inline_configs_are_forbidden_headers_are_forwarded_by_saved_ones_only() -> None:
    world = World()
    world.workspace(inline={"keys": True, "configs": False, "hosts": True})
    run = await Run(headers={"x-portkey-forward-headers": "x-mine"}, world=world)()
    assert (run.answer.status, run.error["code"]) == (400, "inline_forward_headers_blocked")


# The loop guard


async def test_a_call_that_goes_in_circles_is_ended_and_a_caller_s_own_count_never_leaves() -> None:
    run = await Run(ok())()
    assert b"x-gatehouse-hop: 1\r\n" in run.requests[0].head.headers
    run = await Run(ok(), headers={"x-gatehouse-hop": "2"})()
    assert run.requests[0].head.headers.count(b"x-gatehouse-hop") == 1
    assert b"x-gatehouse-hop: 3\r\n" in run.requests[0].head.headers
    run = await Run(headers={"x-gatehouse-hop": "3"})()
    assert (run.answer.status, run.error["code"]) == (508, "loop_detected")
    assert run.answer.headers["x-should-retry"] == "false"
    run = await Run(headers={"x-gatehouse-hop": "-7"})()
    assert run.answer.status == 400
