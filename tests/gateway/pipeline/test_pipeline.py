"""The whole corridor over a scripted provider: what is sent, what comes back, and how every call ends once."""

import asyncio
import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import TABLE
from gateway.pipeline.attempt import Attempts, Waits
from gateway.pipeline.breaker import Breakers
from gateway.pipeline.cached import Cached
from gateway.pipeline.exchange import Exchange
from gateway.pipeline.idempotent import Idempotent
from gateway.pipeline.pipeline import Pipeline
from gateway.providers.base import Door, Passage
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
from gateway.upstream.messages import Deadlines, UpstreamClient, UpstreamRequest
from gateway.view.holder import ViewHolder
from shared.clock import FakeClock
from shared.crypto.api_keys import new_api_key
from shared.models.noun import Kind
from shared.models.record import Record
from tests.fakes.answer import RecordedAnswer
from tests.fakes.cache import no_cache, not_idempotent
from tests.fakes.records import FakeRecords
from tests.fakes.sleep import FakeSleep
from tests.fakes.upstream import FakeClient, FakeResponse, Hang, Step, answers, streams
from tests.fakes.world import OTHER_STORED_KEY, SHUT, STORED_KEY, World

ID = "lg_0199a5b1c2d300000000000000000001"
STARTED_MS = 0x0199A5B1C2D3
HANG_S = 20.0
"""Only a guard against hanging."""
WAITS = Waits(plain=Deadlines(total_s=100.0), stream=Deadlines(total_s=100.0))
RAW = b'{ "model": "sim-chat",  "messages": [] }'
STREAMED = b'{ "model": "sim-chat",  "stream": true, "stream_options": {"include_usage": true} }'
OK = b'{"id": "1",  "usage": {"prompt_tokens": 3, "completion_tokens": 5}}'
SPENT = ("provider", 3, 5)
ROLE = b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
PING = b": ping\n\n"
EVENT = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
FINISH = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5}}\n\n'
DONE = b"data: [DONE]\n\n"
CLASSES = [
    name for name in Record._fields if name.endswith("_tokens") and name not in ("input_tokens", "output_tokens")
]
MONEY = [name for name in Record._fields if name.startswith(("price", "cost"))]
FALLBACK = {"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "main"}, {"virtual_key": "second"}]}
THREE = {"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": slug} for slug in ("main", "second", "main")]}


class Run:
    """One call through a pipeline of its own."""

    def __init__(
        self,
        *script: Step,
        raw: bytes = RAW,
        config: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        world: World | None = None,
        stall: str | None = None,
        door: Door = Door.CHAT,
        passage: Passage | None = None,
        cached: Cached | None = None,
        idempotent: Idempotent | None = None,
        id_: str = ID,
    ) -> None:
        self.cached = cached
        self.idempotent = idempotent
        self.world = world or World()
        self.clock = FakeClock()
        self.client = FakeClient(*script, clock=self.clock)
        self.answer = RecordedAnswer(stall=stall)
        self.records = FakeRecords(self.clock)
        views = ViewHolder()
        views.swap(self.world.view())
        self.sleep = FakeSleep(self.clock)
        self.chance = random.Random(7)
        self.views = views
        self.pipeline = self.pipeline_of(self.client)
        sent = {"authorization": f"Bearer {self.world.key}", **(headers or {})}
        if config is not None:
            sent["x-portkey-config"] = orjson.dumps(config).decode()
        self.exchange = Exchange(id_, door, sent, raw, self.clock.monotonic_s(), passage)

    def pipeline_of(self, client: UpstreamClient, breakers: Breakers | None = None) -> Pipeline:
        """A worker's, with budget and breakers of its own."""
        attempts = Attempts(
            client,
            WAITS,
            10_000,
            self.clock,
            breakers=breakers or Breakers(),
            cached=self.cached or no_cache(self.clock),
            chance=self.chance,
            sleep=self.sleep,
        )
        idempotent = self.idempotent or not_idempotent(self.clock)
        return Pipeline(self.views, attempts, idempotent, self.clock, self.records, self.chance)

    async def __call__(self) -> "Run":
        async with asyncio.timeout(HANG_S):
            await self.pipeline.run(self.exchange, self.answer)
        assert self.answer.ended
        self.settled()
        return self

    def settled(self) -> None:
        """What holds after every ending."""
        assert len(self.records.records) == 1
        assert all(response.freed for response in self.client.responses), "a connection was left behind"
        assert self.world.key.encode() not in b"".join(r.head.headers + r.body for r in self.requests)

    @property
    def requests(self) -> list[UpstreamRequest]:
        return self.client.requests

    @property
    def record(self) -> Record:
        return self.records.last

    @property
    def spent(self) -> tuple[str, int | None, int | None]:
        return self.record.usage, self.record.input_tokens, self.record.output_tokens

    @property
    def error(self) -> dict[str, Any]:
        body: dict[str, Any] = orjson.loads(self.answer.body)
        assert body["status"] == "failure"
        assert body["message"] == body["error"]["message"]
        assert body["request_id"] == self.exchange.id
        return body["error"]  # type: ignore[no-any-return]

    @property
    def hosts(self) -> list[str]:
        return [request.origin.host for request in self.requests]


