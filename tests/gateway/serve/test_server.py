"""What the lanes of a worker have in common: the sweep over their deadlines."""

import pytest

from gateway.serve.lane import Lane
from gateway.serve.server import SWEEP_PARTS
from shared.clock import FakeClock
from tests.fakes.front import front


@pytest.mark.parametrize("callers", [1, 9, 25, 100])
async def test_all_callers_are_looked_at_in_a_round_and_few_at_once(
    callers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[Lane] = []
    monkeypatch.setattr(Lane, "sweep", lambda lane, _: looked_at.append(lane))
    behind = front(clock=FakeClock(), sweep_s=86_400.0)
    waiting = [behind.caller() for _ in range(callers)]
    for _ in range(2):
        looked_at.clear()
        for _ in range(SWEEP_PARTS):
            before = len(looked_at)
            behind.server._tick()
            assert len(looked_at) - before <= -(-callers // SWEEP_PARTS)
        assert set(looked_at) == behind.server._lanes
    for caller in waiting:
        caller.abort()
    await behind.server.close(1.0)
    assert behind.is_empty
