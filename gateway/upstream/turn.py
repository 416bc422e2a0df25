"""What is to be sent in one turn of the event loop goes out at its end, together.

Whoever it is for sleeps until something comes, and to wake him costs us more than the rest of a write. Where many calls
are carried at once, the first write of a turn wakes him, and he finds the others while he is awake. Where they are few,
a write is mostly the only one of its turn, and whoever waits for it need not wait for what else is done in it.
"""

import asyncio
from collections.abc import Callable, Iterable

HELD_BYTES_MAX = 64 * 1024
"""With so much it is sent at once: whether the other side takes it decides what is done next."""


class Turn:
    """What is written here to a transport comes behind what it was given before; whatever else is to follow it, its end
    too, waits for `end`. The loop calls that by itself.
    """

    __slots__ = ("_ahead", "_count", "_held_bytes", "_loop", "_was_one", "_writes")

    def __init__(self, loop: asyncio.AbstractEventLoop, ahead: Callable[[], None] | None = None) -> None:
        """`ahead` is called before anything goes out."""
        self._loop = loop
        self._ahead = ahead
        self._writes: list[tuple[asyncio.Transport, bytes]] = []
        self._held_bytes = 0
        self._count = 0
        """Writes of this turn."""
        self._was_one = True
        """The turn before had a single one: so will this one, most likely."""

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        count = self._count = self._count + 1
        if count == 1:
            self._loop.call_soon(self._over)
            if self._was_one:
                self._send(((transport, data),))
                return
        self._writes.append((transport, data))
        held_bytes = self._held_bytes = self._held_bytes + len(data)
        if held_bytes >= HELD_BYTES_MAX:
            self.end()

    def end(self) -> None:
        """Send what waits. Of a transport that was closed meanwhile it is dropped."""
        writes, self._writes, self._held_bytes = self._writes, [], 0
        self._send(writes)

    def _send(self, writes: Iterable[tuple[asyncio.Transport, bytes]]) -> None:
        try:
            if self._ahead is not None:
                self._ahead()
        finally:
            for transport, data in writes:
                if not transport.is_closing():
                    transport.write(data)

    def _over(self) -> None:
        self._was_one = self._count == 1
        self._count = 0
        if self._writes:
            self.end()
