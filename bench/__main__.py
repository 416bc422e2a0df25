"""`scripts/bench`: the gateway beside the upstream called directly, nginx and a bare aiohttp pass-through.

Everything is started by the bench on this machine, what is measured on a core of its own. Exits 1 if any call failed or
a part did not come up, never for a slow figure. How to read it: docs/benchmarks.md.
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import calls, costs, goals, latency, memory, report, soak, stack, streams
from bench.expected import WrongAnswer
from bench.placement import placement
from bench.processes import PartFailed
from bench.report import Outcome
from bench.rounds import Scale
from bench.stack import Stack
from bench.workloads import SMALL
from embedded.redis_server import NoRedis

INTERRUPTED = 130

SECTIONS: dict[str, Callable[[Stack, Scale], Awaitable[Outcome]]] = {
    "calls": calls.run,
    "latency": latency.run,
    "streams": streams.run,
    "costs": costs.run,
    "memory": memory.run,
    "soak": soak.run,
}
NATIVE_ONLY = frozenset(("latency", "streams", "costs", "memory", "soak"))
"""What the load in Python cannot do."""


@dataclass(frozen=True, slots=True)
class Options:
    sections: tuple[str, ...]
    scale: Scale
    short: bool
    peers: bool


async def bench(options: Options) -> bool:
    """Whether every call was answered right."""
    place = placement(frozenset(os.sched_getaffinity(0)))
    began = time.monotonic()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="gatehouse-bench-") as name:
        async with stack.standing(Path(name), place, peers=options.peers) as standing:
            print(f"everything is up ({time.monotonic() - began:.1f} s); {place}", flush=True)
            for section in options.sections:
                if section in NATIVE_ONLY and not standing.tools.native:
                    continue
                outcomes.append(await _section(section, options, standing))
    for table in (table for outcome in outcomes for table in outcome.tables):
        print(f"\n{report.text(table)}")
    figures = {name: figure for outcome in outcomes for name, figure in outcome.figures.items()}
    if figures:
        print(f"\n{report.text(goals.table(figures))}")
    print()
    for what in (*standing.left_out, *_left_out(options, standing)):
        print(f"left out: {what}")
    if (times := figures.get(goals.RATIO_AIOHTTP.name)) is not None:
        print(f"ratio to aiohttp: {times:.1f} x")
    return not any(outcome.failed for outcome in outcomes)


async def _section(section: str, options: Options, standing: Stack) -> Outcome:
    print(f"-- {section}", flush=True)
    if options.short:
        return await calls.run(standing, options.scale, (SMALL,))
    return await SECTIONS[section](standing, options.scale)


def _left_out(options: Options, standing: Stack) -> list[str]:
    lacking = [section for section in options.sections if section in NATIVE_ONLY and not standing.tools.native]
    return [f"{section}, which needs the load in C" for section in lacking]


def _options(arguments: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="section", help=f"any of {', '.join(SECTIONS)} (all)")
    parser.add_argument("--short", action="store_true", help="only 1 KB chat calls; a minute")
    parser.add_argument(
        "--peers", action="store_true", help="Portkey's gateway and LiteLLM too, if they can be installed"
    )
    parser.add_argument("--rounds", type=_count, default=Scale().rounds, help="rounds of each system (5)")
    parser.add_argument("--soak-minutes", type=float, default=Scale().soak_s / 60, help="how long soak takes (10)")
    asked = parser.parse_args(arguments)
    if unknown := [section for section in asked.sections if section not in SECTIONS]:
        parser.error(f"there is no section {unknown[0]!r}; there are {', '.join(SECTIONS)}")
    sections = ("calls",) if asked.short else tuple(asked.sections) or tuple(SECTIONS)
    return Options(sections, Scale(rounds=asked.rounds, soak_s=asked.soak_minutes * 60), asked.short, asked.peers)


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
        return 0 if await bench(options) else 1
    except (PartFailed, NoRedis, WrongAnswer) as failure:
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
