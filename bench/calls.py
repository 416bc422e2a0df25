"""Calls as fast as they are answered, on 64 connections: what one costs in CPU, and so how many one core can do."""

from collections.abc import Sequence
from math import isfinite

from bench import accounting, goals, report
from bench.measure import Result, Shape
from bench.peers import LITELLM, PORTKEY
from bench.report import MB, NOTHING, Outcome, Table
from bench.rounds import Case, Scale, answering, interleaved
from bench.stack import AIOHTTP, DIRECT, GATEWAY, NGINX, Stack, System
from bench.workloads import EMBEDDINGS, LARGE, SMALL, Workload

CONNECTIONS = 64
HEADINGS = (
    "workload",
    "system",
    "CPU µs/call",
    "best",
    "calls/s of a core",
    "x aiohttp",
    "x nginx",
    "calls/s seen",
    "p50 ms",
    "p99 ms",
    "errors",
    "RSS MB idle",
    "after",
    "core taken by others",
)
RATIOS = {
    (SMALL.name, AIOHTTP): goals.RATIO_AIOHTTP,
    (SMALL.name, NGINX): goals.RATIO_NGINX,
    (LARGE.name, NGINX): goals.RATIO_NGINX_LARGE,
    (SMALL.name, PORTKEY): goals.RATIO_PORTKEY,
    (SMALL.name, LITELLM): goals.RATIO_LITELLM,
}
"""Which goal is about the gateway beside whom, and with what."""


async def run(stack: Stack, scale: Scale, workloads: Sequence[Workload] = (SMALL, LARGE, EMBEDDINGS)) -> Outcome:
    """The first call of each system is checked before any is measured."""
    idle = {system.name: _rss_bytes(system) for system in stack.systems.values()}
    shape = Shape(CONNECTIONS, measure_s=scale.measure_s)
    rows: list[tuple[str, ...]] = []
    figures: dict[str, float] = {}
    left_out: list[str] = []
    errors = 0
    for workload in workloads:
        systems, silent = await answering(stack, workload)
        left_out += silent
        cases = [Case(system.name, system, workload, shape) for system in systems]
        results = await interleaved(stack, cases, scale.rounds)
        for system in systems:
            name = system.name
            memory = NOTHING if system.pid is None else f"{idle[name] / MB:.0f}"
            after = NOTHING if system.pid is None else f"{_rss_bytes(system) / MB:.0f}"
            rows.append(_row(workload, name, results, memory, after))
            goal = RATIOS.get((workload.name, name))
            ratio = None if goal is None else report.ratio(results[name], results[GATEWAY], workload)
            if goal is not None and ratio is not None:
                figures[goal.name] = ratio
            if not any(result.answers for result in results[name]):
                left_out.append(f"{name}, {workload.name}: no answer came within the time measured.")
        errors += report.failed_in_all(results)
    notes = (
        f"{CONNECTIONS} connections, medians of {scale.rounds} rounds, CPU of the whole process tree.",
        "Calls/s of a core: 1,000,000 / CPU µs of a call.",
        *left_out,
    )
    return Outcome([Table("Calls", HEADINGS, rows, notes=notes)], figures, errors)


def _row(workload: Workload, name: str, results: dict[str, list[Result]], idle: str, after: str) -> tuple[str, ...]:
    rounds = results[name]
    cost = report.cost(rounds, workload)
    best = min(report.cpu_us(result, workload) for result in rounds)
    measured = name != DIRECT
    beside = (
        report.two_places(report.ratio(results[base], rounds, workload)) if base in results and measured else NOTHING
        for base in (AIOHTTP, NGINX)
    )
    return (
        workload.name,
        name,
        f"{cost:.1f}" if measured and isfinite(cost) else NOTHING,
        f"{best:.1f}" if measured and isfinite(best) else NOTHING,
        f"{1e6 / cost:,.0f}" if measured and cost else NOTHING,
        *beside,
        f"{report.observed(rounds, workload):,.0f}",
        report.two_places(report.ms(rounds, lambda result: result.latency, "p50")),
        report.two_places(report.ms(rounds, lambda result: result.latency, "p99")),
        str(report.failed(rounds)),
        idle,
        after,
        report.foreign(rounds),
    )


def _rss_bytes(system: System) -> int:
    return 0 if system.pid is None else accounting.usage(system.pid).rss_bytes
