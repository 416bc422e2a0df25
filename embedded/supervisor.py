"""Runs parts in order, keeps them running, does what the control socket asks, and stops them in reverse order."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from embedded.child import kill_stranger, started_at
from embedded.keeper import Keeper, PartFailed
from embedded.part import Part
from embedded.state import StateFolder, write_private
from shared.clock import Clock


class Supervisor:
    def __init__(self, state: StateFolder, clock: Clock, report: Callable[[str], None]) -> None:
        """`state` is prepared and locked; `report` gets a line for people."""
        self._state = state
        self._clock = clock
        self._report = report
        self._keepers: dict[str, Keeper] = {}
        self._launched_s: dict[str, float] = {}
        self.stopping = asyncio.Event()

    async def start(self, part: Part) -> None:
        """Start a part and wait until it is ready. Raises PartFailed."""
        self.launch(part)
        await self.ready(part.name)

    def launch(self, part: Part) -> None:
        """Start a part without waiting for it."""
        keeper = Keeper(
            part,
            self._state.logs / f"{part.name}.log",
            clock=self._clock,
            report=self._report,
            moved=self._remember,
        )
        self._keepers[part.name] = keeper
        self._launched_s[part.name] = self._clock.monotonic_s()
        keeper.launch()

    async def ready(self, name: str, condition: Callable[[], Awaitable[bool]] | None = None) -> None:
        """Wait until a launched part is ready, and say how long that took. Raises PartFailed.

        `condition` takes the place of the part's own for this once.
        """
        keeper = self._keepers[name]
        await keeper.until(condition or keeper.part.ready)
        self._report(f"{name} … ready ({self._clock.monotonic_s() - self._launched_s[name]:.1f} s)")

    async def stop(self) -> None:
        # First, so that nobody takes for ready what is stopping.
        self._state.run_json.unlink(missing_ok=True)
        for keeper in reversed(self._keepers.values()):
            await keeper.stop()
        forget(self._state)

    async def answer(self, request: Any) -> dict[str, Any]:
        """Do what the control socket was asked. `error` in the answer says why it was not done."""
        match request:
            case {"do": "status"}:
                return {"parts": [keeper.status() for keeper in self._keepers.values()]}
            case {"do": "stop"}:
                self.stopping.set()
                return {}
            case {"do": "hold" | "release" as verb, "part": str(name)}:
                keeper = self._keepers.get(name)
                if keeper is None:
                    return {"error": f"no part {name!r}; there are: {', '.join(self._keepers)}"}
                try:
                    await (keeper.hold() if verb == "hold" else keeper.release())
                except PartFailed as failure:
                    return {"error": str(failure)}
                return keeper.status()
        return {"error": "not understood"}

    def _remember(self) -> None:
        """Write down which processes are ours, with the moment each started."""
        rows = [
            {"part": name, "pid": keeper.pid, "started": started_at(keeper.pid)}
            for name, keeper in self._keepers.items()
            if keeper.pid is not None
        ]
        write_private(self._state.parts_json, orjson.dumps(rows))


def clear_up(state: StateFolder, report: Callable[[str], None]) -> None:
    """Undo what a supervisor that was killed left behind. Who calls holds the lock: that supervisor is gone."""
    if state.parts_json.exists():
        for part in orjson.loads(state.parts_json.read_bytes()):
            if kill_stranger(part["pid"], part["started"]):
                report(f"{part['part']} of an earlier run was still there (process {part['pid']}); ended it")
    forget(state)


def forget(state: StateFolder) -> None:
    """Remove what says that something runs."""
    for path in (state.run_json, state.parts_json, state.control_socket):
        path.unlink(missing_ok=True)
