"""What the gateway is to reach, always beside the others of the same run. A report: nothing fails by it."""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.report import Table


@dataclass(frozen=True, slots=True)
class Goal:
    name: str
    bound: float
    unit: str
    at_least: bool = False

    def reached(self, figure: float) -> bool:
        return figure >= self.bound if self.at_least else figure <= self.bound


RATIO_AIOHTTP = Goal("chat 1 KB, calls/s of a core beside aiohttp", 3, "x", at_least=True)
RATIO_NGINX = Goal("chat 1 KB, calls/s of a core beside nginx", 0.4, "x", at_least=True)
RATIO_NGINX_LARGE = Goal("chat 30 KB, calls/s of a core beside nginx", 0.35, "x", at_least=True)
RATIO_PORTKEY = Goal("chat 1 KB, calls/s of a core beside Portkey", 25, "x", at_least=True)
RATIO_LITELLM = Goal("chat 1 KB, calls/s of a core beside LiteLLM", 200, "x", at_least=True)
ONE_CONNECTION = Goal("one connection, p50 beyond nginx", 0.08, "ms")
AT_500_P50 = Goal("500 calls/s, p50 beyond nginx", 0.12, "ms")
AT_500_P99 = Goal("500 calls/s, p99 beyond nginx", 0.8, "ms")
AT_4000_P50 = Goal("4,000 calls/s, p50 beyond nginx", 0.25, "ms")
FIRST_EVENT = Goal("first event, p50 beyond direct", 0.35, "ms")
EVENT_COST = Goal("an event, CPU", 16, "µs")
EVENTS_KEPT = Goal("256 streams, events/s beside direct", 0.98, "x", at_least=True)
SLOW_SHARE = Goal("1,000 slow streams, share of the core", 15, "%")
SLOW_BYTES = Goal("a slow stream, memory", 15, "KB")
WORKER_RSS = Goal("an idle worker, RSS", 80, "MB")
WORKER_OWN = Goal("an idle worker of two, its own memory (PSS)", 45, "MB")
COLD_START = Goal("start to first answer, 1,000 resources", 1, "s")
GROWTH = Goal("growth under load, beyond its own error", 0, "KB/min")

ALL = (
    RATIO_AIOHTTP,
    RATIO_NGINX,
    RATIO_NGINX_LARGE,
    RATIO_PORTKEY,
    RATIO_LITELLM,
    ONE_CONNECTION,
    AT_500_P50,
    AT_500_P99,
    AT_4000_P50,
    FIRST_EVENT,
    EVENT_COST,
    EVENTS_KEPT,
    SLOW_SHARE,
    SLOW_BYTES,
    WORKER_RSS,
    WORKER_OWN,
    COLD_START,
    GROWTH,
)


def table(figures: Mapping[str, float]) -> Table:
    """A row for each goal that this run has a figure for."""
    rows = [
        (
            goal.name,
            f"{figures[goal.name]:.2f} {goal.unit}",
            f"{'at least' if goal.at_least else 'at most'} {goal.bound:g} {goal.unit}",
            "reached" if goal.reached(figures[goal.name]) else "not reached",
        )
        for goal in ALL
        if goal.name in figures
    ]
    return Table("Goals", ("figure", "here", "goal", ""), rows, words=1)
