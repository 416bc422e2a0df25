"""The official client, unmodified, that repeats a call under an idempotency key."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest
from openai import APIStatusError, AsyncOpenAI, OpenAI

from tests.fixtures.stack import Stack

STATUS = "x-gatehouse-idempotency-status"
REPLAYED = "x-gatehouse-idempotent-replayed"
ORIGINAL = "x-gatehouse-original-request-id"
SIMULATOR = json.dumps({"virtual_key": "simulator"})


def asked(key: str, text: str = "Hello", **fields: Any) -> dict[str, Any]:
    headers = {"idempotency-key": key, "x-portkey-config": SIMULATOR}
    return {"model": "sim-chat", "messages": [{"role": "user", "content": text}], "extra_headers": headers, **fields}


@pytest.fixture
async def guarded(athrough: AsyncOpenAI, stack: Stack) -> AsyncOpenAI:
    """The client, as soon as every worker has Redis."""

    async def is_up() -> bool:
        answers = [
            await athrough.chat.completions.with_raw_response.create(**asked(str(uuid4()))) for _ in range(len(workers))
        ]
        return all(answer.headers[STATUS] == "GUARDED" for answer in answers)

    async with stack.one_connection_per_worker() as workers:
        await stack.wait_until(is_up)
    return athrough


async def test_a_repeated_call_is_made_once(guarded: AsyncOpenAI, through: OpenAI, stack: Stack) -> None:
    key, before = str(uuid4()), await stack.last_call()
    first = await guarded.chat.completions.with_raw_response.create(**asked(key))
    # Another client, so another connection: perhaps another worker.
    again = through.chat.completions.with_raw_response.create(**asked(key))
    assert len(await stack.simulator_calls(before)) == 1
    assert again.content == first.content
    assert again.parse().choices[0].message.content
    assert (again.headers[STATUS], again.headers[REPLAYED]) == ("REPLAYED", "true")
    assert again.headers[ORIGINAL] == first.headers["x-portkey-request-id"]


async def test_a_repeated_stream_is_made_once(guarded: AsyncOpenAI, stack: Stack) -> None:
    key, before = str(uuid4()), await stack.last_call()
    told = []
    for _ in range(2):
        stream = await guarded.chat.completions.create(**asked(key), stream=True)
        told.append([chunk async for chunk in stream])
    assert told[0] == told[1]
    assert len(told[0]) > 2
    assert len(await stack.simulator_calls(before)) == 1


async def test_what_passes_through_is_made_once(guarded: AsyncOpenAI, stack: Stack) -> None:
    headers, before = {"idempotency-key": str(uuid4()), "x-portkey-config": SIMULATOR}, await stack.last_call()
    answers = [
        await guarded.moderations.with_raw_response.create(input="Hello", model="sim-chat", extra_headers=headers)
        for _ in range(2)
    ]
    assert answers[0].content == answers[1].content
    assert answers[1].headers[REPLAYED] == "true"
    assert len(await stack.simulator_calls(before)) == 1


async def test_another_body_under_the_key_is_refused_by_name(guarded: AsyncOpenAI) -> None:
    key = str(uuid4())
    await guarded.chat.completions.create(**asked(key))
    with pytest.raises(APIStatusError) as caught:
        await guarded.chat.completions.create(**asked(key, "Something else"))
    assert (caught.value.status_code, caught.value.code) == (422, "idempotency_key_reused")


async def test_a_client_that_repeats_by_itself_waits_for_the_first(guarded: AsyncOpenAI, stack: Stack) -> None:
    key, before = str(uuid4()), await stack.last_call()
    slow = asked(key, model="sim-slow-300")
    patient = guarded.with_options(max_retries=5)
    running = patient.chat.completions.with_raw_response
    answers = await asyncio.gather(*(running.create(**slow) for _ in range(3)))
    assert len({answer.content for answer in answers}) == 1
    assert len(await stack.simulator_calls(before)) == 1


async def test_explain_says_what_would_come_of_the_key_and_claims_nothing(guarded: AsyncOpenAI) -> None:
    key = str(uuid4())

    async def explained(text: str) -> Any:
        body = asked(key, text)
        options: Any = {"headers": body.pop("extra_headers")}
        return await guarded.post("/explain", cast_to=object, body=body, options=options)

    for _ in range(2):
        assert (await explained("Hello"))["idempotency"] == {"status": "GUARDED"}
    first = await guarded.chat.completions.with_raw_response.create(**asked(key))
    replayed = {"status": "REPLAYED", "original_request_id": first.headers["x-portkey-request-id"]}
    assert (await explained("Hello"))["idempotency"] == replayed
    assert (await explained("Something else"))["refusal"]["code"] == "idempotency_key_reused"
