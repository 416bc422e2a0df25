"""Other gateways: installed once if they can be, told why not, and left out where they do not answer.

What is installed here stands for them: the packages themselves are large, and not ours to test.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bench import answers, calls, native, peers, stack
from bench.peers import NotInstalled
from bench.placement import Placement
from bench.processes import free_port, running
from bench.rounds import Scale
from bench.stack import Stack, System
from bench.workloads import SMALL
from shared.crypto.secret import Secret
from tests.bench.conftest import CORES

UPSTREAM = "http://127.0.0.1:9"
NPM = """\
#!/bin/sh
echo installed >> "$0.log"
for word in "$@"; do case $word in --prefix=*) prefix=${word#--prefix=} ;; esac; done
mkdir -p "$prefix/node_modules/@portkey-ai/gateway/build"
"""


def programs(folder: Path, npm: str) -> dict[str, str]:
    """An environment whose PATH has these."""
    folder.mkdir()
    for name, script in (("npm", npm), ("node", "#!/bin/sh\n")):
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}", "HOME": str(folder)}


async def test_a_peer_is_installed_once_and_run_as_it_says(tmp_path: Path) -> None:
    environment = programs(tmp_path / "bin", NPM)
    for _ in range(2):
        peer = await peers.portkey(tmp_path / "peers", 8_000, UPSTREAM, CORES, environment)
    assert (tmp_path / "bin/npm.log").read_text() == "installed\n"
    assert peer.part.command[0] == str(tmp_path / "bin/node")
    assert Path(peer.part.command[1]).parent.is_dir()
    assert f"x-portkey-custom-host: {UPSTREAM}/v1" in peer.headers
    assert peers.VERSIONS["portkey"] in peer.title


async def test_why_a_peer_cannot_be_installed_is_told(tmp_path: Path) -> None:
    broken = programs(tmp_path / "bin", "#!/bin/sh\necho no network >&2\nexit 1\n")
    with pytest.raises(NotInstalled, match="no network"):
        await peers.portkey(tmp_path / "peers", 8_000, UPSTREAM, CORES, broken)
    with pytest.raises(NotInstalled, match="npm and node are not on the PATH"):
        await peers.portkey(tmp_path / "peers", 8_000, UPSTREAM, CORES, {"PATH": str(tmp_path)})


async def test_a_peer_that_does_not_answer_is_left_out_and_said_so(tmp_path: Path) -> None:
    async with one_upstream(tmp_path) as alone:
        system = alone.systems["direct"]
        nobody = System("peer", free_port(), translates=True, peer=True)
        systems = {"direct": system, "peer": nobody, "gateway": replace(system, name="gateway")}
        with_peer = replace(alone, systems=systems)
        outcome = await calls.run(with_peer, Scale(rounds=1, measure_s=0.1), (SMALL,))
    (table,) = outcome.tables
    assert [row[1] for row in table.rows] == ["direct", "gateway"]
    assert any(note.startswith("Left out: peer, chat 1 KB: ") for note in table.notes)


@asynccontextmanager
async def one_upstream(folder: Path) -> AsyncIterator[Stack]:
    """A stack of which only the upstream stands."""
    tools, port, prepared = native.in_python(), free_port(), folder / "answers"
    prepared.mkdir()
    answers.write(prepared)
    part = stack.upstream_part("upstream", tools, port, prepared, stack.inherited())
    async with running(part, CORES, folder) as upstream:
        await upstream.until_ready()
        place = Placement(CORES, CORES)
        systems = {"direct": System("direct", port)}
        yield Stack(folder, place, stack.inherited(), tools, port, Secret("redis://nowhere"), {}, systems, ())
