"""Minutes of mixed load, and whether memory grows with them."""

import asyncio
import time

from bench import accounting, goals, report, source
from bench.gateway import roles
from bench.measure import Shape
from bench.report import MB, Outcome, Table
from bench.rounds import Case, Scale, once
from bench.stack import Stack
from bench.workloads import COUNTED, STREAM

RATE = 300
STREAMS = 16
LOOKS = 120
WHOLE = "all"
WARM_SHARE = 0.2
"""Of the time, before growth counts: pools, buffers and the allocator fill up first."""


async def run(stack: Stack, scale: Scale) -> Outcome:
    """Calls at a fixed rate, each another, so that every one is kept in the cache; and streams beside them."""
    gateway, cached = stack.gateway, stack.configured("cached", source.CACHED)
    length_s = scale.soak_s
    cases = [
        Case("calls", cached, COUNTED, Shape(rate=RATE, warm_s=0.0, measure_s=length_s)),
        Case("streams", gateway, STREAM, Shape(STREAMS, warm_s=0.0, measure_s=length_s)),
    ]
    loads = [asyncio.create_task(once(stack, case)) for case in cases]
    assert gateway.pid is not None
    processes = roles(gateway.pid, stack.state)
    began_s, at_s = time.monotonic(), list[float]()
    held: dict[str, list[float]] = {role: [] for role in (*processes.values(), WHOLE)}
    while (passed_s := time.monotonic() - began_s) < length_s and not any(load.done() for load in loads):
        for sizes in held.values():
            sizes.append(0.0)
        for pid, role in processes.items():
            size = accounting.memory(pid).rss_bytes
            held[role][-1] += size
            held[WHOLE][-1] += size
        at_s.append(passed_s)
        await asyncio.sleep(length_s / LOOKS)
    results = await asyncio.gather(*loads)
    first = next(number for number, at in enumerate(at_s) if at >= length_s * WARM_SHARE)
    rows: list[tuple[str, ...]] = []
    beyond = 0.0
    for role, sizes in held.items():
        grows, error = (figure * 60 / 1_000 for figure in report.slope(at_s[first:], sizes[first:]))
        beyond = max(0.0, grows - 2 * error)
        marks = (f"{size / MB:.1f}" for size in (sizes[0], sizes[first], sizes[-1]))
        rows.append((role, *marks, f"{grows:+.1f}", f"{2 * error:.1f}"))
    calls, streams = results
    notes = (
        f"{length_s / 60:.1f} min: {calls.calls:,} calls, {streams.calls:,} streams, {report.failed(results)} errors.",
        f"Growth: after the first {WARM_SHARE:.0%}.",
    )
    headings = ("process", "RSS MB before", "warm", "after", "KB/min", "+-")
    table = Table("Memory under load", headings, rows, words=1, notes=notes)
    return Outcome([table], {goals.GROWTH.name: beyond}, report.failed(results))
