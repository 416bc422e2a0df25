"""Each section of the bench in little, on one stack: every row and figure is there, and no call fails."""

import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bench import costs, goals, latency, memory, soak, stack, streams
from bench.placement import Placement
from bench.report import Table
from bench.rounds import Scale
from bench.stack import Stack
from tests.bench.conftest import CORES

pytestmark = pytest.mark.asyncio(loop_scope="module")

LITTLE = Scale(rounds=1, measure_s=0.3, slow_streams=8, slow_gap_us=20_000, slow_ramp_s=0.1, resources=20, soak_s=3.0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not on the PATH: the bench's sections are NOT TESTED")
    async with stack.standing(tmp_path_factory.mktemp("bench"), Placement(CORES, CORES)) as whole:
        yield whole


def column(table: Table, heading: str) -> list[str]:
    at = table.headings.index(heading)
    return [row[at] for row in table.rows]


async def test_added_latency(standing: Stack) -> None:
    outcome = await latency.run(standing, LITTLE, rates=(100,))
    (table,) = outcome.tables
    assert outcome.failed == 0
    assert column(table, "system") == [*standing.systems] * 2
    assert column(table, "load") == ["one connection"] * len(standing.systems) + ["100/s"] * len(standing.systems)
    assert all(float(at_rate) >= 60 for at_rate in column(table, "p50 ms")[len(standing.systems) :])
    if "nginx" in standing.systems:
        assert outcome.figures.keys() == {goals.ONE_CONNECTION.name}


async def test_event_streams(standing: Stack) -> None:
    outcome = await streams.run(standing, LITTLE)
    fast, slow = outcome.tables
    assert outcome.failed == 0
    systems = [*standing.systems, "gateway, from Anthropic", "gateway, from Gemini"]
    assert column(fast, "system") == systems * 2
    assert all(float(cost) > 0 for cost in column(fast, "CPU µs/event") if cost != "-")
    assert column(slow, "whole") == ["8"] * len(standing.systems)
    assert outcome.figures.keys() == {
        goals.FIRST_EVENT.name,
        goals.EVENT_COST.name,
        goals.EVENTS_KEPT.name,
        goals.SLOW_SHARE.name,
    }


async def test_what_things_cost(standing: Stack) -> None:
    outcome = await costs.run(standing, LITTLE)
    (table,) = outcome.tables
    assert outcome.failed == 0
    assert len(column(table, "what")) == len(set(column(table, "what"))) == 19
    assert "TLS from the caller" in column(table, "what")
    assert [float(on_top) > 0 for on_top in column(table, "on top")[-6:]] == [True] * 6


async def test_memory_and_starts(standing: Stack) -> None:
    outcome = await memory.run(standing, LITTLE)
    idle, start, streams_open = outcome.tables
    assert outcome.failed == 0
    assert column(idle, "process").count("worker") == 2
    assert column(idle, "process").count("supervisor") == 1
    sizes = zip(column(idle, "RSS MB"), column(idle, "PSS MB"), strict=True)
    assert all(0 < float(pss) <= float(rss) for rss, pss in sizes)
    assert column(start, "starts") == ["1"]
    assert column(streams_open, "streams open") == ["0", "8", "16"]
    assert outcome.figures.keys() == {
        goals.WORKER_RSS.name,
        goals.WORKER_OWN.name,
        goals.COLD_START.name,
        goals.SLOW_BYTES.name,
    }


async def test_memory_under_load(standing: Stack) -> None:
    outcome = await soak.run(standing, LITTLE)
    (table,) = outcome.tables
    assert outcome.failed == 0
    assert sorted(column(table, "process")) == ["agent", "all", "supervisor", "worker"]
    assert float(column(table, "RSS MB before")[-1]) > 100
    assert " 0 errors" in table.notes[0]
    assert outcome.figures.keys() == {goals.GROWTH.name}
