"""A connection's requests, run from the event loop's own callbacks: one coroutine for all of them, and no task."""

import asyncio
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any

from gateway.upstream.waiter import Waiter

_IDLE = object()
"""Yielded, it says that there is nothing to do until `Run.begin`."""


class Run:
    """Stands where a task would. `work` is awaited once after each `begin`, and raises nothing but CancelledError; when
    it has ended, `rested` is called, from where the next may begin.

    A task for each request is made, kept in a list of all, and takes its first step a turn of the loop later. This
    begins at once, and is made once for a connection. In all else it is a task to whoever asks for the current one, as
    `asyncio.timeout` does, by the rules for a task of one's own (docs.python.org, "Extending asyncio").
    """

    __slots__ = ("_cancels", "_coroutine", "_loop", "_must_cancel", "_rested", "_throws", "_waits_for", "busy")

    def __init__(
        self, work: Callable[[], Coroutine[Any, Any, None]], rested: Callable[[], None], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._coroutine = _always(work)
        self._rested = rested
        self._loop = loop
        self._waits_for: asyncio.Future[Any] | Waiter | None = None
        self._must_cancel = False
        """At what it waits for next: it was cancelled while it ran, or before its first step."""
        self._throws = False
        """Where it stands: it was cancelled when what it waited for was there already."""
        self._cancels = 0
        self.busy = False

    def begin(self) -> None:
        self.busy = True
        self.hear(None)

    def close(self) -> None:
        """Nothing begins any more. What runs is cancelled."""
        if self.busy:
            self.cancel()
        else:
            self._coroutine.close()

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - a task's own signature
        self._cancels += 1
        if self._waits_for is None:
            self._must_cancel = True
        elif not self._waits_for.cancel():
            self._throws = True
        return True

    def done(self) -> bool:
        return not self.busy

    def cancelling(self) -> int:
        return self._cancels

    def uncancel(self) -> int:
        self._cancels = max(self._cancels - 1, 0)
        return self._cancels

    def hear(self, fault: BaseException | None) -> None:
        """Go on, up to where it waits next."""
        loop = self._loop
        try:
            _enter_task(loop, self)  # type: ignore[arg-type] # typeshed knows tasks alone
        except RuntimeError:
            loop.call_soon(self.hear, fault)  # One task at a time: what runs now is somebody else's.
            return
        self._waits_for = None
        try:
            if self._throws:
                self._throws = False
                fault = asyncio.CancelledError()
            waits_for = self._coroutine.send(None) if fault is None else self._coroutine.throw(fault)
        except asyncio.CancelledError:
            self.busy = False
            return
        finally:
            _leave_task(loop, self)  # type: ignore[arg-type]
        if waits_for is _IDLE:
            self.busy = self._must_cancel = False
            self._rested()
            return
        if isinstance(waits_for, Waiter):
            waits_for.heard_by = self
        else:
            if waits_for is None:  # It only lets others go first.
                waits_for = loop.create_future()
                waits_for.set_result(None)
            waits_for._asyncio_future_blocking = False  # noqa: SLF001 - that it was awaited has been heard
            waits_for.add_done_callback(self._came)
        self._waits_for = waits_for
        if self._must_cancel:
            self._must_cancel = False
            self._throws = not waits_for.cancel()

    def _came(self, _: "asyncio.Future[Any]") -> None:
        self.hear(None)  # What it brought, or its fault, it gives where it is awaited.


@coroutine
def _always(work: Callable[[], Coroutine[Any, Any, None]]) -> Generator[Any, None, None]:
    while True:
        yield from work()
        yield _IDLE
