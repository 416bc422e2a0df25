"""Very many resources: how long a gateway needs to get ready, and what an edit costs those who call meanwhile."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from chaos.callers import Line, calling, line_to_each_worker
from chaos.instance import InstanceEdits, instance_edits
from chaos.probe import FILE
from chaos.stack import Node, Stack, Workspace, standing
from shared.models.api_key import ApiKey
from shared.models.config import Config
from shared.models.noun import Kind, Noun
from shared.protocol.resource import workspace_shard

WORKSPACES = 10
CONFIGS_SHARE = 10
"""One resource in so many is a config; the others are API keys."""
CALLERS = 8
CHANGED = 1_000
"""By the greater of the two edits."""
LOOK_S = 0.005
CALLBACK_MS_MAX = 10.0
"""The goal."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one edit, to those who call meanwhile."""

    applied_s: float
    """From the commit until every worker serves it."""
    longest_wait_ms: float
    """Of a request that only asks whether the worker lives."""
    longest_callback_ms: float
    """CPU time on a worker's event loop."""
    callback: str


@asynccontextmanager
async def standing_stack(folder: Path) -> AsyncIterator[Stack]:
    """One gateway, on event loops that say what takes long."""
    async with standing(folder, workspaces=WORKSPACES, gateway_module="chaos.probe") as stack:
        yield stack


async def measure(stack: Stack, resources: int) -> bool:
    """Prints as it goes. Whether no call failed."""
    (node,) = stack.nodes
    began_s = time.monotonic()
    async with instance_edits(stack) as edits:
        for workspace in stack.workspaces:
            count = resources // len(stack.workspaces)
            nouns = [_noun(workspace, number, "first") for number in range(count)]
            for kind in (Kind.CONFIG, Kind.API_KEY):
                of_kind = [noun for noun in nouns if isinstance(noun, _TYPES[kind])]
                await edits.put(stack.organisation, workspace_shard(workspace.id), kind, of_kind)
        print(f"{resources} resources are written ({time.monotonic() - began_s:.1f} s)", flush=True)
        await stack.at_rest()
        print(f"the running node has them all ({time.monotonic() - began_s:.1f} s)", flush=True)

        print(f"cold start from its own disk: ready after {await _restarted(node):.2f} s", flush=True)
        fresh_s = await _timed(lambda: _fresh_node(stack))
        print(f"cold start of a new node, all from the control plane: ready after {fresh_s:.2f} s", flush=True)
        await stack.nodes.pop().program.stop()

        async with calling(stack.nodes, stack.workspaces[0].api_key, callers=CALLERS) as load:
            idle = await _cost(node, lambda: asyncio.sleep(3.0))
            print(f"no edit: {_told(idle)}", flush=True)
            for count in (1, CHANGED):
                cost = await _cost(node, lambda: _edit(stack, node, edits, count))  # noqa: B023 - awaited right here
                print(f"an edit of {count} under load: applied after {cost.applied_s:.2f} s; {_told(cost)}", flush=True)
        print(f"{load.calls} calls, {len(load.failed)} failed")
    return not load.failed


async def _edit(stack: Stack, node: Node, edits: InstanceEdits, count: int) -> None:
    workspace = stack.workspaces[1]
    shard = workspace_shard(workspace.id)
    changed = [_noun(workspace, number, "second") for number in range(1, count + 1) if number % CONFIGS_SHARE]
    revision = await edits.put(stack.organisation, shard, Kind.API_KEY, changed)
    while not node.serves(shard, revision):  # noqa: ASYNC110 - workers say it in files
        await asyncio.sleep(LOOK_S)


async def _cost(node: Node, act: Callable[[], Awaitable[None]]) -> Cost:
    """Of what `act` does, as seen on a line to each worker."""
    lines = await line_to_each_worker(node)
    stop = asyncio.Event()
    waits = [asyncio.create_task(_longest_wait_ms(line, stop)) for line in lines.values()]
    began_s = time.monotonic()
    await act()
    ended_s = time.monotonic()
    stop.set()
    longest_ms = max(await asyncio.gather(*waits))
    for line in lines.values():
        await line.close()
    ms, name = _longest_callback(node, began_s, ended_s)
    return Cost(ended_s - began_s, longest_ms, ms, name)


async def _longest_wait_ms(line: Line, stop: asyncio.Event) -> float:
    longest_s = 0.0
    while not stop.is_set():
        began_s = time.monotonic()
        await line.ask(b"GET /livez HTTP/1.1\r\nhost: gateway.test\r\n\r\n")
        longest_s = max(longest_s, time.monotonic() - began_s)
        await asyncio.sleep(LOOK_S)
    return longest_s * 1000


def _longest_callback(node: Node, began_s: float, ended_s: float) -> tuple[float, str]:
    """On the loops of the node's workers in that time, with what it was."""
    told = []
    for pid in node.workers().values():
        path = node.folder / FILE.format(pid=pid)
        rows = map(orjson.loads, path.read_bytes().splitlines() if path.exists() else [])
        told += [(row["ms"], row["name"]) for row in rows if began_s <= row["at_s"] <= ended_s]
    return max(told, default=(0.0, "none"))


def _told(cost: Cost) -> str:
    over = "" if cost.longest_callback_ms <= CALLBACK_MS_MAX else f", over the goal of {CALLBACK_MS_MAX:g} ms"
    return (
        f"a request waited {cost.longest_wait_ms:.1f} ms at most;"
        f" the longest callback took {cost.longest_callback_ms:.1f} ms of CPU ({cost.callback}){over}"
    )


async def _restarted(node: Node) -> float:
    await node.program.stop()
    return await _timed(lambda: _started(node))


async def _fresh_node(stack: Stack) -> None:
    await _started(await stack.node(stack.nodes[0].gateway, redis_url=None), launch=False)


async def _started(node: Node, *, launch: bool = True) -> None:
    """Until every worker has something to serve."""
    if launch:
        node.program.launch()
    await node.program.ready()
    await node.program.until(lambda: len(node.reports()) >= node.workers_wanted)


async def _timed(act: Callable[[], Awaitable[None]]) -> float:
    began_s = time.monotonic()
    await act()
    return time.monotonic() - began_s


_TYPES: dict[Kind, type[Noun]] = {Kind.CONFIG: Config, Kind.API_KEY: ApiKey}


def _noun(workspace: Workspace, number: int, name: str) -> Noun:
    if number % CONFIGS_SHARE == 0:
        body = {"virtual_key": "simulator", "override_params": {"user": f"{name}-{number}"}}
        slug = f"config-{number}"
        return Config(id=f"{workspace.id}-{slug}", workspace=workspace.id, slug=slug, name=name, body=body)
    text = hashlib.sha256(f"{workspace.id} {number} {name}".encode()).hexdigest()
    return ApiKey(
        id=f"{workspace.id}-key-{number}", workspace=workspace.id, name=name, hash=text, default_config="default"
    )
