"""What a request's head must be like, and how an answer's head is written: pure rules, the same in both lanes."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from http import HTTPStatus

import msgspec
from msgspec.structs import replace

from gateway.errors import Code, GatewayError
from gateway.pipeline.known import Known
from gateway.providers.base import Door, Passage
from shared.paths import DIALECT_DOORS, PASSED_METHODS, passed_door

DOORS = {path: Door(word) for path, word in DIALECT_DOORS.items() if word in set(Door)}
HEADERS_MAX = 100
HEAD_BYTES_MAX = 16 * 1024
SHORT_BYTES = 24
"""Up to this a header's value is kept as text. A key is longer, some providers' have 32: it stays nowhere but with its
connection."""
NAME_BYTES = 64
"""A header's name up to this is kept as text: callers may make up longer ones, and each as long as a head."""
NOT_HTTP = "this is not HTTP as this gateway accepts it"

_REQUEST_LINE = re.compile(rb"([^ \r\n]+) (/[^ \r\n]*|\*) HTTP/1\.([01])\r\n")
_QUERY = re.compile(r"[\x21\x22\x24-\x7e]*")
_DOORS = {path.encode(): door for path, door in DOORS.items()}
_ONCE = frozenset(
    (
        *("host", "content-length", "transfer-encoding", "content-type", "content-encoding"),
        *("authorization", "x-api-key", "api-key", "x-goog-api-key", "x-portkey-api-key", "x-gatehouse-api-key"),
        *("x-portkey-config", "x-portkey-virtual-key", "x-portkey-provider", "x-portkey-custom-host"),
        "idempotency-key",
        *("x-gatehouse-config", "x-gatehouse-virtual-key", "x-gatehouse-provider", "x-gatehouse-custom-host"),
    )
)
"""Headers that decide who calls, what, and where a request ends; of two, two readers could take different ones."""

_CODING = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*\r\n", re.IGNORECASE)
_LENGTH = b"\r\ncontent-length: "
_LENGTH_DIGITS_MAX = 12

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_SERVER = b"server: gatehouse\r\n\r\n"
_SERVER_CLOSES = b"server: gatehouse\r\nconnection: close\r\n\r\n"


class Head(msgspec.Struct):
    """A request's head as it was read. `length` is None for a body that comes in chunks."""

    raw: bytes
    door: Door | None
    passage: Passage | None
    http_1_1: bool
    headers: Mapping[str, str]
    length: int | None
    keeps_alive: bool
    known: Known | None = None
    """What its request shares with those that have the same head."""
    is_plain: bool = False
    """Of its request nothing is refused, and nothing said, before its body is there."""


class HeadBefore(msgspec.Struct):
    """A head that opened a hot door, kept while its connection is: the next one is most often the same but for the
    body's length, and then nothing of it has to be read again.

    What is equal byte by byte says the same. Only the digits of the length are new, and they are checked here.
    """

    _head: Head
    _until_length: bytes
    _behind_length: bytes
    _digits: bytes
    _known: Known = msgspec.field(default_factory=Known)

    @classmethod
    def of(cls, head: Head) -> "HeadBefore | None":
        """None for a head that can be of no use later."""
        if head.door is None or head.length is None:
            return None
        start = head.raw.lower().find(_LENGTH) + len(_LENGTH)
        end = head.raw.find(b"\r\n", start)
        digits = head.raw[start:end]
        if start < len(_LENGTH) or not digits.isdigit():
            return None
        before = cls(head, head.raw[:start], head.raw[end:], digits)
        head.raw = b""  # Of a head that opens a door, nobody needs it any more.
        head.known = before._known
        head.is_plain = _is_plain(head)
        return before

    def again(self, data: bytes) -> tuple[Head, int] | None:
        """The head that `data` begins with, if it is this one again, and where it ends."""
        start = len(self._until_length)
        if not data.startswith(self._until_length):
            return None
        end = data.find(b"\r\n", start, start + _LENGTH_DIGITS_MAX + 2)
        digits = data[start:end]
        if end < 0 or not digits.isdigit() or not data.startswith(self._behind_length, end):
            return None
        if digits != self._digits:
            self._digits = digits
            head = self._head
            headers = {**head.headers, "content-length": digits.decode()}
            self._head = replace(head, headers=headers, length=int(digits))
        return self._head, end + len(self._behind_length)


def read_request_line(head: bytes) -> tuple[Door | None, bool]:
    """The hot door that a head opens, if it does, and whether it speaks HTTP/1.1. Raises GatewayError 400.

    A path opens a door only as we write it, without escapes, so that nobody before us can have read another in it. Not
    accepted: a target with scheme and host or without a path, more than one space, any other protocol or version.
    """
    line = _REQUEST_LINE.match(head)
    if line is None:
        raise GatewayError(Code.HTTP_MALFORMED, "a request begins with method, path and `HTTP/1.1`, and nothing else")
    door = _DOORS.get(line[2].partition(b"?")[0]) if line[1] == b"POST" else None
    return door, line[3] == b"1"


