"""The upstream and the load: in C (`bench/native`) where gcc is on the PATH, else in Python."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.processes import Cores, PartFailed, run_to_end, which

SOURCES = Path(__file__).parent / "native"
FLAGS = ("-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2")


@dataclass(frozen=True, slots=True)
class Tools:
    """The commands of both programs, to which arguments are added."""

    upstream: tuple[str, ...]
    load: tuple[str, ...]
    native: bool
    lacking: str = ""
    """Why they are not native."""


def in_python(lacking: str = "") -> Tools:
    return Tools(module("upstream"), module("load"), native=False, lacking=lacking)


async def tools(folder: Path, environment: Mapping[str, str], cores: Cores) -> Tools:
    """Compiled into `folder`, or those in Python."""
    compiler = which("gcc", environment)
    if compiler is None:
        return in_python("gcc is not on the PATH")
    built = {}
    for name in ("upstream", "load"):
        built[name] = str(folder / name)
        command = (compiler, *FLAGS, "-o", built[name], str(SOURCES / f"{name}.c"), "-lm")
        try:
            await run_to_end(command, dict(environment), cores)
        except PartFailed as failure:
            print(f"bench: {failure}", file=sys.stderr)
            return in_python("gcc cannot compile them here")
    return Tools((built["upstream"],), (built["load"],), native=True)


def module(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"bench.{name}")
