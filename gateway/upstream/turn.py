"""What is to be sent in one turn of the event loop goes out at its end, together, while there is much to do.

Whoever it is for sleeps until something comes, and to wake him costs us more than the rest of a write. Where many
calls are carried at once, the first write of a turn wakes him, and he finds the others while he is awake. Where they
are few, a write is mostly the only one of its turn, and whoever waits for it need not wait for what else is done in it.
Where there is time between them, it is not even worth the end of a turn to know.
"""

import asyncio
import time
from collections.abc import Callable, Sized
from typing import Protocol

HELD_BYTES_MAX = 64 * 1024
HELD_MAX = 256
"""With a larger write, or so many, they are sent at once: whether the other side takes it decides what is done next."""
LOOK_S = 0.1
BUSY_S = 0.04
"""Of the processor, used by this thread between two looks: then there is much to do."""


class Ahead(Protocol):
    """What has to be done before anything goes out."""

    @property
    def waiting(self) -> Sized:
        """The same object at all times; empty: nothing has to be done."""
        ...

    def write(self) -> None: ...


class Turn:
    """What is written here to a transport comes behind what it was given before; whatever else is to follow it, its end
    too, waits for `end`. The loop calls that by itself.
    """

    __slots__ = (
        "_ahead",
        "_begun",
        "_looks",
        "_loop",
        "_used_s",
        "_used_then_s",
        "_was_one",
        "_writes",
        "at_once",
        "is_busy",
        "waiting",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        ahead: Ahead | None = None,
        used_s: Callable[[], float] = time.thread_time,
    ) -> None:
        """`used_s`: of the processor, by this thread."""
        self._loop = loop
        self._ahead = ahead
        self.waiting: Sized = () if ahead is None else ahead.waiting
        """What is to go ahead."""
        self.at_once = False
        """While nothing is `waiting`, `write` would do no more than write."""
        self._used_s = used_s
        self._used_then_s = 0.0
        self.is_busy = False
        """There is much to do: what is written waits for the end of its turn, unless it is alone there."""
        self._looks = False
        """A look is to come."""
        self._begun = False
        """This turn has had a write, while there is much to do."""
        self._was_one = True
        """The last turn with a write had no other so far: so will this one, most likely."""
        self._writes: list[tuple[asyncio.Transport, bytes]] = []

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        if self.is_busy:
            holds = not self._was_one
            if self._begun:
                self._was_one, holds = False, True
            else:
                self._begun = self._was_one = True
                self._loop.call_soon(self._over)
            if holds:
                writes = self._writes
                writes.append((transport, data))
                if len(data) > HELD_BYTES_MAX or len(writes) >= HELD_MAX:
                    self.end()
                return
        elif not self.at_once:
            self._look_later()
        try:
            if self.waiting:
                self._go_ahead()
        finally:
            if not transport.is_closing():
                transport.write(data)

    def end(self) -> None:
        """Send what waits. Of a transport that was closed meanwhile it is dropped."""
        writes, self._writes = self._writes, []
        try:
            if self.waiting:
                self._go_ahead()
        finally:
            for transport, data in writes:
                if not transport.is_closing():
                    transport.write(data)

    def _go_ahead(self) -> None:
        if self._ahead is not None:
            self._ahead.write()

    def _over(self) -> None:
        self._begun = False
        if self._writes:
            self.end()

    def _look_later(self) -> None:
        self.at_once = True
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
        self._looks = self.at_once or self.is_busy
        self.at_once = False
        if self._looks:
            self._loop.call_later(LOOK_S, self._look)
