"""Files that are whole or not there: atomic writes, keys made once, one writer at a time."""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PRIVATE = 0o600
PUBLIC = 0o644


def write_whole(path: Path, data: bytes, mode: int) -> None:
    """Readers see the old file or the new one, also after a power cut. Raises OSError."""
    with _draft(path, data, mode) as draft:
        draft.replace(path)
    _settle(path.parent)


def read_or_make(path: Path, make: Callable[[], bytes]) -> bytes:
    """The private file at `path`, made if it is missing. Of two makers at once one wins, and both read what it made."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Should another process be faster, its file is the one.
        with _draft(path, make(), PRIVATE) as draft, suppress(FileExistsError):
            path.hardlink_to(draft)
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


@contextmanager
def _draft(path: Path, data: bytes, mode: int) -> Iterator[Path]:
    """The data in a file beside `path`, gone afterwards, also where the disk did not take them. Raises OSError."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _settle(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
