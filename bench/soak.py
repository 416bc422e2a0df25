"""Minutes of mixed load, and whether memory grows with them."""

import asyncio
import time
from collections.abc import Mapping

from bench import accounting, goals, report, source
from bench.gateway import roles
from bench.measure import Shape
from bench.report import MB, Outcome, Table
from bench.rounds import Case, Scale, once
from bench.stack import Stack
from bench.workloads import COUNTED, STREAM

RATE = 300
STREAMS = 16
BURST = 1_000
"""Calls at once, before anything counts. A process keeps the room that its most calls at once have taken, and the agent
that of its largest batch: without this, each moment with a longer queue than any before would look like a leak."""
BURST_S = 10.0
BURST_DRAIN_S = 30.0
LOOKS = 120
WHOLE = "all"
WARM_SHARE = 0.2
"""Of the time, before growth counts: pools, buffers and the allocator fill up first."""


async def run(stack: Stack, scale: Scale) -> Outcome:
    """Calls at a fixed rate, each another, so that every one is kept in the cache; and streams beside them."""
    gateway, cached = stack.gateway, stack.configured("cached", source.CACHED)
    length_s = scale.soak_s
    assert gateway.pid is not None
    processes = roles(gateway.pid, stack.state)
    before = _held(processes)
    shape = Shape(BURST, warm_s=0.0, measure_s=min(BURST_S, length_s), drain_s=BURST_DRAIN_S)
    burst = await once(stack, Case("burst", cached, COUNTED, shape))
    cases = [
        Case("calls", cached, COUNTED, Shape(rate=RATE, warm_s=0.0, measure_s=length_s)),
        Case("streams", gateway, STREAM, Shape(STREAMS, warm_s=0.0, measure_s=length_s)),
    ]
    loads = [asyncio.create_task(once(stack, case)) for case in cases]
    began_s, at_s, looks = time.monotonic(), list[float](), list[dict[str, float]]()
    while (passed_s := time.monotonic() - began_s) < length_s and not any(load.done() for load in loads):
        looks.append(_held(processes))
        at_s.append(passed_s)
        await asyncio.sleep(length_s / LOOKS)
    calls, streams = await asyncio.gather(*loads)
    first = next(number for number, at in enumerate(at_s) if at >= length_s * WARM_SHARE)
    rows: list[tuple[str, ...]] = []
    beyond = 0.0
    for role in before:
        sizes = [look[role] for look in looks]
        grows, error = (figure * 60 / 1_000 for figure in report.slope(at_s[first:], sizes[first:]))
        beyond = max(0.0, grows - 2 * error)
        marks = (f"{size / MB:.1f}" for size in (before[role], sizes[0], sizes[first], sizes[-1]))
        rows.append((role, *marks, f"{grows:+.1f}", f"{2 * error:.1f}"))
    failed = report.failed((burst, calls, streams))
    notes = (
        f"{length_s / 60:.1f} min: {calls.calls:,} calls, {streams.calls:,} streams, {failed} errors.",
        f"Before them {burst.calls:,} calls, {BURST:,} at once.",
        f"Growth: after the first {WARM_SHARE:.0%}.",
    )
    headings = ("process", "RSS MB before", "behind the burst", "warm", "after", "KB/min", "+-")
    table = Table("Memory under load", headings, rows, words=1, notes=notes)
    return Outcome([table], {goals.GROWTH.name: beyond}, failed)


def _held(processes: Mapping[int, str]) -> dict[str, float]:
    """Bytes of RSS by role, and last of all together."""
    held = dict.fromkeys(processes.values(), 0.0)
    for pid, role in processes.items():
        held[role] += accounting.memory(pid).rss_bytes
    return {**held, WHOLE: sum(held.values())}
