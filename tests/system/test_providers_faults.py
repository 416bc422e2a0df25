"""What providers do wrong, and callers who leave: every answer ends properly, and nobody works for nobody."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.stack import Stack, chat
from tests.fixtures.wire import Reply, Wire, request
from tests.system.test_callers_mistakes import assert_refused

CHAT = "/v1/chat/completions"
END = b"0\r\n\r\n"
cases = pytest.mark.parametrize


def broken_off(reply: Reply, code: str, after: int) -> dict[str, Any]:
    """A stream that ended with our error event after so many events of the provider's. The event's error object."""
    *said, last = reply.events
    assert reply.status == 200
    assert len(said) == after
    assert all("error" not in json.loads(event) for event in said)
    body = json.loads(last)
    error: dict[str, Any] = body["error"]
    assert error["code"] == code
    assert set(error) == {"message", "type", "param", "code"}
    assert (body["status"], body["message"]) == ("failure", error["message"])
    assert body["request_id"] == reply.headers["x-portkey-request-id"]
    assert b"[DONE]" not in reply.body
    assert reply.raw_body.endswith(END)
    return error


@cases("stream", [False, True])
async def test_provider_that_is_down_is_a_502(stack: Stack, stream: bool) -> None:
    error = assert_refused(
        await stack.call(model="@closed/gpt-4o", stream=stream), status=502, code="upstream_unreachable"
    )
    assert "closed" in error["message"]


@cases("stream", [False, True])
async def test_silent_provider_is_a_504_and_is_left(impatient: Stack, stream: bool) -> None:
    before = await impatient.last_call()
    error = assert_refused(await impatient.call(model="sim-silent", stream=stream), status=504, code="upstream_timeout")
    assert "simulator" in error["message"]
    assert await impatient.how_it_ended(before + 1, "client_left") == "client_left"


async def test_plain_answer_that_stalls_is_a_504(impatient: Stack) -> None:
    before = await impatient.last_call()
    assert_refused(await impatient.call(model="sim-stall-1"), status=504, code="upstream_timeout")
    assert await impatient.how_it_ended(before + 1, "client_left") == "client_left"


async def test_fallback_goes_on_when_the_first_target_is_silent(impatient: Stack) -> None:
    silent = {"virtual_key": "simulator", "override_params": {"model": "sim-silent"}}
    config = {"strategy": {"mode": "fallback"}, "targets": [silent, {"virtual_key": "other"}]}
    reply = await impatient.call(headers={**impatient.authorization, "x-portkey-config": json.dumps(config)})
    assert reply.status == 200
    assert reply.headers["x-portkey-last-used-option-index"] == "config.targets[1]"


@cases("model", ["sim-stall-0", "sim-cut-0"])
async def test_stream_that_fails_before_its_first_event_is_an_error_of_one_piece(impatient: Stack, model: str) -> None:
    status, code = (504, "upstream_timeout") if "stall" in model else (502, "upstream_broken")
    assert_refused(await impatient.call(model=model, stream=True), status=status, code=code)


@cases("model", ["sim-stall-1", "sim-cut-1", "sim-errorevent-0", "sim-errorevent-1", "sim-html-200"])
async def test_stream_that_fails_before_its_first_content_goes_on(impatient: Stack, model: str) -> None:
    first = {"virtual_key": "simulator", "override_params": {"model": model}}
    config = {"strategy": {"mode": "fallback"}, "targets": [first, {"virtual_key": "other"}]}
    headers = {**impatient.authorization, "x-portkey-config": json.dumps(config)}
    reply = await impatient.call(headers=headers, stream=True)
    assert reply.headers["x-portkey-last-used-option-index"] == "config.targets[1]"
    assert reply.events[-1] == "[DONE]"
    assert all("error" not in json.loads(event) for event in reply.events[:-1])


@cases("after", [1, 3])
async def test_stream_that_stalls_ends_with_an_error_event(impatient: Stack, after: int) -> None:
    before = await impatient.last_call()
    reply = await impatient.call(model=f"sim-stall-{after}", stream=True)
    assert "silent" in broken_off(reply, "upstream_timeout", after)["message"]
    assert await impatient.how_it_ended(before + 1, "client_left") == "client_left"


async def test_stream_longer_than_the_total_wait_ends_with_an_error_event(impatient: Stack) -> None:
    reply = await impatient.call(model="sim-drip-200-long-1000", stream=True)
    assert "in time" in broken_off(reply, "upstream_timeout", len(reply.events) - 1)["message"]
    assert len(reply.events) > 3


async def test_slow_answer_within_the_waits_is_whole(impatient: Stack) -> None:
    reply = await impatient.call(model="sim-slow-100-drip-50", stream=True)
    assert reply.events[-1] == "[DONE]"


async def test_caller_who_does_not_send_his_body_is_told_408(impatient: Stack) -> None:
    async with await Wire.open(impatient.port) as wire:
        await wire.send(request("POST", CHAT, impatient.authorization, chat())[:-5])
        assert_refused(await wire.reply(), status=408, code="body_timeout")


@cases("after", [1, 3, 12])
async def test_cut_stream_ends_with_an_error_event_and_a_proper_end(stack: Stack, after: int) -> None:
    before = await stack.last_call()
    async with await Wire.open(stack.port) as wire:
        reply = await wire.post(CHAT, chat(model=f"sim-cut-{after}", stream=True), stack.authorization)
        assert "broke off" in broken_off(reply, "upstream_broken", after)["message"]
        again = await wire.post(CHAT, chat(), stack.authorization)
        assert again.status == 200  # The caller's connection is whole: the next answer comes on it.
    assert await stack.how_it_ended(before + 1, "cut_by_us") == "cut_by_us"


@cases("after", [2, 5])
async def test_stream_cut_byte_by_byte_holds_no_half_event(stack: Stack, after: int) -> None:
    broken_off(await stack.call(model=f"sim-bytes-cut-{after}", stream=True), "upstream_broken", after)


async def test_plain_answer_that_is_cut_is_a_502(stack: Stack) -> None:
    assert_refused(await stack.call(model="sim-cut-1"), status=502, code="upstream_broken")


async def test_error_event_of_the_provider_passes_and_nothing_follows(stack: Stack) -> None:
    reply = await stack.call(model="sim-errorevent-3", stream=True)
    assert len(reply.events) == 4
    assert "had an error" in json.loads(reply.events[-1])["error"]["message"]
    assert reply.raw_body.endswith(END)


@cases("model", ["sim-bytes", "sim-drip-1-bytes", "sim-bytes-long-50"])
@cases("options", [{}, {"stream_options": {"include_usage": True}}], ids=["", "usage"])
async def test_stream_delivered_byte_by_byte_has_the_same_events(
    stack: Stack, model: str, options: dict[str, Any]
) -> None:
    in_one_piece = model.replace("-bytes", "") if model != "sim-bytes" else "sim-drip-0"
    slow = await stack.call(model=model, stream=True, **options)
    fast = await stack.call(model=in_one_piece, stream=True, **options)
    assert slow.events[-1] == "[DONE]"
    assert [said(event) for event in slow.events] == [said(event) for event in fast.events]


def said(event: str) -> Any:
    """An event without the two fields that tell the models' names apart."""
    chunk = json.loads(event) if event != "[DONE]" else {}
    return {name: value for name, value in chunk.items() if name not in ("id", "model")}


