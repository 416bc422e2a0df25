"""The line to Redis: replies in any pieces, bounded waits, and coming back by itself."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.redis_line import REPLY_S, LineDown, RedisLine, Refused, Replies, ended, packed
from tests.fakes.cache import running_line, until_up
from tests.fixtures.redis import RedisServer

REPLIES = st.none() | st.integers(-(2**63), 2**63 - 1) | st.binary()
BUSY = b"local n = 0 for i = 1, 1e8 do n = n + i end return n"
"""Redis answers nobody for some tenths of a second."""


def wire(reply: bytes | int | None) -> bytes:
    if reply is None:
        return b"$-1\r\n"
    return b":%d\r\n" % reply if isinstance(reply, int) else b"$%d\r\n%b\r\n" % (len(reply), reply)


@given(st.lists(REPLIES), st.data())
def test_replies_are_read_whatever_pieces_they_come_in(replies: list[bytes | int | None], data: st.DataObject) -> None:
    sent = b"".join(map(wire, replies))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)))))
    reader, read = Replies(), []
    for start, stop in pairwise([0, *cuts, len(sent)]):
        read += reader.feed(sent[start:stop])
    assert read == replies


def test_words_and_refusals_are_told_apart() -> None:
    one, other = Replies().feed(b"+OK\r\n-READONLY You can't\r\n")
    assert one == b"OK"
    assert isinstance(other, Refused)
    assert str(other) == "READONLY", "the rest of it may hold anything"


@pytest.mark.parametrize("data", [b"HTTP/1.1 400\r\n", b"*1\r\n", b"$x\r\n", b":x\r\n", b"$-7\r\n"])
def test_what_is_no_reply_is_no_redis(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        list(Replies().feed(data))


@given(st.lists(st.binary(), min_size=1))
def test_a_command_says_how_long_its_words_are(words: list[bytes]) -> None:
    head, _, rest = packed(tuple(words)).partition(b"\r\n")
    assert head == b"*%d" % len(words)
    assert list(Replies().feed(rest)) == words


async def test_commands_are_answered_in_their_order(redis_server: RedisServer) -> None:
    async with running_line(redis_server.url) as line:
        pending = [line.begin(b"ECHO", b"%d" % number) for number in range(100)]
        assert [await line.reply(one) for one in pending] == [b"%d" % number for number in range(100)]


async def test_a_command_goes_out_in_the_turn_in_which_it_was_given(redis_server: RedisServer) -> None:
    """Not a turn later, behind the answer that goes out in this one."""
    async with running_line(redis_server.url) as line:
        for number in range(50):
            pending = line.begin(b"SET", b"k", b"%d" % number)
            await asyncio.sleep(0)  # One turn.
            assert line._line._transport.get_write_buffer_size() == 0
            await line.reply(pending)


async def test_frozen_it_is_down_for_everybody_at_once_and_comes_back(redis_server: RedisServer) -> None:
    async with running_line(redis_server.url, REPLY_S) as line:
        redis_server.freeze()
        waiting = [asyncio.create_task(line.ask(b"PING")) for _ in range(3)]
        for outcome in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(outcome, LineDown)
        with pytest.raises(LineDown):
            line.begin(b"PING")
        redis_server.thaw()
        await until_up(line)
        assert await line.ask(b"PING") == b"PONG"


async def test_one_who_leaves_takes_no_reply_with_him(redis_server: RedisServer) -> None:
    async with running_line(redis_server.url) as line:
        leaving = asyncio.create_task(line.ask(b"ECHO", b"a"))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await line.ask(b"ECHO", b"b") == b"b"


async def test_a_slow_redis_is_down_until_it_answers_in_time(redis_server: RedisServer) -> None:
    async with running_line(redis_server.url, REPLY_S) as line:
        slow = line.begin(b"EVAL", BUSY, b"0")
        with pytest.raises(LineDown):
            await line.ask(b"PING")
        with pytest.raises(LineDown):
            await line.reply(slow)
        await until_up(line)


async def test_killed_and_started_again_it_is_up_again(redis_server: RedisServer) -> None:
    async with running_line(redis_server.url) as line:
        redis_server.kill()
        with pytest.raises(LineDown):
            await line.ask(b"PING")
        redis_server.start()
        await until_up(line)


async def test_a_wrong_password_never_brings_it_up(redis_server: RedisServer) -> None:
    line = RedisLine(f"redis://:wrong@127.0.0.1:{redis_server.port}/0")
    running = asyncio.create_task(line.run())
    await asyncio.sleep(0.1)
    assert not line.is_up
    with pytest.raises(LineDown):
        await line.ask(b"PING")
    await ended(running)


async def test_another_database_is_chosen(redis_server: RedisServer) -> None:
    async with running_line(redis_server.url[:-1] + "3") as line, running_line(redis_server.url) as first:
        await line.ask(b"SET", b"k", b"v")
        assert await first.ask(b"GET", b"k") is None
        assert await line.ask(b"GET", b"k") == b"v"
