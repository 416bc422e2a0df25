"""Which chunks can be seen to be whole: none that the parser would read in another way."""

import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.upstream.chunks import CHUNKS_MAX, framed_as_ours, whole_chunks


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.mark.parametrize("size", [1, 9, 15, 16, 255, 256, 300, 4_095, 4_096, 65_535, 65_536, 0xFFFFFF])
def test_a_whole_chunk_is_framed_as_ours(size: int) -> None:
    body = b"a" * size
    assert framed_as_ours(chunk(body)) == body
    assert framed_as_ours(chunk(body) + chunk(b"bc")) == body + b"bc"
    for off in (size - 1, size + 1):
        assert framed_as_ours(b"%x\r\n%b\r\n" % (off, body)) == b""


@pytest.mark.parametrize("count", [1, 2, 3, CHUNKS_MAX, CHUNKS_MAX + 1])
def test_so_many_chunks_are_seen_at_one_look(count: int) -> None:
    pieces = [b"a" * (number + 1) for number in range(count)]
    assert framed_as_ours(b"".join(map(chunk, pieces))) == (b"".join(pieces) if count <= CHUNKS_MAX else b"")


def unframed(data: bytes) -> list[bytes]:
    """The pieces, if each is framed as we frame our own and nothing else is there."""
    pieces = []
    while data:
        size, _, rest = data.partition(b"\r\n")
        try:
            piece = rest[: int(size, 16)]
        except ValueError:
            return []
        if not piece or not data.startswith(chunk(piece)):
            return []
        pieces.append(piece)
        data = data[len(chunk(piece)) :]
    return pieces


class _Reader:
    """What the parser makes of a chunked body."""

    def __init__(self) -> None:
        self.body = b""

    def on_body(self, body: bytes) -> None:
        self.body += body


plain = st.binary(min_size=1, max_size=40).map(chunk)
odd = st.sampled_from(
    [
        b"0A\r\n0123456789\r\n",
        b"A\r\n0123456789\r\n",
        b"0003\r\nabc\r\n",
        b"3;a=b\r\nabc\r\n",
        b"3 \r\nabc\r\n",
        b"3\nabc\r\n",
        b"3\r\nabc",
        b"3\r\nabcd\r\n",
        b"3\r\nabc\n",
        b"-3\r\nabc\r\n",
        b"1_0\r\n0123456789abcdef\r\n",
        b"0x3\r\nabc\r\n",
        b"fffffffff\r\nabc\r\n",
        b"\r\n",
        b"0\r\n\r\n",
        b"0\r\nx-trailer: 1\r\n\r\n",
        b"0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ]
)
bodies = st.lists(st.one_of(plain, plain, plain, odd), max_size=8)


@settings(max_examples=300, deadline=None)
@given(body=bodies)
def test_what_is_taken_as_whole_chunks_is_what_the_parser_takes(body: list[bytes]) -> None:
    data = b"".join(body)
    found, end, left = whole_chunks(data, 0)
    reader = _Reader()
    parser = httptools.HttpResponseParser(reader)
    parser.feed_data(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    parser.feed_data(data[:end])
    assert reader.body == found
    if left == 0:
        assert end == len(data)
    if left > 0:  # So many more bytes, and the next chunk begins: what is put there is read as one.
        rest = (b"x" * left)[:-2] + b"\r\n"
        try:
            parser.feed_data(data[end:] + (rest if left > 1 else b"\n"))
        except httptools.HttpParserError:
            return  # It does not end as a chunk does, which the parser sees.
        held = reader.body
        parser.feed_data(chunk(b"next"))
        assert reader.body == held + b"next"


@settings(max_examples=500, deadline=None)
@given(body=bodies, end=st.integers(0, 60))
@example([b"3\r\nabc"], 0)
@example([b"\r\n"], 0)
@example([b"0\r\n\r\n"], 0)
@example([chunk(b"abc"), b"0\r\n\r\n"], 0)
@example([chunk(b"a\r\nb")], 0)
@example([chunk(b"a\r\nb"), chunk(b"c")], 0)
def test_what_is_framed_as_ours_is_what_we_would_write(body: list[bytes], end: int) -> None:
    data = b"".join(body)
    data = data[: len(data) - end]
    said, pieces = framed_as_ours(data), unframed(data)
    assert said in (b"", b"".join(pieces))
    if len(pieces) == 1 or not any(b"\r\n" in piece for piece in pieces):
        assert said == b"".join(pieces), "it can be seen"
    if said:
        assert whole_chunks(data, 0) == (said, len(data), 0)
