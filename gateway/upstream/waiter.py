"""What somebody waits for who goes on at once: from a future he would hear a turn of the event loop later."""

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any, Protocol


class Hearer(Protocol):
    def hear(self, fault: BaseException | None) -> None:
        """Go on; `fault` is raised where he waits."""
        ...


class Waiter:
    """Awaited by one at a time, as often as he likes. A task takes it for a future; whoever sets `heard_by` instead is
    called by `wake`.
    """

    __slots__ = ("heard_by",)

    def __init__(self) -> None:
        self.heard_by: Hearer | None = None
        """None: nobody waits."""

    def __await__(self) -> Generator["Waiter", None, None]:
        yield self

    def wake(self, fault: Exception | None = None) -> None:
        """To be called last, since whoever waits does what he likes before it returns. `fault` is raised to him."""
        heard_by = self.heard_by
        if heard_by is not None:
            self.heard_by = None
            heard_by.hear(fault)

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - a future's own signature
        heard_by, self.heard_by = self.heard_by, None
        if heard_by is None:
            return False
        asyncio.get_running_loop().call_soon(heard_by.hear, asyncio.CancelledError())
        return True

    # What a task asks of a future

    @property
    def _asyncio_future_blocking(self) -> bool:
        """By asyncio's rules: whether it was awaited, and nobody has taken that up yet. To a task it is shown then."""
        return True

    @_asyncio_future_blocking.setter
    def _asyncio_future_blocking(self, _: bool) -> None: ...

    def add_done_callback(self, callback: Callable[[Any], object], *, context: Context | None = None) -> None:
        self.heard_by = _Task(callback, context)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()


class _Task:
    """A task that waits; to its callback it is the future that has come."""

    __slots__ = ("_callback", "_context", "_fault")

    def __init__(self, callback: Callable[[Any], object], context: Context | None) -> None:
        self._callback = callback
        self._context = context
        self._fault: BaseException | None = None

    def hear(self, fault: BaseException | None) -> None:
        self._fault = fault
        asyncio.get_running_loop().call_soon(self._callback, self, context=self._context)

    def result(self) -> None:
        if self._fault is not None:
            raise self._fault
