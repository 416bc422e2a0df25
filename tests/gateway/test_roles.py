"""What a start waits for: a worker's parts are loaded before the fork, the agent's in the agent."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SCRIPT = """
import sys
import gateway.__main__
print(*sorted(name for name in sys.argv[1:] if name in sys.modules))
"""


def loaded(*names: str) -> list[str]:
    """Which of the modules are there when a node's processes are about to be forked."""
    command = [sys.executable, "-c", SCRIPT, *names]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.split()


def test_workers_share_what_they_all_need() -> None:
    wanted = ["aiohttp.web", "gateway.roles.worker", "gateway.view.compile", "redis.asyncio"]
    assert loaded(*wanted) == wanted


def test_what_the_agent_alone_needs_keeps_no_worker_waiting() -> None:
    assert loaded("gateway.roles.agent", "gateway.sync.agent", "gateway.telemetry.outbox", "prometheus_client") == []
