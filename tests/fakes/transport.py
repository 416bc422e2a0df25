"""A socket's near end in memory: what is written is seen, and its far end does what a test says, when it says it."""

import asyncio
import socket
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_NO_FILE = 2**31 - 1
"""A descriptor of nothing that is open."""


@contextmanager
def in_no_task() -> Iterator[None]:
    """As an event loop calls a protocol: whatever begins at once where no task runs, does so here too."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    if task is None:
        yield
        return
    _leave_task(loop, task)
    try:
        yield
    finally:
        _enter_task(loop, task)


class MemoryTransport(asyncio.Transport):
    """Carries one protocol. `hold()` stands for a caller who no longer reads, `take(...)` for one who does."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._held = False
        self._write_paused = False
        self.family = socket.AF_UNIX
        self.options: list[tuple[int, ...]] = []
        self.written = bytearray()
        self.unsent_bytes = 0
        self.reading = True
        self.half_closed = False
        """We have said our last word."""
        self.closed = False
        """Nothing more is read. What is unsent still goes, unless it was aborted."""
        self.aborted = False
        self._lost = False
        self.moved = asyncio.Event()
        """Something was written, or the end came."""
        protocol.connection_made(self)

    # What the far end does

    def feed(self, *pieces: bytes) -> None:
        for piece in pieces:
            if not self.closed:
                with in_no_task():
                    self._protocol.data_received(piece)

    def hang_up(self) -> None:
        """It shuts its sending end."""
        with in_no_task():
            if not self.closed and not self._protocol.eof_received():
                self.close()

    def lose(self) -> None:
        """It is gone without a word."""
        self._lose()

    def hold(self) -> None:
        self._held = True

    def take(self, bytes_max: int | None = None) -> None:
        """Read so much of what was written, or all of it and go on reading."""
        if bytes_max is not None:
            self.unsent_bytes -= min(self.unsent_bytes, bytes_max)
            return
        self._held, self.unsent_bytes = False, 0
        if self._write_paused:
            self._write_paused = False
            with in_no_task():
                self._protocol.resume_writing()
        if self.closed:
            self._lose()

    # What a protocol calls

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self if name == "socket" else default

    def fileno(self) -> int:
        return _NO_FILE

    def setsockopt(self, *option: int) -> None:
        self.options.append(option)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        raise AssertionError("a lane keeps its transport")

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed, "written to a closed transport"
        assert not self.half_closed, "written behind the last word"
        self.written += data
        if self._held:
            self.unsent_bytes += len(data)
            if not self._write_paused:
                self._write_paused = True
                self._protocol.pause_writing()
        self.moved.set()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.half_closed = True
        self.moved.set()

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True
        self.moved.set()
        if not self.unsent_bytes:
            self._lose()

    def abort(self) -> None:
        self.aborted = True
        self._lose()

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def _lose(self) -> None:
        self.closed = True
        self.moved.set()
        if not self._lost:
            self._lost = True
            self._loop.call_soon(self._protocol.connection_lost, None)
