"""A child process: its end is noticed, its group ends with it, and it never outlives its parent."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from embedded.child import LOG_BYTES_MAX, Child, kill_stranger, started_at

HANG_S = 20.0
"""Only so that a broken test ends."""


def python(program: str) -> tuple[str, ...]:
    return sys.executable, "-c", program


async def test_end_is_noticed_with_its_code(tmp_path: Path) -> None:
    assert await Child.start(python("raise SystemExit(3)"), {}, tmp_path / "log").exited() == 3


async def test_output_goes_to_a_private_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    await Child.start(python("import sys; print('one', flush=True); sys.exit('two')"), {}, log).exited()
    assert log.read_text() == "one\ntwo\n"
    assert log.stat().st_mode & 0o777 == 0o600


async def test_log_that_grew_large_is_set_aside(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * (LOG_BYTES_MAX + 1))
    await Child.start(python("print('new')"), {}, log).exited()
    assert log.read_text() == "new\n"
    assert (tmp_path / "log.1").stat().st_size == LOG_BYTES_MAX + 1


async def test_child_inherits_no_environment(tmp_path: Path) -> None:
    await Child.start(
        python("import os; print(os.environ.get('HOME'), os.environ['A'])"), {"A": "1"}, tmp_path / "log"
    ).exited()
    assert (tmp_path / "log").read_text() == "None 1\n"


async def test_stop_insists_with_a_child_that_does_not_listen(tmp_path: Path, until: Callable[..., object]) -> None:
    log = tmp_path / "log"
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    child = Child.start(python(deaf), {}, log)
    await until(lambda: log.read_text() == "deaf\n")
    await child.stop(patience_s=0.05)
    assert await child.exited() == -signal.SIGKILL


async def test_a_stop_insists_in_a_task_that_is_cancelled_too(tmp_path: Path, until: Callable[..., object]) -> None:
    log = tmp_path / "log"
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    child = Child.start(python(deaf), {}, log)
    await until(lambda: log.read_text() == "deaf\n")

    async def interrupted() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await child.stop(patience_s=0.05)

    task = asyncio.create_task(interrupted())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert await asyncio.wait_for(child.exited(), HANG_S) == -signal.SIGKILL


async def test_what_a_dead_child_left_behind_ends_with_it(tmp_path: Path, gone: Callable[[int], bool]) -> None:
    log = tmp_path / "log"
    leaves = (
        f"import subprocess; print(subprocess.Popen([{sys.executable!r}, '-c', 'import time; time.sleep(600)']).pid)"
    )
    await Child.start(python(leaves), {}, log).exited()
    assert gone(int(log.read_text()))


def test_children_die_with_a_parent_that_is_killed(tmp_path: Path, gone: Callable[[int], bool]) -> None:
    program = f"""
import asyncio, sys
from pathlib import Path
from embedded.child import Child

async def main():
    command = (sys.executable, "-c", "import time; time.sleep(600)")
    child = Child.start(command, {{}}, Path({str(tmp_path / "log")!r}))
    print(child.pid, flush=True)
    await child.exited()

asyncio.run(main())
"""
    with subprocess.Popen(python(program), stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert started_at(child) is not None
        parent.kill()
    assert gone(child)


def test_stranger_is_killed_only_if_it_is_the_one_that_started_then() -> None:
    with subprocess.Popen(python("import time; time.sleep(600)")) as process:
        started = started_at(process.pid)
        assert started is not None
        assert not kill_stranger(process.pid, started + 1)
        assert process.poll() is None
        assert kill_stranger(process.pid, started)
        assert process.wait() == -signal.SIGKILL
    assert not kill_stranger(process.pid, started)
    assert started_at(process.pid) is None


def test_start_of_this_process_is_known() -> None:
    assert started_at(os.getpid()) == started_at(os.getpid()) is not None
