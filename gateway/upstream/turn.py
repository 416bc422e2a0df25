"""What is to be sent in one turn of the event loop goes out at its end, together.

Whoever it is for sleeps until something comes, and to wake him costs us more than the rest of a write. Where many calls
are carried at once, the first write of a turn wakes him, and he finds the others while he is awake.
"""

import asyncio
from collections.abc import Callable

HELD_BYTES_MAX = 64 * 1024
"""With so much it is sent at once: whether the other side takes it decides what is done next."""


class Turn:
    """What is written here to a transport comes behind what it was given before; whatever else is to follow it, its end
    too, waits for `end`. The loop calls that by itself.
    """

    __slots__ = ("_ahead", "_held_bytes", "_loop", "_writes")

    def __init__(self, loop: asyncio.AbstractEventLoop, ahead: Callable[[], None] | None = None) -> None:
        """`ahead` is called before anything goes out."""
        self._loop = loop
        self._ahead = ahead
        self._writes: list[tuple[asyncio.Transport, bytes]] = []
        self._held_bytes = 0

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        writes = self._writes
        if not writes:
            self._loop.call_soon(self.end)
        writes.append((transport, data))
        self._held_bytes += len(data)
        if self._held_bytes >= HELD_BYTES_MAX:
            self.end()

    def end(self) -> None:
        """Send what waits. Of a transport that was closed meanwhile it is dropped."""
        try:
            if self._ahead is not None:
                self._ahead()
        finally:
            writes, self._writes, self._held_bytes = self._writes, [], 0
            for transport, data in writes:
                if not transport.is_closing():
                    transport.write(data)