# A plain answer


async def test_bytes_pass_through_both_ways_when_nothing_has_to_change() -> None:
    run = await Run(answers(200, OK[:10], OK[10:], headers={"x-request-id": "p-1"}))()
    (request,) = run.requests
    assert request.body == RAW
    assert (request.origin.host, request.origin.port, request.head.target) == ("sim.test", 8000, "/v1/chat/completions")
    assert request.deadlines is WAITS.plain
    assert f"authorization: Bearer {STORED_KEY}\r\n".encode() in request.head.headers
    assert (run.answer.status, run.answer.body, run.answer.length) == (200, OK, len(OK))
    assert run.answer.headers == {
        "content-type": "application/json",
        "x-portkey-request-id": ID,
        "x-portkey-trace-id": ID,
        "x-portkey-cache-status": "DISABLED",
        "x-gatehouse-revision": "1",
        "x-portkey-retry-attempt-count": "0",
        "x-portkey-provider": "sim",
        "x-portkey-last-used-option-index": "config",
        "x-request-id": "p-1",
    }
    assert run.record == Record(
        id=ID,
        started_at_ms=STARTED_MS,
        mode="standard",
        workspace="w1",
        api_key="k1",
        door="chat",
        stream=False,
        lease=1,
        way="listing",
        config=None,
        config_revision=None,
        virtual_key="vk-main",
        provider="sim",
        model="sim-chat",
        target="config",
        status=200,
        provider_status=200,
        ending="complete",
        error=None,
        attempt_count=1,
        retry_count=0,
        fallback_count=0,
        unsettled_count=0,
        attempts=[("config", "sim", "sim-chat", "vk-main", 200, None, 0, 0)],
        decision=[],
        cache="disabled",
        usage="provider",
        input_tokens=3,
        output_tokens=5,
        **dict.fromkeys(CLASSES),
        **dict.fromkeys(MONEY),
        duration_us=0,
        receive_us=None,
        provider_us=0,
        first_byte_us=0,
        overhead_us=0,
        request_bytes=len(RAW),
        response_bytes=len(OK),
        retry_after_s=None,
        user=None,
        metadata={},
        trace_id=None,
        span_id=None,
    )


@pytest.mark.parametrize("restricted", ["key", "virtual key"])
async def test_of_two_models_in_one_body_the_provider_gets_the_one_that_was_checked(restricted: str) -> None:
    raw = b'{"model": "acme-chat", "messages": [], "model": "sim-chat"}'
    world = World()
    if restricted == "key":
        world.api_key("k1", world.key, models=["sim-*"])
    else:
        world.virtual_key("main", "sim", STORED_KEY, models=["sim-chat"])
    run = await Run(answers(200, OK), raw=raw, world=world, headers={"x-portkey-virtual-key": "main"})()

    assert run.requests[0].body.count(b'"model"') == 1
    assert orjson.loads(run.requests[0].body)["model"] == "sim-chat"


