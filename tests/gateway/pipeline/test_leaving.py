"""A caller who leaves at any byte of an answer: the provider is cancelled, and there is one record of what is known."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.providers.base import Door, Passage
from tests.fakes.upstream import Hang, answers, streams
from tests.gateway.pipeline.test_pipeline import DONE, EVENT, FINISH, HANG_S, ROLE, STREAMED, USAGE, Run

STREAM = ROLE + EVENT + EVENT + FINISH + USAGE + DONE
USAGE_AT = len(ROLE + EVENT + EVENT + FINISH + USAGE)
PASSED: dict[str, Any] = {
    "door": Door.PROXY,
    "passage": Passage(Door.PROXY, "POST", "/v1/things"),
    "config": {"virtual_key": "main"},
}


async def left(run: Run, hang: Hang) -> None:
    task = asyncio.create_task(run.pipeline.run(run.exchange, run.answer))
    async with asyncio.timeout(HANG_S):
        await hang.reached.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    run.settled()
    assert run.client.responses[0].aborted


@pytest.mark.parametrize("fields", [{}, PASSED], ids=["hot", "passed"])
@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, len(STREAM) - len(DONE)), cut=st.integers(0, len(STREAM)))
async def test_of_a_stream_left_at_any_byte_usage_is_known_estimated_or_counted_as_unknown(
    fields: dict[str, Any], at: int, cut: int
) -> None:
    hang = Hang()
    seen = STREAM[:at]
    run = Run(streams(seen[:cut], seen[cut:], hang), raw=STREAMED, **fields)
    await left(run, hang)
    record = run.record
    assert record.ending == "left"
    if at >= USAGE_AT:
        assert record.usage == "provider"
    elif fields or at < len(ROLE + EVENT):
        assert record.usage in ("estimated", "unknown")
    else:
        assert record.usage == "estimated"
    assert record.unsettled_count == (record.usage == "unknown")
    assert record.response_bytes == len(run.answer.body)
    assert seen.startswith(run.answer.body)


@settings(max_examples=30, deadline=None)
@given(at=st.integers(0, 50))
async def test_of_bytes_that_pass_and_are_left_at_any_of_them_there_is_one_record(at: int) -> None:
    hang = Hang()
    run = Run(answers(200, b"x" * at, hang, content_type="audio/mpeg"), raw=b"{}", **PASSED)
    await left(run, hang)
    assert (run.record.ending, run.record.usage, run.record.unsettled_count) == ("left", "unknown", 1)
    assert run.record.response_bytes == at
