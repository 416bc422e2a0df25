"""The parent of a node's processes: keeps the listening sockets, so a replaced worker loses no waiting connection.

Plain synchronous code without a loop or a thread, because it forks: children are born with the modules already loaded
and share their pages. Each worker has its own port-sharing socket; the kernel spreads connections over them and queues
for a socket whose worker is being replaced, since this process holds it open.
"""

import ctypes
import fcntl
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

BACKLOG = 4096
RESTART_WAIT_S_MIN = 0.1
RESTART_WAIT_S_MAX = 5.0
HEIR_RETRY_S = 1.0
HELD_LOOK_S = 0.05
STEADY_S = 10.0
"""A child that lived this long is restarted without a wait."""
GIVING_WAY = 5
"""By so much nicer: where both want the processor, the one that gives way has a quarter of it."""
LARGE_BYTES = 128 * 1024
"""A block is large from this size on: by what glibc itself begins with."""
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_OURS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
"""Signals this process answers itself. A child is born with them held back, and answers them as it likes."""

log = structlog.get_logger(__name__)


class Child(msgspec.Struct):
    """One process to keep alive: `run` is called in the child and its return ends it."""

    name: str
    run: Callable[[], None]
    listens_on: socket.socket | None = None
    """Held by itself and the supervisor, by no other child."""
    ends_last_s: float | None = None
    """Asked to end after the others have, and given so many seconds; None: with the others."""
    gives_way: bool = False
    """Where a processor is short, the others have most of it (nice(2))."""
    pid: int | None = None
    born_s: float = 0.0
    wait_s: float = RESTART_WAIT_S_MIN
    due_s: float = 0.0


def listen(host: str, port: int, count: int) -> list[socket.socket]:
    """`count` sockets on one address that share its port. Raises OSError if the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Without port sharing first: a port that another program holds, even one that shares, is an error here.
    probe = socket.socket(family, socket.SOCK_STREAM)
    try:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
    finally:
        probe.close()
    sockets = []
    for _ in range(count):
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
        sockets.append(sock)
    return sockets


def hold(path: Path, wait_s: float) -> bool:
    """Have this file for the process and all that it forks, until the last of them is gone, however they end.

    Waits for whoever has it now, at most `wait_s`; False: somebody still does. Raises OSError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o600)
    deadline_s = time.monotonic() + wait_s
    while not _locked(descriptor):
        if time.monotonic() >= deadline_s:
            os.close(descriptor)
            return False
        time.sleep(HELD_LOOK_S)
    return True  # Nobody closes the descriptor: children are born with it, and the lock is let go with the last one.


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def one_heap() -> None:
    """Of the C library's allocator, for all threads of this process and its children (glibc's M_ARENA_MAX).

    By itself it gives each thread one, which keeps the most that was ever in it. Python runs one thread at a time, so
    there is little to gain, and the agent's threads, which take turns, would each have the room of a largest batch.
    """
    _tune(_M_ARENA_MAX, 1)


def large_blocks_apart() -> None:
    """Large blocks of this process are taken from the system, and go back to it when freed (glibc's M_MMAP_THRESHOLD).

    By itself glibc does so until one is freed, and keeps the next of up to its size (32 MiB at most) in the heap. Small
    blocks that stay settle between them, so that each batch of records that finds no gap makes the heap longer.
    """
    _tune(_M_MMAP_THRESHOLD, LARGE_BYTES)


