"""Segments of the spool: files that one worker appends to and the agent reads, frame by frame.

    GHSPOOL1 | length of the head, 4 bytes | head: {"fields": […]} | frames
    frame: magic, 4 bytes | length, 4 bytes | CRC-32 of kind and payload, 4 bytes | kind, 1 byte | payload

All numbers are little endian. A frame is written by one `write()`; whatever of it is there after a kill is there whole,
and what a full disk cut short is told by its length or its checksum. A reader that meets what is no frame looks for the
next one that is: damage costs what it hit and nothing behind it.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import orjson

FOLDER = "spool"
SUFFIX = ".ghspool"
PAYLOAD_BYTES_MAX = 64 * 1024
"""Of one frame. A record is a few hundred bytes."""

_MAGIC = b"GHSPOOL1"
_FRAME_MAGIC = b"\xf7GHR"
_FRAME = struct.Struct("<4sIIB")
FRAME_BYTES = _FRAME.size
"""Of a frame, besides its payload."""
_HEAD_BYTES_MAX = 64 * 1024


class Kind(IntEnum):
    RECORD = 1
    """A JSON array: the record's values in the order of the segment's fields."""
    DROP = 2
    """A JSON object: records that the worker could not keep, as `shared.protocol.batch.Drop`."""


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """`<worker>.<number>.ghspool`; a worker's numbers only grow, across restarts too."""

    worker: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.worker}.{self.number:010d}{SUFFIX}"


class Frame(NamedTuple):
    """A tuple, since there is one for each record."""

    kind: int
    payload: bytes
    end: int
    """Where in the file it ends."""

    @property
    def start(self) -> int:
        """Where in the file it begins: behind the frame before, unless there is damage between."""
        return self.end - FRAME_BYTES - len(self.payload)


@dataclass(frozen=True, slots=True)
class Read:
    """What a part of a segment holds."""

    frames: tuple[Frame, ...]
    end: int
    """Up to here everything is read: reading goes on from it."""
    damaged_bytes: int
    """What lay between frames and is none."""


def parse_name(name: str) -> Segment | None:
    """None for a file that is no segment."""
    worker, dot, number = name.removesuffix(SUFFIX).rpartition(".")
    if not name.endswith(SUFFIX) or not dot or not worker or not number.isdecimal():
        return None
    segment = Segment(worker, int(number))
    return segment if segment.name == name else None


def listed(folder: Path) -> list[Segment]:
    """Every segment there is, by worker and number. Raises OSError."""
    return sorted(segment for path in folder.iterdir() if (segment := parse_name(path.name)) is not None)


def head(fields: Sequence[str]) -> bytes:
    """What a segment begins with."""
    text = orjson.dumps({"fields": list(fields)})
    return _MAGIC + struct.pack("<I", len(text)) + text


def read_head(data: bytes) -> tuple[tuple[str, ...], int] | None:
    """The fields of its records and where its frames begin; None if the head is damaged, or not all there yet."""
    if data[:8] != _MAGIC or len(data) < 12:
        return None
    (length,) = struct.unpack_from("<I", data, 8)
    if length > _HEAD_BYTES_MAX or len(data) < 12 + length:
        return None
    try:
        fields = orjson.loads(data[12 : 12 + length])["fields"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return (tuple(map(str, fields)), 12 + length) if isinstance(fields, list) else None


def frame(kind: int, payload: bytes) -> bytes:
    check = zlib.crc32(payload, kind)
    return _FRAME.pack(_FRAME_MAGIC, len(payload), check, kind) + payload


def read(data: bytes, start: int, *, sealed: bool) -> Read:
    """The frames in `data`, which is the file from `start` on.

    At the end of a segment that is still written to, half a frame is one that is just coming: it is left for later. At
    the end of a `sealed` one it is damage.
    """
    frames: list[Frame] = []
    at = damaged = 0
    size = len(data)
    while at < size:
        found = _frame_at(data, at, start)
        if isinstance(found, Frame):
            at = found.end - start
            frames.append(found)
            continue
        if found and not sealed:
            break
        following = _next_frame(data, at + 1)
        if following is None and not sealed:
            # Whether what stands here is damage or a frame to come is not known yet.
            break
        stop = len(data) if following is None else following
        damaged += stop - at
        at = stop
    return Read(tuple(frames), start + at, damaged)


def _frame_at(data: bytes, at: int, start: int = 0) -> Frame | bool:
    """The whole frame that begins here; True: one may, and the rest is missing; False: none does.

    `start`: where in the file `data` begins.
    """
    have = len(data) - at
    if have < FRAME_BYTES:
        return _FRAME_MAGIC.startswith(data[at : at + 4]) or data[at : at + 4] == _FRAME_MAGIC
    magic, length, check, kind = _FRAME.unpack_from(data, at)
    if magic != _FRAME_MAGIC or length > PAYLOAD_BYTES_MAX:
        return False
    if have < FRAME_BYTES + length:
        return True
    end = at + FRAME_BYTES + length
    payload = data[at + FRAME_BYTES : end]
    if zlib.crc32(payload, kind) != check:
        return False
    return Frame(kind, payload, start + end)


def _next_frame(data: bytes, at: int) -> int | None:
    """Where the next whole frame begins."""
    while (at := data.find(_FRAME_MAGIC, at)) >= 0:
        if isinstance(_frame_at(data, at), Frame):
            return at
        at += 1
    return None


def iterate(folder: Path, segment: Segment) -> Iterator[Frame]:
    """Every frame of a segment nobody writes to any more. Raises OSError."""
    data = (folder / segment.name).read_bytes()
    found = read_head(data)
    if found is not None:
        yield from read(data[found[1] :], found[1], sealed=True).frames
