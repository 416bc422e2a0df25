"""Files that are whole or not there: atomic writes, keys made once, one writer at a time."""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PRIVATE = 0o600
PUBLIC = 0o644


def write_whole(path: Path, data: bytes, mode: int) -> None:
    """Readers see the old file or the new one, also after a power cut. Raises OSError."""
    temporary = _write_temporary(path, data, mode)
    try:
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _settle(path.parent)


def read_or_make(path: Path, make: Callable[[], bytes]) -> bytes:
    """The private file at `path`, made if it is missing. Of two makers at once one wins, and both read what it made."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = _write_temporary(path, make(), PRIVATE)
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            pass  # Another process was faster; its file is the one.
        finally:
            temporary.unlink()
        _settle(path.parent)
    return path.read_bytes()


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Hold the lock beside `path`; waits for whoever has it. The lock goes with the process, however that ends."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, PRIVATE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_temporary(path: Path, data: bytes, mode: int) -> Path:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return Path(name)


def _settle(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
