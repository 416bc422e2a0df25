"""What goes out when: together, in its order, and at once where there is much of it."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.turn import HELD_BYTES_MAX, Turn


async def turn_among_many() -> Turn:
    """One that has just had several writes."""
    turn = Turn(asyncio.get_running_loop())
    for _ in range(2):
        turn.write(Sent(0, []), b"before")  # type: ignore[arg-type]
    await asyncio.sleep(0)
    return turn


class Sent:
    """A transport; what all of them were given is in `sent`, in its order."""

    def __init__(self, name: int, sent: list[tuple[int, bytes]]) -> None:
        self.closed = False
        self._name = name
        self._sent = sent

    def is_closing(self) -> bool:
        return self.closed

    def write(self, data: bytes) -> None:
        assert not self.closed
        self._sent.append((self._name, data))


async def test_what_a_turn_brings_goes_out_at_its_end() -> None:
    sent: list[tuple[int, bytes]] = []
    turn, transport = await turn_among_many(), Sent(0, sent)
    for _ in range(2):
        turn.write(transport, b"a")  # type: ignore[arg-type]
        turn.write(transport, b"b")  # type: ignore[arg-type]
        assert not sent
        await asyncio.sleep(0)
        assert sent == [(0, b"a"), (0, b"b")]
        sent.clear()


async def test_after_a_turn_with_one_write_the_next_ones_first_goes_out_at_once() -> None:
    sent: list[tuple[int, bytes]] = []
    turn, transport = await turn_among_many(), Sent(0, sent)
    turn.write(transport, b"a")  # type: ignore[arg-type]
    assert not sent
    await asyncio.sleep(0)
    for _ in range(2):
        sent.clear()
        turn.write(transport, b"b")  # type: ignore[arg-type]
        assert sent == [(0, b"b")]
        await asyncio.sleep(0)
    turn.write(transport, b"c")  # type: ignore[arg-type]
    turn.write(transport, b"d")  # type: ignore[arg-type]
    assert sent == [(0, b"b"), (0, b"c")], "the second waits, and none of the next turn goes out at once"
    await asyncio.sleep(0)
    turn.write(transport, b"e")  # type: ignore[arg-type]
    assert sent == [(0, b"b"), (0, b"c"), (0, b"d")]


@given(
    writes=st.lists(st.tuples(st.integers(0, 2), st.sampled_from([1, 1_000, HELD_BYTES_MAX // 2, HELD_BYTES_MAX]))),
    among_many=st.booleans(),
)
async def test_all_of_it_goes_out_in_its_order_and_never_much_waits(
    writes: list[tuple[int, int]], among_many: bool
) -> None:
    sent: list[tuple[int, bytes]] = []
    turn = await turn_among_many() if among_many else Turn(asyncio.get_running_loop())
    transports = [Sent(name, sent) for name in range(3)]
    given_bytes = 0
    for name, length in writes:
        turn.write(transports[name], bytes(length))  # type: ignore[arg-type]
        given_bytes += length
        assert given_bytes - sum(len(data) for _, data in sent) < HELD_BYTES_MAX
    turn.end()
    assert sent == [(name, bytes(length)) for name, length in writes]
    await asyncio.sleep(0)
    assert len(sent) == len(writes), "once"


async def test_what_is_to_come_ahead_comes_before_each_send_and_holds_none_of_them_up() -> None:
    sent: list[tuple[int, bytes]] = []
    ahead: list[int] = []

    def note_and_fail() -> None:
        ahead.append(len(sent))
        if len(ahead) == 1:
            raise ValueError("the first time")

    turn, transport = Turn(asyncio.get_running_loop(), note_and_fail), Sent(0, sent)
    with pytest.raises(ValueError, match="the first time"):
        turn.write(transport, bytes(HELD_BYTES_MAX))  # type: ignore[arg-type]
    turn.write(transport, b"a")  # type: ignore[arg-type]
    turn.end()
    assert ahead == [0, 1]
    assert sent == [(0, bytes(HELD_BYTES_MAX)), (0, b"a")]


async def test_nothing_is_written_to_what_was_closed_meanwhile() -> None:
    sent: list[tuple[int, bytes]] = []
    turn = await turn_among_many()
    left, stays = Sent(0, sent), Sent(1, sent)
    for transport in (left, stays):
        turn.write(transport, b"a")  # type: ignore[arg-type]
    left.closed = True
    await asyncio.sleep(0)
    assert sent == [(1, b"a")]
