"""Room for requests and their bodies: a crowd is told to come back before memory is out."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import StreamReader

from embedded.clickhouse import encodings
from embedded.clickhouse.refusal import too_large, too_many


class Room:
    """Counts what is being read, waits or runs: at most so many requests, bytes of one and bytes of all."""

    def __init__(self, requests_max: int, body_bytes_max: int, bodies_bytes_max: int) -> None:
        self._requests_max = requests_max
        self._bytes_max = bodies_bytes_max
        self.body_bytes_max = body_bytes_max
        self.requests = 0
        self.bytes = 0

    @contextmanager
    def place(self) -> Iterator["Body"]:
        """Raises Refusal."""
        if self.requests >= self._requests_max:
            raise too_many()
        body = Body(self)
        self.requests += 1
        try:
            yield body
        finally:
            self.requests -= 1
            self.bytes -= body.counted

    def take(self, more: int) -> None:
        """Raises Refusal."""
        if self.bytes + more > self._bytes_max:
            raise too_many()
        self.bytes += more


class Body:
    """A request's body. Its methods raise Refusal."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._bytes = bytearray()
        self.counted = 0

    async def take(self, stream: StreamReader) -> None:
        async for piece in stream.iter_any():
            self.add(piece)

    def add(self, piece: bytes) -> None:
        if len(self._bytes) + len(piece) > self._room.body_bytes_max:
            raise too_large(self._room.body_bytes_max)
        self._count(len(piece))
        self._bytes += piece

    async def plain(self, encoding: str) -> bytes:
        """Decompressed."""
        if encoding in ("", "identity"):
            return bytes(self._bytes)
        # In a thread: megabytes of it would hold up everybody else.
        text = await asyncio.to_thread(encodings.plain, bytes(self._bytes), encoding, self._room.body_bytes_max)
        self._count(len(text))
        return text

    def _count(self, more: int) -> None:
        self._room.take(more)
        self.counted += more
