"""A file that only takes up room: some to give back when the disk is full, since freeing more needs a little."""

import os
from contextlib import suppress
from pathlib import Path

FILE = "ballast"
BYTES = 16 * 1024 * 1024
FREE_BYTES_MIN = 4 * BYTES
"""It is made only where this much would be left beside it."""


class Ballast:
    def __init__(self, state_dir: Path, bytes_: int = BYTES) -> None:
        self._path = state_dir / FILE
        self._bytes = bytes_

    def give_back(self) -> bool:
        """Whether that freed anything."""
        try:
            self._path.unlink()
        except OSError:  # There is none, or the disk takes no change at all.
            return False
        return True

    def make(self) -> None:
        """Unless it is there, or there is too little room for it."""
        with suppress(OSError):
            if self._path.exists():
                return
            disk = os.statvfs(self._path.parent)
            if disk.f_bavail * disk.f_frsize < self._bytes + FREE_BYTES_MIN:
                return
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._bytes)
            finally:
                os.close(descriptor)
