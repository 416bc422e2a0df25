"""Both loads: what is answered right is a call, everything else is an error, and none goes uncounted."""

import asyncio
from pathlib import Path

import orjson
import pytest

from bench import expected, workloads
from bench.load import pattern
from bench.measure import Result, Shape
from bench.processes import free_port
from bench.workloads import COUNTED, EMBEDDINGS, LARGE, SMALL, STREAM, Workload
from tests.bench.conftest import Lab, serving

CONNECTIONS = 3
OK = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b"


class Scripted:
    """A server that answers every request with the same bytes and counts them."""

    def __init__(self, answer: bytes, *, then_close: bool = False) -> None:
        self.answered = 0
        self.bodies: list[bytes] = []
        self._answer = answer
        self._then_close = then_close

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.bodies.append(await reader.readexactly(len(SMALL.body)))
                self.answered += 1
                writer.write(self._answer)
                await writer.drain()
                if self._then_close:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


async def run(lab: Lab, port: int, workload: Workload = SMALL, *, drain_s: float = 30.0) -> Result:
    return await lab.run(port, workload, Shape(CONNECTIONS, warm_s=0.02, measure_s=0.1, drain_s=drain_s))


@pytest.mark.parametrize("workload", [SMALL, LARGE, EMBEDDINGS], ids=lambda workload: workload.name)
async def test_right_answers_are_calls(lab: Lab, workload: Workload) -> None:
    async with lab.upstream() as port:
        result = await run(lab, port, workload)
    assert result.errors == {}
    assert 0 < result.answers <= result.calls
    assert result.latency is not None
    assert 0 < result.latency.p50_us <= result.latency.p99_us <= result.latency.max_us


async def test_a_stream_is_read_to_its_end_and_counts_in_parts(lab: Lab) -> None:
    async with lab.upstream() as port:
        result = await run(lab, port, STREAM)
    assert result.errors == {}
    assert result.calls == CONNECTIONS
    assert 0 < result.answers < CONNECTIONS


async def test_a_status_other_than_200_is_an_error_each_time(lab: Lab) -> None:
    server = Scripted(b"HTTP/1.1 500 Oops\r\ncontent-length: 6\r\n\r\nfailed")
    async with serving(server) as port:
        result = await run(lab, port)
    assert (result.calls, result.errors) == (0, {"status 500": server.answered})
    assert result.example == "failed"


async def test_a_wrong_body_is_an_error_also_with_the_right_length(lab: Lab) -> None:
    server = Scripted(OK % (len(SMALL.answer), SMALL.answer.replace(b"stop", b"step")))
    async with serving(server) as port:
        result = await run(lab, port)
    assert (result.calls, result.errors) == (0, {"another body than the upstream sent": server.answered})


@pytest.mark.parametrize("body", [SMALL.answer[:-1], SMALL.answer + b" "], ids=["shorter", "longer"])
async def test_a_body_of_another_length_is_an_error(lab: Lab, body: bytes) -> None:
    server = Scripted(OK % (len(body), body))
    async with serving(server) as port:
        result = await run(lab, port)
    assert (result.calls, result.errors) == (0, {"another body than the upstream sent": server.answered})


