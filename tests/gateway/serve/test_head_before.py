"""A head that came before is not read again: whatever stands in its place is the same as if it had been."""

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.providers.base import Door
from gateway.serve import head as head_module
from gateway.serve.head import Head, HeadBefore, body_length, read_headers, read_request_line

LINES = (
    b"POST /v1/chat/completions HTTP/1.1",
    b"Host: gateway",
    b"Authorization: Bearer gh_one",
    b"Content-Type: application/json",
    b"Content-Length: 120",
    b"x-stainless-retry-count: 0",
)
RAW = b"\r\n".join((*LINES, b"", b""))


class _Heard:
    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.ended = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.ended = True


def read(raw: bytes) -> Head | None:
    """As the lane reads a head for the first time; None: it refuses it."""
    heard = _Heard()
    parser = httptools.HttpRequestParser(heard)
    try:
        parser.feed_data(raw)
        door, http_1_1 = read_request_line(raw)
        headers = read_headers(heard.headers, http_1_1=http_1_1)
        length = body_length(headers)
    except (httptools.HttpParserError, GatewayError):
        return None
    return Head(raw, door, None, http_1_1, headers, length, parser.should_keep_alive()) if heard.ended else None


def before(raw: bytes = RAW) -> HeadBefore:
    head = read(raw)
    assert head is not None
    kept = HeadBefore.of(head)
    assert kept is not None
    return kept


def said(head: Head) -> tuple[object, ...]:
    return head.door, head.http_1_1, dict(head.headers), head.length, head.keeps_alive


def test_the_same_head_with_another_length_is_known() -> None:
    kept = before()
    for length in (b"120", b"7", b"33554432", b"120"):
        raw = RAW.replace(b": 120", b": " + length)
        again = kept.again(raw + b'{"model": "x"}')
        expected = read(raw)
        assert again is not None
        assert expected is not None
        assert said(again[0]) == said(expected)
        assert again[1] == len(raw)


def test_what_is_known_of_a_head_goes_with_it() -> None:
    kept = before()
    first, other = kept.again(RAW), kept.again(RAW.replace(b"120", b"121"))
    assert first is not None
    assert other is not None
    assert first[0].known is not None
    assert other[0].known is first[0].known


@pytest.mark.parametrize(
    "length", [b"", b"-1", b"+1", b"1 ", b" 1", b"0x10", b"1_0", b"1,2", b"1\n2", b"12345678901234", b"\xd9\xa1"]
)
def test_a_length_that_is_no_number_is_read_by_the_parser(length: bytes) -> None:
    assert before().again(RAW.replace(b"120", length)) is None


@pytest.mark.parametrize(
    "raw",
    [
        RAW.replace(b"gh_one", b"gh_two"),
        RAW.replace(b"/v1/chat", b"/v1/Chat"),
        RAW.replace(b"retry-count: 0", b"retry-count: 1"),
        RAW.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"),
        RAW[:-2],
        RAW[:60],
    ],
)
def test_another_head_is_not_known(raw: bytes) -> None:
    assert before().again(raw) is None


@pytest.mark.parametrize(
    "raw",
    [
        RAW.replace(b"POST /v1/chat/completions", b"GET /v1/models"),
        RAW.replace(b"Content-Length: 120", b"Transfer-Encoding: chunked"),
        RAW.replace(b"Content-Length: 120\r\n", b""),
        RAW.replace(b": 120", b":120"),
    ],
)
def test_a_head_without_a_door_or_a_plain_length_is_not_kept(raw: bytes) -> None:
    head = read(raw)
    assert head is not None
    kept = HeadBefore.of(head)
    assert kept is None or (head.door is Door.CHAT and kept.again(raw) is not None)


@given(at=st.integers(0, len(RAW)), gone=st.integers(0, 12), put=st.binary(max_size=12))
def test_whatever_is_changed_it_is_read_as_the_parser_reads_it(at: int, gone: int, put: bytes) -> None:
    changed = RAW[:at] + put + RAW[at + gone :]
    again = before().again(changed)
    if again is None:
        return
    head, end = again
    expected = read(changed[:end])
    assert expected is not None
    assert said(head) == said(expected)
    assert changed[end - 4 : end] == b"\r\n\r\n"


@given(st.integers(0, 10**11 - 1), st.integers(0, 3))
def test_every_length_is_taken_as_the_parser_takes_it(length: int, zeros: int) -> None:
    raw = RAW.replace(b"120", b"0" * zeros + b"%d" % length)
    again, expected = before().again(raw), read(raw)
    if again is not None:
        assert expected is not None
        assert said(again[0]) == said(expected)


def test_what_every_connection_says_is_in_memory_once_and_no_key_is() -> None:
    key = b"Bearer gh_" + b"x" * 49
    raw = ((b"Host", b"gateway"), (b"X-Stainless-Lang", b"\tpython"), (b"Authorization", key))
    one, other = (read_headers([(name, bytes(bytearray(value))) for name, value in raw], http_1_1=True) for _ in "12")
    assert one == other == {"host": "gateway", "x-stainless-lang": "python", "authorization": key.decode()}
    assert one["x-stainless-lang"] is other["x-stainless-lang"]
    assert one["authorization"] is not other["authorization"]


def test_names_that_a_caller_makes_up_fill_no_memory() -> None:
    remembered = head_module._key.cache_info().currsize
    for number in range(100):
        name = b"x-%0200d" % number
        assert read_headers([(b"host", b"x"), (name.upper(), b"1")], http_1_1=True)[name.decode()] == "1"
    assert head_module._key.cache_info().currsize <= remembered + 1
