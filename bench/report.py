"""What the rounds say: a progress line each, one table, and the ratio. Pure arithmetic and text."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.load import Result
from bench.workloads import Workload

MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Memory:
    """RSS of a system's process tree before the first round and after the last, in bytes."""

    idle_bytes: int
    after_bytes: int


def cpu_us(result: Result, workload: Workload) -> float:
    """CPU microseconds per unit (call or event); infinite if nothing was answered."""
    units = result.answers * workload.units
    return result.cpu_s * 1e6 / units if units else float("inf")


def rate(result: Result, workload: Workload) -> float:
    """Units per second, as observed."""
    return result.answers * workload.units / result.seconds


def failed(results: Sequence[Result]) -> int:
    return sum(sum(result.errors.values()) for result in results)


def ratio(base: Sequence[Result], other: Sequence[Result], workload: Workload) -> float:
    """How many times dearer a unit is in `base` than in `other`, by the medians of their rounds."""
    return median(cpu_us(result, workload) for result in base) / median(cpu_us(result, workload) for result in other)


def progress(number: int, rounds: int, system: str, workload: Workload, result: Result) -> str:
    return (
        f"{workload.name}, round {number}/{rounds}: {system:<12} "
        f"{cpu_us(result, workload):6.1f} µs/{workload.unit} {rate(result, workload):8,.0f} {workload.unit}s/s"
        f"  {failed([result])} errors"
    )


HEADINGS = (
    "workload",
    "system",
    "rounds",
    "CPU µs/unit best",
    "median",
    "units/s per core",
    "units/s observed",
    "errors",
    "RSS MB idle",
    "after",
)


def row(workload: Workload, system: str, results: Sequence[Result], memory: Memory) -> tuple[str, ...]:
    """One row under `HEADINGS`; `units/s per core` is what one core could do: 1,000,000 ÷ median CPU µs."""
    costs = [cpu_us(result, workload) for result in results]
    return (
        f"{workload.name} ({workload.unit})",
        system,
        str(len(results)),
        f"{min(costs):.1f}",
        f"{median(costs):.1f}",
        f"{1e6 / median(costs):,.0f}",
        f"{median(rate(result, workload) for result in results):,.0f}",
        str(failed(results)),
        f"{memory.idle_bytes / MB:.0f}",
        f"{memory.after_bytes / MB:.0f}",
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; the first two hold words, the others figures."""
    lines = [HEADINGS, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