async def test_a_body_in_chunks_of_any_size_is_the_body(lab: Lab) -> None:
    chunks = b"".join(
        b"%x;a=b\r\n%b\r\n" % (len(piece), piece)
        for piece in (SMALL.answer[at : at + 99] for at in range(0, len(SMALL.answer), 99))
    )
    server = Scripted(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nx-trailer: 1\r\n\r\n")
    async with serving(server) as port:
        result = await run(lab, port)
    assert (result.calls, result.errors) == (server.answered, {})


async def test_a_cut_answer_is_one_error_and_the_load_goes_on(lab: Lab) -> None:
    server = Scripted(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\nonly this", then_close=True)
    async with serving(server) as port:
        result = await run(lab, port)
    assert (result.calls, result.errors) == (0, {"connection lost before the answer's end": server.answered})
    assert server.answered > CONNECTIONS


async def test_a_connection_that_ends_after_its_answer_is_no_error(lab: Lab) -> None:
    head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(SMALL.answer), SMALL.answer)
    server = Scripted(head, then_close=True)
    async with serving(server) as port:
        result = await run(lab, port)
    assert (result.calls, result.errors) == (server.answered, {})
    assert server.answered > CONNECTIONS


async def test_what_is_not_http_is_an_error(lab: Lab) -> None:
    async with serving(Scripted(b"hello\r\n\r\n")) as port:
        result = await run(lab, port)
    assert result.calls == 0
    assert result.errors["not HTTP"] >= CONNECTIONS


async def test_silence_is_an_error_for_every_connection_and_does_not_hang(lab: Lab) -> None:
    async with serving(Scripted(b"")) as port:
        result = await run(lab, port, drain_s=0.05)
    assert result.calls == 0
    assert result.errors["no answer"] == CONNECTIONS


async def test_nobody_there_is_an_error(lab: Lab) -> None:
    result = await run(lab, free_port())
    assert result.calls == 0
    assert result.errors["cannot connect"] == CONNECTIONS


# What only the load in C does.


class Stalling(Scripted):
    """Answers nobody until `STALLED` have come."""

    STALLED = 50

    def __init__(self, answer: bytes) -> None:
        super().__init__(answer)
        self.held_s = 0.0
        self._came_s: list[float] = []
        self._enough = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._came_s.append(asyncio.get_running_loop().time())
        if len(self._came_s) == self.STALLED:
            self.held_s = self._came_s[-1] - self._came_s[4]
            self._enough.set()
        await self._enough.wait()
        await super().__call__(reader, writer)


async def test_at_a_fixed_rate_calls_come_whatever_is_answered(native_lab: Lab) -> None:
    """Without coordinated omission: the time of a call that had to wait counts from when it should have begun."""
    server = Stalling(OK % (len(SMALL.answer), SMALL.answer))
    async with serving(server) as port:
        result = await native_lab.run(port, SMALL, Shape(rate=200, warm_s=0.0, measure_s=0.5, drain_s=30.0))
    assert result.errors == {}
    assert result.calls == server.answered >= server.STALLED
    assert result.latency is not None
    assert result.latency.count >= result.calls - 1  # The first may have come just before the time began.
    assert result.latency.max_us >= server.held_s * 1e6 > 0


async def test_each_counted_request_has_a_number_of_its_own(native_lab: Lab) -> None:
    assert len(COUNTED.body) == len(SMALL.body)
    server = Scripted(OK % (len(SMALL.answer), SMALL.answer))
    async with serving(server) as port:
        result = await run(native_lab, port, COUNTED)
        again = await run(native_lab, port, COUNTED)
    assert result.errors == again.errors == {}
    assert len(set(server.bodies)) == len(server.bodies) > 2 * CONNECTIONS


async def test_events_are_counted_and_timed_from_their_sending(native_lab: Lab) -> None:
    shape = Shape(CONNECTIONS, warm_s=0.0, measure_s=0.6, drain_s=30.0)
    async with native_lab.upstream() as port:
        result = await native_lab.run(port, STREAM, shape)
    assert result.errors == {}
    assert result.events > 0
    assert result.delay is not None
    assert result.gap is not None
    assert result.delay.count == result.events
    assert 0 < result.gap.count < result.events
    assert 0 < result.delay.p50_us <= result.delay.max_us


async def test_once_all_streams_are_open_together_and_each_is_whole(native_lab: Lab) -> None:
    streams = 20
    shape = Shape(streams, once=True, ramp_s=0.05, measure_s=30.0, drain_s=30.0)
    async with native_lab.upstream() as port:
        result = await native_lab.run(port, STREAM.waiting(0, 20_000), shape)
    assert (result.calls, result.errors) == (streams, {})
    assert result.first_event is not None
    assert result.first_event.count == streams
    assert 0 < result.events < streams * workloads.STREAM_EVENTS


# What both expect.


def test_stamps_have_to_be_digits_and_nothing_else_may_differ() -> None:
    wanted = pattern(expected.passed_on(STREAM.answer))
    stamped = STREAM.answer.replace(workloads.STAMP, b"@%019d@" % 12_345)
    assert wanted.fullmatch(stamped)
    assert not wanted.fullmatch(stamped.replace(b"@", b"#"))
    assert not wanted.fullmatch(stamped.replace(b"12345", b"1234x"))
    assert not wanted.fullmatch(stamped[:-1])


def test_a_translated_answer_may_have_another_id_and_time_and_nothing_else() -> None:
    seen = b'{"id":"chatcmpl-1","created":17,"text":"@%019d@"}' % 5
    wanted = pattern(expected.translated(seen))
    assert wanted.fullmatch(seen.replace(b"chatcmpl-1", b"chatcmpl-2").replace(b"17", b"18"))
    assert not wanted.fullmatch(seen.replace(b"text", b"test"))


def test_bodies_have_their_sizes_and_are_what_they_say(tmp_path: Path) -> None:
    assert (len(SMALL.body), len(LARGE.body), len(SMALL.answer)) == (1_037, 30_733, 938)
    assert orjson.loads(STREAM.body)["stream"] is True
    assert orjson.loads(SMALL.answer)["usage"]["total_tokens"] == 262
    assert STREAM.answer.count(b"data: {") == STREAM.units == workloads.STREAM_EVENTS
    assert orjson.loads(SMALL.waiting(60_000, 1).body)["user"] == "bench-wait:00060000,00000001"
