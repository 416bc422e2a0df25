"""An Answer that keeps what is written to it, holds the writer to the protocol, and can stall like a slow caller."""

from gateway.pipeline.exchange import Headers
from tests.fakes.upstream import Hang


class RecordedAnswer:
    def __init__(self, *, stall: str | None = None) -> None:
        """`stall` is one of head, chunk and end: there the first call waits for `hang`."""
        self.hang = Hang()
        self._stall = stall
        self._full = False
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.length: int | None = None
        self.chunks: list[bytes] = []
        self.ended = False
        self.was_cut = False

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    async def head(self, status: int, headers: Headers, length: int | None) -> None:
        assert self.status is None, "one head"
        assert all(name == name.lower() for name, _ in headers)
        assert len(dict(headers)) == len(headers), "each header once"
        await self._maybe_stall("head")
        self.status, self.headers, self.length = status, dict(headers), length

    async def chunk(self, data: bytes) -> None:
        await self._maybe_stall("chunk")
        self._written(data)

    def put(self, data: bytes) -> bool:
        assert not self._full, "somebody said to wait"
        self._written(data)
        self._full = self._stall == "chunk"
        return not self._full

    async def drained(self) -> None:
        await self._maybe_stall("chunk" if self._full else "")
        self._full = False

    def _written(self, data: bytes) -> None:
        assert self.status is not None, "the head comes first"
        assert not self.ended
        assert data, "an empty chunk would end a chunked body"
        self.chunks.append(data)

    async def end(self) -> None:
        assert self.status is not None, "the head comes first"
        assert not self.ended, "one end"
        await self._maybe_stall("end")
        self.ended = True
        assert self.length is None or self.length == len(self.body)

    def cut(self) -> None:
        assert self.status is not None, "the head comes first"
        assert not self.ended, "one end"
        self.ended = self.was_cut = True

    async def _maybe_stall(self, where: str) -> None:
        if where == self._stall:
            await self.hang.wait()
