"""What a process may do, tried on processes of their own: one kills itself and leaves no dump, one opens all it may."""

import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

DIES = """
import os, sys
from resource import RLIMIT_CORE, getrlimit, setrlimit
from shared.process_limits import forbid_core_dumps

if sys.argv[1] == "never":
    setrlimit(RLIMIT_CORE, (0, 0))
else:
    setrlimit(RLIMIT_CORE, (getrlimit(RLIMIT_CORE)[1],) * 2)
forbid_core_dumps()
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


OPENS = """
import resource, sys
from shared.process_limits import allow_open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
print(allow_open_files(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize("soft", [64, 200])
def test_the_limit_is_raised_to_what_the_system_allows(soft: int) -> None:
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= 200
    done = subprocess.run(
        [sys.executable, "-c", OPENS, str(soft), "200"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["200", "200", "200"]
