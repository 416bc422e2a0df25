"""An answer that is poured: each piece at once, in the callback that brought it, and never one out of turn."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.errors import Cut
from gateway.upstream.exchange import UNREAD_BYTES_MAX, Exchange
from gateway.upstream.messages import Deadlines


class FakeWire:
    def __init__(self) -> None:
        self.paused = False
        self.aborted = False

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def abort(self) -> None:
        self.aborted = True


class Taker:
    """Takes pieces; after each it goes on as long as `goes_on` says so."""

    def __init__(self, goes_on: Callable[[bytes], bool] = lambda _: True) -> None:
        self.pieces: list[bytes] = []
        self._goes_on = goes_on

    def __call__(self, piece: bytes, chunk: bytes | None) -> bool:
        assert chunk is None
        self.pieces.append(piece)
        return self._goes_on(piece)


def begun(wire: FakeWire | None = None) -> Exchange:
    exchange = Exchange(wire or FakeWire(), Deadlines(), 0.0, 0.0)
    exchange.head_came(200, {})
    return exchange


def came(exchange: Exchange, *pieces: bytes) -> None:
    """One read from the socket."""
    for piece in pieces:
        exchange.body_came(piece)
    exchange.fed()


async def waiting(pouring: asyncio.Task[bool]) -> None:
    for _ in range(5):
        await asyncio.sleep(0)
    assert not pouring.done()


async def test_a_piece_is_taken_in_the_callback_that_brought_it() -> None:
    exchange, taker = begun(), Taker()
    pouring = asyncio.create_task(exchange.pour(taker))
    await waiting(pouring)
    came(exchange, b"a")
    assert taker.pieces == [b"a"], "before anybody else had a turn"
    came(exchange, b"b", b"c")
    assert taker.pieces == [b"a", b"bc"]
    await waiting(pouring)
    exchange.ended()
    assert await pouring is False


async def test_the_headers_do_not_stay_as_long_as_it_takes() -> None:
    exchange = begun()
    exchange.head_came(200, {"x-request-id": "req_1"})
    pouring = asyncio.create_task(exchange.pour(Taker()))
    await waiting(pouring)
    assert (exchange.status, dict(exchange.headers)) == (200, {})
    exchange.ended()
    assert await pouring is False


async def test_what_was_there_before_is_taken_first() -> None:
    exchange, taker = begun(), Taker()
    came(exchange, b"a")
    pouring = asyncio.create_task(exchange.pour(taker))
    await waiting(pouring)
    came(exchange, b"b")
    exchange.body_came(b"c")
    exchange.ended()
    assert await pouring is False
    assert taker.pieces == [b"a", b"b", b"c"]


async def test_whoever_takes_no_more_gets_no_more_until_he_pours_again() -> None:
    wire = FakeWire()
    exchange, taker = begun(wire), Taker(lambda piece: piece != b"b")
    pouring = asyncio.create_task(exchange.pour(taker))
    await waiting(pouring)
    came(exchange, b"a")
    came(exchange, b"b")
    came(exchange, b"c")
    assert await pouring is True
    assert taker.pieces == [b"a", b"b"]
    assert not wire.paused
    came(exchange, b"d" * (UNREAD_BYTES_MAX + 1))
    assert wire.paused, "what nobody takes is not read without end"
    again = asyncio.create_task(exchange.pour(taker))
    await waiting(again)
    assert taker.pieces[2].startswith(b"cd")
    assert not wire.paused
    exchange.ended()
    assert await again is False


async def test_a_break_comes_after_what_came_before_it() -> None:
    exchange, taker = begun(), Taker()
    pouring = asyncio.create_task(exchange.pour(taker))
    await waiting(pouring)
    exchange.body_came(b"a")
    exchange.failed(Cut("scripted", answered=True))
    with pytest.raises(Cut):
        await pouring
    assert taker.pieces == [b"a"]


class OwnFault(Exception):
    pass


@pytest.mark.parametrize("early", [True, False])
async def test_what_the_taker_raises_is_raised_where_it_is_awaited(*, early: bool) -> None:
    def fails(_: bytes, chunk: bytes | None) -> bool:
        raise OwnFault

    exchange = begun()
    if early:
        came(exchange, b"a")
    pouring = asyncio.create_task(exchange.pour(fails))
    await asyncio.sleep(0)
    if not early:
        came(exchange, b"a")
    with pytest.raises(OwnFault):
        await pouring


async def test_whoever_could_not_take_leaves_the_rest_to_the_next() -> None:
    def fails(_: bytes, chunk: bytes | None) -> bool:
        raise OwnFault

    wire = FakeWire()
    exchange, taker = begun(wire), Taker()
    pouring = asyncio.create_task(exchange.pour(fails))
    await waiting(pouring)
    came(exchange, b"a")
    came(exchange, b"b" * (UNREAD_BYTES_MAX + 1))
    assert wire.paused, "what nobody takes is not read without end"
    with pytest.raises(OwnFault):
        await pouring
    exchange.ended()
    assert await exchange.pour(taker) is False
    assert [len(piece) for piece in taker.pieces] == [UNREAD_BYTES_MAX + 1]


async def test_whoever_leaves_aborts_the_connection() -> None:
    wire = FakeWire()
    exchange, taker = begun(wire), Taker()
    pouring = asyncio.create_task(exchange.pour(taker))
    await waiting(pouring)
    pouring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pouring
    assert wire.aborted
    came(exchange, b"late")
    assert taker.pieces == []


async def test_a_stream_that_says_nothing_is_overdue_as_ever() -> None:
    exchange = begun()
    pouring = asyncio.create_task(exchange.pour(Taker()))
    await waiting(pouring)
    assert exchange.overdue(1.0) is None
    came(exchange, b"a")
    assert exchange.overdue(50.0) is None
    late = exchange.overdue(50.0 + Deadlines().between_bytes_s)
    assert late is not None
    exchange.failed(Cut("scripted", answered=True))
    with pytest.raises(Cut):
        await pouring


@given(
    reads=st.lists(st.lists(st.binary(min_size=1, max_size=4), min_size=1, max_size=3), max_size=12),
    stops=st.sets(st.integers(0, 12)),
    breaks=st.booleans(),
)
async def test_however_it_stops_and_goes_on_nothing_is_lost_or_turned(
    reads: list[list[bytes]], stops: set[int], *, breaks: bool
) -> None:
    exchange = begun()
    taken: list[bytes] = []

    def take(piece: bytes, chunk: bytes | None) -> bool:
        taken.append(piece)
        return len(taken) not in stops

    async def reader() -> str:
        try:
            while await exchange.pour(take):
                pass
        except Cut:
            return "broken"
        return "whole"

    reading = asyncio.create_task(reader())
    await asyncio.sleep(0)
    for read in reads:
        came(exchange, *read)
        await asyncio.sleep(0)
    if breaks:
        exchange.failed(Cut("scripted", answered=True))
    else:
        exchange.ended()
    assert await reading == ("broken" if breaks else "whole")
    assert b"".join(taken) == b"".join(piece for read in reads for piece in read)
