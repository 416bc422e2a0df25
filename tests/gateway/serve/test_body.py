"""Bodies as they come: whole however they are cut, and no larger in memory for being cut small."""

import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.serve.body import Body, ChunkedBody, ChunkedUpload, SizedBody
from gateway.upstream.upload import Upload

BODY = 256 * 1024
ROOM_MAX = 4 * BODY
"""While the pieces are put together; each kept for itself they would take more than twenty times their bytes."""


def sized() -> tuple[Body, bytes]:
    return SizedBody(BODY), b"ab"


def chunked() -> tuple[Body, bytes]:
    return ChunkedBody(BODY), b"2\r\nab\r\n"


@pytest.mark.parametrize("made", [sized, chunked])
def test_a_body_in_small_pieces_takes_the_room_of_its_bytes(made: Callable[[], tuple[Body, bytes]]) -> None:
    body, piece = made()
    wire = memoryview(piece * (BODY // 2))
    tracemalloc.start()
    try:
        for at in range(0, len(wire), len(piece)):
            behind = body.feed(bytes(wire[at : at + len(piece)]))
        if behind is None:
            behind = body.feed(b"0\r\n\r\n")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert behind == b""
    assert body.whole() == b"ab" * (BODY // 2)
    assert peak < ROOM_MAX


@given(content=st.binary(max_size=200), behind=st.binary(max_size=20), step=st.integers(1, 220))
def test_a_sized_body_is_whole_however_it_is_cut(content: bytes, behind: bytes, step: int) -> None:
    body, stream = SizedBody(len(content)), content + behind
    at, rest = 0, None
    while rest is None:
        rest = body.feed(stream[at : at + step])
        at += step
    assert body.whole() == content
    assert rest + stream[at:] == behind


@given(contents=st.lists(st.binary(min_size=1, max_size=5), max_size=40), step=st.integers(1, 300))
def test_an_upload_is_given_once_for_each_read_what_its_chunks_held(contents: list[bytes], step: int) -> None:
    given: list[bytes] = []

    class Taker(Upload):
        def came(self, piece: bytes) -> None:
            given.append(piece)

    upload = ChunkedUpload(1_000, Taker(None, wanted=lambda: None, taken=lambda: None))
    wire = b"".join(b"%x\r\n%b\r\n" % (len(content), content) for content in contents) + b"0\r\n\r\nbehind"
    reads = 0
    for at in range(0, len(wire), step):
        reads += 1
        if (rest := upload.feed(wire[at : at + step])) is not None:
            break
    assert rest is not None
    assert (rest + wire[at + step :], b"".join(given)) == (b"behind", b"".join(contents))
    assert len(given) <= reads
