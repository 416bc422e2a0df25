"""What each system adds to a call's time: alone on one connection, and at fixed rates with a slow upstream.

Rates are kept whatever is answered, and a call's time counts from when it should have begun.
"""

from bench import goals, report
from bench.measure import Result, Shape
from bench.report import Outcome, Table
from bench.rounds import Case, Scale, interleaved
from bench.stack import AIOHTTP, DIRECT, GATEWAY, NGINX, Stack, System
from bench.workloads import SMALL

UPSTREAM_US = 60_000
RATES = (500, 4_000)
AIOHTTP_RATE_MAX = 1_000
OVERLOADED = frozenset(("no answer", "status 503"))
HEADINGS = (
    "load",
    "system",
    "p50 ms",
    "p99 ms",
    "added p50 ms",
    "added p99 ms",
    "beyond nginx p50",
    "p99",
    "of its core",
    "errors",
    "core taken by others",
)
_BEYOND_NGINX = {
    ("one connection", "p50"): goals.ONE_CONNECTION,
    ("500/s", "p50"): goals.AT_500_P50,
    ("500/s", "p99"): goals.AT_500_P99,
    ("4,000/s", "p50"): goals.AT_4000_P50,
}


async def run(stack: Stack, scale: Scale, rates: tuple[int, ...] = RATES) -> Outcome:
    slow = SMALL.waiting(UPSTREAM_US, 0)
    loads = {"one connection": (SMALL, Shape(1, measure_s=scale.measure_s))}
    for rate in rates:
        loads[f"{rate:,}/s"] = (slow, Shape(rate=rate, warm_s=min(1.0, scale.measure_s), measure_s=scale.measure_s * 2))
    rows: list[tuple[str, ...]] = []
    figures: dict[str, float] = {}
    errors = 0
    for load, (workload, shape) in loads.items():
        systems = [system for system in stack.systems.values() if _keeps(system, shape.rate)]
        results = await interleaved(
            stack, [Case(system.name, system, workload, shape) for system in systems], scale.rounds
        )
        rows += [_row(load, name, results) for name in results]
        errors += sum(_wrong(result) for rounds in results.values() for result in rounds)
        for share in ("p50", "p99"):
            beyond = _beyond(results, NGINX, GATEWAY, share)
            if (goal := _BEYOND_NGINX.get((load, share))) is not None and beyond is not None:
                figures[goal.name] = beyond
    notes = (
        f"Medians of {scale.rounds} rounds' percentiles.",
        f"Rates: Poisson arrivals, upstream {UPSTREAM_US // 1000} ms, time from the intended arrival.",
        "Added: through the system less directly. A direct call never leaves its core; beyond nginx is fairer.",
    )
    return Outcome([Table("Added latency", HEADINGS, rows, notes=notes)], figures, errors)


def _keeps(system: System, rate: float | None) -> bool:
    """Whether it can be asked for so many calls a second. Others would only show how long a queue they have, and go on
    with it on the core where the next one is measured."""
    if rate is None:
        return True
    return not system.peer and (system.name != AIOHTTP or rate <= AIOHTTP_RATE_MAX)


def _wrong(result: Result) -> int:
    """Calls that failed otherwise than by coming too many at once: that is a slow figure, and fails nothing."""
    return sum(count for fault, count in result.errors.items() if fault not in OVERLOADED)


def _latency(results: dict[str, list[Result]], name: str, share: str) -> float | None:
    return report.ms(results[name], lambda result: result.latency, share) if name in results else None


def _beyond(results: dict[str, list[Result]], base: str, name: str, share: str) -> float | None:
    return report.added(_latency(results, base, share), _latency(results, name, share))


def _row(load: str, name: str, results: dict[str, list[Result]]) -> tuple[str, ...]:
    rounds = results[name]
    shares = ("p50", "p99")
    return (
        load,
        name,
        *(report.two_places(_latency(results, name, share)) for share in shares),
        *(report.two_places(_beyond(results, DIRECT, name, share)) for share in shares),
        *(report.two_places(_beyond(results, NGINX, name, share)) for share in shares),
        f"{report.core_share(rounds):.0%}",
        str(report.failed(rounds)),
        report.foreign(rounds),
    )
