"""Small files of the node's own, 0600: whole or not there, also after a power cut."""

import os
import tempfile
from pathlib import Path


def write(path: Path, data: bytes) -> None:
    """Readers see the old file or the new one. Raises OSError."""
    temporary = _write_temporary(path, data)
    try:
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _settle(path.parent)


def write_once(path: Path, data: bytes) -> None:
    """Make the file unless it is there: of several makers at once one wins. Raises OSError."""
    temporary = _write_temporary(path, data)
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        pass  # Another process was faster; its file is the one.
    finally:
        temporary.unlink()
    _settle(path.parent)


def _write_temporary(path: Path, data: bytes) -> Path:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return Path(name)


def _settle(folder: Path) -> None:
    """The folder's entry, too, outlives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
