"""Going to the background: the caller gets its prompt back when everything is ready, or the reason why it is not."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

READY = b"r"


def run_detached(run: Callable[[Callable[[], None]], int], log: Path) -> int:
    """Call `run(ready)` in a process of its own session. Returns 0 once it called `ready`, else its exit code.

    Until then it speaks to the caller's terminal, from then on to `log`. Called before any loop or thread exists.
    """
    reader, writer = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.setsid()
        os._exit(_run_to_the_end(run, writer, log))
    os.close(writer)
    try:
        if os.read(reader, 1) == READY:
            return 0
    except KeyboardInterrupt:
        os.kill(child, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _run_to_the_end(run: Callable[[Callable[[], None]], int], writer: int, log: Path) -> int:
    def ready() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        os.write(writer, READY)
        os.close(writer)

    try:
        return run(ready)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
