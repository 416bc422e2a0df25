"""Minutes of mixed load, and whether memory grows with them."""

import asyncio
import time

from bench import accounting, goals, report, source
from bench.measure import Shape
from bench.report import MB, Outcome, Table
from bench.rounds import Case, Scale, once
from bench.stack import Stack
from bench.workloads import COUNTED, STREAM

RATE = 300
STREAMS = 16
LOOKS = 120
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
    began_s, at_s, held = time.monotonic(), list[float](), list[float]()
    while (passed_s := time.monotonic() - began_s) < length_s and not any(load.done() for load in loads):
        at_s.append(passed_s)
        held.append(float(accounting.usage(gateway.pid).rss_bytes))
        await asyncio.sleep(length_s / LOOKS)
    results = await asyncio.gather(*loads)
    first = next(number for number, at in enumerate(at_s) if at >= length_s * WARM_SHARE)
    grows, error = (figure * 60 / 1_000 for figure in report.slope(at_s[first:], held[first:]))
    calls, streams = results
    row = (
        f"{length_s / 60:.1f}",
        f"{calls.calls:,}",
        f"{streams.calls:,}",
        f"{held[0] / MB:.1f}",
        f"{held[first] / MB:.1f}",
        f"{held[-1] / MB:.1f}",
        f"{grows:+.1f}",
        f"{2 * error:.1f}",
        str(report.failed(results)),
    )
    headings = ("minutes", "calls", "streams", "RSS MB before", "warm", "after", "KB/min", "+-", "errors")
    table = Table("Memory under load", headings, [row], words=0, notes=(f"Growth: after the first {WARM_SHARE:.0%}.",))
    return Outcome([table], {goals.GROWTH.name: max(0.0, grows - 2 * error)}, report.failed(results))
