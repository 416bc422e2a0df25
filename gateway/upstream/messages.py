"""What is said between the corridor and the room that opens sockets. Knows no provider."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

import msgspec

from gateway.upstream.tls import Trust
from gateway.upstream.upload import Upload
from shared import base_url
from shared.base_url import SCHEME_PORTS

_REQUEST_LINE = re.compile(r"[A-Za-z]+ /[\x21-\x7e]* HTTP/1\.1\r\n")
_HEADER_LINES = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n)*+")
_METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_OURS = b"accept-encoding: identity\r\n"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection goes; the key of the connection pool."""

    scheme: str
    """`https` or `http`."""
    host: str
    """Lower case; an IPv6 literal without brackets."""
    port: int
    trust: Trust | None = None
    """What a connection needs besides what all have: connections that trust or show otherwise are not shared."""
    key: tuple[str, str, int, Trust | None] = field(init=False, repr=False, compare=False)
    """What it is found by where that is asked for with each call: a dictionary hashes a tuple without a call."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", (self.scheme, self.host, self.port, self.trust))

    @property
    def authority(self) -> str:
        """As in the Host header: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == SCHEME_PORTS[self.scheme] else f"{host}:{self.port}"


class Deadlines(msgspec.Struct, frozen=True):
    """How long each part of a call may take, in seconds (design section 3)."""

    connect_s: float = 5.0
    first_byte_s: float = 300.0
    """From the request's last byte to the answer's head. A plain answer comes in one piece, so it gets 600 s."""
    between_bytes_s: float = 120.0
    total_s: float = 900.0
    head_s: float = inf
    """From the call's beginning to the answer's head, the connection and all."""


class RequestHead:
    """A request but for its host and body. Checked when it is made, so whatever has one may be sent, again and again.

    It does not print its headers: a key stands among them.
    """

    __slots__ = ("has_answer_body", "has_body", "line", "lines")

    def __init__(self, method: str, target: str, headers: bytes) -> None:
        """`target`: path and query, ASCII, begins with `/`. `headers`: a ready block of `name: value\\r\\n` lines,
        without host, content-length, connection and accept-encoding.

        Raises ValueError for anything that would make another request of it.
        """
        line = f"{method} {target} HTTP/1.1\r\n"
        if not _REQUEST_LINE.fullmatch(line):
            raise ValueError("a request has a method of letters and a target of visible ASCII that begins with `/`")
        if not _HEADER_LINES.fullmatch(headers):
            raise ValueError("the header block is not whole lines of `name: value`")
        self.line = line.encode()
        """What stands before the host's line."""
        self.lines = headers + _OURS
        """What stands between the host's line and that of the body's length."""
        self.has_body = method in _METHODS_WITH_BODY
        """Its length is told even if it is 0."""
        self.has_answer_body = method != "HEAD"

    def __repr__(self) -> str:
        return f"RequestHead({self.method} {self.target})"

    @property
    def method(self) -> str:
        return self.line[: self.line.index(b" ")].decode()

    @property
    def target(self) -> str:
        return self.line.split(b" ")[1].decode()

    @property
    def headers(self) -> bytes:
        return self.lines.removesuffix(_OURS)


class UpstreamRequest(msgspec.Struct):
    """It does not print what it carries."""

    origin: Origin
    head: RequestHead
    body: bytes
    deadlines: Deadlines
    upload: Upload | None = None
    """What follows the body's first bytes, as it comes; it is at its start (`Upload.start`)."""

    def __repr__(self) -> str:
        return f"UpstreamRequest({self.origin}, {self.head}, {self.deadlines})"


Taken = Callable[[bytes, bytes | None], bool]
"""A piece of a body, and the chunks that it came as, if they are framed as we frame our own."""


class UpstreamResponse(Protocol):
    """An answer whose head has come. One of reading to the end, `read_out()` and `abort()` frees the connection."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case; of a repeated name the first value."""
        ...

    async def read(self, bytes_max: int) -> bytes:
        """The rest of the body, decoded. Raises an UpstreamError; TooLarge beyond `bytes_max`."""
        ...

    async def chunk(self) -> bytes:
        """What came since the last call, at least one byte, or `b""` at the proper end. Raises an UpstreamError."""
        ...

    async def pour(self, taken: Taken) -> bool:
        """Give what comes to `taken`, at once and in the event loop's own callback, as long as it says to go on.

        It gets with each piece the chunk that it came as, framed as we frame our own, or None if it came otherwise.
        Returns whether more may come; False is the body's proper end. Raises an UpstreamError, and what `taken` raised.
        `headers` are let go: whoever pours has read them, and a stream may take long.
        """
        ...

    def read_out(self, within_s: float) -> None:
        """Nobody reads on, and nobody waits: what still comes is dropped, up to the body's end. A connection where that
        does not come within so many seconds is closed.
        """
        ...

    def abort(self) -> None:
        """Close the connection if the body has not ended; harmless afterwards, and when called twice."""
        ...


class UpstreamClient(Protocol):
    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send, and wait for the answer's head. Redirects are answers like any other.

        Raises an UpstreamError. Cancelling aborts the connection.
        """
        ...

    async def close(self) -> None:
        """Close every connection, idle and busy."""
        ...


def parse_origin(url: str) -> tuple[Origin, str]:
    """Read a base URL: where to connect, and the path prefix without its last slash (`""` if there is none).

    Raises ValueError with a sentence that names what is wrong.
    """
    scheme, host, port, prefix = base_url.parse(url)
    return Origin(scheme, host, port), prefix
