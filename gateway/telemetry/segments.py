"""Segments of the spool: files that one worker appends to and the agent reads, frame by frame.

    GHSPOOL1 | length of the head, 4 bytes | head: {"fields": […]} | frames
    frame: magic, 4 bytes | length, 4 bytes | CRC-32 of kind and payload, 4 bytes | kind, 1 byte | payload

All numbers are little endian. A frame is never spread over two `write()`s; whatever of it is there after a kill is
there whole, and what a full disk cut short is told by its length or its checksum. A reader that meets what is no frame
looks for the next one that is: damage costs what it hit and nothing behind it.
"""

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import msgspec
import orjson
from isal.isal_zlib import crc32

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
    """A JSON object: records that the worker could not keep, as `shared.protocol.drop.Drop`."""


class Segment(msgspec.Struct, frozen=True, order=True):
    """`<worker>.<number>.ghspool`; a worker's numbers only grow, across restarts too."""

    worker: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.worker}.{self.number:010d}{SUFFIX}"


class Frame(NamedTuple):
    kind: int
    payload: bytes


class Stretch(msgspec.Struct):
    """Frames of one kind, each right behind the one before. They are kept by the stretch, not one by one: there is one
    for each request."""

    kind: int
    start: int
    """Where in the file the first one begins."""
    end: int
    """Where the last one ends."""
    payloads: list[bytes]

    @property
    def payload_bytes(self) -> int:
        return self.end - self.start - FRAME_BYTES * len(self.payloads)

    def end_of(self, count: int) -> int:
        """Where in the file the first `count` of them end."""
        if count == len(self.payloads):
            return self.end
        return self.start + FRAME_BYTES * count + sum(map(len, self.payloads[:count]))

    def cut(self, count: int) -> None:
        """Leave out the first `count` of them."""
        self.start = self.end_of(count)
        del self.payloads[:count]


class Read(msgspec.Struct, frozen=True):
    """What a part of a segment holds."""

    stretches: tuple[Stretch, ...]
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
    return _FRAME.pack(_FRAME_MAGIC, len(payload), crc32(payload, kind), kind) + payload


def read(data: bytes, start: int, *, sealed: bool) -> Read:
    """The frames in `data`, which is the file from `start` on.

    At the end of a segment that is still written to, half a frame is one that is just coming: it is left for later. At
    the end of a `sealed` one it is damage.
    """
    stretches: list[Stretch] = []
    at = damaged = 0
    size = len(data)
    while at < size:
        found = _stretch_at(data, at, start)
        if found is not None:
            at = found.end - start
            stretches.append(found)
            continue
        if not sealed and _is_begun(data, at):
            break
        following = _next_frame(data, at + 1)
        if following is None and not sealed:
            # Whether what stands here is damage or a frame to come is not known yet.
            break
        stop = size if following is None else following
        damaged += stop - at
        at = stop
    return Read(tuple(stretches), start + at, damaged)


def _stretch_at(data: bytes, at: int, start: int) -> Stretch | None:
    """The whole frames that follow one another from here on; None: no whole frame begins here.

    `start`: where in the file `data` begins.
    """
    payloads: list[bytes] = []
    begin, size, unpack = at, len(data), _FRAME.unpack_from
    kind_of_all = 0
    while (body := at + FRAME_BYTES) <= size:
        magic, length, check, kind = unpack(data, at)
        end = body + length
        if magic != _FRAME_MAGIC or length > PAYLOAD_BYTES_MAX or end > size:
            break
        payload = data[body:end]
        if crc32(payload, kind) != check:
            break
        if kind != kind_of_all:
            if payloads:
                break
            kind_of_all = kind
        payloads.append(payload)
        at = end
    return Stretch(kind_of_all, start + begin, start + at, payloads) if payloads else None


def _is_begun(data: bytes, at: int) -> bool:
    """Whether a frame may begin here whose rest is missing."""
    have = len(data) - at
    if have < FRAME_BYTES:
        return _FRAME_MAGIC.startswith(data[at : at + 4])
    magic, length, _, _ = _FRAME.unpack_from(data, at)
    return bool(magic == _FRAME_MAGIC and length <= PAYLOAD_BYTES_MAX and have < FRAME_BYTES + length)


def _next_frame(data: bytes, at: int) -> int | None:
    """Where the next whole frame begins."""
    while (at := data.find(_FRAME_MAGIC, at)) >= 0:
        if _stretch_at(data, at, 0) is not None:
            return at
        at += 1
    return None


def iterate(folder: Path, segment: Segment) -> Iterator[Frame]:
    """Every frame of a segment nobody writes to any more. Raises OSError."""
    data = (folder / segment.name).read_bytes()
    found = read_head(data)
    if found is not None:
        for stretch in read(data[found[1] :], found[1], sealed=True).stretches:
            for payload in stretch.payloads:
                yield Frame(stretch.kind, payload)
