"""What goes out when: together, in its order, and at once where there is much of it."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.turn import BUSY_S, HELD_BYTES_MAX, HELD_MAX, LOOK_S, Ahead, Turn


class Loop:
    """Calls what it was asked to, when the test says so."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []
        self.later: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.soon.append(callback)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        assert delay_s == LOOK_S
        self.later.append(callback)

    def turn(self) -> None:
        called, self.soon = self.soon, []
        for callback in called:
            callback()

    def look(self) -> None:
        called, self.later = self.later, []
        for callback in called:
            callback()


class World:
    """A turn, and how much of the processor was used."""

    def __init__(self, ahead: Ahead | None = None) -> None:
        self.sent: list[tuple[int, bytes]] = []
        self.used_s = 100.0
        self.loop = Loop()
        self.turn = Turn(self.loop, ahead, lambda: self.used_s)  # type: ignore[arg-type]

    def write(self, transport: "Sent", data: bytes) -> None:
        turn = self.turn
        if turn.at_once and not turn.waiting:
            assert not transport.closed
            transport.write(data)  # As it says that whoever writes may.
        else:
            turn.write(transport, data)  # type: ignore[arg-type]

    def busy(self) -> None:
        self.write(Sent(0, []), b"before")
        self.used_s += 2 * BUSY_S
        self.loop.look()

    def busy_among_many(self) -> None:
        """And the turn before had several writes."""
        self.busy()
        for _ in range(2):
            self.write(Sent(0, []), b"before")
        self.loop.turn()


class Noted:
    """What is to come ahead, and how much had gone out when it did."""

    def __init__(self) -> None:
        self.waiting: list[str] = []
        self.sent: list[tuple[int, bytes]] = []
        self.came_before: list[int] = []

    def write(self) -> None:
        waiting = [*self.waiting]
        self.waiting.clear()
        self.came_before.append(len(self.sent))
        if "fails" in waiting:
            raise ValueError("this time")


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


def test_while_there_is_much_to_do_what_a_turn_brings_goes_out_at_its_end() -> None:
    world = World()
    transport = Sent(0, world.sent)
    world.busy_among_many()
    for _ in range(2):
        world.write(transport, b"a")
        world.write(transport, b"b")
        assert not world.sent
        assert len(world.loop.soon) == 1
        world.loop.turn()
        assert world.sent == [(0, b"a"), (0, b"b")]
        world.sent.clear()


def test_after_a_turn_with_one_write_the_next_ones_first_goes_out_at_once() -> None:
    world = World()
    transport = Sent(0, world.sent)
    world.busy_among_many()
    world.write(transport, b"a")
    assert not world.sent
    world.loop.turn()
    for _ in range(2):
        world.sent.clear()
        world.write(transport, b"b")
        assert world.sent == [(0, b"b")]
        world.loop.turn()
    world.write(transport, b"c")
    world.write(transport, b"d")
    assert world.sent == [(0, b"b"), (0, b"c")], "the second waits, and none of the next turn goes out at once"
    world.loop.turn()
    world.write(transport, b"e")
    assert world.sent == [(0, b"b"), (0, b"c"), (0, b"d")]


def test_where_there_is_little_to_do_all_goes_out_at_once() -> None:
    world = World()
    transport = Sent(0, world.sent)
    for data in (b"a", b"b"):
        world.write(transport, data)
        assert world.turn.at_once
    world.used_s += BUSY_S / 2
    world.loop.look()
    world.write(transport, b"c")
    assert world.sent == [(0, b"a"), (0, b"b"), (0, b"c")]
    assert not world.loop.soon, "nothing is to be done at the turn's end"


def test_what_waits_stays_ahead_of_what_does_not_wait_any_more() -> None:
    world = World()
    transport = Sent(0, world.sent)
    world.busy_among_many()
    world.write(transport, b"a")
    world.loop.look()
    world.write(transport, b"b")
    assert world.sent == [(0, b"a"), (0, b"b")]
    world.loop.turn()
    assert len(world.sent) == 2, "once"