async def test_only_allowed_headers_pass_and_only_listed_ones_leave() -> None:
    allowed = {
        "retry-after": "1",
        "retry-after-ms": "9",
        "x-ratelimit-remaining-requests": "5",
        "openai-processing-ms": "7",
        "anthropic-ratelimit-x": "1",
        "azureml-model-session": "1",
        "x-amzn-requestid": "r",
        "cf-ray": "c",
        "request-id": "q",
    }
    refused = {
        "set-cookie": "a=b",
        "x-portkey-request-id": "forged",
        "x-portkey-trace-id": "forged",
        "x-gatehouse-x": "forged",
        "connection": "close",
        "transfer-encoding": "chunked",
        "content-length": "1",
        "content-encoding": "br",
        "server": "s",
        "location": "https://elsewhere",
        "access-control-allow-origin": "*",
        "strict-transport-security": "1",
    }
    sent = {
        "cookie": "session=marker",
        "x-portkey-metadata": "marker",
        "x-forwarded-for": "marker",
        "x-api-key": "sk-provider-marker",
        "host": "marker",
        "openai-organization": "org-1",
        "x-portkey-trace-id": "t-1",
    }
    run = await Run(answers(200, OK, headers={**allowed, **refused}), headers=sent)()
    for name, value in allowed.items():
        assert run.answer.headers[name] == value
    assert not {"set-cookie", "connection", "location", "server"} & set(run.answer.headers)
    assert "forged" not in str(run.answer.headers)
    assert run.answer.headers["x-portkey-trace-id"] == "t-1"
    assert "access-control-allow-origin" not in run.answer.headers
    assert "content-encoding" not in run.answer.headers
    assert b"marker" not in run.requests[0].head.headers
    assert b"openai-organization: org-1\r\n" in run.requests[0].head.headers


@pytest.mark.parametrize("trace", ["x" * 129, "a\x7f", "schön", "a\tb"])
async def test_an_unfit_trace_id_is_replaced_by_the_request_s_own(trace: str) -> None:
    run = await Run(answers(200, OK), headers={"x-portkey-trace-id": trace})()
    assert run.answer.headers["x-portkey-trace-id"] == ID


@pytest.mark.parametrize("status", [400, 401, 404, 422, 429, 500, 503, 302])
async def test_a_provider_s_error_is_relayed_with_its_status(status: int) -> None:
    body = b'{"error": {"message": "no", "type": "t", "code": "c"}}'
    run = await Run(answers(status, body, headers={"retry-after": "7"}))()
    shaped = orjson.loads(run.answer.body)
    assert run.answer.status == status
    assert shaped["error"] == {"message": "sim error: no", "type": "t", "param": None, "code": "c"}
    assert run.answer.headers["retry-after"] == "7"
    assert (run.record.status, run.record.error, run.record.usage) == (status, "provider_error", "none")


async def test_a_page_of_html_comes_as_json_that_holds_it() -> None:
    run = await Run(answers(502, b"<html>bad gateway</html>", content_type="text/html"))()
    assert run.answer.headers["content-type"] == "application/json"
    assert orjson.loads(run.answer.body)["html-message"] == "<html>bad gateway</html>"


FAILURES: list[tuple[UpstreamError, int, str]] = [
    (ConnectFailed("secret-host"), 502, "upstream_unreachable"),
    (AddressForbidden("secret-host"), 502, "upstream_unreachable"),
    (ConnectTimeout("secret-host"), 504, "upstream_timeout"),
    (FirstByteTimeout("secret-host"), 504, "upstream_timeout"),
    (StallTimeout("secret-host"), 504, "upstream_timeout"),
    (TotalTimeout("secret-host"), 504, "upstream_timeout"),
    (Cut("secret-host"), 502, "upstream_broken"),
    (ProtocolFault("secret-host"), 502, "upstream_broken"),
    (TooLarge("secret-host"), 502, "upstream_broken"),
]


@pytest.mark.parametrize(("failure", "status", "code"), FAILURES)
@pytest.mark.parametrize("late", [False, True])
async def test_a_provider_that_fails_is_502_or_504_and_its_address_stays_here(
    failure: UpstreamError, status: int, code: str, late: bool
) -> None:
    run = await Run(answers(200, b'{"a":', failure) if late else failure)()
    assert (run.answer.status, run.error["code"]) == (status, code)
    assert "sim" in run.error["message"]
    assert "secret-host" not in run.error["message"]
    assert (run.record.status, run.record.error, run.record.attempt_count) == (status, code, 1)


async def test_an_inline_host_that_may_not_be_called_is_the_caller_s_mistake() -> None:
    config = {"provider": "openai", "api_key": "sk-own", "custom_host": "http://10.0.0.1"}
    run = await Run(AddressForbidden("x"), config=config)()
    assert (run.answer.status, run.error["code"]) == (400, "custom_host_forbidden")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"<html>"])
