"""What the rounds say: progress lines, tables, ratios, and how figures stand to the goals. Pure arithmetic and text."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from statistics import median

from bench.measure import Result, Spread
from bench.workloads import Workload

MB = 1_000_000
NOTHING = "-"

Results = Mapping[str, Sequence[Result]]
"""The rounds of each case."""


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    headings: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    """The first cells of each hold words, as many as `words` says, the others figures."""
    words: int = 2
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a section of the bench found. `figures` are those that goals are about, by the goal's name."""

    tables: Sequence[Table]
    figures: Mapping[str, float] = field(default_factory=dict)
    failed: int = 0
    """Calls that were not answered, or not as they should have been."""


def cpu_us(result: Result, workload: Workload) -> float:
    """CPU microseconds per unit (call or event); infinite if nothing was answered."""
    units = result.answers * workload.units
    return result.cpu_s * 1e6 / units if units else float("inf")


def rate(result: Result, workload: Workload) -> float:
    """Units per second, as observed."""
    return result.answers * workload.units / result.seconds


def observed(results: Sequence[Result], workload: Workload) -> float:
    """Units per second, the rounds' median."""
    return median(rate(result, workload) for result in results)


def core_share(results: Sequence[Result]) -> float:
    """Of one core, taken by what was measured: the rounds' median."""
    return median(result.core_share for result in results)


def cost(results: Sequence[Result], workload: Workload) -> float:
    """CPU microseconds per unit, the rounds' median."""
    return median(cpu_us(result, workload) for result in results)


def ratio(base: Sequence[Result], other: Sequence[Result], workload: Workload) -> float | None:
    """How many times dearer a unit is in `base` than in `other`: how many times as many of `other` one core can do.

    None where either answered too little for anybody to say.
    """
    dear, dearer = cost(base, workload), cost(other, workload)
    return dear / dearer if dearer and isfinite(dear) and isfinite(dearer) else None


def failed(results: Sequence[Result]) -> int:
    return sum(result.failed for result in results)


def failed_in_all(results: Results) -> int:
    return sum(failed(rounds) for rounds in results.values())


def ms(results: Sequence[Result], pick: Callable[[Result], Spread | None], share: str) -> float | None:
    """The rounds' median of a spread's percentile (`p50`, `p99`), in milliseconds; None if no round has it."""
    seen = [getattr(spread, f"{share}_us") / 1000 for result in results if (spread := pick(result)) is not None]
    return median(seen) if seen else None


def added(base: float | None, other: float | None) -> float | None:
    return None if base is None or other is None else other - base


def two_places(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}"


def foreign(results: Sequence[Result]) -> str:
    """The share of the measured core that others took, at worst."""
    return f"{max(result.foreign_share for result in results):.0%}"


def slope(at_s: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """How fast values grow, per second, by least squares, and the standard error of that. At least three points."""
    count = len(at_s)
    middle_s, middle = sum(at_s) / count, sum(values) / count
    spread = sum((at - middle_s) ** 2 for at in at_s)
    grows = sum((at - middle_s) * (value - middle) for at, value in zip(at_s, values, strict=True)) / spread
    left = sum((value - middle - grows * (at - middle_s)) ** 2 for at, value in zip(at_s, values, strict=True))
    return grows, (left / (count - 2) / spread) ** 0.5


def progress(number: int, rounds: int, case: str, workload: Workload, result: Result) -> str:
    latency = "" if result.latency is None else f", p50 {result.latency.p50_us / 1000:.2f} ms"
    return (
        f"{workload.name}, round {number}/{rounds}: {case:<12} "
        f"{cpu_us(result, workload):6.1f} µs/{workload.unit} {rate(result, workload):8,.0f} {workload.unit}s/s{latency}"
        f"  {result.failed} errors"
    )


def text(table: Table) -> str:
    """The title, the columns as wide as their widest cell, and the notes."""
    lines = [table.headings, *table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.headings))]
    rows = (
        "  ".join(
            cell.ljust(width) if column < table.words else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
    return "\n".join((table.title, "", *rows, *(f"  {note}" for note in table.notes)))
