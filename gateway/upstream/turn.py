"""What is to be sent in one turn of the event loop goes out at its end, together, while there is much to do.

Whoever it is for sleeps until something comes, and to wake him costs us more than the rest of a write. Where many
calls are carried at once, the first write of a turn wakes him, and he finds the others while he is awake. Where they
are few, a write is mostly the only one of its turn, and whoever waits for it need not wait for what else is done in it.
Where there is time between them, it is not even worth the end of a turn to know.
"""

import asyncio
import time
from collections.abc import Callable

HELD_BYTES_MAX = 64 * 1024
"""With so much it is sent at once: whether the other side takes it decides what is done next."""
LOOK_S = 0.1
BUSY_S = 0.04
"""Of the processor, used by this thread between two looks: then there is much to do."""


class Turn:
    """What is written here to a transport comes behind what it was given before; whatever else is to follow it, its end
    too, waits for `end`. The loop calls that by itself.
    """

    __slots__ = (
        "_ahead",
        "_count",
        "_held_bytes",
        "_looks",
        "_loop",
        "_used_s",
        "_used_then_s",
        "_was_one",
        "_writes",
        "_wrote",
        "is_busy",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        ahead: Callable[[], None] | None = None,
        used_s: Callable[[], float] = time.thread_time,
    ) -> None:
        """`ahead` is called before anything goes out. `used_s`: of the processor, by this thread."""
        self._loop = loop
        self._ahead = ahead
        self._used_s = used_s
        self._used_then_s = 0.0
        self.is_busy = False
        """There is much to do: what is written waits for the end of its turn, unless it is alone there."""
        self._looks = False
        """A look is to come."""
        self._wrote = False
        """Since the last one."""
        self._count = 0
        """Writes of this turn, while there is much to do."""
        self._was_one = True
        """The turn before had a single one: so will this one, most likely."""
        self._writes: list[tuple[asyncio.Transport, bytes]] = []
        self._held_bytes = 0

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        if not self._wrote:
            self._look_later()
        if self.is_busy:
            count = self._count = self._count + 1
            if count == 1:
                self._loop.call_soon(self._over)
            if count > 1 or not self._was_one:
                self._writes.append((transport, data))
                held_bytes = self._held_bytes = self._held_bytes + len(data)
                if held_bytes >= HELD_BYTES_MAX:
                    self.end()
                return
        try:
            if self._ahead is not None:
                self._ahead()
        finally:
            if not transport.is_closing():
                transport.write(data)

    def end(self) -> None:
        """Send what waits. Of a transport that was closed meanwhile it is dropped."""
        writes, self._writes, self._held_bytes = self._writes, [], 0
        try:
            if self._ahead is not None:
                self._ahead()
        finally:
            for transport, data in writes:
                if not transport.is_closing():
                    transport.write(data)

    def _over(self) -> None:
        self._was_one = self._count <= 1
        self._count = 0
        if self._writes:
            self.end()

    def _look_later(self) -> None:
        self._wrote = True
        if not self._looks:
            self._looks = True
            self._used_then_s = self._used_s()
            self._loop.call_later(LOOK_S, self._look)

    def _look(self) -> None:
        if self._writes:
            self.end()  # It stays ahead of what will not wait.
        used_s = self._used_s()
        self.is_busy = used_s - self._used_then_s >= BUSY_S
        self._used_then_s = used_s
        self._looks, self._wrote = self._wrote, False
        if self._looks:
            self._loop.call_later(LOOK_S, self._look)
