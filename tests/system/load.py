"""Callers who call without a pause, each on a connection of its own, and who remember how each call ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.fixtures.stack import Stack, chat
from tests.fixtures.wire import Broken, Wire

CALLERS = 40


@dataclass(frozen=True, slots=True)
class Outcome:
    connection: int
    """The caller's port."""
    status: int | None
    """None: the connection broke before the answer was whole."""


class Load:
    """`outcomes` grows while it runs. A connection that broke is replaced by a new one, at once."""

    def __init__(self, stack: Stack, model: str) -> None:
        self.outcomes: list[Outcome] = []
        self._stack = stack
        self._body = chat(model=model)
        self._open: set[Wire] = set()
        self._stopping = False

    @property
    def failures(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.status != 200]

    def connections_by_worker(self) -> dict[int, set[int]]:
        """The open connections as the kernel says who holds them, by the worker's process id."""
        owners = {wire.local_port: self._stack.owner_of(wire) for wire in self._open}
        return {pid: {port for port, owner in owners.items() if owner == pid} for pid in self._stack.workers().values()}

    async def reach(self, calls: int) -> None:
        """Wait until so many calls more have ended."""
        wanted = len(self.outcomes) + calls
        await self._stack.wait_until(lambda: len(self.outcomes) >= wanted)

    async def one_caller(self) -> None:
        while not self._stopping:
            async with await Wire.open(self._stack.port) as wire:
                self._open.add(wire)
                try:
                    while not self._stopping:
                        reply = await wire.post("/v1/chat/completions", self._body, self._stack.authorization)
                        self.outcomes.append(Outcome(wire.local_port, reply.status))
                except Broken:
                    self.outcomes.append(Outcome(wire.local_port, None))
                finally:
                    self._open.discard(wire)

    def stop(self) -> None:
        """Each caller ends with the call it is in."""
        self._stopping = True


@asynccontextmanager
async def under_load(stack: Stack, model: str = "sim-slow-50") -> AsyncIterator[Load]:
    """Load that runs, with every caller's first call done; at the end every call has ended."""
    load = Load(stack, model)
    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(load.one_caller())
        await load.reach(2 * CALLERS)
        try:
            yield load
        finally:
            load.stop()
