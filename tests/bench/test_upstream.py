"""Both upstreams: the same answers to the same requests, when they are asked for."""

import asyncio

import orjson
import pytest

from bench import answers, probe
from bench.expected import passed_on
from bench.workloads import EMBEDDINGS, LARGE, SMALL, STREAM, Workload, head
from tests.bench.conftest import Lab

HEADERS = ("Authorization: Bearer gh_x",)
TICK_NS = 1_000_000
"""uvloop counts timers in whole milliseconds, so one may go off by a part of one too soon."""


@pytest.mark.parametrize("workload", [SMALL, LARGE, EMBEDDINGS, STREAM], ids=lambda workload: workload.name)
async def test_it_says_what_the_workload_says_it_does(lab: Lab, workload: Workload) -> None:
    async with lab.upstream() as port:
        status, body = await probe.ask(port, head(workload, port, HEADERS) + workload.body)
    assert status == 200
    assert passed_on(body) == passed_on(workload.answer)


@pytest.mark.parametrize(
    ("path", "body", "holds"),
    [
        ("/v1/messages", b'{"stream":false}', b'"type":"message"'),
        ("/v1/messages", b'{"stream": true}', b"event: message_stop"),
        ("/v1beta/models/m:generateContent", b"{}", b'"finishReason":"STOP"'),
        ("/v1beta/models/m:streamGenerateContent?alt=sse", b"{}", b"data: {"),
    ],
)
async def test_it_speaks_other_dialects(lab: Lab, path: str, body: bytes, holds: bytes) -> None:
    async with lab.upstream() as port:
        status, said = await probe.ask(port, _request(path, body))
    assert status == 200
    assert holds in said


async def test_it_waits_as_the_request_asks_and_stamps_each_event_when_it_is_sent(lab: Lab) -> None:
    workload = STREAM.waiting(first_us=50_000, gap_us=2_000)
    loop = asyncio.get_running_loop()
    async with lab.upstream() as port:
        began_s = loop.time()
        _, body = await probe.ask(port, head(workload, port, HEADERS) + workload.body)
    stamps = [int(part) for part in body.split(b"@")[1::2]]
    assert len(stamps) == STREAM.units - 2
    assert stamps == sorted(stamps)
    soonest_ns = began_s * 1e9 + 50_000_000 - TICK_NS
    assert stamps[0] >= soonest_ns
    assert stamps[-1] >= soonest_ns + 2_000_000 * (len(stamps) - 1)


async def test_what_it_does_not_know_is_not_found(lab: Lab) -> None:
    async with lab.upstream() as port:
        assert await probe.ask(port, _request("/v1/other", b"{}")) == (404, b"")


async def test_requests_one_behind_the_other_are_answered_in_turn(lab: Lab) -> None:
    request = head(SMALL, 1, HEADERS) + SMALL.body
    async with lab.upstream() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for byte_range in (request[:700], request[700:] + request + request[:5], request[5:]):
            writer.write(byte_range)
            await writer.drain()
        seen = b""
        while seen.count(SMALL.answer) < 3:
            seen += await asyncio.wait_for(reader.read(65536), 30)
        writer.close()
    assert seen.count(b"HTTP/1.1 200 OK") == 3


def test_every_event_with_a_stamp_is_a_piece_of_its_own() -> None:
    pieces = answers.streamed(STREAM.answer.split(b"\n\n"))
    assert len(pieces) == STREAM.units - 2
    assert all(piece.count(b"@") == 2 for piece in pieces)
    assert pieces[-1].endswith(b"0\r\n\r\n")
    assert orjson.loads(SMALL.answer)["object"] == "chat.completion"


def _request(path: str, body: bytes) -> bytes:
    return b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (path.encode(), len(body), body)
