"""A request's body as it comes, kept on disk when it is large, and the fields and files of a form in it."""

import mmap
import re
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from typing import IO

from embedded.simulator import errors

IN_MEMORY_BYTES_MAX = 1024 * 1024
PARTS_MAX = 200
_BOUNDARY = re.compile(r'boundary="?([^";,]{1,70})"?')
_NAME = re.compile(r'(?:^|;)\s*name="([^"]*)"')
_FILENAME = re.compile(r'(?:^|;)\s*filename="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    filename: str | None
    content_type: str
    data: bytes


class Upload:
    """Ended by `close()`."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES_MAX)  # noqa: SIM115 - `close()`
        self._hash = sha256()
        self.bytes = 0

    async def receive(self, pieces: AsyncIterator[bytes], bytes_max: int) -> None:
        """Raises errors.Refused beyond the limit."""
        async for piece in pieces:
            self.bytes += len(piece)
            if self.bytes > bytes_max:
                raise errors.invalid(f"Maximum content size limit ({bytes_max}) exceeded", status=413)
            self._hash.update(piece)
            self._file.write(piece)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def whole(self) -> bytes:
        self._file.seek(0)
        return self._file.read()

    def form(self, content_type: str) -> list[Part]:
        """Raises errors.Refused if it is no proper form."""
        boundary = _BOUNDARY.search(content_type)
        if not content_type.lower().startswith("multipart/form-data") or boundary is None or not self.bytes:
            raise errors.invalid("Could not parse multipart form")
        if self.bytes <= IN_MEMORY_BYTES_MAX:
            return _parts(self.whole(), boundary[1].encode())
        self._file.flush()
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return _parts(mapped, boundary[1].encode())

    def close(self) -> None:
        self._file.close()


def _parts(data: "bytes | mmap.mmap", boundary: bytes) -> list[Part]:
    """RFC 2046, 5.1.1: each part stands between two lines of the boundary, the last of which ends in `--`."""
    mark = b"--" + boundary
    if data[: len(mark)] != mark:
        raise errors.invalid("Could not parse multipart form")
    parts: list[Part] = []
    at = len(mark)
    while data[at : at + 2] != b"--":
        end = data.find(b"\r\n" + mark, at)
        head_end = data.find(b"\r\n\r\n", at)
        if data[at : at + 2] != b"\r\n" or end < 0 or not 0 <= head_end <= end or len(parts) >= PARTS_MAX:
            raise errors.invalid("Could not parse multipart form")
        parts.append(_part(data[at + 2 : head_end], data[head_end + 4 : end]))
        at = end + 2 + len(mark)
    return parts


def _part(head: bytes, data: bytes) -> Part:
    lines = dict(line.split(":", 1) for line in head.decode("utf-8", "replace").split("\r\n") if ":" in line)
    fields = {name.strip().lower(): value.strip() for name, value in lines.items()}
    disposition = fields.get("content-disposition", "")
    name, filename = _NAME.search(disposition), _FILENAME.search(disposition)
    if name is None:
        raise errors.invalid("Could not parse multipart form")
    return Part(name[1], filename[1] if filename else None, fields.get("content-type", "text/plain"), data)
