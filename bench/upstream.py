"""The provider of the bench in Python, where there is no C compiler, and wherever it has to speak TLS.

It serves the same folder (`bench/answers.py`) by the same rules as `bench/native/upstream.c`.
"""

import argparse
import asyncio
import re
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import httptools
import uvloop

from bench import answers
from bench.workloads import STAMP

_WAIT = re.compile(rb"bench-wait:(\d+),(\d+)")
_GAP_US = 5_000
_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Route:
    """An answer, and what a request's URL and body hold that is given it; empty: anything."""

    url: bytes
    body: bytes
    pieces: tuple[bytes, ...]


def routes(folder: Path) -> tuple[Route, ...]:
    lines = (line.split(b"\t") for line in (folder / answers.ROUTES).read_bytes().splitlines())
    return tuple(
        Route(url, b"" if body == b"-" else body, tuple(answers.read(folder / name.decode())))
        for url, body, name in lines
    )


class Upstream(asyncio.Protocol):
    """One connection of a client that waits for each answer before it asks again."""

    _transport: asyncio.Transport

    def __init__(self, table: tuple[Route, ...], loop: asyncio.AbstractEventLoop) -> None:
        self._routes = table
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._url = self._body = b""
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

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        url, body, self._url, self._body = self._url, self._body, b"", b""
        pieces = next((route.pieces for route in self._routes if route.url in url and route.body in body), None)
        if pieces is None:
            self._transport.write(_NOT_FOUND)
            return
        wait = _WAIT.search(body)
        first_us, gap_us = (int(wait[1]), int(wait[2])) if wait else (0, _GAP_US)
        if first_us:
            due_s = self._loop.time() + first_us / 1e6
            self._next = self._loop.call_at(due_s, self._step, pieces, 0, due_s, gap_us / 1e6)
        else:
            self._step(pieces, 0, self._loop.time(), gap_us / 1e6)

    def _step(self, pieces: tuple[bytes, ...], at: int, due_s: float, gap_s: float) -> None:
        piece = pieces[at]
        if STAMP in piece:
            piece = piece.replace(STAMP, b"@%019d@" % time.monotonic_ns(), 1)
        self._transport.write(piece)
        following, due_s = at + 1, due_s + gap_s
        last = following == len(pieces)
        self._next = None if last else self._loop.call_at(due_s, self._step, pieces, following, due_s, gap_s)


async def serve(port: int, folder: Path, tls: ssl.SSLContext | None) -> None:
    loop = asyncio.get_running_loop()
    table = routes(folder)
    server = await loop.create_server(lambda: Upstream(table, loop), "127.0.0.1", port, backlog=1024, ssl=tls)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.upstream", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--certificate", type=Path, help="PEM of a certificate and its key: speak TLS")
    options = parser.parse_args()
    tls = None
    if options.certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.certificate)
    uvloop.run(serve(options.port, options.folder, tls))


if __name__ == "__main__":
    main()
