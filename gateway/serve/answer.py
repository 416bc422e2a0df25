"""An `Answer` on a connection of the lane: one block of bytes for the head, each chunk written at once."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from gateway.pipeline.replies import WITHOUT_BODY
from gateway.serve.head import answer_head


class CallerLeft(ConnectionError):
    """There is nobody to write to any more."""


class Wire(Protocol):
    """What an answer asks of its connection."""

    def answers(self) -> bool:
        """An answer begins: whether no request can follow on its connection."""
        ...

    @property
    def write_paused(self) -> bool: ...

    def write(self, data: bytes) -> bool:
        """Returns whether more is taken. Raises CallerLeft."""
        ...

    def cut(self) -> None:
        """Close it in the middle of an answer."""
        ...

    async def drained(self) -> None:
        """Until the caller has taken enough of what was written."""
        ...


class LaneAnswer(msgspec.Struct):  # Made for each call: a class of Python's own takes several times as long to make.
    _wire: Wire
    _http_1_1: bool
    closes: bool
    """Whether the connection ends with this answer."""
    begun: bool = False
    """Bytes of it are on their way: it can no longer become another answer."""
    _head: bytes | None = None
    _chunked: bool = False

    def head(self, status: int, headers: bytes, length: int | None) -> bool:
        """Raises CallerLeft."""
        if self._wire.answers():
            self.closes = True
        if length is not None:
            # It goes out with the first chunk, in one write.
            framing = f"content-length: {length}\r\n".encode() if length or status not in WITHOUT_BODY else b""
            self._head = answer_head(status, headers, framing, closes=self.closes)
            return True
        self._chunked = self._http_1_1
        if not self._chunked:
            self.closes = True  # HTTP/1.0 knows no other end of a body whose length is not known.
        framing = b"cache-control: no-cache\r\n" + (b"transfer-encoding: chunked\r\n" if self._chunked else b"")
        self._head = answer_head(status, headers, framing, closes=self.closes)
        return False

    def passes(self) -> Callable[[bytes], bool] | None:
        return self._wire.write if self._chunked and self._head is None else None

    def put(self, data: bytes) -> bool:
        """Raises CallerLeft."""
        head = self._head
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        if head is not None:
            data, self._head = head + data, None
        return self._write(data)

    def end(self, last: bytes = b"") -> bool:
        """Raises CallerLeft."""
        if self._chunked:
            last = b"%x\r\n%b\r\n0\r\n\r\n" % (len(last), last) if last else b"0\r\n\r\n"
        head = self._head
        if head is not None:
            last, self._head = head + last, None
        return self._write(last) if last else not self._wire.write_paused

    async def drained(self) -> None:
        """Raises CallerLeft."""
        head = self._head
        if head is not None:
            self._head = None
            self._write(head)
        if self._wire.write_paused:
            await self._wire.drained()

    def cut(self) -> None:
        self.closes = True
        self._wire.cut()

    def _write(self, data: bytes) -> bool:
        self.begun = True
        return self._wire.write(data)
