"""The load generator: what is answered right is a call, everything else is an error, and none goes uncounted."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import orjson
import pytest

from bench import workloads
from bench.load import Plan, Result, drive
from bench.upstream import Upstream
from bench.workloads import LARGE, SMALL, STREAM, Workload

CONNECTIONS = 3
HANG_S = 30.0
OK = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b"

Session = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Scripted:
    """A server that answers every request with the same bytes and counts them."""

    def __init__(self, answer: bytes, *, then_close: bool = False) -> None:
        self.answered = 0
        self._answer = answer
        self._then_close = then_close

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(len(SMALL.body))
                self.answered += 1
                writer.write(self._answer)
                await writer.drain()
                if self._then_close:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def serving(session: Session) -> AsyncIterator[int]:
    server = await asyncio.start_server(session, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def upstream() -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(loop), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def run(port: int, workload: Workload = SMALL, *, drain_s: float = HANG_S) -> Result:
    plan = Plan(workload.name, port, "gh_x", os.getpid(), CONNECTIONS, warm_s=0.02, measure_s=0.1, drain_s=drain_s)
    async with asyncio.timeout(HANG_S):
        return await drive(plan, workload, lambda: 0.0)


@pytest.mark.parametrize("workload", [SMALL, LARGE], ids=lambda workload: workload.name)
async def test_right_answers_are_calls(workload: Workload) -> None:
    async with upstream() as port:
        result = await run(port, workload)
    assert result.errors == {}
    assert 0 < result.answers <= result.calls


async def test_a_stream_is_read_to_its_end_and_counts_in_parts() -> None:
    async with upstream() as port:
        result = await run(port, STREAM)
    assert result.errors == {}
    assert result.calls == CONNECTIONS
    assert 0 < result.answers < CONNECTIONS


async def test_a_status_other_than_200_is_an_error_each_time() -> None:
    server = Scripted(b"HTTP/1.1 500 Oops\r\ncontent-length: 6\r\n\r\nfailed")
    async with serving(server) as port:
        result = await run(port)
    assert (result.calls, result.errors) == (0, {"status 500": server.answered})
    assert result.example == "failed"


async def test_a_wrong_body_is_an_error_also_with_the_right_length() -> None:
    server = Scripted(OK % (len(SMALL.answer), SMALL.answer.replace(b"stop", b"step")))
    async with serving(server) as port:
        result = await run(port)
    assert (result.calls, result.errors) == (0, {"another body than the upstream sent": server.answered})


async def test_a_cut_answer_is_one_error_and_the_load_goes_on() -> None:
    server = Scripted(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\nonly this", then_close=True)
    async with serving(server) as port:
        result = await run(port)
    assert (result.calls, result.errors) == (0, {"connection lost before the answer's end": server.answered})
    assert server.answered > CONNECTIONS


async def test_a_connection_that_ends_after_its_answer_is_no_error() -> None:
    head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(SMALL.answer), SMALL.answer)
    server = Scripted(head, then_close=True)
    async with serving(server) as port:
        result = await run(port)
    assert (result.calls, result.errors) == (server.answered, {})
    assert server.answered > CONNECTIONS


async def test_what_is_not_http_is_an_error() -> None:
    async with serving(Scripted(b"hello\r\n\r\n")) as port:
        result = await run(port)
    assert result.calls == 0
    assert sum(count for fault, count in result.errors.items() if fault.startswith("not HTTP")) >= CONNECTIONS


async def test_silence_is_an_error_for_every_connection_and_does_not_hang() -> None:
    async with serving(Scripted(b"")) as port:
        result = await run(port, drain_s=0.05)
    assert result.calls == 0
    assert result.errors["no answer"] == CONNECTIONS


async def test_nobody_there_is_an_error() -> None:
    async with upstream() as port:
        pass
    result = await run(port)
    assert result.calls == 0
    assert any(fault.startswith("cannot connect") for fault in result.errors)


def test_bodies_have_their_sizes_and_are_what_they_say() -> None:
    assert (len(SMALL.body), len(LARGE.body), len(SMALL.answer)) == (1_037, 30_733, 938)
    assert orjson.loads(STREAM.body)["stream"] is True
    assert orjson.loads(SMALL.answer)["usage"]["total_tokens"] == 262
    assert STREAM.answer.count(b"data: {") == STREAM.units == workloads.STREAM_EVENTS
