"""Which chunks can be seen to be whole: none that the parser would read in another way."""

import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.upstream.chunks import size_line, whole_chunks


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.mark.parametrize("size", [1, 9, 15, 16, 255, 256, 300, 4_095, 4_096, 65_535, 65_536, 0xFFFFFF])
def test_a_whole_chunk_begins_with_its_size_line(size: int) -> None:
    piece = chunk(b"a" * size)
    assert size_line(len(piece)) == b"%x\r\n" % size


@given(length=st.integers(0, 100_000))
@example(21)
@example(263)
def test_a_size_line_is_for_one_length_alone(length: int) -> None:
    line = size_line(length)
    if line.endswith(b"\r\n"):
        size = int(line[:-2], 16)
        assert size > 0
        assert len(b"%x\r\n" % size) + size + 2 == length
    else:
        assert not any(len(chunk(b"a" * size)) == length for size in range(max(length - 12, 1), length))


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