async def test_a_2xx_that_is_no_answer_is_502(body: bytes) -> None:
    run = await Run(answers(200, body))()
    assert (run.answer.status, run.error["code"]) == (502, "upstream_broken")


@pytest.mark.parametrize("status", [204, 205, 304])
@pytest.mark.parametrize("raw", [RAW, STREAMED])
async def test_a_status_that_has_no_body_is_no_answer(status: int, raw: bytes) -> None:
    for response in (answers(status, Hang()), streams(EVENT, FINISH, DONE)):
        response.status = status
        run = await Run(response, raw=raw)()
        assert (run.answer.status, run.error["code"]) == (502, "upstream_broken")
        assert str(status) in run.error["message"]
    run = await Run(answers(status), answers(200, OK), config=FALLBACK)()
    assert run.answer.status == 200


async def test_an_answer_over_the_limit_is_502() -> None:
    run = await Run(answers(200, b'{"a":"' + b"x" * 10_001 + b'"}'))()
    assert run.error["code"] == "upstream_broken"


async def test_a_credential_that_does_not_open_is_503_and_calls_nobody() -> None:
    world = World()
    world.virtual_key("main", "sim", "", credential=SHUT.decode())
    run = await Run(world=world)()
    assert (run.answer.status, run.error["code"], run.requests) == (503, "credential_unavailable", [])
    assert "@main" in run.error["message"]


@pytest.mark.parametrize("raw", [b'{"model":"m","a":' + b"[" * 500 + b"]" * 500 + b"}"])
async def test_a_body_too_deep_to_be_changed_is_the_caller_s_mistake(raw: bytes) -> None:
    run = await Run(raw=raw, config={"virtual_key": "main", "override_params": {"n": 1}})()
    assert (run.answer.status, run.error["code"], run.requests) == (400, "body_invalid", [])


async def test_no_view_is_503_that_says_when_to_come_back() -> None:
    run = Run()
    run.views.current = None
    await run()
    assert (run.answer.status, run.error["code"], run.answer.headers["retry-after"]) == (503, "not_ready", "2")
    assert "x-should-retry" not in run.answer.headers


async def test_a_wrong_key_is_401_and_a_retry_cannot_help() -> None:
    run = await Run(headers={"authorization": f"Bearer {new_api_key().reveal_text()}"})()
    assert (run.answer.status, run.error["code"]) == (401, "invalid_api_key")
    assert run.answer.headers["x-should-retry"] == "false"
    assert (run.record.workspace, run.record.api_key) == (None, None)


async def test_a_call_keeps_the_view_it_began_with() -> None:
    world = World()
    hang = Hang()
    run = Run(hang, answers(500, b"{}"), answers(200, OK), world=world, config=FALLBACK)
    task = asyncio.create_task(run())
    await hang.reached.wait()
    world.virtual_key("second", "acme", "sk-new")
    run.pipeline._views.swap(world.view())
    hang.released.set()
    await task
    assert OTHER_STORED_KEY.encode() in run.requests[1].head.headers


def test_the_table_of_errors_is_whole_and_has_one_500() -> None:
    assert [code for code, row in TABLE.items() if row.status == 500] == ["internal_error"]
    assert all(400 <= row.status <= 508 for row in TABLE.values())


# Fallback


@pytest.mark.parametrize(
    "first",
    [
        lambda: answers(500, b"{}"),
        lambda: answers(400, b"{}"),
        lambda: answers(401, b"{}"),
        lambda: answers(302, b""),
        lambda: answers(503, b"<html>", content_type="text/html"),
        lambda: answers(200, b"{broken"),
        lambda: answers(200, b'{"a":', Cut("x")),
        lambda: answers(200, b'{"a":"' + b"x" * 20_000),
        lambda: answers(429, b"{", StallTimeout("x")),
        *(lambda failure=failure: failure for failure, _, _ in FAILURES),
    ],
)
async def test_whatever_is_no_2xx_goes_on_to_the_next(first: Callable[[], Step]) -> None:
    run = await Run(first(), answers(200, OK), config=FALLBACK)()
    assert run.hosts == ["sim.test", "acme.test"]
    assert (run.answer.status, run.answer.body) == (200, OK)
    assert run.answer.headers["x-portkey-last-used-option-index"] == "config.targets[1]"
    assert run.answer.headers["x-portkey-provider"] == "acme"
    assert (run.record.attempt_count, run.record.provider, run.record.error) == (2, "acme", None)


