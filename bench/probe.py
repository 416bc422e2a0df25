"""One call, and its whole answer."""

import asyncio
import ssl
from typing import cast

import httptools

ANSWER_S_MAX = 30.0


class NoAnswer(Exception):
    """The connection ended before the answer did, or what came is not HTTP."""


class _Call(asyncio.Protocol):
    def __init__(self, request: bytes, loop: asyncio.AbstractEventLoop) -> None:
        self.answer: asyncio.Future[tuple[int, bytes]] = loop.create_future()
        self._request = request
        self._parser = httptools.HttpResponseParser(self)
        self._body = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"not HTTP: {error}")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio names it)
        self._fail("connection lost before the answer's end")

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        if not self.answer.done():
            self.answer.set_result((self._parser.get_status_code(), bytes(self._body)))

    def _fail(self, what: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(NoAnswer(what))


async def ask(port: int, request: bytes, tls: ssl.SSLContext | None = None) -> tuple[int, bytes]:
    """Status and decoded body. Raises NoAnswer, OSError or TimeoutError."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(ANSWER_S_MAX):
        transport, call = await loop.create_connection(lambda: _Call(request, loop), "127.0.0.1", port, ssl=tls)
        try:
            return await call.answer
        finally:
            transport.abort()
