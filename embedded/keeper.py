"""Keeps one part running: starts it, starts it again when it dies, holds it down when asked."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

from embedded.child import Child
from embedded.part import Part
from shared.clock import Clock

POLL_S = 0.05
STEADY_S = 30.0
"""A part that ran this long has its earlier deaths forgiven."""
PAUSE_S_MIN = 0.2
PAUSE_S_MAX = 10.0
WORD_EVERY_S = 5.0
LOG_TAIL_LINES = 15
LOG_TAIL_CHARACTERS = 300
"""Of each line."""


class PartFailed(Exception):
    """A part that was to start ended, or stayed unready. The text names it and ends with the tail of its log."""


class State(StrEnum):
    RUNNING = "running"
    HELD = "held"
    DOWN = "down"
    """Not started yet, or dead and about to be started again."""


def pause_s(deaths: int) -> float:
    """How long to wait before the start that follows the n-th death in a row."""
    return min(PAUSE_S_MAX, PAUSE_S_MIN * float(2 ** min(deaths - 1, 10)))


class Keeper:
    def __init__(
        self, part: Part, log: Path, *, clock: Clock, report: Callable[[str], None], moved: Callable[[], None]
    ) -> None:
        """`report` gets a line for people; `moved` is called whenever the part's process changes."""
        self.part = part
        self._log = log
        self._clock = clock
        self._report = report
        self._moved = moved
        self._restarts = 0
        self._ended: str | None = None
        self._child: Child | None = None
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    @property
    def state(self) -> State:
        if self._task is not None and not self._wanted.is_set():
            return State.HELD
        return State.RUNNING if self._child else State.DOWN

    def status(self) -> dict[str, Any]:
        return {"part": self.part.name, "state": self.state, "pid": self.pid, "restarts": self._restarts}

    def launch(self) -> None:
        """Start it without waiting: `ready` waits."""
        self._wanted.set()
        self._task = asyncio.create_task(self._keep(), name=f"keep {self.part.name}")

    async def ready(self) -> None:
        """Wait until it is ready. Raises PartFailed if it ends before, or is late."""
        await self.until(self.part.ready)

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait until `condition` holds. Raises PartFailed if the part ends before, or that takes too long."""
        began = self._clock.monotonic_s()
        word_due_s = WORD_EVERY_S
        while not await condition():
            waited = self._clock.monotonic_s() - began
            if self._ended is not None:
                raise PartFailed(f"{self.part.name} {self._ended}{self.log_tail()}")
            if waited >= word_due_s:
                self._report(f"{self.part.name} … not ready yet ({waited:.0f} s)")
                word_due_s += WORD_EVERY_S
            if waited > self.part.ready_s_max:
                raise PartFailed(f"{self.part.name} was not ready within {self.part.ready_s_max:g} s{self.log_tail()}")
            await asyncio.sleep(POLL_S)

    async def hold(self) -> None:
        """Stop it and keep it down until `release`."""
        self._wanted.clear()
        if self._child is not None:
            await self._child.stop(self.part.stop_s_max, self.part.stop_signal)

    async def release(self) -> None:
        """End a hold, and wait until the part is ready. Raises PartFailed."""
        self._ended = None
        self._wanted.set()
        await self.ready()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._child is not None:
            await self._child.stop(self.part.stop_s_max, self.part.stop_signal)

    def log_tail(self) -> str:
        if not self._log.exists():
            return ""
        lines = self._log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return "".join(f"\n  | {line[:LOG_TAIL_CHARACTERS]}" for line in lines) + f"\n  (all of it: {self._log})"

    async def _keep(self) -> None:
        deaths = 0
        while True:
            await self._wanted.wait()
            born = self._clock.monotonic_s()
            ended = await self._run()
            if not self._wanted.is_set():
                continue
            self._ended = ended
            self._restarts += 1
            deaths = 1 if self._clock.monotonic_s() - born >= STEADY_S else deaths + 1
            self._report(f"{self.part.name} {ended}; starting it again in {pause_s(deaths):g} s")
            await asyncio.sleep(pause_s(deaths))

    async def _run(self) -> str:
        """Run it once, to its end, and say in words how it ended."""
        try:
            self._child = Child.start(self.part.command, self.part.environment, self._log)
        except OSError as error:
            return f"could not be started: {error}"
        self._moved()
        code = await self._child.exited()
        self._child = None
        self._moved()
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
