"""How long edits take until they are in effect on every worker of every node: configs, keys, prices."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from http import HTTPStatus
from pathlib import Path

from chaos.blocked import without_watch
from chaos.callers import Line, line_to_each_worker, post
from chaos.instance import InstanceEdits, instance_edits
from chaos.stack import Stack, chat, free_ports, standing
from control_plane.catalogue import catalogue
from control_plane.data_keys import INSTANCE
from control_plane.known_providers import read_built_in
from embedded.api_client import Row
from embedded.ports import LOOPBACK
from shared.models.noun import Kind
from shared.models.price import Amounts, Price
from shared.protocol.resource import GLOBAL_SHARD

LOOK_S = 0.01
EFFECT_S_MAX = 120.0
"""A hang guard."""
CALLED = ("config", "key", "revoked key")
"""Kinds of edit that show in how a call ends."""
KINDS = (*CALLED, "price")
SLUG = "edited"
PRICED_FROM = date(2026, 1, 1)
_STATUSES = range(430, 500)
"""Of the simulator's errors, by which a config is told from the one before."""

Effect = Callable[[], Awaitable[None]]
"""Ends when an edit is in effect."""
Lines = Sequence[Line]


@dataclass(frozen=True, slots=True)
class Took:
    what: str
    seconds: float
    """From the control plane's answer on."""


class Edits:
    """Edits a stack and sees each of them come into effect. What is to be changed or revoked is there when it opens."""

    def __init__(self, stack: Stack, instance: InstanceEdits, rounds: int, lines: Mapping[str, Lines]) -> None:
        """`lines`: for each kind of edit one to every worker, since a line carries one call at a time."""
        self._stack = stack
        self._instance = instance
        self._rounds = rounds
        self._lines = lines
        self._workspace = stack.workspaces[0]
        self._models = list(catalogue.load(read_built_in()).travelling().values())
        self._doomed: list[Row] = []
        self.took: list[Took] = []

    async def prepare(self) -> None:
        await self._stack.api.post(f"{self._workspace.path}/configs", {"slug": SLUG, "name": "Edited", **_config(-1)})
        for _ in range(self._rounds):
            self._doomed.append(await self._new_key())
        await self._stack.at_rest()

    async def round(self, number: int) -> None:
        """One edit of each kind, at once. Raises TimeoutError if one never is in effect."""
        await asyncio.gather(
            self._timed("config", self._change_config, number),
            self._timed("key", self._make_key, number),
            self._timed("revoked key", self._revoke_key, number),
            self._timed("price", self._change_price, number),
        )

    async def _timed(self, what: str, edit: Callable[[int], Awaitable[Effect]], number: int) -> None:
        in_effect = await edit(number)
        began_s = time.monotonic()
        async with asyncio.timeout(EFFECT_S_MAX):
            await in_effect()
        self.took.append(Took(what, time.monotonic() - began_s))

    async def _change_config(self, number: int) -> Effect:
        body = _config(number)
        await self._stack.api.patch(f"{self._workspace.path}/configs/{SLUG}", body)
        call = post(self._workspace.api_key, chat(), x_portkey_config=SLUG)
        return partial(self._everywhere, "config", call, _status(number))

    async def _make_key(self, _: int) -> Effect:
        made = await self._new_key()
        return partial(self._everywhere, "key", post(made["key"], chat()), HTTPStatus.OK)

    async def _revoke_key(self, number: int) -> Effect:
        doomed = self._doomed[number]
        await self._stack.api.delete(f"{self._workspace.path}/api-keys/{doomed['id']}")
        return partial(self._everywhere, "revoked key", post(doomed["key"], chat()), HTTPStatus.UNAUTHORIZED)

    async def _change_price(self, number: int) -> Effect:
        """As a newer build's catalogue would bring it: people have no road to the catalogue."""
        amounts = Amounts(input_usd_per_mtok=str(number + 1))
        price = Price(valid_from=PRICED_FROM, amounts=amounts)
        changed = self._models[number].model_copy(update={"prices": (price,)})
        revision = await self._instance.put(INSTANCE, GLOBAL_SHARD, Kind.MODEL, [changed])
        return partial(self._served, GLOBAL_SHARD, revision)

    async def _new_key(self) -> Row:
        body = {"name": "New", "default_config": "default"}
        return await self._stack.api.post(f"{self._workspace.path}/api-keys", body)

    async def _everywhere(self, what: str, call: bytes, status: int) -> None:
        """Until the call ends with this status on every worker."""
        await asyncio.gather(*(_until(line, call, status) for line in self._lines[what]))

    async def _served(self, shard: str, revision: int) -> None:
        while not all(node.serves(shard, revision) for node in self._stack.nodes):  # noqa: ASYNC110 - seen in files
            await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def standing_stack(folder: Path, *, watched: bool) -> AsyncIterator[Stack]:
    """Three gateways; `watched` or on a road on which no watch passes."""
    if watched:
        async with standing(folder, gateways=3) as stack:
            yield stack
        return
    blocked_port, control_plane_port = free_ports(2)
    async with (
        without_watch(blocked_port, f"http://{LOOPBACK}:{control_plane_port}") as road,
        standing(
            folder,
            gateways=3,
            gateway_settings={"control_plane_url": road},
            # What the enrolment names as its address is the blocked road too, or nodes would find the open one.
            control_plane_settings={"public_url": road},
            control_plane_port=control_plane_port,
        ) as stack,
    ):
        yield stack


async def measure(stack: Stack, *, edits: int, pause_s_max: float, chance: random.Random) -> list[Took]:
    """So many edits, a few at once, with pauses in between."""
    rounds = edits // len(KINDS)
    async with AsyncExitStack() as ending:
        instance = await ending.enter_async_context(instance_edits(stack))
        lines: dict[str, list[Line]] = {what: [] for what in CALLED}
        for node in stack.nodes:
            for what in CALLED:
                for line in (await line_to_each_worker(node)).values():
                    ending.push_async_callback(line.close)
                    lines[what].append(line)
        editing = Edits(stack, instance, rounds, lines)
        await editing.prepare()
        for number in range(rounds):
            await asyncio.sleep(chance.uniform(0, pause_s_max))
            await editing.round(number)
        return editing.took


def lines(took: Sequence[Took]) -> list[str]:
    """A line for each kind of edit, and one for all."""
    told = [(what, sorted(one.seconds for one in took if one.what == what)) for what in KINDS]
    told.append(("all", sorted(one.seconds for one in took)))
    return [
        f"{what}: {len(seconds)} edits in effect on every worker, p50 {_at(seconds, 0.5):.2f} s,"
        f" p99 {_at(seconds, 0.99):.2f} s, longest {seconds[-1]:.2f} s"
        for what, seconds in told
        if seconds
    ]


def _at(seconds: Sequence[float], share: float) -> float:
    """The value that this share of all does not exceed."""
    return seconds[min(len(seconds) - 1, round(share * len(seconds)))]


def _config(number: int) -> Row:
    """A config's body: calls go to a model that fails with a status of its own."""
    return {"body": {"virtual_key": "simulator", "override_params": {"model": f"sim-error-{_status(number)}"}}}


def _status(number: int) -> int:
    return _STATUSES[(number + 1) % len(_STATUSES)]


async def _until(line: Line, call: bytes, status: int) -> None:
    while (await line.ask(call)).status != status:  # noqa: ASYNC110 - what is waited for shows only to who calls
        await asyncio.sleep(LOOK_S)
