"""Parts together: started in order, steered through the socket, stopped in reverse, cleaned up after a kill."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from embedded import control
from embedded.child import started_at
from embedded.keeper import PartFailed
from embedded.part import Part
from embedded.state import StateFolder, write_private
from embedded.supervisor import Supervisor, clear_up


async def ask(state: StateFolder, **request: str) -> dict[str, object]:
    return await asyncio.to_thread(control.ask, state.control_socket, dict(request))


async def test_parts_stop_in_reverse_order(
    supervisor: Supervisor, state: StateFolder, fake_part: Callable[..., Part], tmp_path: Path
) -> None:
    noisy = (
        "def end(*_):\n"
        "    with (notes / 'order').open('a') as file: file.write({name!r})\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); ready(); time.sleep(600)"
    )
    for name in ("first", "second", "third"):
        await supervisor.start(fake_part(name, noisy.format(name=f"{name} ")))
    await supervisor.stop()
    assert (tmp_path / "order").read_text() == "third second first "
    assert not state.parts_json.exists()


async def test_running_processes_are_written_down(
    supervisor: Supervisor, state: StateFolder, sleeper: Callable[[str], Part]
) -> None:
    await supervisor.start(sleeper("one"))
    (row,) = json.loads(state.parts_json.read_text())
    assert row == {"part": "one", "pid": row["pid"], "started": started_at(row["pid"])}
    assert state.parts_json.stat().st_mode & 0o777 == 0o600


async def test_socket_tells_holds_releases_and_stops(
    supervisor: Supervisor, state: StateFolder, sleeper: Callable[[str], Part]
) -> None:
    await supervisor.start(sleeper("one"))
    await supervisor.start(sleeper("two"))
    async with control.listening(state.control_socket, supervisor.answer):
        assert (await ask(state, do="hold", part="one"))["state"] == "held"
        states = {part["part"]: part["state"] for part in (await ask(state, do="status"))["parts"]}
        assert states == {"one": "held", "two": "running"}
        assert (await ask(state, do="release", part="one"))["state"] == "running"
        assert await ask(state, do="hold", part="three") == {"error": "no part 'three'; there are: one, two"}
        assert await ask(state, do="dance") == {"error": "not understood"}
        assert not supervisor.stopping.is_set()
        await ask(state, do="stop")
        assert supervisor.stopping.is_set()


async def test_release_that_fails_says_why(supervisor: Supervisor, fake_part: Callable[..., Part]) -> None:
    once = "mark = notes / 'ran'\nif mark.exists(): sys.exit('never twice')\nmark.touch(); ready(); time.sleep(600)"
    await supervisor.start(fake_part("one", once))
    await supervisor.answer({"do": "hold", "part": "one"})
    answer = await supervisor.answer({"do": "release", "part": "one"})
    assert "one ended with code 1\n  | never twice" in answer["error"]


async def test_failing_part_fails_the_start(supervisor: Supervisor, fake_part: Callable[..., Part]) -> None:
    with pytest.raises(PartFailed, match="broken ended with code 7"):
        await supervisor.start(fake_part("broken", "raise SystemExit(7)"))


def test_clearing_up_ends_what_is_recorded_and_spares_who_has_its_id_now(state: StateFolder) -> None:
    sleep = (sys.executable, "-c", "import time; time.sleep(600)")
    with subprocess.Popen(sleep) as ours, subprocess.Popen(sleep) as stranger:
        rows = [
            {"part": "ours", "pid": ours.pid, "started": started_at(ours.pid)},
            {"part": "stranger", "pid": stranger.pid, "started": 1},
        ]
        write_private(state.parts_json, orjson.dumps(rows))
        write_private(state.run_json, b"{}")
        said: list[str] = []
        clear_up(state, said.append)
        assert ours.wait(20) == -9
        assert stranger.poll() is None
        assert said == [f"ours of an earlier run was still there (process {ours.pid}); ended it"]
        assert not state.run_json.exists()
        assert not state.parts_json.exists()
        stranger.kill()