@pytest.mark.parametrize(("status", "goes_on"), [(429, True), (503, True), (500, False), (400, False), (200, False)])
async def test_with_a_list_only_the_listed_statuses_go_on(status: int, goes_on: bool) -> None:
    strategy = {"mode": "fallback", "on_status_codes": [429, 503]}
    run = await Run(answers(status, OK), answers(200, OK), config={**FALLBACK, "strategy": strategy})()
    assert len(run.requests) == (2 if goes_on else 1)
    assert run.answer.status == (200 if goes_on else status)


async def test_who_does_not_answer_goes_on_whatever_the_list_says() -> None:
    strategy = {"mode": "fallback", "on_status_codes": [429]}
    run = await Run(ConnectFailed("x"), answers(200, OK), config={**FALLBACK, "strategy": strategy})()
    assert run.answer.status == 200


async def test_a_2xx_may_be_listed_and_the_lost_stream_is_given_up() -> None:
    strategy = {"mode": "fallback", "on_status_codes": [200]}
    lost = streams(EVENT, FINISH, DONE)
    raw = b'{"model": "sim-chat", "stream": true}'
    run = await Run(lost, answers(500, b"{}"), config={**FALLBACK, "strategy": strategy}, raw=raw)()
    assert lost.aborted
    assert run.answer.status == 500


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ([answers(500, b"{}"), answers(429, b"{}")], 429),
        ([answers(429, b"{}"), ConnectFailed("x")], 502),
        ([ConnectFailed("x"), FirstByteTimeout("x")], 504),
        ([ConnectFailed("x"), answers(418, b"{}")], 418),
    ],
)
async def test_when_all_fail_the_last_one_speaks(script: list[Step], status: int) -> None:
    run = await Run(*script, config=FALLBACK)()
    assert run.answer.status == status
    assert run.answer.headers["x-portkey-last-used-option-index"] == "config.targets[1]"
    assert (run.record.attempt_count, run.record.status) == (2, status)


async def test_fallbacks_nest() -> None:
    inner = {"strategy": {"mode": "fallback", "on_status_codes": [429]}, "targets": THREE["targets"]}
    config = {"strategy": {"mode": "fallback"}, "targets": [inner, {"virtual_key": "second"}]}
    run = await Run(answers(429, b"{}"), answers(500, b"{}"), answers(200, OK), config=config)()
    assert run.hosts == ["sim.test", "acme.test", "acme.test"], "a 500 ends the inner one and goes on in the outer"
    assert run.answer.headers["x-portkey-last-used-option-index"] == "config.targets[1]"


async def test_nothing_of_one_target_s_changes_reaches_the_next() -> None:
    targets = [
        {"virtual_key": "main", "override_params": {"model": "other", "temperature": 0}},
        {"virtual_key": "second"},
        {"virtual_key": "main", "override_params": {"top_p": 1}},
    ]
    config = {"strategy": {"mode": "fallback"}, "targets": targets}
    run = await Run(answers(500, b"{}"), answers(500, b"{}"), answers(200, OK), config=config)()
    first, second, third = run.requests
    assert orjson.loads(first.body) == {"model": "other", "messages": [], "temperature": 0}
    assert second.body == RAW
    assert orjson.loads(third.body) == {"model": "sim-chat", "messages": [], "top_p": 1}
    assert STORED_KEY.encode() not in second.head.headers
    assert OTHER_STORED_KEY.encode() not in first.head.headers + third.head.headers


async def test_an_unusable_credential_goes_on_too() -> None:
    world = World()
    world.virtual_key("main", "sim", "", credential=SHUT.decode())
    run = await Run(answers(200, OK), config=FALLBACK, world=world)()
    assert run.hosts == ["acme.test"]


# Streams


async def test_while_a_stream_goes_on_its_request_is_not_kept() -> None:
    hang = Hang()
    body = orjson.dumps({"model": "sim-chat", "stream": True, "messages": [{"role": "user", "content": "x" * 4_000}]})
    run = Run(streams(EVENT, hang, FINISH, DONE), raw=body)
    call = asyncio.create_task(run())
    await hang.reached.wait()
    assert run.exchange.body == b""
    assert run.exchange.call is not None
    assert (run.exchange.call.raw, dict(run.exchange.call.body)) == (b"", {"model": "sim-chat", "stream": True})
    hang.released.set()
    await call
    assert run.record.request_bytes == len(body)
    assert run.spent == ("estimated", 1_000, 1)


