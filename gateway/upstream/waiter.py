"""What somebody waits for who goes on at once: from a future he would hear a turn of the event loop later."""

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any


class Waiter:
    """Awaited once, by one. A task takes it for a future; whoever sets `heard_by` instead is called by `wake`."""

    __slots__ = ("_asyncio_future_blocking", "_callback", "_context", "_error", "_is_done", "_loop", "heard_by")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False
        """By asyncio's rules: whether it was awaited, and nobody has taken that up yet."""
        self._loop = loop
        self._is_done = False
        self._error: BaseException | None = None
        self._callback: Callable[[Any], object] | None = None
        self._context: Context | None = None
        self.heard_by: Callable[[Any], object] | None = None

    def __await__(self) -> Generator[Any, None, None]:
        if not self._is_done:
            self._asyncio_future_blocking = True
            yield self
        if self._error is not None:
            raise self._error

    def wake(self, error: Exception | None = None) -> None:
        """To be called last, since whoever waits does what he likes before it returns. `error` is raised to him."""
        if self._is_done:
            return
        self._error = error
        if self.heard_by is None or asyncio.current_task(self._loop) is not None:
            self._wake_later()
            return
        self._is_done = True
        self.heard_by(self)

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - a future's own signature
        if self._is_done:
            return False
        self._error = asyncio.CancelledError()
        self._wake_later()
        return True

    def _wake_later(self) -> None:
        self._is_done = True
        callback = self.heard_by or self._callback
        if callback is not None:
            self._loop.call_soon(callback, self, context=self._context)

    # What a task asks of a future

    def add_done_callback(self, callback: Callable[[Any], object], *, context: Context | None = None) -> None:
        self._callback, self._context = callback, context

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def done(self) -> bool:
        return self._is_done

    def result(self) -> None:
        if self._error is not None:
            raise self._error
