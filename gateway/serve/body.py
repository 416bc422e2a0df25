"""A request's body as it comes: where it ends, and never more of it than the limit."""

from typing import Protocol

import httptools

from gateway.errors import Code, GatewayError
from gateway.upstream.upload import Upload

CHUNK_FRAME_BYTES_MAX = 16
"""What the framing of one chunk may take: size, two line ends, some leading zeros; no room to hide a flood in."""
FRAMING_BYTES_MAX = 16 * 1024
"""What extensions of chunks and trailers may take on top of that."""

_CHUNKED_HEAD = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
_BLANK_LINE = b"\r\n\r\n"


class Body(Protocol):
    def feed(self, data: bytes) -> bytes | None:
        """What of `data` lies behind the body's end; None while the end has not come. Raises GatewayError."""
        ...

    def whole(self) -> bytes: ...


class SizedBody:
    """A body whose length the head announced."""

    __slots__ = ("_begun", "_length", "_whole")

    def __init__(self, length: int) -> None:
        self._length = length
        self._begun = bytearray()
        """In one piece: kept as they come, many small pieces would take many times the room of their bytes."""
        self._whole = b""

    def feed(self, data: bytes) -> bytes | None:
        missing = self._length - len(self._begun)
        if len(data) < missing:
            self._begun += data
            return None
        if self._begun:
            self._begun += data[:missing]
            self._whole = bytes(self._begun)
        else:
            self._whole = data[:missing]
        return data[missing:]

    def whole(self) -> bytes:
        return self._whole


class SizedUpload:
    """Likewise, of a body that passes on as it comes."""

    __slots__ = ("_missing", "_upload")

    def __init__(self, length: int, upload: Upload) -> None:
        self._missing = length
        self._upload = upload

    def feed(self, data: bytes) -> bytes | None:
        piece = data if len(data) <= self._missing else data[: self._missing]
        self._missing -= len(piece)
        if piece:
            self._upload.came(piece)
        return None if self._missing else data[len(piece) :]

    def whole(self) -> bytes:
        return b""


class ChunkedBody:
    """A body in chunks, read by llhttp. Trailers are dropped.

    The parser does not say where in its input a body ended. So it never gets a byte behind a blank line in the same
    piece: every body ends with one, and what follows has then not been looked at.
    """

    __slots__ = ("_body", "_body_bytes", "_bytes_max", "_ended", "_fed_bytes", "_parser", "_tail")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._body = bytearray()
        """In one piece, as above: here the caller chooses how small the pieces are."""
        self._body_bytes = 0
        self._fed_bytes = 0
        self._tail = b""
        """The last bytes fed: a blank line may have begun in them."""
        self._ended = False
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(_CHUNKED_HEAD)

    def feed(self, data: bytes) -> bytes | None:
        searched = self._tail + data
        at = len(self._tail)
        while at < len(searched):
            blank = searched.find(_BLANK_LINE, max(at - 3, 0))
            stop = len(searched) if blank < 0 else blank + 4
            self._parse(searched[at:stop])
            if self._ended:
                return searched[stop:]
            at = stop
        self._tail = searched[-3:]
        return None

    def whole(self) -> bytes:
        return bytes(self._body)

    def _parse(self, piece: bytes) -> None:
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserError as error:
            raise GatewayError(Code.HTTP_MALFORMED, f"the body's chunks are malformed: {error}") from None
        self._fed_bytes += len(piece)
        if self._body_bytes > self._bytes_max:
            raise too_large(self._bytes_max)
        if self._fed_bytes - (1 + CHUNK_FRAME_BYTES_MAX) * self._body_bytes > FRAMING_BYTES_MAX:
            message = f"chunk extensions or trailers of more than {FRAMING_BYTES_MAX} bytes"
            raise GatewayError(Code.HTTP_MALFORMED, message)

    # What the parser calls

    def on_body(self, piece: bytes) -> None:
        self._body_bytes += len(piece)
        if self._body_bytes <= self._bytes_max:
            self._body += piece

    def on_message_complete(self) -> None:
        self._ended = True


class ChunkedUpload(ChunkedBody):
    """Likewise, of a body that passes on as it comes."""

    __slots__ = ("_upload",)

    def __init__(self, bytes_max: int, upload: Upload) -> None:
        super().__init__(bytes_max)
        self._upload = upload

    def feed(self, data: bytes) -> bytes | None:
        behind = super().feed(data)
        if self._body:  # Once for each read, however small the caller's chunks are.
            self._upload.came(bytes(self._body))
            self._body.clear()
        return behind


def too_large(bytes_max: int) -> GatewayError:
    return GatewayError(Code.BODY_TOO_LARGE, f"the body is larger than {bytes_max} bytes")