async def test_a_stream_passes_as_it_comes() -> None:
    hang = Hang()
    response = streams(EVENT, hang, FINISH + USAGE, DONE, headers={"x-request-id": "p"})
    run = Run(response, raw=STREAMED)
    task = asyncio.create_task(run())
    await hang.reached.wait()
    assert run.answer.chunks == [EVENT], "the first event is not held back"
    hang.released.set()
    await task
    assert run.requests[0].body == STREAMED
    assert run.requests[0].deadlines is WAITS.stream
    assert (run.answer.status, run.answer.length) == (200, None)
    assert run.answer.headers["content-type"].startswith("text/event-stream")
    assert run.answer.headers["x-request-id"] == "p"
    assert run.answer.body == EVENT + FINISH + USAGE + DONE
    assert response.left, "a whole stream's connection is kept as soon as the body ends"
    assert (run.spent, run.record.ending, run.record.stream) == (SPENT, "complete", True)
    assert run.record.response_bytes == len(run.answer.body)


async def test_events_like_those_before_pass_and_count_as_any() -> None:
    pieces = [EVENT, EVENT.replace(b'"a"', b'"\xc3\xa9"'), EVENT * 3, EVENT[:9], EVENT[9:], EVENT, FINISH, DONE]
    run = await Run(streams(*pieces), raw=STREAMED)()
    assert run.answer.body == b"".join(pieces)
    assert run.record.response_bytes == len(run.answer.body)
    assert (run.record.usage, run.record.output_tokens) == ("estimated", 2), "the texts are eight bytes"


@pytest.mark.parametrize("asked", [True, False])
async def test_usage_is_asked_for_always_and_shown_to_who_asked(asked: bool) -> None:
    raw = STREAMED if asked else b'{"model": "sim-chat", "stream": true}'
    run = await Run(streams(EVENT, FINISH, USAGE, DONE), raw=raw)()
    assert orjson.loads(run.requests[0].body)["stream_options"] == {"include_usage": True}
    assert (USAGE in run.answer.body) is asked
    assert run.spent == SPENT


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("how", ["override_params", "default_params"])
async def test_a_config_may_ask_for_it_in_the_caller_s_place(how: str, asked: bool) -> None:
    raw = STREAMED if how == "override_params" and not asked else b'{"model": "sim-chat", "stream": true}'
    config = {"virtual_key": "main", how: {"stream_options": {"include_usage": asked}}}
    run = await Run(streams(EVENT, FINISH, USAGE, DONE), raw=raw, config=config)()
    assert (USAGE in run.answer.body) is asked
    assert run.spent == SPENT
    run = await Run(streams(EVENT, FINISH, USAGE, DONE), raw=STREAMED, config={**config, how: {"n": 1}})()
    assert USAGE in run.answer.body


@pytest.mark.parametrize("form", ["base64", "float"])
async def test_a_config_may_say_how_embeddings_are_written(form: str) -> None:
    world = World()
    world.put("global", Kind.PROVIDER, id="sim", name="Sim", base_url="http://sim.test:8000/v1", dialect="gemini")
    other = "float" if form == "base64" else "base64"
    raw = orjson.dumps({"model": "sim-chat", "input": "x", "encoding_format": other})
    config = {"virtual_key": "main", "override_params": {"encoding_format": form}}
    said = answers(200, b'{"embeddings": [{"values": [0.5]}]}')
    run = await Run(said, raw=raw, config=config, door=Door.EMBEDDINGS, world=world)()
    (one,) = orjson.loads(run.answer.body)["data"]
    assert one["embedding"] == ("AAAAPw==" if form == "base64" else [0.5])


WHOLE_STREAM = EVENT + EVENT + FINISH + USAGE + DONE


@given(st.sets(st.integers(0, len(WHOLE_STREAM)), max_size=30))
def test_a_stream_cut_anywhere_is_the_same_answer(cuts: set[int]) -> None:
    edges = [0, *sorted(cuts), len(WHOLE_STREAM)]
    pieces = [WHOLE_STREAM[a:b] for a, b in pairwise(edges)]
    run = asyncio.run(Run(streams(*pieces), raw=STREAMED)())
    assert run.answer.body == WHOLE_STREAM
    assert run.spent == SPENT
    assert run.record.ending == "complete"