def _tune(parameter: int, value: int) -> None:
    """The C library's allocator, if that is glibc's (mallopt(3))."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(parameter, value)


class Heir(Protocol):
    """Who takes care of what a dead child leaves."""

    @property
    def waits(self) -> bool:
        """Something could not be done yet; `retry` is to be called."""
        ...

    def ended(self, name: str) -> None:
        """The child of this name is dead, and its successor has not begun."""
        ...

    def retry(self) -> None: ...


class Supervisor:
    """Runs children until SIGTERM or SIGINT, then asks them to end and waits `drain_s` before it insists."""

    def __init__(self, children: list[Child], drain_s: float, heir: Heir | None = None) -> None:
        self._children = children
        self._drain_s = drain_s
        self._heir = heir
        self._stopping = False

    def run(self) -> None:
        wake_r, wake_w = os.pipe()
        os.set_blocking(wake_w, False)
        os.set_blocking(wake_r, False)
        signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while not self._stopping:
            self._start_due()
            select.select([wake_r], [], [], self._next_wait_s())
            _drain_pipe(wake_r)
            self._reap()
            self._retry()
        self._end_all()

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _start_due(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.pid is None and child.due_s <= now:
                self._start(child, now)

    def _start(self, child: Child, now: float) -> None:
        parent = os.getpid()
        # Else a stop that reaches the child before it has let go of our handlers would be taken, and forgotten.
        signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)
        try:
            pid = os.fork()
        except OSError as error:  # Of memory or processes there are too few just now; the other children go on.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _OURS)
            child.wait_s = min(child.wait_s * 2, RESTART_WAIT_S_MAX)
            child.due_s = now + child.wait_s
            log.error("child_not_started", child=child.name, detail=error.strerror)  # noqa: TRY400 - the system's fault
            return
        if pid == 0:
            _become(child, parent, self._children)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OURS)
        child.pid, child.born_s = pid, now
        log.info("child_started", child=child.name, pid=pid)

    def _next_wait_s(self) -> float | None:
        due = [child.due_s for child in self._children if child.pid is None]
        if self._heir is not None and self._heir.waits:
            due.append(time.monotonic() + HEIR_RETRY_S)
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _reap(self) -> None:
        for child in self._children:
            if child.pid is None:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid == 0:
                continue
            now = time.monotonic()
            steady = now - child.born_s >= STEADY_S
            child.wait_s = RESTART_WAIT_S_MIN if steady else min(child.wait_s * 2, RESTART_WAIT_S_MAX)
            child.pid, child.due_s = None, now if steady else now + child.wait_s
            log.warning("child_ended", child=child.name, pid=pid, code=os.waitstatus_to_exitcode(status))
            self._inherit(child)

    def _end_all(self) -> None:
        self._end([child for child in self._children if child.ends_last_s is None], self._drain_s)
        for child in self._children:
            if child.ends_last_s is not None:
                self._end([child], child.ends_last_s)

    def _end(self, children: list[Child], drain_s: float) -> None:
        deadline = time.monotonic() + drain_s
        for child in children:
            # With its child's own end this was the last one: who calls now is refused at once, not left waiting.
            if child.listens_on is not None:
                child.listens_on.close()
            if child.pid is not None:
                os.kill(child.pid, signal.SIGTERM)
        while any(child.pid is not None for child in children):
            late = time.monotonic() >= deadline
            for child in children:
                if child.pid is None:
                    continue
                if late:
                    os.kill(child.pid, signal.SIGKILL)
                if os.waitpid(child.pid, 0 if late else os.WNOHANG)[0]:
                    child.pid = None
                    self._inherit(child)
            time.sleep(0.02)

    def _inherit(self, child: Child) -> None:
        if self._heir is None:
            return
        try:
            self._heir.ended(child.name)
        except Exception:  # What one child left, however damaged it is, must not end the others.
            log.exception("not_inherited", child=child.name)

    def _retry(self) -> None:
        if self._heir is None or not self._heir.waits:
            return
        try:
            self._heir.retry()
        except Exception:  # As above.
            log.exception("not_inherited")


def _become(child: Child, parent: int, family: list[Child]) -> None:
    """Be the child from here on, and never return into the parent's loop."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in _OURS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OURS)
        _die_with(parent)
        if child.gives_way:
            os.nice(GIVING_WAY)
        for sibling in family:
            if sibling is not child and sibling.listens_on is not None:
                sibling.listens_on.close()
        child.run()
        code = 0
    except BaseException:  # The child's last breath: whatever ended it is logged, and it must not return.
        log.exception("child_failed", child=child.name)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _die_with(parent: int) -> None:
    """A worker without its supervisor would hold the port for nobody (Linux: PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)
    if os.getppid() != parent:  # It died before we asked.
        os.kill(os.getpid(), signal.SIGTERM)


def _drain_pipe(fd: int) -> None:
    try:
        while os.read(fd, 4096):
            pass
    except BlockingIOError:
        pass
