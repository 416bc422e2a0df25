"""Rows of reference/portkey.md 2.8: what a stream looks like, from whatever provider it comes.

The first and last chunks that carry `hook_results` come with guardrails, which are refused by name until then.
"""

from typing import Any

import orjson
import pytest

from gateway.providers.base import Door
from tests.conformance.corpus import checks
from tests.conformance.corpus.cases import ANSWERS
from tests.conformance.corpus.wire import Wire
from tests.conformance.corpus.wires import WIRES
from tests.fakes.upstream import streams
from tests.gateway.pipeline.test_pipeline import DONE, EVENT, FINISH, RAW, ROLE, STREAMED, USAGE, Run

every_wire = pytest.mark.parametrize("wire", WIRES, ids=[wire.name for wire in WIRES])
UNASKED = RAW.replace(b"}", b', "stream": true}')


def translated(wire: Wire, *, usage: bool, name: str = "plain") -> list[bytes]:
    """The events that a caller gets of a chat, out of the provider's own frames."""
    call = checks.STREAMED
    if not usage:
        body = {name: value for name, value in call.body.items() if name != "stream_options"}
        call = type(call)(call.door, orjson.dumps(body), body, stream=True, created_s=call.created_s)
    reader = wire.adapter.stream(call)
    events = b"".join([reader.feed(frame) for frame in wire.answers.frames(ANSWERS[name])]) + reader.end()
    assert events.endswith(b"\n\n")
    return events.removesuffix(b"\n\n").split(b"\n\n")


def chunks(events: list[bytes]) -> list[dict[str, Any]]:
    return [orjson.loads(event.removeprefix(b"data: ")) for event in events if event != DONE.strip()]


async def test_2_8_a_stream_is_sse_and_its_last_word_is_done() -> None:
    done = await Run(streams(ROLE + EVENT, FINISH + DONE), raw=STREAMED)()
    assert done.answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert done.answer.body == ROLE + EVENT + FINISH + DONE


@every_wire
def test_2_8_every_provider_s_stream_is_data_and_ends_with_done_where_some_have_none_in_the_original(
    wire: Wire,
) -> None:
    events = translated(wire, usage=True)
    assert all(event.startswith(b"data: ") for event in events), "an `event:` line is no part of a chat"
    assert [event == DONE.strip() for event in events] == [*[False] * (len(events) - 1), True]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
async def test_2_8_events_are_split_by_whatever_line_end_a_provider_writes(end: bytes) -> None:
    stream = (ROLE + EVENT + FINISH + USAGE + DONE).replace(b"\n", end)
    done = await Run(*[streams(*(stream[at : at + 7] for at in range(0, len(stream), 7)))], raw=UNASKED)()
    assert (done.answer.status, done.record.ending, done.spent) == (200, "complete", ("provider", 3, 5))
    assert b'"usage"' not in done.answer.body, "nobody asked for it"


async def test_2_8_usage_is_always_asked_for_and_told_to_who_asked() -> None:
    for raw, told in ((STREAMED, True), (UNASKED, False)):
        done = await Run(streams(ROLE + EVENT, FINISH + USAGE + DONE), raw=raw)()
        assert orjson.loads(done.requests[0].body)["stream_options"] == {"include_usage": True}
        assert (USAGE in done.answer.body) is told
        assert done.spent == ("provider", 3, 5)


@every_wire
def test_2_8_usage_of_every_provider_is_a_chunk_without_choices_unlike_in_the_original(wire: Wire) -> None:
    told = [chunk for chunk in chunks(translated(wire, usage=True)) if chunk.get("usage")]
    assert [chunk["choices"] for chunk in told] == [[]]


@pytest.mark.parametrize("door", [Door.MESSAGES, Door.RESPONSES])
async def test_2_8_the_doors_whose_events_have_names_keep_them(door: Door) -> None:
    asked: dict[str, Any] = {"model": "sim-chat", "stream": True, "max_tokens": 9, "messages": []}
    if door is Door.RESPONSES:
        asked = {"model": "sim-chat", "stream": True, "input": "Hello"}
    else:
        asked["messages"] = [{"role": "user", "content": "Hello"}]
    done = await Run(streams(ROLE + EVENT, FINISH + USAGE + DONE), raw=orjson.dumps(asked), door=door)()
    events = [event for event in done.answer.body.split(b"\n\n") if event]
    assert (done.answer.status, done.record.ending) == (200, "complete")
    for event in events:
        name, data = event.split(b"\n", 1)
        assert name == f"event: {orjson.loads(data.removeprefix(b'data: '))['type']}".encode()


async def test_2_8_hook_results_wait_for_guardrails_which_are_refused_by_name() -> None:
    done = await Run(raw=STREAMED, config={"virtual_key": "main", "output_guardrails": []})()
    assert (done.answer.status, done.requests) == (400, [])
    assert done.answer.headers["content-type"] == "application/json"
