"""Rounds of several cases, which take turns within a round, so that a slow minute of the machine hits them all."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench import report
from bench.expected import WrongAnswer
from bench.measure import Load, Result, Shape
from bench.stack import Stack, System
from bench.workloads import Workload


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything. What it says of waits and sizes is what the goals are about; tests take less."""

    rounds: int = 5
    measure_s: float = 2.0
    slow_streams: int = 1_000
    slow_gap_us: int = 200_000
    slow_ramp_s: float = 3.0
    resources: int = 1_000
    soak_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    system: System
    workload: Workload
    shape: Shape
    load: Load | None = None
    """None: the stack's."""


async def interleaved(stack: Stack, cases: Sequence[Case], rounds: int) -> dict[str, list[Result]]:
    """By the cases' names. Raises PartFailed and WrongAnswer."""
    results: dict[str, list[Result]] = {case.name: [] for case in cases}
    for number in range(1, rounds + 1):
        for case in cases:
            result = await once(stack, case)
            results[case.name].append(result)
            print(report.progress(number, rounds, case.name, case.workload, result), flush=True)
    return results


async def answering(stack: Stack, workload: Workload) -> tuple[list[System], list[str]]:
    """The systems that answer it, and what is to be said of peers that do not. Raises WrongAnswer for any other."""
    systems, left_out = [], []
    for system in stack.systems.values():
        try:
            await stack.asked(system, workload)
        except WrongAnswer as why:
            if not system.peer:
                raise
            left_out.append(f"Left out: {why}")
        else:
            systems.append(system)
    return systems, left_out


async def once(stack: Stack, case: Case) -> Result:
    asked = await stack.asked(case.system, case.workload)
    patience = case.system.patience
    shape = replace(case.shape, warm_s=case.shape.warm_s * patience, measure_s=case.shape.measure_s * patience)
    result = await (case.load or stack.load).run(asked, shape, case.system.pid)
    for fault, count in result.errors.items():
        print(f"{case.workload.name}, {case.name}: {count} x {fault} {result.example}", file=sys.stderr)
    return result
