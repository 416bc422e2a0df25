"""An `Answer` on aiohttp's server."""

from aiohttp import web

from gateway.pipeline.exchange import Headers


class AiohttpAnswer:
    """A whole answer becomes one `Response`; one that comes in chunks is streamed, each chunk sent at once."""

    __slots__ = ("_body", "_head", "_request", "response")

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self._head: tuple[int, Headers] | None = None
        self._body = b""
        self.response: web.StreamResponse | None = None

    async def head(self, status: int, headers: Headers, length: int | None) -> None:
        headers.append(("server", "gatehouse"))
        if length is not None:
            self._head = (status, headers)
            return
        response = web.StreamResponse(status=status, headers=headers)
        response.headers["cache-control"] = "no-cache"
        if self._request.version >= (1, 1):
            response.enable_chunked_encoding()
        self.response = response
        await response.prepare(self._request)

    async def chunk(self, data: bytes) -> None:
        if self.response is None:
            self._body += data
        else:
            await self.response.write(data)

    async def end(self) -> None:
        if self.response is not None:
            await self.response.write_eof()
            return
        assert self._head is not None
        status, headers = self._head
        self.response = web.Response(status=status, headers=headers, body=self._body)
