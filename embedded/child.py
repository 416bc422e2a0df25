"""One child process: in a process group of its own, dead when its parent dies, stopped by id and never by name."""

import asyncio
import ctypes
import os
import select
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1

LOG_BYTES_MAX = 8 * 1024 * 1024
"""A log larger than this when its part starts is moved to `<name>.log.1`, over the one there."""


class Child:
    """A running process. Needs a running loop; made by `start`."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.pid = process.pid
        self._process = process
        self._gone = asyncio.Event()
        self._handle = os.pidfd_open(process.pid)
        asyncio.get_running_loop().add_reader(self._handle, self._ended)

    @classmethod
    def start(cls, command: Sequence[str], environment: Mapping[str, str], log: Path) -> "Child":
        """Raises OSError if the command cannot be run."""
        if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
            log.replace(log.with_name(log.name + ".1"))
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
            return cls(
                subprocess.Popen(
                    command,
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    process_group=0,
                    preexec_fn=die_with_parent(),  # noqa: PLW1509 - the supervisor has no threads
                )
            )

    async def exited(self) -> int:
        """Wait for the end: an exit code, or the negative number of the signal that ended it."""
        await self._gone.wait()
        return self._process.returncode

    async def stop(self, patience_s: float, request: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end, by the signal `request`; after `patience_s` insist."""
        if self._gone.is_set():
            return
        self._process.send_signal(request)
        try:
            # Not by `asyncio.timeout`: before Python 3.11.3 its end in a cancelled task is one more cancellation.
            await asyncio.wait_for(self._gone.wait(), patience_s)
        except TimeoutError:
            self._process.kill()
            await self._gone.wait()

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._handle)
        os.close(self._handle)
        # Not yet reaped, so the group's number is still its own: what it left behind ends with it.
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._gone.set()


def die_with_parent() -> Callable[[], None]:
    """What a child does before it becomes its program: ask the kernel to be killed when its parent ends."""
    parent = os.getpid()

    def ask() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)  # The parent ended before the kernel was asked.

    return ask


def started_at(pid: int) -> int | None:
    """When a process started, in the kernel's ticks since boot; None if it is gone, or dead and not yet reaped.

    With the id it names one process for good, which the id alone does not: ids are used again.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def kill_stranger(pid: int, started: int) -> bool:
    """Kill a process that is no child of ours and wait until it is gone. False if it is not the one started then."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        # Judged after the handle is held: from here on the id cannot come to mean another process.
        if started_at(pid) != started:
            return False
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        select.select([handle], [], [])
    finally:
        os.close(handle)
    return True
