"""An `Answer` on aiohttp's server: one block of bytes for the head, each chunk written at once.

aiohttp reads the request and keeps the connection. Its response classes are left out: preparing one costs as much CPU
as the whole pipeline behind it.
"""

from http import HTTPStatus

from aiohttp import ClientConnectionResetError, HttpVersion11, web

from gateway.pipeline.exchange import Headers

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_SERVER = "server: gatehouse\r\n"


class AiohttpAnswer:
    """What is written goes straight to the transport; `sent` tells aiohttp that it has been."""

    __slots__ = ("_chunked", "_head", "_request", "closes")

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self._head: bytes | None = None
        self._chunked = False
        self.closes = not request.keep_alive
        """Whether the connection ends with this answer."""

    @property
    def sent(self) -> "Sent":
        return Sent(keep_alive=not self.closes)

    async def head(self, status: int, headers: Headers, length: int | None) -> None:
        if length is not None:
            # It goes out with the first chunk, in one write.
            self._head = self._block(status, headers, f"content-length: {length}\r\n")
            return
        self._chunked = self._request.version >= HttpVersion11
        if not self._chunked:
            self.closes = True  # HTTP/1.0 knows no other end of a body whose length is not known.
        framing = "cache-control: no-cache\r\n" + ("transfer-encoding: chunked\r\n" if self._chunked else "")
        await self._write(self._block(status, headers, framing))

    async def chunk(self, data: bytes) -> None:
        if self._head is not None:
            data, self._head = self._head + data, None
        elif self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        await self._write(data)

    async def end(self) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            await self._write(head)
        elif self._chunked:
            await self._write(b"0\r\n\r\n")

    def _block(self, status: int, headers: Headers, framing: str) -> bytes:
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
        if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
            raise ValueError("a header's name or value holds a line break")
        line = _STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n"
        connection = "connection: close\r\n" if self.closes else ""
        return f"{line}{lines}{framing}{_SERVER}{connection}\r\n".encode("utf-8", "surrogateescape")

    async def _write(self, data: bytes) -> None:
        """Raises ClientConnectionResetError when the caller has left."""
        request = self._request
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ClientConnectionResetError("the caller has left")
        request.writer.output_size += len(data)  # So that aiohttp never puts an error answer behind this one.
        transport.write(data)
        await request.writer.drain()


class Sent(web.StreamResponse):
    """Stands where aiohttp expects a response that it would now write: there is nothing left to do."""

    def __init__(self, *, keep_alive: bool) -> None:
        self._stays_open = keep_alive

    @property
    def keep_alive(self) -> bool | None:
        return self._stays_open

    async def prepare(self, request: web.BaseRequest) -> None:  # noqa: ARG002 - aiohttp's signature
        return None

    async def write_eof(self, data: bytes = b"") -> None:  # noqa: ARG002
        return None