async def test_caller_of_http_1_0_gets_a_stream_that_ends_with_the_connection(stack: Stack) -> None:
    data = request("POST", CHAT, stack.authorization, chat(stream=True)).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    writer.write(data)
    head, _, body = (await asyncio.wait_for(reader.read(), 60)).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    assert b"transfer-encoding" not in head.lower()
    assert body.endswith(b"data: [DONE]\n\n")


async def test_callers_pipelined_requests_are_answered_in_order(stack: Stack) -> None:
    async with await Wire.open(stack.port) as wire:
        bodies = [chat(f"Number {number}", model="sim-slow-20" if number % 2 else "sim-chat") for number in range(6)]
        await wire.send(b"".join(request("POST", CHAT, stack.authorization, body) for body in bodies))
        for number in range(6):
            answer = (await wire.reply()).json()["choices"][0]["message"]["content"]
            assert answer.endswith(f"Number {number}")


@cases("model", ["sim-drip-20-long-5000", "sim-stall-2", "sim-drip-60000"])
async def test_caller_who_leaves_mid_stream_ends_the_providers_work(stack: Stack, model: str) -> None:
    before = await stack.last_call()
    async with await Wire.open(stack.port) as wire:
        await wire.send(request("POST", CHAT, stack.authorization, chat(model=model, stream=True)))
        assert (await wire.head()).status == 200
        assert await wire.chunk()
    assert await stack.how_it_ended(before + 1, "client_left") == "client_left"


