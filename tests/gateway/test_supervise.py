"""The parent of a node's processes, tried on real ones: what dies comes back, and no waiting connection is lost."""

import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.supervise import GIVING_WAY, hold, listen

HANG_S = 30.0
"""Only a guard against hanging."""

NODE = """
import os, select, signal, socket, sys, time
from gateway.supervise import Child, Supervisor, listen

def serve(sock, stubborn):
    # A wait that a signal is to end watches the pipe too: one that came just before the wait would be lost on it.
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    busy, held, asked = [], [], []
    def stop(*_):
        asked.append(True)
        if busy:
            busy[0].sendall(b"asked")
    signal.set_wakeup_fd(wakes)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if stubborn else stop)
    sock.setblocking(True)
    while not asked:
        if sock not in select.select([sock, woken], [], [])[0]:
            continue
        conn, _ = sock.accept()
        word = conn.recv(64)
        if word == b"slow":
            busy.append(conn)
            conn.sendall(b"begun")
            conn.recv(64)
            busy.clear()
        conn.sendall(b"%d" % os.getpid())
        held.append(conn) if word == b"hold" else conn.close()

port, drain_s, stubborn = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "stubborn"
if sys.argv[3] == "newborn":  # Stands in a worker's first moment until whoever waits for the word has acted.
    os.register_at_fork(after_in_child=lambda: (os.write(1, b"born\\n"), time.sleep(0.5)))
sockets = listen("127.0.0.1", port, 2)
children = [Child(f"w{i}", lambda sock=sock: serve(sock, stubborn)) for i, sock in enumerate(sockets)]
children[1].gives_way = sys.argv[3] == "modest"
if sys.argv[3] == "late":
    due_s = time.monotonic() + 0.2
    def late():
        os.write(1, b"late: %d\\n" % (time.monotonic() >= due_s))
        signal.pause()
    children.append(Child("late", late, due_s=due_s))
if sys.argv[3] in ("clerk", "stubborn clerk"):
    def clerk():
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        while signal.sigwait([signal.SIGTERM]):
            os.write(1, b"clerk asked\\n")
            if sys.argv[3] == "clerk":
                break
    children = [Child("clerk", clerk, ends_last_s=drain_s)] + [
        Child(f"w{i}", lambda sock=sock: (serve(sock, False), os.write(1, b"worker done\\n"))[0])
        for i, sock in enumerate(sockets)
    ]
if sys.argv[3] == "short":  # Of memory or processes, twice in a row.
    fork, failures = os.fork, [BlockingIOError(11, "no process to spare"), OSError(12, "no memory to spare")]
    def fork_if_there_is_room():
        if failures and sum(child.pid is not None for child in children) == 1:
            raise failures.pop()
        return fork()
    os.fork = fork_if_there_is_room
heir = None
if sys.argv[3] == "helpless heir":
    class heir:
        waits = True
        def ended(name):
            raise ValueError("what it left is damaged")
        def retry():
            raise ValueError("and still is")
print("listening", flush=True)
Supervisor(children, drain_s, heir).run()
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Node:
    """A supervisor with two workers that say their pid."""

    def __init__(self, *, drain_s: float = 60.0, mode: str = "kind") -> None:
        self.port = free_port()
        self._seen: dict[int, int] = {}
        """Worker's pid → its pidfd, which never means another process that got the same number."""
        self.process = subprocess.Popen(
            [sys.executable, "-c", NODE, str(self.port), str(drain_s), mode],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._guard = threading.Timer(HANG_S, self.process.kill)
        self._guard.start()
        assert self.line() == b"listening\n"

    def line(self) -> bytes:
        """The next line of its output, where the words of two processes may run into one another."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "it ended, or hung and was ended"
        return line

    def connect(self, word: bytes) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port), HANG_S)
        sock.sendall(word)
        return sock

    def pid(self) -> int:
        with self.connect(b"pid") as sock:
            return self.said(sock)

    def said(self, sock: socket.socket) -> int:
        pid = int(sock.recv(64))
        if pid not in self._seen:
            with suppress(ProcessLookupError):
                self._seen[pid] = os.pidfd_open(pid)
        return pid

    def hold_both(self) -> dict[int, socket.socket]:
        """A connection to each worker that ends when its worker does."""
        held: dict[int, socket.socket] = {}
        while len(held) < 2:
            sock = self.connect(b"hold")
            pid = self.said(sock)
            if pid in held:
                sock.close()
            else:
                held[pid] = sock
        return held

    def end(self) -> None:
        self._guard.cancel()
        self._guard.join()
        self.process.kill()
        for pidfd in self._seen.values():
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
        self.process.wait(HANG_S)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def nodes() -> Iterator[list[Node]]:
    started: list[Node] = []
    yield started
    for node in started:
        node.end()


def stop(pid: int) -> None:
    """Hold a process, and return only when it stands still: until then it could still accept a connection."""
    os.kill(pid, signal.SIGSTOP)
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.001)


def close(held: dict[int, socket.socket]) -> None:
    for sock in held.values():
        sock.close()


def test_a_killed_worker_is_replaced_and_the_other_left_alone(nodes: list[Node]) -> None:
    nodes.append(node := Node())
    held = node.hold_both()
    victim, other = held
    os.kill(victim, signal.SIGKILL)
    assert held[victim].recv(1) == b""
    answered = {node.pid() for _ in range(60)}
    assert victim not in answered
    assert other in answered
    assert len(answered) == 2
    held[other].setblocking(False)
    with pytest.raises(BlockingIOError):  # Still open: it was not touched.
        held[other].recv(1)
    close(held)


def test_a_connection_that_waits_at_a_dead_worker_is_served_by_its_replacement(nodes: list[Node]) -> None:
    nodes.append(node := Node())
    held = node.hold_both()
    victim, other = held
    for pid in held:
        stop(pid)
    waiting = [node.connect(b"pid") for _ in range(40)]
    os.kill(victim, signal.SIGKILL)
    os.kill(other, signal.SIGCONT)
    answered = {node.said(sock) for sock in waiting}
    assert victim not in answered
    assert other in answered
    assert len(answered) == 2, "all forty connections chose one socket, or a worker was replaced twice"
    for sock in waiting:
        sock.close()
    close(held)


def test_workers_die_with_a_killed_supervisor(nodes: list[Node]) -> None:
    nodes.append(node := Node())
    held = node.hold_both()
    node.process.kill()
    assert [sock.recv(1) for sock in held.values()] == [b"", b""]
    node.process.wait(HANG_S)
    with pytest.raises(OSError):
        node.pid()
    close(held)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_running_work_end(nodes: list[Node], number: signal.Signals) -> None:
    nodes.append(node := Node())
    with node.connect(b"slow") as sock:
        assert sock.recv(64) == b"begun"
        node.process.send_signal(number)
        assert sock.recv(64) == b"asked"
        assert node.process.poll() is None, "the supervisor waits for its worker"
        sock.sendall(b"go")
        assert node.said(sock) > 0
    assert node.process.wait(HANG_S) == 0


def test_a_stop_reaches_a_worker_that_is_being_born(nodes: list[Node]) -> None:
    nodes.append(node := Node(mode="newborn"))
    born = 0
    while born < 2:
        born += node.line().count(b"born")
    node.process.terminate()
    assert node.process.wait(HANG_S) == 0, "a worker took the stop for its parent's and forgot it"


def test_a_worker_that_does_not_stop_is_ended(nodes: list[Node]) -> None:
    nodes.append(node := Node(drain_s=0.1, mode="stubborn"))
    held = node.hold_both()
    node.process.terminate()
    assert node.process.wait(HANG_S) == 0
    assert [sock.recv(1) for sock in held.values()] == [b"", b""]
    close(held)


def test_a_child_that_ends_last_is_asked_when_the_others_are_gone(nodes: list[Node]) -> None:
    nodes.append(node := Node(mode="clerk"))
    close(node.hold_both())  # Both have begun: one that is just being born ends without a word.
    with node.connect(b"slow") as sock:
        assert sock.recv(64) == b"begun"
        node.process.terminate()
        assert sock.recv(64) == b"asked"
        sock.sendall(b"go")
        assert node.said(sock) > 0
    said: list[bytes] = []
    while len(said) < 3:  # Its log is among it.
        said += re.findall(rb"worker done|clerk asked", node.line())
    assert said == [b"worker done", b"worker done", b"clerk asked"]
    assert node.process.wait(HANG_S) == 0


def test_a_child_that_gives_way_stands_behind_the_others(nodes: list[Node]) -> None:
    nodes.append(node := Node(mode="modest"))
    held = node.hold_both()
    own = os.getpriority(os.PRIO_PROCESS, node.process.pid)
    nices = sorted(os.getpriority(os.PRIO_PROCESS, pid) for pid in held)
    assert nices == [own, min(own + GIVING_WAY, 19)]
    close(held)


def test_a_worker_that_cannot_be_begun_just_now_is_begun_later_and_the_others_serve_on(nodes: list[Node]) -> None:
    nodes.append(node := Node(mode="short"))
    close(node.hold_both())
    node.process.terminate()
    assert node.process.wait(HANG_S) == 0, "and a stop is still heard"


def test_what_a_dead_worker_left_ends_nobody_else_however_damaged_it_is(nodes: list[Node]) -> None:
    nodes.append(node := Node(mode="helpless heir"))
    held = node.hold_both()
    victim = next(iter(held))
    os.kill(victim, signal.SIGKILL)
    assert held[victim].recv(1) == b""
    assert len({node.pid() for _ in range(60)} - {victim}) == 2
    close(held)
    node.process.terminate()
    assert node.process.wait(HANG_S) == 0, "a stop looks after what its workers left, too"


def test_a_child_that_is_due_later_begins_later_and_the_others_do_not_wait_for_it(nodes: list[Node]) -> None:
    nodes.append(node := Node(mode="late"))
    close(node.hold_both())
    while b"late:" not in (line := node.line()):
        pass
    assert b"late: 1" in line


def test_one_that_ends_last_and_does_not_stop_is_ended(nodes: list[Node]) -> None:
    nodes.append(node := Node(drain_s=0.2, mode="stubborn clerk"))
    close(node.hold_both())
    node.process.terminate()
    assert node.process.wait(HANG_S) == 0


@pytest.mark.parametrize("sharing", [False, True])
def test_a_port_that_somebody_holds_is_an_error(sharing: bool) -> None:
    with socket.socket() as holder:
        if sharing:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        with pytest.raises(OSError):
            listen("127.0.0.1", holder.getsockname()[1], 2)


def test_as_many_sockets_as_asked_for_share_the_port() -> None:
    port = free_port()
    sockets = listen("127.0.0.1", port, 3)
    assert [sock.getsockname()[1] for sock in sockets] == [port] * 3
    for sock in sockets:
        sock.close()


HOLDER = """
import os, signal, sys
from pathlib import Path
from gateway.supervise import hold

assert hold(Path(sys.argv[1]), 0)
child = os.fork()
if child:
    os.write(1, b"%d\\n" % child)
signal.pause()
"""


def test_a_file_is_held_until_the_last_child_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE)
    guard = threading.Timer(HANG_S, holder.kill)
    guard.start()
    with holder:
        assert holder.stdout is not None
        child = int(holder.stdout.readline())
        held = [hold(path, 0)]
        holder.kill()
        holder.wait(HANG_S)
        held.append(hold(path, 0.1))
        os.kill(child, signal.SIGKILL)
        held.append(hold(path, HANG_S))
    guard.cancel()
    assert held == [False, False, True]


def printed(program: str, argument: str) -> str:
    """By a process of its own: what it sets is for good."""
    command = [sys.executable, "-c", program, argument]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=HANG_S).stdout.strip()


THREADS_ROOM = """
import ctypes, sys, threading
from pathlib import Path
from gateway.supervise import one_heap

if sys.argv[1] == "one":
    one_heap()
malloc = ctypes.CDLL(None).malloc
malloc.restype = ctypes.c_size_t
taken = []
thread = threading.Thread(target=lambda: taken.append(malloc(1000)))
thread.start()
thread.join()
(heap,) = [line.split()[0] for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith("[heap]")]
start, end = (int(bound, 16) for bound in heap.split("-"))
print(start <= taken[0] < end)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library has no heaps of threads' own")
def test_threads_take_their_room_from_the_one_heap() -> None:
    assert printed(THREADS_ROOM, "own") == "False", "else there is nothing to set"
    assert printed(THREADS_ROOM, "one") == "True"


LARGE_BLOCK = """
import asyncio, ctypes, sys
from pathlib import Path
from gateway.roles import agent

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_size_t, [ctypes.c_size_t], [ctypes.c_size_t]

async def work(*_):
    libc.free(libc.malloc(20_000_000))
    block = libc.malloc(10_000_000)
    maps = Path("/proc/self/maps").read_text().splitlines()
    (heap,) = [line.split()[0] for line in maps if line.endswith("[heap]")]
    start, end = (int(bound, 16) for bound in heap.split("-"))
    print(start <= block < end)

agent._work = work
asyncio.run(agent.agent(None, None) if sys.argv[1] == "agent" else work())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library has no such thresholds")
def test_the_agent_keeps_no_room_of_large_blocks_in_its_heap() -> None:
    assert printed(LARGE_BLOCK, "anybody") == "True", "else there is nothing to set"
    assert printed(LARGE_BLOCK, "agent") == "False"
