"""What tests of the bench start: its two upstreams and loads, in C and in Python, on this machine's cores."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench import answers, native, stack
from bench.expected import passed_on
from bench.measure import Asked, Load, Result, Shape
from bench.native import Tools
from bench.processes import Cores, free_port, running
from bench.workloads import Workload, head

CORES: Cores = frozenset(os.sched_getaffinity(0))
HANG_S = 60.0

Session = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    """Both programs in C. Skips where there is no compiler; where there is one they have to compile."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not on the PATH: the bench's programs in C are NOT TESTED")
    tools = asyncio.run(native.tools(tmp_path_factory.mktemp("native"), stack.inherited(), CORES))
    assert tools.native, tools.lacking
    return tools


@pytest.fixture(params=["C", "Python"])
def tools(request: pytest.FixtureRequest) -> Tools:
    return request.getfixturevalue("compiled") if request.param == "C" else native.in_python()


@dataclass
class Lab:
    """A place to call from."""

    folder: Path
    tools: Tools

    @asynccontextmanager
    async def upstream(self) -> AsyncIterator[int]:
        """Its port."""
        prepared, port = self.folder / "answers", free_port()
        prepared.mkdir()
        answers.write(prepared)
        part = stack.upstream_part("upstream", self.tools, port, prepared, stack.inherited())
        async with running(part, CORES, self.folder) as upstream:
            await upstream.until_ready()
            yield port

    async def run(self, port: int, workload: Workload, shape: Shape) -> Result:
        request = head(workload, port, ("Authorization: Bearer gh_x",)) + workload.body
        load = Load(self.tools, self.folder, stack.inherited(), CORES, CORES)
        async with asyncio.timeout(HANG_S):
            return await load.run(Asked(port, request, passed_on(workload.answer)), shape, os.getpid())


@pytest.fixture
def lab(tmp_path: Path, tools: Tools) -> Lab:
    return Lab(tmp_path, tools)


@pytest.fixture
def native_lab(tmp_path: Path, compiled: Tools) -> Lab:
    return Lab(tmp_path, compiled)


@asynccontextmanager
async def serving(session: Session) -> AsyncIterator[int]:
    server = await asyncio.start_server(session, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
