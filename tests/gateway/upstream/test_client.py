"""The client against a provider whose every byte the test says."""

import asyncio
import gc

import pytest

from gateway.upstream.client import STALE_S, Limits
from gateway.upstream.errors import (
    ConnectFailed,
    Cut,
    FirstByteTimeout,
    ProtocolFault,
    StallTimeout,
    TooLarge,
    TotalTimeout,
    UpstreamError,
)
from gateway.upstream.exchange import LOOK_S_MAX, UNREAD_BYTES_MAX
from gateway.upstream.messages import Deadlines, UpstreamResponse

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
MIB = 1024 * 1024


async def in_flight(client, provider, request=None):
    """A call under way: its task, and the provider's end with the request already read."""
    call = asyncio.create_task(client.send(request or provider.ask()))
    caller = await provider.accepted()
    await caller.request()
    return call, caller


async def kept(client, provider):
    """The provider's end of a connection that has served one call and is idle now."""
    call, caller = await in_flight(client, provider)
    await caller.say(OK)
    await (await call).read(100)
    return caller


async def until(condition) -> None:
    while not condition():  # noqa: ASYNC110 - conditions inside the client announce themselves to nobody
        await asyncio.sleep(0)


# What is sent


async def test_sends_request_line_host_callers_headers_and_length_and_nothing_else(client, provider):
    call = asyncio.create_task(client.send(provider.ask(b'{"a":1}', target="/v1/x?y=1", headers=b"x-a: 1\r\nb:\r\n")))
    caller = await provider.accepted()
    head, body = await caller.request()
    await caller.say(OK)
    await (await call).read(100)
    assert head == (
        b"POST /v1/x?y=1 HTTP/1.1\r\nhost: provider.test:%d\r\nx-a: 1\r\nb:\r\n"
        b"accept-encoding: identity\r\ncontent-length: 7\r\n\r\n" % provider.origin.port
    )
    assert body == b'{"a":1}'


@pytest.mark.parametrize(("method", "has_length"), [("POST", True), ("PUT", True), ("GET", False), ("DELETE", False)])
async def test_an_empty_body_has_a_length_only_where_the_method_expects_a_body(client, provider, method, has_length):
    call = asyncio.create_task(client.send(provider.ask(b"", method=method)))
    caller = await provider.accepted()
    head, _ = await caller.request()
    await caller.say(OK)
    await (await call).read(100)
    assert (b"\r\ncontent-length: 0\r\n" in head) is has_length


# Answers


async def test_gives_status_headers_and_body(client, provider):
    call, caller = await in_flight(client, provider)
    await caller.say(
        b"HTTP/1.1 429 Slow Down\r\nContent-Type: text/plain\r\nRetry-After:  7 \r\nX-A: first\r\nX-A: second\r\n"
        b"X-Latin: caf\xe9\r\nX-Empty:\r\nContent-Length: 5\r\n\r\nhello"
    )
    answer: UpstreamResponse = await call
    assert answer.status == 429
    assert dict(answer.headers) == {
        "content-type": "text/plain",
        "retry-after": "7",
        "x-a": "first",
        "x-latin": "café",
        "x-empty": "",
        "content-length": "5",
    }
    assert await answer.read(5) == b"hello"
    assert await answer.read(5) == b""
    assert await answer.chunk() == b""


async def test_head_is_given_before_the_body_and_chunks_as_they_come(client, provider):
    call, caller = await in_flight(client, provider)
    await caller.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    answer = await call
    await caller.say(b"5\r\nfirst\r\n")
    assert await answer.chunk() == b"first"
    await caller.say(b"6\r\nsec")
    assert await answer.chunk() == b"sec"
    await caller.say(b"ond\r\n0\r\n\r\n")
    assert await answer.chunk() == b"ond"
    assert await answer.chunk() == b""


async def test_a_redirect_is_an_answer_and_is_not_followed(client, provider):
    call, caller = await in_flight(client, provider)
    await caller.say(b"HTTP/1.1 307 Go\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n")
    answer = await call
    assert (answer.status, await answer.read(0)) == (307, b"")
    assert provider.connections == 1