async def test_a_stream_byte_by_byte_is_the_same_answer() -> None:
    run = await Run(streams(*(bytes((byte,)) for byte in WHOLE_STREAM)), raw=STREAMED)()
    assert run.answer.body == WHOLE_STREAM


@given(st.integers(0, len(EVENT) - 1), st.sampled_from([None, *(f for f, _, _ in FAILURES)]))
def test_a_stream_that_breaks_before_its_first_event_is_an_error_of_one_piece(
    at: int, failure: UpstreamError | None
) -> None:
    tail = [] if failure is None else [failure]
    run = asyncio.run(Run(streams(WHOLE_STREAM[:at], *tail), raw=STREAMED)())
    assert run.answer.status in (502, 504)
    assert run.error["code"] in ("upstream_broken", "upstream_timeout", "upstream_unreachable")
    assert (run.record.status, run.record.ending) == (run.answer.status, "refused")


@given(st.integers(len(EVENT), len(WHOLE_STREAM) - len(DONE)), st.sampled_from([None, *(f for f, _, _ in FAILURES)]))
def test_a_stream_that_breaks_anywhere_later_ends_with_an_error_event_and_no_done(
    at: int, failure: UpstreamError | None
) -> None:
    tail = [] if failure is None else [failure]
    run = asyncio.run(Run(streams(WHOLE_STREAM[:at], *tail), raw=STREAMED)())
    assert run.answer.ended, "our own body ends properly, so that the error can be read"
    events = run.answer.body.split(b"\n\n")
    assert events.pop() == b""
    if failure is None and FINISH in run.answer.body:
        assert events[-1] == b"data: [DONE]", "it had finished; only the last word was missing"
        assert run.record.ending == "complete"
        return
    error = orjson.loads(events[-1].removeprefix(b"data: "))
    assert error["error"]["code"] in ("upstream_broken", "upstream_timeout", "upstream_unreachable")
    assert error["request_id"] == ID
    assert b"[DONE]" not in run.answer.body
    assert WHOLE_STREAM.startswith(b"".join(event + b"\n\n" for event in events[:-1])), "only whole events before it"
    assert (run.record.status, run.record.error, run.record.ending) == (200, error["error"]["code"], "broken")


async def test_the_provider_s_own_error_event_is_the_last_word() -> None:
    sent = EVENT + b'data: {"error":{"message":"overloaded"}}\n\n'
    run = await Run(streams(sent), raw=STREAMED)()
    assert run.answer.body == sent
    assert (run.record.ending, run.record.error) == ("broken", "provider_error")


async def test_a_stream_without_done_gets_one_after_its_finish_reason() -> None:
    run = await Run(streams(EVENT, FINISH), raw=STREAMED)()
    assert run.answer.body == EVENT + FINISH + DONE
    assert run.record.ending == "complete"


async def test_a_stream_that_does_not_end_after_done_keeps_nobody_waiting() -> None:
    for behind in (Hang(), Cut("x")):
        response = streams(FINISH, DONE, behind)
        run = await Run(response, raw=STREAMED)()
        assert run.answer.body == FINISH + DONE
        assert (response.left, response.aborted) == (True, False), "it is left to come to its end by itself"
        assert (run.record.ending, run.record.error) == ("complete", None)


async def test_a_plain_answer_to_a_stream_call_passes_as_it_is() -> None:
    run = await Run(answers(200, OK), raw=STREAMED)()
    assert (run.answer.body, run.answer.headers["content-type"]) == (OK, "application/json")


async def test_an_error_to_a_stream_call_is_a_plain_error() -> None:
    run = await Run(answers(429, b'{"error":{"message":"slow"}}'), raw=STREAMED)()
    assert (run.answer.status, run.answer.length) == (429, len(run.answer.body))


async def test_a_stream_falls_back_before_its_first_byte() -> None:
    run = await Run(answers(503, b"{}"), streams(EVENT, FINISH, DONE), raw=STREAMED, config=FALLBACK)()
    assert run.answer.headers["x-portkey-last-used-option-index"] == "config.targets[1]"
    assert run.answer.body == EVENT + FINISH + DONE


FAILED_CHOICE = (
    b'data: {"choices":[{"delta":{"content":""},"finish_reason":"error","error":{"code":502,"message":"busy"}}]}\n\n'
)


