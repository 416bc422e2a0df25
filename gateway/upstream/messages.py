"""What is said between the corridor and the room that opens sockets. Knows no provider."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from math import inf
from typing import Protocol

import msgspec

from gateway.upstream.tls import Trust
from gateway.upstream.upload import Upload

URL_CHARS_MAX = 2_000
_SCHEME_PORTS = {"https": 443, "http": 80}
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")
_PORT = re.compile(r"[0-9]{1,5}")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
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
        return host if self.port == _SCHEME_PORTS[self.scheme] else f"{host}:{self.port}"


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

    Stricter than RFC 3986 on purpose: whatever two parsers could read differently is refused. Raises ValueError
    with a sentence that names what is wrong.
    """
    if len(url) > URL_CHARS_MAX:
        raise ValueError(f"a URL has at most {URL_CHARS_MAX} characters")
    if not _VISIBLE_ASCII.fullmatch(url):
        raise ValueError("a URL is visible ASCII without spaces; write an international host name in its xn-- form")
    if any(mark in url for mark in "\\?#"):
        raise ValueError("a base URL has no backslash, query or fragment")
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in _SCHEME_PORTS:
        raise ValueError("a URL begins with https:// or http://")
    authority, _, path = rest.partition("/")
    if "@" in authority:
        raise ValueError("a URL carries no user name or password")
    host, port = _split_authority(authority)
    if port is None:
        return Origin(scheme, host, _SCHEME_PORTS[scheme]), _prefix(path)
    if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65_535:
        raise ValueError("a port is a number from 1 to 65535")
    return Origin(scheme, host, int(port)), _prefix(path)


def _prefix(path: str) -> str:
    path = path.rstrip("/")
    return f"/{path}" if path else ""


def _split_authority(authority: str) -> tuple[str, str | None]:
    """The canonical host, and the port as written, None if there is none."""
    if authority.startswith("["):
        literal, bracket, rest = authority[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("an IPv6 address stands in brackets: [address]:port")
        return _ipv6(literal), rest[1:] if rest else None
    host, colon, port = authority.partition(":")
    return _host(host.lower()), port if colon else None


def _ipv6(literal: str) -> str:
    try:
        address = IPv6Address(literal)
    except AddressValueError:
        raise ValueError("what stands in brackets is no IPv6 address") from None
    if address.scope_id is not None:
        raise ValueError("an IPv6 address in a URL has no zone")
    return str(address)


def _host(host: str) -> str:
    if not host:
        raise ValueError("a URL names a host")
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        # Resolvers read 127.1, 0x7f000001 and 0177.0.0.1 as addresses, each in its own way; only one form is clear.
        try:
            return str(IPv4Address(host))
        except AddressValueError:
            raise ValueError("an IPv4 address is written as four decimal numbers without leading zeros") from None
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("a host name is labels of letters, digits, hyphens and underscores, joined by single dots")
    return host
