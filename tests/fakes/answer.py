"""An Answer that keeps what is written to it, holds the writer to the protocol, and can stall like a slow caller."""

from collections.abc import Callable

from gateway.upstream.chunks import framed_as_ours
from tests.fakes.upstream import Hang


class RecordedAnswer:
    def __init__(self, *, stall: str | None = None) -> None:
        """`stall` is one of head, chunk and end: after it the caller takes no more, and waiting for him hangs."""
        self.hang = Hang()
        self._stall = stall
        self._full = False
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.length: int | None = None
        self.chunks: list[bytes] = []
        self.ended = False
        self.was_cut = False
        self._head_out = False

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def head(self, status: int, headers: bytes, length: int | None) -> bool:
        assert self.status is None, "one head"
        *lines, end = headers.decode("utf-8", "surrogateescape").split("\r\n")
        assert not end, "whole lines"
        pairs = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
        assert all(name == name.lower() for name, _ in pairs)
        assert len(dict(pairs)) == len(pairs), "each header once"
        self.status, self.headers, self.length = status, dict(pairs), length
        if self._stall == "head":
            self._stall = "chunk"  # With which it goes out.
        return length is not None

    def passes(self) -> Callable[[bytes], bool] | None:
        return self._framed if self._head_out and self.length is None else None

    def _framed(self, chunks: bytes) -> bool:
        data = framed_as_ours(chunks)
        assert data, "whole chunks, framed as ours"
        return self.put(data)

    def put(self, data: bytes) -> bool:
        self._written(data)
        return self._taken("chunk")

    def _written(self, data: bytes) -> None:
        assert not self._full, "somebody said to wait"
        assert self.status is not None, "the head comes first"
        assert not self.ended
        assert data, "an empty chunk would end a chunked body"
        self._head_out = True
        self.chunks.append(data)

    def end(self, last: bytes = b"") -> bool:
        assert self.status is not None, "the head comes first"
        assert not self.ended, "one end"
        if last:
            self._written(last)
            self._taken("chunk")
        self.ended = True
        assert self.length is None or self.length == len(self.body)
        return self._taken("end")

    async def drained(self) -> None:
        if self._full:
            await self.hang.wait()
        self._full = False
        self._head_out = True

    def cut(self) -> None:
        assert self._head_out, "whoever reads nothing at all does not see that it is not whole"
        assert not self.ended, "one end"
        self.ended = self.was_cut = True

    def _taken(self, what: str) -> bool:
        self._full = self._full or what == self._stall
        return not self._full
