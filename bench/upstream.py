"""The provider of the bench: fixed answers, lean enough not to be what is measured.

A plain request gets the fixed completion at once; a streaming one gets an event every `EVENT_WAIT_S`.
"""

import argparse
import asyncio
import re
from typing import cast

import httptools
import uvloop

from bench.workloads import ANSWER, EVENTS

EVENT_WAIT_S = 0.005

_STREAMS = re.compile(rb'"stream"\s*:\s*true')
_HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    b"date: Sat, 21 Nov 2026 10:00:00 GMT\r\n"
    b"openai-organization: org-bench\r\n"
    b"openai-processing-ms: 12\r\n"
    b"openai-version: 2020-10-01\r\n"
    b"x-ratelimit-limit-requests: 30000\r\n"
    b"x-ratelimit-limit-tokens: 150000000\r\n"
    b"x-ratelimit-remaining-requests: 29999\r\n"
    b"x-ratelimit-remaining-tokens: 149999700\r\n"
    b"x-request-id: req_5f0b3c8f6d3e4b0c9a7d1e2f3a4b5c6d\r\n"
)
_PLAIN = _HEAD + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
_STREAM_HEAD = _HEAD + b"content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_LAST = _chunk(EVENTS[-2]) + _chunk(EVENTS[-1]) + b"0\r\n\r\n"
_WRITES = (_STREAM_HEAD + _chunk(EVENTS[0]), *(_chunk(event) for event in EVENTS[1:-2]), _LAST)


class Upstream(asyncio.Protocol):
    """One connection of a client that waits for each answer before it asks again."""

    _transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""
        self._next: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has the methods but not the base class.

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio names it)
        if self._next is not None:
            self._next.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        body, self._body = self._body, b""
        if _STREAMS.search(body):
            self._stream(0)
        else:
            self._transport.write(_PLAIN)

    def _stream(self, number: int) -> None:
        self._transport.write(_WRITES[number])
        following = number + 1
        last = following == len(_WRITES)
        self._next = None if last else self._loop.call_later(EVENT_WAIT_S, self._stream, following)


async def serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(loop), "127.0.0.1", port, backlog=1024)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.upstream", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(serve(parser.parse_args().port))
