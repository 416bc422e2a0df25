"""AWS event streams: an incremental reader of binary frames, each held against its checksums (pure).

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html and smithy.io's
`amazon-eventstream`: lengths of the frame and of its headers, their CRC32, headers, payload, CRC32 of all before.
"""

import struct
from collections.abc import Iterator
from zlib import crc32

import msgspec

FRAME_BYTES_MAX = 24 * 1024 * 1024
HEADERS_BYTES_MAX = 128 * 1024
_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_AROUND = _PRELUDE.size + _CRC.size
_STRING = 7
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value, by its type, where they are always as many; bytes (6) and strings (7) tell it."""


class FrameBroken(ValueError):
    """What came is no such stream, or was damaged on its way."""


class Frame(msgspec.Struct, frozen=True):
    headers: dict[str, str]
    """Those whose values are strings."""
    payload: bytes


class FrameReader:
    """Feed it a stream as it comes, cut anywhere; it gives whole frames."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending = bytearray()

    @property
    def is_between_frames(self) -> bool:
        return not self._pending

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes. Raises FrameBroken; the reader is of no use after that."""
        self._pending += data
        return [*self._cut()]

    def _cut(self) -> Iterator[Frame]:
        pending = self._pending
        start = 0
        while len(pending) - start >= _PRELUDE.size:
            size, headers_size, prelude_crc = _PRELUDE.unpack_from(pending, start)
            if crc32(memoryview(pending)[start : start + 8]) != prelude_crc:
                raise FrameBroken("a frame's beginning has another checksum")
            if size > FRAME_BYTES_MAX or headers_size > HEADERS_BYTES_MAX or size < headers_size + _AROUND:
                raise FrameBroken("a frame tells lengths that cannot be")
            end = start + size
            if len(pending) < end:
                break
            frame = bytes(pending[start:end])
            (crc,) = _CRC.unpack_from(frame, size - _CRC.size)
            if crc32(memoryview(frame)[: -_CRC.size]) != crc:
                raise FrameBroken("a frame has another checksum")
            headers_end = _PRELUDE.size + headers_size
            yield Frame(_headers(frame[_PRELUDE.size : headers_end]), frame[headers_end : -_CRC.size])
            start = end
        del pending[:start]


def _headers(data: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    at = 0
    try:
        while at < len(data):
            name_end = at + 1 + data[at]
            name, kind, at = data[at + 1 : name_end].decode(), data[name_end], name_end + 1
            if kind in (6, _STRING):
                (size,) = struct.unpack_from(">H", data, at)
                at += 2
            else:
                size = _SIZES[kind]
            if at + size > len(data):
                raise FrameBroken("a frame's headers end too early")
            if kind == _STRING:
                headers[name] = data[at : at + size].decode()
            at += size
    except (IndexError, KeyError, UnicodeDecodeError, struct.error):
        raise FrameBroken("a frame's headers cannot be read") from None
    return headers
