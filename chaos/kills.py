"""Parts of both planes are killed at random while writers edit and callers call; then everything is counted."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass

from chaos import kernel
from chaos.callers import Ended, calling
from chaos.program import Program
from chaos.stack import Node, Stack
from chaos.writers import Ledger, Reckoning, reckon, write

WRITERS = 4
CALLERS = 10
"""At each node."""
PAUSE_S = 0.3, 2.0
"""Between two kills: at least, at most."""
SYNC_VICTIMS = ("agent", "control_plane", "postgres", "redis", "worker")
AWAY_S_MAX = 2.0
"""How long what nobody restarts by itself stays away."""


@dataclass(frozen=True, slots=True)
class Kill:
    at_s: float
    what: str
    connections: frozenset[int] = frozenset()
    """Of a worker: the callers' ports of the connections it held."""


@dataclass(frozen=True, slots=True)
class Outcome:
    kills: list[Kill]
    calls: int
    edits: int
    """Acknowledged ones."""
    in_flight: list[Ended]
    """Calls on killed workers, which cannot end well."""
    failed: list[Ended]
    """All others that ended badly."""
    reckoning: Reckoning

    @property
    def good(self) -> bool:
        return not (self.reckoning.lost or self.reckoning.unordered or self.reckoning.twice or self.failed)


class Killer:
    """`chance` decides what dies when; two with the same seed choose the same, though not what was under way."""

    def __init__(self, stack: Stack, chance: random.Random) -> None:
        self._stack = stack
        self._chance = chance
        self._began_s = time.monotonic()
        self.kills: list[Kill] = []

    async def run(self, duration_s: float) -> None:
        """Kill for so long, one after the other, and leave everything running. Each victim is equally likely."""
        while time.monotonic() < self._began_s + duration_s:
            await self.kill_one(SYNC_VICTIMS)

    async def kill_one(self, victims: Sequence[str]) -> None:
        """`worker`, `agent`, or the name of a program of the stack."""
        await asyncio.sleep(self._chance.uniform(*PAUSE_S))
        victim = self._chance.choice(victims)
        if victim == "worker":
            await self._worker()
        elif victim == "agent":
            await self._agent()
        else:
            await self._program(victim)

    async def _program(self, name: str) -> None:
        program: Program = self._stack.programs[name]
        self._note(name)
        await program.kill()
        await asyncio.sleep(self._chance.uniform(0, AWAY_S_MAX))
        await program.start()

    async def _worker(self) -> None:
        node = self._chance.choice(self._stack.nodes)
        name, victim = self._chance.choice(sorted(node.workers().items()))
        # It stands still first, so that no call comes to it between the look and the kill.
        os.kill(victim, signal.SIGSTOP)
        self._note(f"{node.name} {name}", frozenset(kernel.callers_of(victim, node.port)))
        os.kill(victim, signal.SIGKILL)
        await self._replaced(node, name, victim)

    async def _agent(self) -> None:
        node = self._chance.choice(self._stack.nodes)
        victim = node.children()["agent"]
        self._note(f"{node.name} agent")
        os.kill(victim, signal.SIGKILL)
        await self._replaced(node, "agent", victim)

    async def _replaced(self, node: Node, name: str, victim: int) -> None:
        await node.program.until(lambda: node.children().get(name, victim) != victim)

    def _note(self, what: str, connections: frozenset[int] = frozenset()) -> None:
        self.kills.append(Kill(time.monotonic() - self._began_s, what, connections))


async def provoke(stack: Stack, duration_s: float, chance: random.Random) -> Outcome:
    """Raises ProgramFailed if a part does not come back, or a node never comes to rest."""
    ledger, stopping = Ledger(), asyncio.Event()
    killer = Killer(stack, chance)
    async with calling(stack.nodes, stack.workspaces[0].api_key, callers=CALLERS) as load:
        writing = asyncio.create_task(write(stack, ledger, writers=WRITERS, edits=None, stopping=stopping))
        try:
            await killer.run(duration_s)
        finally:
            stopping.set()
            await writing
        await load.reach(10 * CALLERS)
    await stack.at_rest()
    held = {port for kill in killer.kills for port in kill.connections}
    return Outcome(
        kills=killer.kills,
        calls=load.calls,
        edits=len(ledger.acknowledged),
        in_flight=[ended for ended in load.failed if ended.connection in held],
        failed=[ended for ended in load.failed if ended.connection not in held],
        reckoning=await reckon(stack, ledger),
    )


def in_flight_line(kills: Sequence[Kill], in_flight: Sequence[Ended]) -> str:
    workers = ", ".join(
        f"{kill.what} at {kill.at_s:.1f} s: {sum(ended.connection in kill.connections for ended in in_flight)}"
        for kill in kills
        if kill.connections
    )
    return f"{len(in_flight)} calls were in flight on killed workers ({workers or 'none was killed'})"


def lines(outcome: Outcome) -> list[str]:
    """What a person reads: what went wrong, then the two lines that every provocation ends with."""
    reckoning = outcome.reckoning
    told = [f"failed: {ended.what}" for ended in outcome.failed]
    told += [*(f"lost: {text}" for text in (*reckoning.lost, *reckoning.unordered))]
    told += [*(f"twice: {text}" for text in reckoning.twice)]
    told.append(f"{outcome.edits} edits were acknowledged, {outcome.calls} calls ended")
    told.append(in_flight_line(outcome.kills, outcome.in_flight))
    lost, twice = len(reckoning.lost) + len(reckoning.unordered), len(reckoning.twice)
    told.append(f"{len(outcome.kills)} kills: {lost} lost, {twice} twice, {len(outcome.failed)} failed")
    return told
