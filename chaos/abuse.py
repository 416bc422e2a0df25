"""What a hostile caller writes on a raw socket, as data: by name, for any path, with the status it has to be met with.

`PATH` stands where a request's path goes, so that the same bytes can be sent to either lane. Pure.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.serve.body import FRAMING_BYTES_MAX
from gateway.serve.head import HEAD_BYTES_MAX, HEADERS_MAX

PATH = b"/@@"
KEY = b"@key@"
"""Likewise of an API key: of a stranger no body in chunks is read."""
BODY_BYTES_MAX = 1_000
"""The limit of bodies that `OVERSIZED` goes beyond."""

GOOD, REFUSED, TOO_LARGE, TOO_SLOW = 200, 400, 413, 408
SILENCE = 0
"""The connection is closed without a word, since no request had come."""

_BODY = b'{"model":"sim-chat"}'
_TE = b"transfer-encoding: chunked\r\n"
_CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(_BODY), _BODY)
_LINE = b"POST %b HTTP/1.1\r\n" % PATH
_HOST = b"host: a\r\nauthorization: Bearer %b\r\n" % KEY


@dataclass(frozen=True, slots=True)
class Case:
    data: bytes
    status: int
    """The answer to it; `GOOD` for whatever is served."""


def _head(headers: bytes, body: bytes = b"", *, line: bytes = _LINE, host: bytes = _HOST) -> bytes:
    return line + host + headers + b"\r\n" + body


def _sized(length: bytes, headers: bytes = b"") -> bytes:
    return _head(headers + b"content-length:" + length + b"\r\n", _BODY)


def _coded(coding: bytes) -> bytes:
    return _head(b"transfer-encoding:" + coding + b"\r\n", _CHUNKS)


def _chunks(data: bytes) -> bytes:
    return _head(_TE, data)


SIZED = _sized(b" %d" % len(_BODY))
CHUNKED = _chunks(_CHUNKS)
_LENGTH = b"content-length: %d\r\n" % len(_BODY)


def _refused(found: Mapping[str, bytes]) -> dict[str, Case]:
    return {name: Case(data, REFUSED) for name, data in found.items()}


def _served(found: Mapping[str, bytes]) -> dict[str, Case]:
    return {name: Case(data, GOOD) for name, data in found.items()}


_SERVED = {
    "sized": SIZED,
    "chunked": CHUNKED,
    "no body": _head(b""),
    "length with leading zeros": _sized(b" 0%d" % len(_BODY)),
    "length with thousands of leading zeros": _sized(b" %b%d" % (b"0" * 5_000, len(_BODY))),
    "length with spaces around": _sized(b"  %d  " % len(_BODY)),
    "length without a space": _sized(b"%d" % len(_BODY)),
    "Chunked": _coded(b" Chunked"),
    "CHUNKED": _coded(b" CHUNKED"),
    "chunked behind a tab": _coded(b"\tchunked"),
    "chunked before a space": _coded(b" chunked "),
    "empty line first": b"\r\n" + SIZED,
    "chunk with an extension": _chunks(b"14;a=b\r\n" + _BODY + b"\r\n0\r\n\r\n"),
    "chunk with a quoted extension": _chunks(b'14;a="b"\r\n' + _BODY + b"\r\n0\r\n\r\n"),
    "chunk size with leading zeros": _chunks(b"00014\r\n" + _BODY + b"\r\n0\r\n\r\n"),
    "two last zeros": _chunks(b"14\r\n" + _BODY + b"\r\n00\r\n\r\n"),
    "trailer": _chunks(b"14\r\n" + _BODY + b"\r\n0\r\nx: y\r\n\r\n"),
    "trailer that is a host": _chunks(b"14\r\n" + _BODY + b"\r\n0\r\nhost: b\r\n\r\n"),
    "trailer that is a key": _chunks(b"14\r\n" + _BODY + b"\r\n0\r\nauthorization: b\r\n\r\n"),
    "trailers that are a head": _chunks(b"14\r\n" + _BODY + b"\r\n0\r\n" + 2 * _HOST + b"x: y\r\n\r\n"),
    "underscore in a name": _head(b"content_length: 5\r\n" + _LENGTH, _BODY),
    "offer of another protocol": _head(b"connection: upgrade\r\nupgrade: h2c\r\n" + _LENGTH, _BODY),
    "offer of websockets": _head(b"connection: upgrade\r\nupgrade: websocket\r\n" + _LENGTH, _BODY),
    "offer of another protocol in chunks": _head(b"connection: upgrade\r\nupgrade: h2c\r\n" + _TE, _CHUNKS),
    "close without a body": _head(b"connection: close\r\n"),
    "close": _head(b"connection: close\r\n" + _LENGTH, _BODY),
    "close and keep-alive": _head(b"connection: close, keep-alive\r\n" + _LENGTH, _BODY),
    "HTTP/1.0": SIZED.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "HTTP/1.0 that would stay": _head(
        b"connection: keep-alive\r\n" + _LENGTH, _BODY, line=_LINE.replace(b"1.1", b"1.0")
    ),
    "HTTP/1.0 without a host": _head(_LENGTH, _BODY, line=_LINE.replace(b"1.1", b"1.0"), host=b""),
    "host with a port": _head(_LENGTH, _BODY, host=b"host: a:80\r\n"),
    "empty host": _head(_LENGTH, _BODY, host=b"host:\r\n"),
    "other bytes in a value": _head(b"x: \xff\xc3\xa9\r\n" + _LENGTH, _BODY),
    "as many headers as may be": _head(b"a: b\r\n" * (HEADERS_MAX - 3) + _LENGTH, _BODY),
    "query": _head(_LENGTH, _BODY, line=b"POST %b?a=b&c=%%20 HTTP/1.1\r\n" % PATH),
}

_LENGTHS = (b" +20", b" -1", b" 0x14", b" 2 0", b" 20, 20", b" 20,", b"", b" ", b" 20a", b" 20.0", b" 2_0", b" 1e1")
_CODINGS = (
    *(
        b" xchunked",
        b" chunkedx",
        b" chunked, identity",
        b" identity, chunked",
        b" gzip, chunked",
        b" chunked, chunked",
    ),
    *(b" identity", b" gzip", b" chunked;a=b", b' "chunked"', b" \x0bchunked", b" \x0cchunked", b" chunked\x00", b""),
    *(b"\r\n chunked", b" chunked\r\n ", b" ,chunked", b" chunked,", b" chun\xe2\x80\x8bked", b" chunk\xc3\xa9d"),
)
_SIZES = (
    *(b"0x14", b"-14", b"+14", b" 14", b"14 ", b"14 ;a", b"14\t", b"", b"g", b"14,", b"1 4", b"10000000000000014"),
    *(b"ffffffffffffffff0", b"14;a\n", b"14\n", b"14\r", b"14\x00", b'14;a="\r\n"', b"14;\x00"),
)

_SMUGGLED = {
    **{
        f"length and chunks as {name!r}": _head(_LENGTH + name + b": chunked\r\n", _CHUNKS)
        for name in (*(b"transfer-encoding", b"Transfer-Encoding", b"TRANSFER-ENCODING"),)
    },
    **{
        f"chunks and length as {name!r}": _head(_TE + name + b": 20\r\n", _CHUNKS)
        for name in (*(b"content-length", b"Content-Length", b"CONTENT-LENGTH"),)
    },
    "length 0 and chunks": _head(b"content-length: 0\r\n" + _TE, _CHUNKS),
    "length, chunks, length": _head(_LENGTH + _TE + _LENGTH, _CHUNKS),
    "chunks far behind a length": _head(_LENGTH + b"a: b\r\n" * 50 + _TE, _CHUNKS),
    **{f"length{value!r}": _sized(value) for value in _LENGTHS},
    "length that overflows": _sized(b" 18446744073709551636"),
    "length of many digits": _sized(b" " + b"9" * 400),
    "length in other digits": _sized(" \u0662\u0660".encode()),
    "two lengths": _sized(b" 20", b"content-length: 0\r\n"),
    "two equal lengths": _sized(b" 20", _LENGTH),
    "two lengths in other spelling": _sized(b" 20", b"Content-Length: 20\r\n"),
    "space before the colon of the length": _head(b"content-length : 20\r\n", _BODY),
    "tab before the colon of the length": _head(b"content-length\t: 20\r\n", _BODY),
    "space before the name of the length": _head(b"a: b\r\n content-length: 20\r\n", _BODY),
    "folded length": _head(b"content-length:\r\n 20\r\n", _BODY),
    **{f"coding{value!r}": _coded(value) for value in _CODINGS},
    "two codings": _head(_TE + _TE, _CHUNKS),
    "chunked and identity": _head(_TE + b"transfer-encoding: identity\r\n", _CHUNKS),
    "identity and chunked": _head(b"transfer-encoding: identity\r\n" + _TE, _CHUNKS),
    "space before the colon of the coding": _head(b"transfer-encoding : chunked\r\n", _CHUNKS),
    "tab before the colon of the coding": _head(b"transfer-encoding\t: chunked\r\n", _CHUNKS),
    "null in the coding's name": _head(b"transfer-encoding\x00: chunked\r\n", _CHUNKS),
    "coding on HTTP/1.0": _head(_TE, _CHUNKS, line=_LINE.replace(b"1.1", b"1.0")),
    "coding and length on HTTP/1.0": _head(_LENGTH + _TE, _CHUNKS, line=_LINE.replace(b"1.1", b"1.0")),
    "folded first line": b"POST %b HTTP/1.1\r\n host: a\r\n\r\n" % PATH,
    "folded line": _head(b"x: y\r\n z\r\n" + _LENGTH, _BODY),
    "folded with a tab": _head(b"x: y\r\n\tz\r\n" + _LENGTH, _BODY),
    "bare line feed": _head(b"a: b\n" + _LENGTH, _BODY),
    "bare return": _head(b"a: b\r" + _LENGTH, _BODY),
    "return twice": _head(b"a: b\r\r\n" + _LENGTH, _BODY),
    "bare line feed behind the first line": _head(_LENGTH, _BODY, line=_LINE.replace(b"\r\n", b"\n")),
    "line feeds alone": SIZED.replace(b"\r\n", b"\n") + b"\r\n\r\n",
    "bare line feed at the head's end": _LINE + _HOST + _LENGTH + b"\n" + _BODY + b"\r\n\r\n",
    "null in a value": _head(b"a: \x00\r\n" + _LENGTH, _BODY),
    "null in a name": _head(b"a\x00: b\r\n" + _LENGTH, _BODY),
    "null in the first line": _head(_LENGTH, _BODY, line=b"POST %b\x00 HTTP/1.1\r\n" % PATH),
    "space in a name": _head(b"a b: c\r\n" + _LENGTH, _BODY),
    "no name": _head(b": b\r\n" + _LENGTH, _BODY),
    "no colon": _head(b"a\r\n" + _LENGTH, _BODY),
    "other bytes in a name": _head("n\u00e4me: b\r\n".encode() + _LENGTH, _BODY),
    "no host": _head(_LENGTH, _BODY, host=b""),
    "two hosts": _head(b"host: b\r\n" + _LENGTH, _BODY),
    "two equal hosts": _head(b"Host: a\r\n" + _LENGTH, _BODY),
    **{f"chunk size {size!r}": _chunks(size + b"\r\n" + _BODY + b"\r\n0\r\n\r\n") for size in _SIZES},
    "chunk longer than its size": _chunks(b"13\r\n" + _BODY + b"\r\n0\r\n\r\n"),
    "chunk shorter than its size": _chunks(b"15\r\n" + _BODY + b"\r\n0\r\n\r\n"),
    "chunk ended by a line feed": _chunks(b"14\r\n" + _BODY + b"\n0\r\n\r\n"),
    "chunk without an end": _chunks(b"14\r\n" + _BODY + b"0\r\n\r\n"),
    "blank line before the chunks": _chunks(b"\r\n" + _CHUNKS),
    "last chunk ended by a line feed": _chunks(b"14\r\n" + _BODY + b"\r\n0\r\n\n\r\n\r\n"),
    "length in the trailers": _chunks(b"14\r\n" + _BODY + b"\r\n0\r\ncontent-length: 5\r\n\r\n"),
    "coding in the trailers": _chunks(b"14\r\n" + _BODY + b"\r\n0\r\ntransfer-encoding: chunked\r\n\r\n"),
    "folded trailer": _chunks(b"14\r\n" + _BODY + b"\r\n0\r\na: b\r\n c\r\n\r\n"),
    "trailer without a colon": _chunks(b"14\r\n" + _BODY + b"\r\n0\r\na\r\n\r\n"),
    **{
        f"first line {line!r}": _head(_LENGTH, _BODY, line=line + b"\r\n")
        for line in (
            *(b"POST http://a%b HTTP/1.1" % PATH, b"POST //a%b:80 HTTP/1.1 x" % PATH, b"POST a:80 HTTP/1.1"),
            *(b"CONNECT a:443 HTTP/1.1", b"POST %b" % PATH, b"POST %b HTTP/0.9" % PATH, b"POST %b HTTP/1.2" % PATH),
            *(b"POST %b HTTP/2.0" % PATH, b"POST %b HTTP/1.1 " % PATH, b"POST %b HTTP/1.10" % PATH),
            *(b"POST %b HTTP/01.1" % PATH, b"POST %b HTTP/1" % PATH, b"POST %b http/1.1" % PATH),
            *(b"POST %b RTSP/1.0" % PATH, b"POST  %b HTTP/1.1" % PATH, b"POST %b  HTTP/1.1" % PATH),
            *(b"POST %b\tHTTP/1.1" % PATH, b"POST %b x HTTP/1.1" % PATH, b" POST %b HTTP/1.1" % PATH),
            *(
                b"post %b HTTP/1.1" % PATH,
                b"POSTS %b HTTP/1.1" % PATH,
                b"P\x00ST %b HTTP/1.1" % PATH,
                b"%b" % PATH,
                b"POST",
            ),
        )
    },
    "preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a greeting of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}

_OVERSIZED = {
    "one header too many": _head(b"a: b\r\n" * (HEADERS_MAX - 2) + _LENGTH, _BODY),
    "long value": _head(b"a: " + b"b" * HEAD_BYTES_MAX + b"\r\n" + _LENGTH, _BODY),
    "long name": _head(b"a" * HEAD_BYTES_MAX + b": b\r\n" + _LENGTH, _BODY),
    "long path": _head(_LENGTH, _BODY, line=b"POST %b?%b HTTP/1.1\r\n" % (PATH, b"a" * HEAD_BYTES_MAX)),
    "long method": b"P" * (HEAD_BYTES_MAX + 1),
    "long extension": _chunks(b"14;" + b"a" * 2 * FRAMING_BYTES_MAX + b"\r\n" + _BODY + b"\r\n0\r\n\r\n"),
    "many extensions": _chunks((b"1;" + b"a" * 200 + b"\r\nx\r\n") * 200),
    "many leading zeros": _chunks(b"0" * 2 * FRAMING_BYTES_MAX + b"14\r\n" + _BODY + b"\r\n0\r\n\r\n"),
    "many trailers": _chunks(b"14\r\n" + _BODY + b"\r\n0\r\n" + b"a: b\r\n" * FRAMING_BYTES_MAX),
    "long trailer": _chunks(b"14\r\n" + _BODY + b"\r\n0\r\na: " + b"b" * 2 * FRAMING_BYTES_MAX),
}

_TOO_LARGE = {
    "length over the limit": _sized(b" %d" % (BODY_BYTES_MAX + 1)),
    "length far over the limit": _sized(b" 999999999999999"),
    "body over the limit": _head(b"content-length: 1001\r\n", b"x" * 1_001),
    "chunks over the limit": _chunks(b"1f4\r\n%b\r\n" % (b"x" * 500) * 3),
    "chunk over the limit": _chunks(b"3e9\r\n" + b"x" * 1_001),
}


def _cut() -> dict[str, Case]:
    """Requests that stop where they may be told apart, and never go on."""
    found = {"nothing": Case(b"", SILENCE), "an empty line": Case(b"\r\n", SILENCE)}
    for name, data in (("sized", SIZED), ("chunked", CHUNKED)):
        end = data.index(b"\r\n\r\n") + 4
        in_head = {1, 4, 5, data.index(b" HTTP"), data.index(b"\r\n"), data.index(b"\r\n") + 1, data.index(b"host") + 5}
        found |= {f"{name} to {at}": Case(data[:at], SILENCE) for at in sorted(in_head | {end - 3, end - 2, end - 1})}
        found |= {f"{name} to {at}": Case(data[:at], TOO_SLOW) for at in range(end, len(data), 3)}
    return found


CODED: Mapping[str, Case] = _refused(
    {
        "no body, coded": _head(b"content-encoding: gzip\r\n"),
        **{
            f"body coded as {coding!r}": _head(b"content-encoding: %b\r\n" % coding + _LENGTH, _BODY)
            for coding in (b"gzip", b"chunked", b"x")
        },
    }
)
"""Nobody here undoes a coding. Where the request ends is in no doubt, so its connection may go on."""
SMUGGLING: Mapping[str, Case] = {**_served(_SERVED), **_refused(_SMUGGLED)}
OVERSIZED: Mapping[str, Case] = {
    **_refused(_OVERSIZED),
    **{name: Case(data, TOO_LARGE) for name, data in _TOO_LARGE.items()},
}
CUT: Mapping[str, Case] = _cut()
CASES: Mapping[str, Case] = {**SMUGGLING, **CODED, **OVERSIZED, **CUT}

_BITS: Sequence[bytes] = (
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b"\n\n",
        b"\x00",
        b"\xff",
        b" ",
        b"\t",
        b"\x0b",
        b":",
        b";",
        b",",
        b'"',
        b"-",
    ),
    *(b"0\r\n\r\n", b"0", b"5", b"f" * 17, b"\r\n ", b"1.0", b"1.1", b"HTTP/1.1", b"GET ", b"?", b"#", b"%00", b"*"),
    *(_TE, _LENGTH, _HOST, b"content-length: 0\r\n", b"transfer-encoding: identity\r\n", b"connection: close\r\n"),
    *(b"connection: upgrade\r\nupgrade: websocket\r\n", b"expect: 100-continue\r\n", b"chunked", SIZED, CHUNKED),
)
_SEEDS = tuple(case.data for case in CASES.values() if len(case.data) < 2_000)
_SEEDS_SERVED = tuple(_SERVED.values())


def mutated(chance: random.Random) -> bytes:
    """A case made worse: bits put in, taken out, doubled or turned, or the rest of another case behind its start."""
    data = chance.choice(_SEEDS if chance.random() < 0.3 else _SEEDS_SERVED)
    for _ in range(chance.choice((1, 1, 2, 3))):
        at = chance.randint(0, len(data))
        some = min(chance.randint(1, 12), len(data) - at)
        match chance.randint(0, 5):
            case 0 | 1:
                data = data[:at] + chance.choice(_BITS) + data[at:]
            case 2:
                data = data[:at] + data[at + some :]
            case 3:
                data = data[: at + some] + data[at:]
            case 4:
                data = data[:at] + chance.randbytes(min(some, 2)) + data[at + 1 :]
            case _:
                other = chance.choice(_SEEDS)
                data = data[:at] + other[chance.randint(0, len(other)) :]
    return data
