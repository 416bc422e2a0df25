"""Which cores what is measured may use, and which everything else."""

from dataclasses import dataclass

from bench.processes import Cores


@dataclass(frozen=True, slots=True)
class Placement:
    """The same cores where there is only one."""

    measured: Cores
    others: Cores

    def __str__(self) -> str:
        if self.measured == self.others:
            return "one core for everything: observed rates and latencies mean little"
        (core,) = self.measured
        return f"what is measured has core {core} for itself"


def placement(available: Cores) -> Placement:
    """What is measured has the first core for itself if there are two."""
    first, *rest = sorted(available)
    return Placement(frozenset((first,)), frozenset(rest)) if rest else Placement(available, available)
