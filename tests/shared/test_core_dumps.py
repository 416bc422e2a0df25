"""Whoever holds keys makes no core dump: tried on a process that kills itself."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

DIES = """
import os, sys
from resource import RLIMIT_CORE, getrlimit, setrlimit
from shared import core_dumps

if sys.argv[1] == "never":
    setrlimit(RLIMIT_CORE, (0, 0))
else:
    setrlimit(RLIMIT_CORE, (getrlimit(RLIMIT_CORE)[1],) * 2)
core_dumps.forbid()
os.chdir(sys.argv[2])
if os.fork() == 0:
    print(*getrlimit(RLIMIT_CORE), flush=True)
    os.abort()
_, status = os.wait()
print(os.WTERMSIG(status), os.WCOREDUMP(status))
"""


@pytest.mark.parametrize("allowed", ["never", "as much as may be"])
def test_neither_a_process_nor_its_children_leave_a_core_dump(tmp_path: Path, allowed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DIES, allowed, str(tmp_path)], stdout=subprocess.PIPE, text=True, check=True
    )
    *limits, killed_by, dumped = done.stdout.split()
    assert limits in (["1", "1"], ["0", "0"])
    assert (int(killed_by), dumped) == (signal.SIGABRT, "False")
    assert list(tmp_path.iterdir()) == []