async def test_a_stream_whose_choice_has_failed_falls_back_before_its_content_and_is_broken_behind_it() -> None:
    run = await Run(streams(ROLE + FAILED_CHOICE, DONE), streams(EVENT, FINISH, DONE), raw=STREAMED, config=FALLBACK)()
    assert run.answer.headers["x-portkey-last-used-option-index"] == "config.targets[1]"
    begun = await Run(streams(ROLE + EVENT, FAILED_CHOICE, DONE), raw=STREAMED)()
    assert (begun.record.ending, begun.record.error) == ("broken", "provider_error")


# A caller who leaves


def plain() -> FakeResponse:
    return answers(200, OK)


def whole_stream() -> FakeResponse:
    return streams(EVENT, FINISH, DONE)


POINTS: dict[str, Callable[[Hang], Run]] = {
    "waiting for a head": lambda hang: Run(hang, plain()),
    "waiting for the second target": lambda hang: Run(answers(500, b"{}"), hang, plain(), config=FALLBACK),
    "reading a plain answer": lambda hang: Run(answers(200, OK[:5], hang)),
    "reading an error": lambda hang: Run(answers(500, b"{", hang)),
    "before the first event": lambda hang: Run(streams(hang), raw=STREAMED),
    "between two events": lambda hang: Run(streams(EVENT, hang), raw=STREAMED),
}
STALLS: dict[str, Callable[[str], Run]] = {
    "plain": lambda stall: Run(plain(), stall=stall),
    "stream": lambda stall: Run(whole_stream(), raw=STREAMED, stall=stall),
    "error event": lambda stall: Run(streams(EVENT, Cut("x")), raw=STREAMED, stall=stall),
    "our error": lambda stall: Run(ConnectFailed("x"), stall=stall),
    "refusal": lambda stall: Run(raw=b"{", stall=stall),
}


async def left(run: Run, hang: Hang) -> None:
    task = asyncio.create_task(run.pipeline.run(run.exchange, run.answer))
    async with asyncio.timeout(HANG_S):
        await hang.reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    run.settled()


@pytest.mark.parametrize("point", POINTS)
async def test_a_caller_who_leaves_cancels_the_provider_and_is_recorded_once(point: str) -> None:
    hang = Hang()
    run = POINTS[point](hang)
    await left(run, hang)
    assert run.record.ending == "left"
    if "head" in point or "second" in point:
        assert run.record.status is None
        assert (run.record.usage, run.record.unsettled_count) == ("unknown", 1)


@pytest.mark.parametrize("stall", ["head", "chunk", "end"])
@pytest.mark.parametrize("kind", STALLS)
async def test_a_caller_who_stops_reading_and_leaves_is_recorded_once(kind: str, stall: str) -> None:
    run = STALLS[kind](stall)
    await left(run, run.answer.hang)
    comes_in_pieces = kind in ("stream", "error event")
    assert run.answer.ended == (stall == "end" or not comes_in_pieces), "what is whole is not kept back"


async def test_usage_read_before_the_caller_left_is_kept() -> None:
    hang = Hang()
    run = Run(streams(EVENT, FINISH, USAGE, hang), raw=STREAMED)
    await left(run, hang)
    assert run.spent == SPENT
    assert run.record.response_bytes == len(EVENT + FINISH + USAGE)


async def test_a_fault_of_our_own_is_recorded_too() -> None:
    class Broken:
        async def send(self, request: UpstreamRequest) -> FakeResponse:
            raise RuntimeError("a bug")

        async def close(self) -> None: ...

    run = Run()
    run.pipeline = run.pipeline_of(Broken())
    with pytest.raises(RuntimeError):
        await run.pipeline.run(run.exchange, run.answer)
    assert len(run.records.records) == 1
    assert (run.record.status, run.record.error, run.record.ending) == (500, "internal_error", "refused")


async def test_time_spent_is_the_clock_s() -> None:
    hang = Hang()
    run = Run(hang, plain())
    task = asyncio.create_task(run())
    await hang.reached.wait()
    run.clock.advance(1.5)
    hang.released.set()
    await task
    assert (run.record.duration_us, run.record.provider_us) == (1_500_000, 1_500_000)
    assert (run.record.first_byte_us, run.record.overhead_us) == (1_500_000, 0)
