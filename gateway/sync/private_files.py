"""Small files of the node's own, 0600: whole or not there, also after a power cut."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def write(path: Path, data: bytes) -> None:
    """Readers see the old file or the new one. Raises OSError."""
    with _draft(path, data) as draft:
        draft.replace(path)
    _settle(path.parent)


def write_once(path: Path, data: bytes) -> None:
    """Make the file unless it is there: of several makers at once one wins. Raises OSError."""
    with _draft(path, data) as draft, suppress(FileExistsError):  # Another process was faster; its file is the one.
        path.hardlink_to(draft)
    _settle(path.parent)


@contextmanager
def _draft(path: Path, data: bytes) -> Iterator[Path]:
    """The data in a file beside `path`, gone afterwards, also where the disk did not take them. Raises OSError."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _settle(folder: Path) -> None:
    """The folder's entry, too, outlives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