def read_passage(head: bytes) -> Passage | None:
    """What passes through to a provider, if that is what a head asks for. Raises GatewayError 400.

    The head is one that `read_request_line` has read.
    """
    method, target, _ = head.split(b" ", 2)
    path, mark, query = target.decode("latin-1").partition("?")
    door = passed_door(path)
    if door is None or method.decode("ascii", "replace") not in PASSED_METHODS:
        return None
    if not _QUERY.fullmatch(query):
        raise GatewayError(
            Code.HTTP_MALFORMED, "a query is visible ASCII without a fragment; write the rest as escapes"
        )
    return Passage(Door(door), method.decode("ascii"), path, mark + query)


def read_headers(raw: Sequence[tuple[bytes, bytes]], *, http_1_1: bool) -> dict[str, str]:
    """The headers by name in lower case; of those that may repeat, the last. Raises GatewayError 400."""
    if len(raw) > HEADERS_MAX:
        raise GatewayError(Code.HEADER_INVALID, f"more than {HEADERS_MAX} headers came with this request")
    headers = {
        _key(name) if len(name) <= NAME_BYTES else _lower(name): _short(value)
        if len(value) <= SHORT_BYTES
        else _text(value)
        for name, value in raw
    }
    if len(headers) != len(raw):
        _check_once(raw)
    if not http_1_1:
        if "transfer-encoding" in headers:
            raise GatewayError(Code.HTTP_MALFORMED, "HTTP/1.0 has no transfer-encoding")
    elif "host" not in headers:
        raise GatewayError(Code.HTTP_MALFORMED, "a request names its host")
    return headers


def body_length(headers: Mapping[str, str]) -> int | None:
    """Bytes of the body as the head announces them; None: they come in chunks. Raises GatewayError 400."""
    coding = headers.get("transfer-encoding")
    length = headers.get("content-length")
    if coding is None:
        # The parser took nothing but digits, but Python takes no more than 4,300 of them, were they all zeros.
        return 0 if length is None else int(length.lstrip("0") or "0")
    if length is not None:
        raise GatewayError(Code.HTTP_MALFORMED, "a body has a content-length or a transfer-encoding, not both")
    if coding.lower() != "chunked":
        raise GatewayError(Code.HTTP_MALFORMED, "this gateway takes no transfer-encoding other than `chunked`")
    return None


def _is_plain(head: Head) -> bool:
    if "expect" in head.headers:
        return False
    try:
        check_content(head.headers, json=True)
    except GatewayError:
        return False
    return True


def sized(head: bytes, body: bytes) -> bytes:
    """A request that was read, for somebody who reads it again: chunks and trailers could mean something else to him.

    The head is one that `body_length` has read.
    """
    return _CODING.sub(b"\r\ncontent-length: %d\r\n" % len(body), head, count=1) + body


def check_content(headers: Mapping[str, str], *, json: bool) -> None:
    """Raises GatewayError 400. A body without a type is taken for JSON, as users of curl expect of a JSON API.

    `json`: nothing else is taken.
    """
    if headers.get("content-encoding", "identity").lower() != "identity":
        message = "send the body without content-encoding"
        raise GatewayError(Code.CONTENT_TYPE_INVALID, message, param="content-encoding")
    given = headers.get("content-type")
    if given is None or given == "application/json" or not json:
        return
    if not is_json(headers):
        message = f"this path takes JSON, not {given!r}; send `content-type: application/json`"
        raise GatewayError(Code.CONTENT_TYPE_INVALID, message, param="content-type")


def is_json(headers: Mapping[str, str]) -> bool:
    """Whether a body is JSON, by its type or for want of one."""
    return headers.get("content-type", "application/json").partition(";")[0].strip().lower() == "application/json"


def answer_head(status: int, headers: bytes, framing: bytes, *, closes: bool) -> bytes:
    """An answer's head. `headers` and `framing`: whole lines."""
    line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
    return b"".join((line, headers, framing, _SERVER_CLOSES if closes else _SERVER))


def _lower(name: bytes) -> str:
    """A header's name as we look it up."""
    return name.decode("ascii").lower()


_key = lru_cache(maxsize=1_024)(_lower)
"""Callers send the same few names again and again."""


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape").strip(" \t")


_short = lru_cache(maxsize=1_024)(_text)
"""Of a dozen headers most say the same on every connection: what kind of client it is, which type the body has. Read
once, they are also in memory once, and not for each stream that is open."""


def _check_once(raw: Sequence[tuple[bytes, bytes]]) -> None:
    seen: set[str] = set()
    for name, _ in raw:
        key = _lower(name)
        if key in _ONCE and key in seen:
            raise GatewayError(Code.HEADER_INVALID, f"the header {key} came more than once", param=key)
        seen.add(key)