@cases("model", ["sim-silent", "sim-slow-60000", "sim-stall-1"])
@cases("stream", [False, True])
async def test_caller_who_leaves_before_the_answer_ends_the_providers_work(
    stack: Stack, model: str, stream: bool
) -> None:
    before = await stack.last_call()
    async with await Wire.open(stack.port) as wire:
        await wire.send(request("POST", CHAT, stack.authorization, chat(model=model, stream=stream)))
        await stack.wait_until(lambda: started(stack, before + 1))
    assert await stack.how_it_ended(before + 1, "client_left") == "client_left"


async def test_caller_who_leaves_in_a_fallback_stops_the_rest_of_it(stack: Stack) -> None:
    silent = {"virtual_key": "simulator", "override_params": {"model": "sim-silent"}}
    config = {"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "closed"}, silent, silent]}
    headers = {**stack.authorization, "x-portkey-config": json.dumps(config)}
    before = await stack.last_call()
    async with await Wire.open(stack.port) as wire:
        await wire.send(request("POST", CHAT, headers, chat()))
        await stack.wait_until(lambda: started(stack, before + 1))
    assert await stack.how_it_ended(before + 1, "client_left") == "client_left"
    await stack.call()
    assert len(await stack.simulator_calls(before)) == 2  # The one that was left and this last one; no third target.


async def started(stack: Stack, number: int) -> bool:
    return bool([row for row in await stack.simulator_calls(number - 1) if row["model"] is not None])


async def test_caller_who_does_not_read_holds_the_provider_back(stack: Stack) -> None:
    """Backpressure reaches the provider: it stops writing, and no worker keeps for the caller what he does not take."""
    before = await stack.last_call()
    workers = stack.workers().values()
    resting = {pid: resident_bytes(pid) for pid in workers}
    async with await Wire.open(stack.port) as wire:
        await wire.send(request("POST", CHAT, stack.authorization, chat(model="sim-long-100000", stream=True)))
        sent = await chunks_when_still(stack, before + 1)
        assert 0 < sent < 100_000
        assert all(resident_bytes(pid) - resting[pid] < 16 * 1024 * 1024 for pid in workers)
        reply = await wire.reply()
    assert reply.events[-1] == "[DONE]"
    assert sum('"content":' in event for event in reply.events) == 100_001  # The first one says who speaks.


async def chunks_when_still(stack: Stack, number: int) -> int:
    """How many chunks the provider has written when it writes no more."""
    seen = [-1] * 10
    while len(set(seen[-10:])) > 1 or seen[-1] <= 0:
        await asyncio.sleep(0.05)
        rows = await stack.simulator_calls(number - 1)
        seen.append(rows[0]["chunks"] if rows else 0)
    return seen[-1]


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


async def test_callers_who_leave_in_the_middle_of_a_flood_leave_no_trace_in_the_log(stack: Stack) -> None:
    """Their going meets our writing in every order there is."""
    lines = len(stack.log_text().splitlines())
    before = await stack.last_call()
    for _ in range(20):
        async with await Wire.open(stack.port) as wire:
            await wire.send(request("POST", CHAT, stack.authorization, chat(model="sim-long-20000", stream=True)))
            assert (await wire.head()).status == 200
            assert await wire.chunk()
    await stack.wait_until_settled(before)
    assert stack.log_text().splitlines()[lines:] == []
