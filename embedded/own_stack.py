"""A stack for one command: free ports, a state folder of its own, gone when the command ends.

A running `./scripts/up` of the same clone goes on undisturbed.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson


class StackFailed(Exception):
    """It did not become ready. What it said was printed."""


@dataclass(frozen=True, slots=True)
class OwnStack:
    state_dir: Path
    run: Mapping[str, Any]
    """What `run.json` holds."""

    def tell(self, verb: str, *arguments: str) -> None:
        """`hold redis`, `release redis`, … Raises CalledProcessError if it was not done."""
        subprocess.run(_embedded(verb, self.state_dir, *arguments), check=True, stdout=subprocess.DEVNULL)


@contextmanager
def own_stack(environment: Mapping[str, str], *options: str) -> Iterator[OwnStack]:
    """A stack that is ready, started with these options of `up`. Raises StackFailed."""
    with tempfile.TemporaryDirectory(prefix="gatehouse-") as folder:
        state_dir = Path(folder)
        up = _embedded("up", state_dir, "--background", "--port-offset", "free", *options)
        try:
            started = subprocess.run(up, env=dict(environment), stdout=subprocess.PIPE, text=True, check=False)
            if started.returncode:
                print(started.stdout, file=sys.stderr)
                raise StackFailed("the stack did not start")
            yield OwnStack(state_dir, orjson.loads((state_dir / "run.json").read_bytes()))
        finally:
            subprocess.run(_embedded("down", state_dir), check=True, stdout=subprocess.DEVNULL)


def _embedded(verb: str, state_dir: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "embedded", verb, "--state-dir", str(state_dir), *arguments]
