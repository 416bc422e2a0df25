"""An answer's head, line by line: what is ours first, then what the provider may say, in the order it came."""

import pytest

from tests.fakes.upstream import FakeResponse, answers, streams
from tests.gateway.pipeline.test_pipeline import DONE, EVENT, FINISH, ID, OK, Run

OURS = {
    "x-portkey-request-id": ID,
    "x-portkey-trace-id": ID,
    "x-portkey-cache-status": "DISABLED",
    "x-portkey-retry-attempt-count": "0",
    "x-gatehouse-revision": "1",
    "x-portkey-provider": "sim",
    "x-portkey-last-used-option-index": "config",
}
GIVEN = {
    "server": "sim",
    "x-request-id": "r-1",
    "set-cookie": "a=b",
    "x-ratelimit-limit": "7",
    "openai-version": "2020",
    "retry-after": "3",
    "x-other": "1",
}
PASSED = {name: GIVEN[name] for name in ("x-request-id", "x-ratelimit-limit", "openai-version", "retry-after")}


@pytest.mark.parametrize(
    ("response", "content_type"),
    [
        (answers(200, OK, headers=GIVEN), "application/json"),
        (answers(429, b"{}", headers=GIVEN), "application/json"),
        (streams(EVENT, FINISH, DONE, headers=GIVEN), "text/event-stream; charset=utf-8"),
    ],
    ids=["whole", "error", "stream"],
)
async def test_every_kind_of_answer_says_the_same_in_the_same_order(response: FakeResponse, content_type: str) -> None:
    raw = b'{"model": "sim-chat", "stream": %b}' % (b"true" if "event-stream" in content_type else b"false")
    run = await Run(response, raw=raw, config={"virtual_key": "main"})()
    assert list(run.answer.headers.items()) == list({**OURS, "content-type": content_type, **PASSED}.items())


async def test_a_trace_of_the_caller_s_own_is_said_again() -> None:
    run = await Run(answers(200, OK), headers={"x-portkey-trace-id": "mine"})()
    said = {**OURS, "x-portkey-trace-id": "mine", "content-type": "application/json"}
    assert list(run.answer.headers.items()) == list(said.items())


async def test_a_provider_that_says_nothing_more_is_no_fault() -> None:
    run = await Run(answers(200, OK))()
    assert run.answer.headers == {**OURS, "content-type": "application/json"}


async def test_a_refusal_says_what_was_decided_last() -> None:
    run = await Run(raw=b'{"model": "sim-chat", "stream": 1}')()
    assert list(run.answer.headers)[:5] == [*list(OURS)[:4], "content-type"]
    assert list(run.answer.headers)[-1] == "x-gatehouse-revision"