def test_nobody_looks_where_nothing_is_written() -> None:
    world = World()
    world.busy()
    assert len(world.loop.later) == 1, "one look, however many writes"
    world.loop.look()
    assert not world.loop.later
    world.used_s += 1_000.0  # By others, meanwhile.
    world.write(Sent(0, world.sent), b"a")
    world.loop.look()
    world.write(Sent(0, world.sent), b"b")
    assert world.sent == [(0, b"a"), (0, b"b")]


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from([1, 1_000, HELD_BYTES_MAX, HELD_BYTES_MAX + 1]))
        | st.just("many")
        | st.sampled_from(["turn", "look", "work", "end"])
    )
)
def test_all_of_it_goes_out_in_its_order_and_never_much_waits(steps: list[tuple[int, int] | str]) -> None:
    world = World()
    transports = [Sent(name, world.sent) for name in range(3)]
    written: list[tuple[int, bytes]] = []
    for step in steps:
        match step:
            case "turn":
                world.loop.turn()
                assert world.sent == written
            case "look":
                world.loop.look()
            case "work":
                world.used_s += 2 * BUSY_S
            case "end":
                world.turn.end()
                assert world.sent == written
            case "many":
                for _ in range(HELD_MAX):
                    world.write(transports[0], b"m")
                    written.append((0, b"m"))
            case (name, length):
                world.write(transports[name], bytes(length))
                written.append((name, bytes(length)))
        assert world.sent == written[: len(world.sent)]
        held = written[len(world.sent) :]
        assert not (held and world.turn.at_once), "what does not ask the turn would go ahead of it"
        assert len(held) < HELD_MAX
        assert all(len(data) <= HELD_BYTES_MAX for _, data in held)
        assert len(world.sent) == len(written) or world.loop.soon, "the loop ends the turn"
    world.loop.turn()
    assert world.sent == written


@pytest.mark.parametrize("is_busy", [False, True])
def test_what_is_to_come_ahead_comes_before_each_send_and_holds_none_of_them_up(is_busy: bool) -> None:
    ahead = Noted()
    world = World(ahead)
    ahead.sent = world.sent
    if is_busy:
        world.busy()
    else:
        world.write(Sent(1, []), b"before")
    transport, large = Sent(0, world.sent), bytes(HELD_BYTES_MAX + 1)
    ahead.waiting.append("fails")
    with pytest.raises(ValueError, match="this time"):
        world.write(transport, large)
    world.write(transport, b"a")
    world.turn.end()
    assert ahead.came_before == [0], "nothing waited, nobody was asked"
    ahead.waiting.append("goes well")
    world.write(transport, b"b")
    world.turn.end()
    assert ahead.came_before == [0, 2]
    assert world.sent == [(0, large), (0, b"a"), (0, b"b")]


def test_nothing_is_written_to_what_was_closed_meanwhile() -> None:
    world = World()
    left, stays = Sent(0, world.sent), Sent(1, world.sent)
    world.busy_among_many()
    for transport in (left, stays):
        world.write(transport, b"a")
    left.closed = True
    world.loop.turn()
    world.loop.look()
    for transport in (left, stays):
        world.write(transport, b"b")
    assert world.sent == [(1, b"a"), (1, b"b")]


async def test_the_loop_looks_and_ends_the_turns_by_itself() -> None:
    sent: list[tuple[int, bytes]] = []
    asked = 0
    looked = asyncio.Event()

    def used_s() -> float:
        nonlocal asked
        asked += 1
        if asked == 2:
            looked.set()
        return asked * 2 * BUSY_S

    turn, transport = Turn(asyncio.get_running_loop(), None, used_s), Sent(0, sent)
    turn.write(transport, b"a")  # type: ignore[arg-type]
    assert sent == [(0, b"a")]
    await looked.wait()
    for data in (b"b", b"c"):
        turn.write(transport, data)  # type: ignore[arg-type]
    assert sent == [(0, b"a"), (0, b"b")]
    await asyncio.sleep(0)
    assert sent == [(0, b"a"), (0, b"b"), (0, b"c")]
