"""Memory: of idle workers, and of a stream; and how long a gateway takes from its start to its first answer."""

import asyncio
import sys
import time
from collections.abc import Sequence
from http import HTTPStatus
from statistics import median

from bench import accounting, goals, probe, source
from bench.gateway import Node, roles
from bench.measure import Shape
from bench.report import MB, NOTHING, Outcome, Table
from bench.rounds import Scale
from bench.stack import Stack, System
from bench.workloads import SMALL, STREAM, STREAM_EVENTS, head

SETTLE_S = 2.0
"""After it is ready a worker has still to open its line to Redis, the agent its outbox."""
LOOK_S = 0.005
STREAM_MARGIN = 4
"""A stream lasts so many times as long as opening them all takes, so that the first are still open with the last."""


async def run(stack: Stack, scale: Scale) -> Outcome:
    idle_rows, figures = await _idle(stack)
    starts_s = await _cold_starts(stack, scale)
    stream_rows, stream_bytes, failed = await _stream_memory(stack, scale)
    figures |= {goals.COLD_START.name: median(starts_s), goals.SLOW_BYTES.name: stream_bytes / 1_000}
    idle = Table(
        "Idle, two workers forked before the loop starts",
        ("process", "RSS MB", "PSS MB", "private MB"),
        idle_rows,
        words=1,
        notes=("PSS: shared pages count in parts; private: what nobody else has.",),
    )
    start = Table(
        f"Start of a node with {scale.resources:,} resources on disk, to its first answered call",
        ("starts", "median s", "fastest", "slowest"),
        [(str(len(starts_s)), *(f"{pick:.2f}" for pick in (median(starts_s), min(starts_s), max(starts_s))))],
        words=0,
    )
    streams = Table(
        "Memory of streams, in a fresh gateway", ("streams open", "RSS MB", "KB a stream"), stream_rows, words=0
    )
    return Outcome([idle, start, streams], figures, failed)


async def _idle(stack: Stack) -> tuple[Sequence[tuple[str, ...]], dict[str, float]]:
    node = _node(stack, "pair", {"GATEHOUSE_WORKERS": "2"})
    async with node.started_first(_source(stack, node)) as gateway:
        await asyncio.sleep(SETTLE_S)
        held = [(role, accounting.memory(pid)) for pid, role in roles(gateway.pid, node.state).items()]
    rows = [
        (role, *(f"{size / MB:.1f}" for size in (memory.rss_bytes, memory.pss_bytes, memory.private_bytes)))
        for role, memory in held
    ]
    of_workers = [memory for role, memory in held if role == "worker"]
    return rows, {
        goals.WORKER_RSS.name: max(memory.rss_bytes for memory in of_workers) / MB,
        goals.WORKER_OWN.name: max(memory.pss_bytes for memory in of_workers) / MB,
    }


async def _cold_starts(stack: Stack, scale: Scale) -> list[float]:
    """Seconds from the process' start to the end of the first call that is answered."""
    node = _node(stack, "cold")
    async with node.started_first(_source(stack, node, scale.resources)):
        pass
    starts_s = []
    for number in range(1, scale.rounds + 1):
        async with node.started_again() as gateway:
            began_s = time.monotonic()
            answered = await _first_answer(stack, System("cold", node.port, gateway.pid))
            starts_s.append(answered - began_s)
        print(f"start {number}/{scale.rounds}: first answer after {starts_s[-1]:.2f} s", flush=True)
    return starts_s


async def _first_answer(stack: Stack, system: System) -> float:
    configured = stack.configured(system.name, source.PLAIN, system)
    request = head(SMALL, system.port, configured.headers) + SMALL.body
    async with asyncio.timeout(probe.ANSWER_S_MAX):
        while True:
            try:
                status, _ = await probe.ask(system.port, request)
            except (probe.NoAnswer, OSError):
                status = 0
            if status == HTTPStatus.OK:
                return time.monotonic()
            await asyncio.sleep(LOOK_S)


async def _stream_memory(stack: Stack, scale: Scale) -> tuple[list[tuple[str, ...]], float, int]:
    """Rows, the bytes of a stream, and how many were not whole: so many streams are opened, then as many again."""
    streams = scale.slow_streams
    gap_us = int(max(scale.slow_gap_us, scale.slow_ramp_s * STREAM_MARGIN / STREAM_EVENTS * 1e6))
    length_s = gap_us * STREAM_EVENTS / 1e6
    workload = STREAM.waiting(0, gap_us)
    node = _node(stack, "fresh", {"GATEHOUSE_RUNNING_REQUESTS_MAX": str(streams * 4)})
    shape = Shape(streams, once=True, ramp_s=scale.slow_ramp_s, measure_s=length_s * 2, drain_s=length_s * 2)
    async with node.started_first(_source(stack, node)) as gateway:
        system = stack.configured("fresh", source.PLAIN, System("fresh", node.port, gateway.pid))
        idle = accounting.usage(gateway.pid).rss_bytes
        asked = await stack.asked(system, workload)
        all_open = asyncio.Event()
        opening = asyncio.create_task(stack.load.run(asked, shape, gateway.pid, all_open.set))
        waiting = asyncio.create_task(all_open.wait())
        await asyncio.wait((opening, waiting), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        twice, one = await asyncio.gather(stack.load.run(asked, shape, gateway.pid), opening)
    whole = one.calls + twice.calls
    for fault, count in (*one.errors.items(), *twice.errors.items()):
        print(f"streams of a fresh gateway: {count} x {fault}", file=sys.stderr)
    print(f"{streams:,} and {2 * streams:,} streams open: {whole:,} whole", flush=True)
    rows: list[tuple[str, ...]] = [("0", f"{idle / MB:.1f}", NOTHING)]
    before = idle
    for number, rss_bytes in ((streams, one.began.rss_bytes), (2 * streams, twice.began.rss_bytes)):
        rows.append((f"{number:,}", f"{rss_bytes / MB:.1f}", f"{(rss_bytes - before) / streams / 1_000:.1f}"))
        before = rss_bytes
    return rows, (twice.began.rss_bytes - one.began.rss_bytes) / streams, 2 * streams - whole


def _node(stack: Stack, name: str, settings: dict[str, str] | None = None) -> Node:
    return Node.new(name, stack.folder, stack.environment, stack.redis_url, stack.place, settings)


def _source(stack: Stack, node: Node, resources: int = 0) -> str:
    return source.source(node.id, stack.upstreams, stack.keys, resources)
