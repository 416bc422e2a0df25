"""From a connection's bytes to the heads of its requests, by llhttp and the rules of `head.py`."""

from typing import Any

import httptools

from gateway.errors import Code, GatewayError
from gateway.serve.head import (
    HEAD_BYTES_MAX,
    NOT_HTTP,
    Head,
    HeadBefore,
    body_length,
    read_headers,
    read_passage,
    read_request_line,
)

_BLANK_LINE = b"\r\n\r\n"


class HeadReader:
    """One connection's. A head may come in any pieces; the parser sees nothing else."""

    __slots__ = ("_before", "_ended", "_keeps_alive", "_parser", "_raw_headers", "begun")

    def __init__(self) -> None:
        self.begun = b""
        """What has come of a head that is not whole; the parser has it too."""
        self._before: HeadBefore | None = None
        self._parser: Any = None
        self._raw_headers: list[tuple[bytes, bytes]] = []
        self._ended = False
        self._keeps_alive = False

    def again(self, data: bytes) -> tuple[Head, int] | None:
        """Between requests: the head before and where it ends, if `data` begins with that one once more."""
        return None if self._before is None else self._before.again(data)

    def feed(self, data: bytes) -> tuple[Head | None, bytes]:
        """The head, once it is whole, and what lies behind it. Raises GatewayError 400: where this request ends is in
        doubt, so nothing behind it is to be read as another.
        """
        fed = len(self.begun)
        if not fed:
            data = data.lstrip(b"\r\n")  # Some callers put an empty line behind a body (RFC 9112, 2.2).
            if not data:
                return None, b""
            self._parser = httptools.HttpRequestParser(self)
            self._raw_headers = []
            self._ended = False
        head = self.begun + data
        blank = head.find(_BLANK_LINE, max(fed - 3, 0))
        stop = len(head) if blank < 0 else blank + 4
        if stop > HEAD_BYTES_MAX:
            raise GatewayError(Code.HEADER_INVALID, f"the head is longer than {HEAD_BYTES_MAX} bytes")
        try:
            self._parser.feed_data(head[fed:stop])
        except httptools.HttpParserUpgrade:
            pass  # An offer, not taken up. That the parser leaves off here is no loss: it has read the head.
        except httptools.HttpParserError:
            raise GatewayError(Code.HTTP_MALFORMED, NOT_HTTP) from None
        if blank < 0:
            self.begun = head
            return None, b""
        self.begun = b""
        found = self._head_of(head[:stop])
        self._before = HeadBefore.of(found)
        return found, head[stop:]

    def forget(self) -> None:
        """Let go of what has come of a head."""
        self.begun = b""
        self._parser = None

    # What the parser calls

    def on_header(self, name: bytes, value: bytes) -> None:
        self._raw_headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._ended = True
        # Asked now: of a request without a body the parser has forgotten it when the piece is read.
        self._keeps_alive = self._parser.should_keep_alive()

    def _head_of(self, raw: bytes) -> Head:
        """Raises GatewayError 400."""
        self._parser = None
        raw_headers, self._raw_headers = self._raw_headers, []
        door, http_1_1 = read_request_line(raw)
        if not self._ended:
            raise GatewayError(Code.HTTP_MALFORMED, NOT_HTTP)
        headers = read_headers(raw_headers, http_1_1=http_1_1)
        length = body_length(headers)
        passage = read_passage(raw) if door is None else None
        return Head(raw, door, passage, http_1_1, headers, length, http_1_1 and self._keeps_alive)
