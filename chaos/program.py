"""A program that a provocation runs: started, killed without a word, frozen, started again, ended by its id."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

from embedded.child import Child
from embedded.part import Part

LOOK_S = 0.02
LOG_TAIL_BYTES = 4_000


class ProgramFailed(Exception):
    """It ended by itself or did not become ready; the text names it and shows the end of its log."""


class Program:
    """`make` says anew at each start how it is started: what a killed one left behind is cleared there."""

    def __init__(self, make: Callable[[], Part], log: Path) -> None:
        self._make = make
        self.log = log
        self._part: Part | None = None
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def launch(self) -> None:
        """Returns at once."""
        self._part = self._make()
        self._child = Child.start(self._part.command, self._part.environment, self.log)

    async def start(self) -> None:
        """Launch it and wait until it is ready. Raises ProgramFailed."""
        self.launch()
        await self.ready()

    async def ready(self) -> None:
        """Raises ProgramFailed."""
        assert self._part is not None
        await self.until(self._part.ready, self._part.ready_s_max)

    async def until(self, condition: Callable[[], object], s_max: float = 60.0) -> None:
        """Wait for a condition, which may be awaitable, while the program runs. Raises ProgramFailed."""
        assert self._part is not None
        assert self._child is not None
        ended = asyncio.create_task(self._child.exited())
        try:
            async with asyncio.timeout(s_max):
                while not await _held(condition):
                    if ended.done():
                        raise self._failed(f"ended with {ended.result()}")
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise self._failed(f"is not as it should be after {s_max:g} s") from None
        finally:
            ended.cancel()

    async def kill(self) -> None:
        """As `kill -9`, and its whole process group with it."""
        assert self._child is not None
        os.kill(self._child.pid, signal.SIGKILL)
        await self._child.exited()

    async def restart(self) -> None:
        """Ask it to end, and start it again. Raises ProgramFailed."""
        await self.stop()
        await self.start()

    async def stop(self) -> None:
        """Ask it to end, also one that was frozen, and insist after a while."""
        if self._child is None or self._part is None:
            return
        self.thaw()
        await self._child.stop(self._part.stop_s_max, self._part.stop_signal)

    def freeze(self) -> None:
        """It holds its sockets and answers nobody."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        try:
            os.kill(self.pid, signal.SIGCONT)
        except ProcessLookupError:
            return

    def _failed(self, what: str) -> ProgramFailed:
        tail = self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace") if self.log.exists() else ""
        return ProgramFailed(f"{self.log.stem} {what}\n{tail}")


async def _held(condition: Callable[[], object]) -> bool:
    seen = condition()
    if asyncio.iscoroutine(seen):
        seen = await seen
    return bool(seen)
