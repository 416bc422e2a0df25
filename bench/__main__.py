"""`scripts/bench`: rounds of the same load on the pass-through and on the gateway in turn, then one table.

Exits 1 if any call failed or a part did not come up, never for a slow figure.
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from bench import accounting, report, stack, workloads
from bench.load import Plan, Result
from bench.processes import Cores, PartFailed, run_to_end
from bench.report import Memory
from bench.stack import Placement, Stack, System
from bench.workloads import Workload
from embedded.redis_server import NoRedis

INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Options:
    workloads: tuple[Workload, ...]
    rounds: int
    measure_s: float


Results = dict[tuple[str, str], list[Result]]
"""By workload and system."""


async def bench(options: Options, place: Placement) -> bool:
    """Whether every call was answered right."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gatehouse-bench-") as name:
        async with stack.standing(Path(name), place) as standing:
            print(f"everything is up ({time.monotonic() - began:.1f} s); {_where(place)}", flush=True)
            idle = {system.name: accounting.usage(system.pid).rss_bytes for system in standing.systems}
            results = await _rounds(options, standing, place)
            memory = {
                system.name: Memory(idle[system.name], accounting.usage(system.pid).rss_bytes)
                for system in standing.systems
            }
    print()
    rows = [
        report.row(workload, system.name, results[workload.name, system.name], memory[system.name])
        for workload in options.workloads
        for system in standing.systems
    ]
    print(report.table(rows))
    _print_faults(results)
    base, gateway = standing.systems
    first = options.workloads[0]
    for workload in options.workloads:
        times = report.ratio(results[workload.name, base.name], results[workload.name, gateway.name], workload)
        if workload is not first:
            print(f"ratio to aiohttp, {workload.name}: {times:.1f} x")
    times = report.ratio(results[first.name, base.name], results[first.name, gateway.name], first)
    print(f"ratio to aiohttp: {times:.1f} x")
    return not any(report.failed(of) for of in results.values())


async def _rounds(options: Options, standing: Stack, place: Placement) -> Results:
    """Systems take turns within a round, so that a slow minute of the machine hits both."""
    results: Results = {}
    for workload in options.workloads:
        for number in range(1, options.rounds + 1):
            for system in standing.systems:
                result = await _load(workload, system, standing.api_key, options.measure_s, place.others)
                results.setdefault((workload.name, system.name), []).append(result)
                print(report.progress(number, options.rounds, system.name, workload, result), flush=True)
    return results


async def _load(workload: Workload, system: System, api_key: str, measure_s: float, cores: Cores) -> Result:
    plan = Plan(workload.name, system.port, api_key, measured_pid=system.pid, measure_s=measure_s)
    command = (sys.executable, "-m", "bench.load")
    printed = await run_to_end(command, os.environ, cores, orjson.dumps(asdict(plan)))
    return Result(**orjson.loads(printed))


def _print_faults(results: Results) -> None:
    for (workload, system), of in results.items():
        for result in of:
            for fault, count in result.errors.items():
                print(f"{workload}, {system}: {count} x {fault} {result.example}", file=sys.stderr)


def _where(place: Placement) -> str:
    if place.measured == place.others:
        return "one core for everything: observed rates mean little"
    (core,) = place.measured
    return f"what is measured has core {core} for itself"


def _options(arguments: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--short", action="store_true", help="only 1 KB chat calls, in 5 rounds; under two minutes")
    parser.add_argument("--rounds", type=_count, help="rounds of each system (5; without --short 7)")
    asked = parser.parse_args(arguments)
    if asked.short:
        return Options((workloads.SMALL,), asked.rounds or 5, measure_s=2.0)
    return Options(tuple(workloads.ALL.values()), asked.rounds or 7, measure_s=3.0)


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return count


async def _main(options: Options) -> int:
    # SIGTERM unwinds as Ctrl-C does: whatever was started is ended.
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    try:
        return 0 if await bench(options, stack.placement(frozenset(os.sched_getaffinity(0)))) else 1
    except (PartFailed, NoRedis) as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1


def main() -> int:
    try:
        return asyncio.run(_main(_options(sys.argv[1:])))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("bench: interrupted; everything it started was ended", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