async def test_interim_answers_are_skipped(client, provider):
    call, caller = await in_flight(client, provider)
    await caller.say(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n", OK)
    answer = await call
    assert (answer.status, dict(answer.headers)) == (200, {"content-length": "2"})
    assert await answer.read(2) == b"hi"


@pytest.mark.parametrize("status", [204, 304])
async def test_statuses_without_a_body_end_with_their_head_and_keep_the_connection(client, provider, status):
    call, caller = await in_flight(client, provider)
    await caller.say(b"HTTP/1.1 %d X\r\ncontent-length: 9\r\n\r\n" % status)
    assert await (await call).read(0) == b""
    call = asyncio.create_task(client.send(provider.ask()))
    await caller.request()
    await caller.say(OK)
    assert await (await call).read(2) == b"hi"


async def test_an_answer_to_head_has_no_body_whatever_its_length_says(client, provider):
    call, caller = await in_flight(client, provider, provider.ask(b"", method="HEAD"))
    await caller.say(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nnot for us")
    answer = await call
    assert await answer.read(0) == b""
    assert answer.headers["content-length"] == "9"
    await caller.gone()


async def test_a_body_without_length_ends_with_the_connection(client, provider):
    call, caller = await in_flight(client, provider)
    await caller.say(b"HTTP/1.1 200 OK\r\n\r\nall of", b" it")
    answer = await call
    caller.hang_up()
    assert await answer.read(100) == b"all of it"


async def test_a_body_over_the_readers_limit_is_refused_and_the_connection_closed(client, provider):
    call, caller = await in_flight(client, provider)
    await caller.say(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nelevenbytes")
    with pytest.raises(TooLarge) as raised:
        await (await call).read(10)
    assert raised.value.answered


async def test_a_body_over_the_limit_is_not_waited_for(client, provider):
    call, caller = await in_flight(client, provider)
    await caller.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nb\r\nelevenbytes\r\n")
    with pytest.raises(TooLarge):
        await (await call).read(10)
    await caller.gone()


async def test_an_early_answer_to_a_large_request_is_given_and_the_connection_not_kept(client, provider):
    call = asyncio.create_task(client.send(provider.ask(b"x" * (32 * MIB))))
    caller = await provider.accepted()
    await caller.reader.readuntil(b"\r\n\r\n")
    await caller.say(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
    answer = await call
    assert (answer.status, await answer.read(2)) == (413, b"no")
    await caller.gone()


# Keeping connections


async def test_a_connection_is_used_again(client, provider, resolver):
    caller = await kept(client, provider)
    for _ in range(3):
        call = asyncio.create_task(client.send(provider.ask()))
        await caller.request()
        await caller.say(OK)
        assert await (await call).read(2) == b"hi"
    assert provider.connections == 1
    assert resolver.asked == ["provider.test"]


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n"


async def test_a_connection_is_used_again_whose_answer_nobody_read_to_its_end(client, provider):
    call, caller = await in_flight(client, provider)
    await caller.say(CHUNKED)
    left = await call
    assert await left.chunk() == b"hi"
    left.read_out(60.0)
    await caller.say(b"%x\r\n%b\r\n0\r\n\r\n" % (UNREAD_BYTES_MAX * 2, bytes(UNREAD_BYTES_MAX * 2)))
    await until(lambda: left._wire is None)
    call = asyncio.create_task(client.send(provider.ask()))
    await caller.request()
    await caller.say(OK)
    assert await (await call).read(2) == b"hi"
    left.read_out(0.0)
    left.abort()
    assert provider.connections == 1


@pytest.mark.parametrize("ending", ["none in time", "a break"])
async def test_a_connection_is_closed_whose_answer_does_not_end_by_itself(client, provider, ending):
    call, caller = await in_flight(client, provider)
    await caller.say(CHUNKED)
    left = await call
    left.read_out(0.0 if ending == "none in time" else 60.0)
    if ending == "a break":
        caller.hang_up()
    else:
        await caller.gone()
    await until(lambda: left._wire is None)
    assert not len(client._pool)


async def test_a_connection_is_free_as_soon_as_the_answer_is_off_the_wire_though_unread(client, provider):
    call, caller = await in_flight(client, provider)
    await caller.say(OK)
    unread = await call
    call = asyncio.create_task(client.send(provider.ask()))
    await caller.request()
    await caller.say(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyou")
    assert await (await call).read(3) == b"you"
    assert await unread.read(2) == b"hi"


async def test_the_connection_used_last_is_taken_first(client, provider):
    first, one = await in_flight(client, provider)
    second, two = await in_flight(client, provider)
    for call, caller in ((first, one), (second, two)):
        await caller.say(OK)
        await (await call).read(2)
    call = asyncio.create_task(client.send(provider.ask()))
    await two.request()
    await two.say(OK)
    await call
    assert not one.reader._buffer


async def test_no_more_than_the_limit_stay_idle(client, provider):
    calls = [await in_flight(client, provider) for _ in range(3)]
    for call, caller in calls:
        await caller.say(OK)
        await (await call).read(2)
    await calls[2][1].gone()
    call = asyncio.create_task(client.send(provider.ask()))
    await calls[1][1].request()
    await calls[1][1].say(OK)
    await call
    assert provider.connections == 3


async def test_an_idle_connection_is_closed_when_its_time_is_over(client, provider, clock):
    caller = await kept(client, provider)
    clock.advance(59.75)
    client.sweep(clock.monotonic_s())
    call = asyncio.create_task(client.send(provider.ask()))
    await caller.request()
    await caller.say(OK)
    await call
    clock.advance(60.0)
    client.sweep(clock.monotonic_s())
    await caller.gone()


@pytest.mark.parametrize("limits", [Limits(sweep_s=0.001)])
async def test_the_client_sweeps_by_itself_while_a_connection_is_open(client, provider, clock):
    caller = await kept(client, provider)
    clock.advance(60.0)
    await caller.gone()
    await until(lambda: client._timer is None)
    caller = await kept(client, provider)
    clock.advance(60.0)
    await caller.gone()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi",
        OK + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        OK + b"garbage",
    ],
)
async def test_a_connection_whose_answer_says_or_shows_it_must_not_be_kept_is_closed(client, provider, answer):
    call, caller = await in_flight(client, provider)
    await caller.say(answer)
    assert await (await call).read(2) == b"hi"
    await caller.gone()


async def test_bytes_nobody_asked_for_close_an_idle_connection(client, provider):
    caller = await kept(client, provider)
    await caller.say(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
    await caller.gone()
    call, caller = await in_flight(client, provider)
    await caller.say(OK)
    assert await (await call).read(2) == b"hi"


async def test_a_connection_closed_while_idle_is_dropped_in_silence(client, provider):
    caller = await kept(client, provider)
    caller.hang_up()
    await caller.gone()
    call, caller = await in_flight(client, provider)
    await caller.say(OK)
    assert await (await call).read(2) == b"hi"


# Endings that are not proper


@pytest.mark.parametrize("ending", ["hang_up", "reset"])
async def test_a_kept_connection_that_dies_before_a_byte_is_tried_once_more_on_a_fresh_one(client, provider, ending):
    old = await kept(client, provider)
    call = asyncio.create_task(client.send(provider.ask(b"again")))
    await old.request()
    getattr(old, ending)()
    fresh = await provider.accepted()
    assert (await fresh.request())[1] == b"again"
    await fresh.say(OK)
    assert await (await call).read(2) == b"hi"


async def test_the_second_try_is_the_last(client, provider):
    old = await kept(client, provider)
    call = asyncio.create_task(client.send(provider.ask()))
    await old.request()
    old.hang_up()
    fresh = await provider.accepted()
    await fresh.request()
    fresh.hang_up()
    with pytest.raises(Cut) as raised:
        await call
    assert not raised.value.answered
    assert provider.connections == 2


async def test_a_request_somebody_may_have_looked_at_is_not_sent_twice(client, provider, clock):
    old = await kept(client, provider)
    call = asyncio.create_task(client.send(provider.ask()))
    await old.request()
    clock.advance(STALE_S + 0.1)
    old.hang_up()
    with pytest.raises(Cut):
        await call
    assert provider.connections == 1


async def test_a_kept_connection_that_dies_after_a_byte_is_a_cut(client, provider):
    old = await kept(client, provider)
    call = asyncio.create_task(client.send(provider.ask()))
    await old.request()
    await old.say(b"H")
    old.hang_up()
    with pytest.raises(Cut) as raised:
        await call
    assert raised.value.answered
    assert provider.connections == 1


@pytest.mark.parametrize("ending", ["hang_up", "reset"])
async def test_a_fresh_connection_that_dies_before_a_byte_is_a_cut(client, provider, ending):
    call, caller = await in_flight(client, provider)
    getattr(caller, ending)()
    with pytest.raises(Cut) as raised:
        await call
    assert not raised.value.answered
    assert provider.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ],
)
async def test_closing_at_any_point_before_the_end_is_a_cut_that_keeps_what_came(client, provider, answer):
    body_at = answer.index(b"hello")
    for cut in range(1, len(answer)):
        call, caller = await in_flight(client, provider)
        await caller.say(answer[:cut])
        caller.hang_up()
        came: list[bytes] = []
        with pytest.raises(Cut) as raised:
            await read_all(call, came)
        assert raised.value.answered
        assert b"".join(came) == b"hello"[: max(0, cut - body_at)]


async def read_all(call, came: list[bytes]) -> None:
    answer = await call
    while piece := await answer.chunk():
        came.append(piece)


# Deadlines


SHORT = Deadlines(connect_s=5, first_byte_s=10, between_bytes_s=3, total_s=20)


async def test_no_head_within_first_byte_s(client, provider, clock):
    call, caller = await in_flight(client, provider, provider.ask(deadlines=SHORT))
    clock.advance(9.75)
    client.sweep(clock.monotonic_s())
    await asyncio.sleep(0)
    assert not call.done()
    clock.advance(0.25)
    client.sweep(clock.monotonic_s())
    with pytest.raises(FirstByteTimeout) as raised:
        await call
    assert not raised.value.answered
    await caller.gone()


async def test_a_dripping_head_is_bounded_by_first_byte_s(client, provider, clock):
    call, caller = await in_flight(client, provider, provider.ask(deadlines=SHORT))
    for byte in b"HTTP/1.1 ":
        await caller.say(bytes([byte]))
        clock.advance(1.0)
        client.sweep(clock.monotonic_s())
    assert not call.done()
    clock.advance(1.0)
    client.sweep(clock.monotonic_s())
    with pytest.raises(FirstByteTimeout):
        await call
    await caller.gone()


async def test_a_body_that_stalls(client, provider, clock):
    call, caller = await in_flight(client, provider, provider.ask(deadlines=SHORT))
    await caller.say(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")
    answer = await call
    client.sweep(clock.monotonic_s())
    clock.advance(2.75)
    client.sweep(clock.monotonic_s())
    assert await answer.chunk() == b"abc"
    await caller.say(b"def")
    assert await answer.chunk() == b"def"
    clock.advance(2.75)
    client.sweep(clock.monotonic_s())
    clock.advance(2.75)
    client.sweep(clock.monotonic_s())
    clock.advance(0.25)
    client.sweep(clock.monotonic_s())
    with pytest.raises(StallTimeout) as raised:
        await answer.chunk()
    assert raised.value.answered
    await caller.gone()


async def test_a_call_that_keeps_moving_ends_with_total_s(client, provider, clock):
    call, caller = await in_flight(client, provider, provider.ask(deadlines=SHORT))
    await caller.say(b"HTTP/1.1 200 OK\r\n\r\n")
    answer = await call
    for _ in range(19):
        await caller.say(b"x")
        assert await answer.chunk() == b"x"
        clock.advance(1.0)
        client.sweep(clock.monotonic_s())
    clock.advance(1.0)
    client.sweep(clock.monotonic_s())
    with pytest.raises(TotalTimeout):
        await answer.chunk()
    await caller.gone()


async def test_total_s_counts_from_the_first_try(client, provider, clock):
    old = await kept(client, provider)
    call = asyncio.create_task(client.send(provider.ask(deadlines=Deadlines(total_s=1.0))))
    await old.request()
    clock.advance(1.0)
    old.hang_up()
    with pytest.raises(TotalTimeout):
        await call
    assert provider.connections == 1


async def test_a_request_nobody_takes_stalls(client, provider, clock):
    request = provider.ask(b"x" * (32 * MIB), deadlines=SHORT)
    call = asyncio.create_task(client.send(request))
    caller = await provider.accepted()
    await until(lambda: is_held_up(client))
    for _ in range(6):
        # What the kernel still takes counts as movement; once its buffers are full, nothing moves.
        clock.advance(3.0)
        client.sweep(clock.monotonic_s())
        await asyncio.sleep(0)
    with pytest.raises(StallTimeout):
        await call
    await caller.gone()


async def test_the_answers_time_begins_after_the_requests_last_byte(client, provider, clock):
    request = provider.ask(b"x" * (8 * MIB), deadlines=Deadlines(first_byte_s=10, between_bytes_s=100, total_s=1000))
    call = asyncio.create_task(client.send(request))
    caller = await provider.accepted()
    await caller.reader.readuntil(b"\r\n\r\n")
    await until(lambda: is_held_up(client))
    clock.advance(50.0)
    client.sweep(clock.monotonic_s())
    assert not call.done()
    await caller.reader.readexactly(8 * MIB)
    clock.advance(LOOK_S_MAX)
    client.sweep(clock.monotonic_s())
    clock.advance(10.0)
    client.sweep(clock.monotonic_s())
    with pytest.raises(FirstByteTimeout):
        await call


async def test_an_answer_that_began_while_the_request_was_still_going_out_is_held_to_its_own_time(
    client, provider, clock
):
    request = provider.ask(b"x" * (8 * MIB), deadlines=Deadlines(first_byte_s=10, between_bytes_s=100, total_s=1000))
    call = asyncio.create_task(client.send(request))
    caller = await provider.accepted()
    await caller.reader.readuntil(b"\r\n\r\n")
    await until(lambda: is_held_up(client))
    await caller.say(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
    answer = await call
    await caller.reader.readexactly(8 * MIB)
    client.sweep(clock.monotonic_s())
    clock.advance(50.0)
    client.sweep(clock.monotonic_s())
    await caller.say(b"hi")
    assert await answer.read(2) == b"hi"


def client_connection(client):
    (connection,) = client._pool._open
    return connection


def is_held_up(client) -> bool:
    """Whether the one connection waits for the provider to take more of the request."""
    return any(connection._write_paused for connection in client._pool._open)


# Backpressure


async def test_a_slow_reader_stops_the_provider_and_reading_lets_it_go_on(client, provider):
    size = 32 * MIB
    call, caller = await in_flight(client, provider)
    caller.writer.transport.set_write_buffer_limits(high=0)
    order = []

    async def pour() -> None:
        await caller.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        for _ in range(size // MIB):
            caller.writer.write(b"x" * MIB)
            await caller.writer.drain()
        order.append("poured")

    pouring = asyncio.create_task(pour())
    answer = await call
    await until(lambda: answer._paused)
    for _ in range(100):
        await asyncio.sleep(0)
    assert answer._unread_bytes <= UNREAD_BYTES_MAX + 512 * 1024
    order.append("reading")
    got = 0
    while piece := await answer.chunk():
        got += len(piece)
    await pouring
    assert got == size
    assert order == ["reading", "poured"]


async def test_a_paused_connection_is_not_blamed_for_standing_still(client, provider, clock):
    call, caller = await in_flight(client, provider, provider.ask(deadlines=SHORT))
    caller.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (4 * MIB) + b"x" * (4 * MIB))
    answer = await call
    await until(lambda: answer._paused)
    for _ in range(4):
        clock.advance(4.0)
        client.sweep(clock.monotonic_s())
    assert len(await answer.read(4 * MIB)) == 4 * MIB
    # A connection that was paused serves the next call like any other.
    call = asyncio.create_task(client.send(provider.ask()))
    await caller.request()
    await caller.say(OK)
    assert await (await call).read(2) == b"hi"


async def test_a_large_request_waits_for_the_provider_to_take_it(client, provider):
    body = bytes(range(256)) * (32 * MIB // 256)
    call = asyncio.create_task(client.send(provider.ask(body)))
    caller = await provider.accepted()
    await until(lambda: is_held_up(client))
    assert client_connection(client)._transport.get_write_buffer_size() < MIB
    assert len(client_connection(client)._unsent) > 16 * MIB
    _, received = await caller.request()
    assert received == body
    await caller.say(OK)
    assert await (await call).read(2) == b"hi"


# Leaving


async def test_cancelling_send_closes_the_connection(client, provider):
    call, caller = await in_flight(client, provider)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await caller.gone()


async def test_cancelling_a_large_send_closes_the_connection(client, provider):
    call = asyncio.create_task(client.send(provider.ask(b"x" * (32 * MIB))))
    caller = await provider.accepted()
    await until(lambda: is_held_up(client))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await caller.gone()


@pytest.mark.parametrize("how", ["read", "chunk"])
async def test_cancelling_a_reader_closes_the_connection(client, provider, how):
    call, caller = await in_flight(client, provider)
    await caller.say(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")
    answer = await call
    reading = asyncio.create_task(answer.read(100) if how == "read" else answer.chunk())
    await until(lambda: answer.heard_by is not None)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await caller.gone()


async def test_abort_closes_the_connection_and_may_be_called_again(client, provider):
    call, caller = await in_flight(client, provider)
    await caller.say(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")
    answer = await call
    answer.abort()
    answer.abort()
    with pytest.raises(Cut):
        await answer.read(100)
    await caller.gone()


async def test_abort_after_the_end_leaves_the_connection_to_its_next_user(client, provider):
    call, caller = await in_flight(client, provider)
    await caller.say(OK)
    answer = await call
    next_call = asyncio.create_task(client.send(provider.ask()))
    await caller.request()
    answer.abort()
    await caller.say(OK)
    assert await (await next_call).read(2) == b"hi"
    assert await answer.read(2) == b"hi"


async def test_close_ends_idle_and_busy_connections_and_what_waits_on_them(client, provider):
    first, one = await in_flight(client, provider)
    second, two = await in_flight(client, provider)
    await one.say(OK)
    await (await first).read(2)
    await client.close()
    with pytest.raises(UpstreamError):
        await second
    await one.gone()
    await two.gone()
    with pytest.raises(ConnectFailed):
        await client.send(provider.ask())
    await client.close()


async def test_a_call_leaves_nothing_to_the_garbage_collector(client, provider):
    caller = await kept(client, provider)
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            call = asyncio.create_task(client.send(provider.ask()))
            await caller.request()
            await caller.say(OK)
            await (await call).read(2)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        assert not [found for found in gc.garbage if type(found).__module__.startswith("gateway.")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def test_only_the_call_that_failed_is_hurt(client, provider):
    good, one = await in_flight(client, provider)
    bad, two = await in_flight(client, provider)
    await two.say(b"SMTP ready\r\n")
    with pytest.raises(ProtocolFault):
        await bad
    await one.say(OK)
    assert await (await good).read(2) == b"hi"


async def test_many_calls_at_once_each_get_their_own_answer(client, provider):
    async def serve(caller) -> None:
        while True:
            try:
                _, body = await caller.request()
            except asyncio.IncompleteReadError:
                return
            await caller.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body), body)

    async def accept() -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(serve(await provider.accepted()))

    async def ask(number: int) -> None:
        for turn in range(5):
            body = b"%d.%d" % (number, turn)
            assert await (await client.send(provider.ask(body))).read(100) == body

    accepting = asyncio.create_task(accept())
    await asyncio.gather(*(ask(number) for number in range(20)))
    accepting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await accepting
