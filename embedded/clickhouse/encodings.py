"""Bodies out of their compression, piece by piece, never more bytes than allowed."""

import zlib
from typing import Protocol

import lz4.frame
from backports import zstd

from embedded.clickhouse.refusal import malformed, not_supported, too_large

GZIP_OR_ZLIB = 47
"""zlib's word for: whichever of the two the bytes begin like."""


class _Decompressor(Protocol):
    """One frame. What follows its end is in `unused_data`."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def plain(body: bytes, encoding: str, bytes_max: int) -> bytes:
    """A body may be several frames, one after the other: the client compresses each of its blocks. Raises Refusal."""
    parts: list[bytes] = []
    room = bytes_max
    rest = body
    while rest:
        frame = _decompressor(encoding)
        try:
            # One byte more than allowed, so that one that is exactly as long as allowed is seen to end.
            part = frame.decompress(rest, room + 1)
        except (RuntimeError, zstd.ZstdError, zlib.error):
            raise malformed(f"the body is not {encoding}") from None
        if len(part) > room:
            raise too_large(bytes_max)
        if not frame.eof:
            raise malformed(f"the body is {encoding} that does not end")
        parts.append(part)
        room -= len(part)
        rest = frame.unused_data or b""
    return b"".join(parts)


def _decompressor(encoding: str) -> _Decompressor:
    match encoding:
        case "lz4":
            frame: _Decompressor = lz4.frame.LZ4FrameDecompressor()
            return frame
        case "zstd":
            return zstd.ZstdDecompressor()
        case "gzip" | "deflate":
            return zlib.decompressobj(GZIP_OR_ZLIB)
    raise not_supported("this content-encoding is")
