"""A part that is kept: started again when it dies, held when asked, and failing loudly at its first start."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded.keeper import PAUSE_S_MAX, PAUSE_S_MIN, Keeper, PartFailed, State, pause_s
from embedded.part import Part
from shared.clock import FakeClock, SystemClock

Until = Callable[[Callable[[], bool]], Coroutine[Any, Any, None]]


@pytest.fixture
async def keep(tmp_path: Path) -> AsyncIterator[Callable[[Part], tuple[Keeper, list[str]]]]:
    keepers = []

    def make(part: Part) -> tuple[Keeper, list[str]]:
        said: list[str] = []
        log = tmp_path / f"{part.name}.log"
        keeper = Keeper(part, log, clock=SystemClock(), report=said.append, moved=lambda: None)
        keepers.append(keeper)
        return keeper, said

    yield make
    for keeper in keepers:
        await keeper.stop()


async def test_dead_part_is_started_again(
    keep: Callable[..., Any], sleeper: Callable[[str], Part], until: Until
) -> None:
    keeper, said = keep(sleeper("worker"))
    keeper.launch()
    await keeper.ready()
    first = keeper.pid
    os.kill(first, signal.SIGKILL)
    await until(lambda: keeper.pid not in (None, first))
    assert said == ["worker was ended by SIGKILL; starting it again in 0.2 s"]
    assert keeper.status() == {"part": "worker", "state": "running", "pid": keeper.pid, "restarts": 1}


async def test_held_part_stays_down_until_it_is_released(
    keep: Callable[..., Any], sleeper: Callable[[str], Part], gone: Callable[[int], bool]
) -> None:
    keeper, said = keep(sleeper("worker"))
    assert keeper.state is State.DOWN
    keeper.launch()
    await keeper.ready()
    first = keeper.pid
    await keeper.hold()
    assert gone(first)
    assert keeper.state is State.HELD
    await keeper.release()
    assert keeper.state is State.RUNNING
    assert keeper.pid != first
    assert said == []


async def test_part_held_while_it_is_dead_starts_when_released(
    keep: Callable[..., Any], fake_part: Callable[..., Part], until: Until
) -> None:
    dies_once = "mark = notes / 'died'\nif not mark.exists(): mark.touch(); sys.exit()\nready(); time.sleep(600)"
    keeper, said = keep(fake_part("worker", dies_once))
    keeper.launch()
    await until(lambda: bool(said))
    await keeper.hold()
    assert keeper.state is State.HELD
    assert keeper.pid is None
    await keeper.release()
    assert keeper.state is State.RUNNING


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("raise SystemExit('no such thing')", "worker ended with code 1"),
        ("os.kill(os.getpid(), 9)", "worker was ended by SIGKILL"),
        ("print('waiting', flush=True); time.sleep(600)", "worker was not ready within 3 s"),
    ],
)
async def test_first_start_that_fails_says_why_with_the_log(
    keep: Callable[..., Any], fake_part: Callable[..., Part], program: str, reason: str
) -> None:
    keeper, _ = keep(fake_part("worker", program, ready_s_max=3.0 if "sleep" in program else 20.0))
    keeper.launch()
    with pytest.raises(PartFailed, match=reason) as failure:
        await keeper.ready()
    for word in ("no such thing", "waiting"):
        assert (word in program) == (f"| {word}" in str(failure.value))


async def test_slow_start_says_that_it_goes_on(tmp_path: Path) -> None:
    clock, said = FakeClock(), []

    async def ready() -> bool:
        clock.advance(2.0)
        return clock.monotonic_s() > 11

    part = Part("slow", (sys.executable, "-c", "import time; time.sleep(600)"), {}, ready)
    keeper = Keeper(part, tmp_path / "log", clock=clock, report=said.append, moved=lambda: None)
    keeper.launch()
    await keeper.ready()
    await keeper.stop()
    assert said == ["slow … not ready yet (6 s)", "slow … not ready yet (10 s)"]


async def test_command_that_cannot_be_run_is_a_failure_too(keep: Callable[..., Any]) -> None:
    async def never() -> bool:
        return False

    keeper, _ = keep(Part("ghost", ("/nowhere/ghost",), {}, never))
    keeper.launch()
    with pytest.raises(PartFailed, match=r"ghost could not be started: .*No such file"):
        await keeper.ready()


@given(st.integers(1, 10_000))
def test_pauses_grow_up_to_a_bound(deaths: int) -> None:
    assert PAUSE_S_MIN <= pause_s(deaths) <= pause_s(deaths + 1) <= PAUSE_S_MAX
    assert pause_s(1) == PAUSE_S_MIN
    assert pause_s(100) == PAUSE_S_MAX
