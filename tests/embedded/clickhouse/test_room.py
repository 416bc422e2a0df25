"""Room for requests and their bytes: never more than there is, and all of it free again afterwards."""

from contextlib import ExitStack

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from embedded.clickhouse.refusal import Refusal
from embedded.clickhouse.room import Room

REQUESTS_MAX, BODY_BYTES_MAX, BODIES_BYTES_MAX = 5, 1_000, 2_500


def room() -> Room:
    return Room(REQUESTS_MAX, BODY_BYTES_MAX, BODIES_BYTES_MAX)


def refusal(status: int) -> "pytest.RaisesExc[Refusal]":
    return pytest.raises(Refusal, check=lambda refused: refused.status == status)


@given(st.lists(st.lists(st.binary(max_size=600), max_size=4), max_size=8))
def test_no_more_is_taken_than_there_is_room_for_and_all_is_free_again(crowd: list[list[bytes]]) -> None:
    here = room()
    with ExitStack() as places:
        for number, pieces in enumerate(crowd):
            if number >= REQUESTS_MAX:
                with refusal(503), here.place():
                    pass
                continue
            body = places.enter_context(here.place())
            held = 0
            for piece in pieces:
                before = here.bytes
                if held + len(piece) > BODY_BYTES_MAX:
                    with refusal(413):
                        body.add(piece)
                elif before + len(piece) > BODIES_BYTES_MAX:
                    with refusal(503):
                        body.add(piece)
                else:
                    body.add(piece)
                    held += len(piece)
                    before += len(piece)
                assert here.bytes == before
    assert (here.requests, here.bytes) == (0, 0)


async def test_what_a_body_becomes_when_decompressed_is_counted_too() -> None:
    here = room()
    packed = zstd.compress(bytes(BODY_BYTES_MAX))
    with here.place() as body:
        body.add(packed)
        assert await body.plain("zstd") == bytes(BODY_BYTES_MAX)
        assert here.bytes == len(packed) + BODY_BYTES_MAX
    assert here.bytes == 0
    with here.place() as body, refusal(413):
        body.add(zstd.compress(bytes(BODY_BYTES_MAX + 1)))
        await body.plain("zstd")
