"""What an answer's bytes may be: a connection on a transport in memory, fed in every way they can be cut."""

import asyncio
import socket
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from math import inf

import httptools
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.upstream import connection
from gateway.upstream.connection import (
    HEAD_BYTES_MAX,
    HEADERS_MAX,
    WRITE_BYTES_MAX,
    Connection,
    Stale,
)
from gateway.upstream.errors import Cut, ProtocolFault, TooLarge, UpstreamError
from gateway.upstream.exchange import LOOK_S_MAX, LOOKS_IN_A_WAIT, Exchange
from gateway.upstream.messages import Deadlines, Origin, RequestHead, UpstreamRequest
from gateway.upstream.pool import Pool
from gateway.upstream.turn import Turn
from shared.clock import FakeClock
from tests.gateway.upstream.test_chunks import bodies as chunked_bodies
from tests.gateway.upstream.test_chunks import chunk, unframed

ORIGIN = Origin("https", "provider.test", 443)
fuzz = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class MemoryTransport(asyncio.Transport):
    """Keeps what is written; closes at once."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def get_extra_info(self, name, default=None):
        return self if name == "socket" else default

    def setsockopt(self, *option) -> None:
        self.option = option

    def write(self, data) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Call:
    """One request sent on a connection of its own."""

    def __init__(self, method: str = "POST") -> None:
        self.freed: list[Connection] = []
        self.lost: list[Connection] = []
        self.transport = MemoryTransport()
        self.turn = Turn(asyncio.get_running_loop())
        self.connection = Connection(ORIGIN, self.turn, free=self.freed.append, lost=self.lost.append)
        self.connection.connection_made(self.transport)
        self.answer = self.send(method)

    def send(self, method: str = "POST") -> Exchange:
        request = UpstreamRequest(ORIGIN, RequestHead(method, "/", b""), b"", Deadlines())
        return self.connection.send(request, 0.0, 0.0)

    def feed(self, *pieces: bytes) -> None:
        for piece in pieces:
            if not self.transport.closed:
                self.connection.data_received(piece)

    def end(self) -> None:
        """The other side has closed."""
        if not self.transport.closed:
            self.connection.eof_received()
        self.connection.connection_lost(None)


async def outcome(call: Call) -> tuple[object, ...]:
    """Everything its reader can see of a call that has ended: the answer, or the error."""
    try:
        await call.answer.head()
        body = await call.answer.read(1 << 30)
    except UpstreamError as error:
        return type(error), error.answered
    return call.answer.status, dict(call.answer.headers), body, bool(call.freed)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted({edge % (len(data) + 1) for edge in at}), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def ok(*headers: bytes, body: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + b"".join(header + b"\r\n" for header in headers) + b"\r\n" + body


CHUNKED = b"transfer-encoding: chunked"

bodies = st.binary(max_size=300)
lines = st.lists(st.sampled_from([b"authorization: Bearer k\r\n", b"x-a:\r\n", b"x-b: 100% %b\r\n"])).map(b"".join)
kept_answers = st.one_of(
    bodies.map(lambda body: ok(b"content-length: %d" % len(body), body=body)),
    st.lists(st.binary(min_size=1, max_size=100), max_size=5).map(lambda pieces: ok(CHUNKED, body=chunked(*pieces))),
    bodies.map(lambda body: b"HTTP/1.1 100 Continue\r\n\r\n" + ok(b"content-length: %d" % len(body), body=body)),
)
"""After them the connection may take the next request."""
answers = st.one_of(kept_answers, bodies.map(lambda body: ok(body=body)))


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]),
    target=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E)).map(lambda text: "/" + text),
    headers=lines,
    sent=st.lists(st.one_of(bodies, st.sampled_from([0, 1, WRITE_BYTES_MAX, WRITE_BYTES_MAX + 1]).map(bytes))),
)
async def test_a_request_is_its_head_its_host_the_length_and_the_body_each_time(method, target, headers, sent):
    head = RequestHead(method, target, headers)
    call = Call()
    for body in sent:
        call.transport.written = b""
        call.connection.send(UpstreamRequest(ORIGIN, head, body, Deadlines()), 0.0, 0.0)
        call.turn.end()
        length = b"content-length: %d\r\n" % len(body) if body or method in ("POST", "PUT", "PATCH") else b""
        assert call.transport.written == b"".join(
            (
                f"{method} {target} HTTP/1.1\r\nhost: provider.test\r\n".encode(),
                headers,
                b"accept-encoding: identity\r\n",
                length,
                b"\r\n",
                body,
            )
        )


@fuzz
@given(answer=answers, at=st.lists(st.integers(0, 1000), max_size=12))
async def test_any_cuts_give_the_same_answer(answer, at):
    whole, pieces, bytewise = Call(), Call(), Call()
    whole.feed(answer)
    pieces.feed(*cut(answer, at))
    bytewise.feed(*(bytes([byte]) for byte in answer))
    for call in (whole, pieces, bytewise):
        call.end()
    expected = await outcome(whole)
    assert expected[0] == 200
    assert await outcome(pieces) == expected
    assert await outcome(bytewise) == expected


@fuzz
@given(
    before=st.lists(st.tuples(kept_answers, st.lists(st.integers(0, 1000), max_size=3)), min_size=1, max_size=4),
    answer=answers,
    damage=st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 255)), max_size=2),
    at=st.lists(st.integers(0, 1000), max_size=4),
)
async def test_what_a_connection_brought_before_leaves_no_trace(before, answer, damage, at):
    kept, fresh = Call(), Call()
    for earlier, edges in before:
        kept.feed(*cut(earlier, edges))
        assert (await outcome(kept))[0] == 200
        assert kept.freed.pop() is kept.connection
        kept.answer = kept.send()
    damaged = bytearray(answer)
    for place, byte in damage:
        damaged[place % len(damaged)] = byte
    for call in (kept, fresh):
        call.feed(*cut(bytes(damaged), at))
        call.end()
    assert await outcome(kept) == await outcome(fresh)


@given(pieces=st.lists(st.binary(min_size=1, max_size=100), max_size=5))
async def test_chunked_bodies_are_decoded(pieces):
    call = Call()
    call.feed(ok(CHUNKED, body=chunked(*pieces)))
    status, _, body, kept = await outcome(call)
    assert (status, body, kept) == (200, b"".join(pieces), True)


@pytest.mark.parametrize(
    "answer",
    [
        ok(b"content-length: 2", b"content-length: 3", body=b"abc"),
        ok(b"content-length: 2", b"content-length: 2", body=b"ab"),
        ok(b"content-length: 2, 2", body=b"ab"),
        ok(b"content-length: +2", body=b"ab"),
        ok(b"content-length: 0x2", body=b"ab"),
        ok(b"content-length: -1", body=b"ab"),
        ok(b"content-length: 2 2", body=b"ab"),
        ok(b"content-length:", body=b"ab"),
        ok(b"content-length: 99999999999999999999999999", body=b"ab"),
        ok(b"content-length: 3", CHUNKED, body=chunked(b"ab")),
        ok(CHUNKED, b"content-length: 3", body=chunked(b"ab")),
        ok(CHUNKED, CHUNKED, body=chunked(b"ab")),
        ok(b"transfer-encoding: gzip, chunked", body=chunked(b"ab")),
        ok(b"transfer-encoding: chunked, gzip", body=chunked(b"ab")),
        ok(b"transfer-encoding: identity", body=b"ab"),
        ok(b"transfer-encoding: xchunked", body=chunked(b"ab")),
        ok(b"transfer-encoding: \x0bchunked", body=chunked(b"ab")),
        ok(b"transfer-encoding : chunked", body=chunked(b"ab")),
        ok(b" transfer-encoding: chunked", body=chunked(b"ab")),
        ok(b"a: b", b" folded: c", b"content-length: 0"),
        ok(b"a: b\rcontent-length: 7", b"content-length: 0"),
        ok(b"a: b\ncontent-length: 7", b"content-length: 0"),
        ok(b"a: \x00", b"content-length: 0"),
        ok(b"\xe9: b", b"content-length: 0"),
        ok(b": b", b"content-length: 0"),
        ok(b"no colon", b"content-length: 0"),
        ok(b"content-encoding: gzip", b"content-length: 2", body=b"ab"),
        ok(b"content-encoding: identity", b"content-encoding: br", b"content-length: 2", body=b"ab"),
        ok(CHUNKED, body=b"2 \r\nab\r\n0\r\n\r\n"),
        ok(CHUNKED, body=b"0x2\r\nab\r\n0\r\n\r\n"),
        ok(CHUNKED, body=b"-2\r\nab\r\n0\r\n\r\n"),
        ok(CHUNKED, body=b"2\nab\n0\n\n"),
        ok(CHUNKED, body=b"2\r\nabc\r\n0\r\n\r\n"),
        ok(CHUNKED, body=b"fffffffffffffffff\r\nab\r\n0\r\n\r\n"),
        ok(CHUNKED, body=b"2\r\nab\r\n0\r\ncontent-length: 9\r\n\r\n"),
        ok(CHUNKED, body=b"\r\nab\r\n0\r\n\r\n"),
        b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunked(b"ab"),
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nab",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\nab",
        b"HTTP/1.1 099 Odd\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 600 Odd\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/0.9 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.2 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"http/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"ICY 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"ICE/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"RTSP/1.0 200 OK\r\na:HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\ncontent-length: 0\n\n",
        b"<html>not HTTP</html>\r\n\r\n",
        b"\x16\x03\x01\x00\x05hello",
    ],
)
@pytest.mark.parametrize("bytewise", [False, True])
async def test_what_two_readers_could_read_differently_is_refused(answer, bytewise):
    call = Call()
    call.feed(*([bytes([byte]) for byte in answer] if bytewise else [answer]))
    assert call.transport.closed
    assert not call.freed
    assert await outcome(call) == (ProtocolFault, True)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (ok(CHUNKED, body=b'2;name="value"\r\nab\r\n0;last\r\n\r\n'), b"ab"),
        (ok(CHUNKED, body=b"2\r\nab\r\n0\r\nx-trailer: 1\r\n\r\n"), b"ab"),
        (ok(CHUNKED, body=b"0002\r\nab\r\n000\r\n\r\n"), b"ab"),
        (ok(b"Transfer-Encoding: Chunked", body=chunked(b"ab")), b"ab"),
        (ok(b"content-encoding: identity", b"content-length: 2", body=b"ab"), b"ab"),
        (ok(b"upgrade: h2", b"connection: upgrade", b"content-length: 2", body=b"ab"), b"ab"),
        (b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nab", b"ab"),
        (ok(b"content-length:2", body=b"ab"), b"ab"),
    ],
)
async def test_unusual_but_clear_answers_are_taken_and_trailers_dropped(answer, body):
    call = Call()
    call.feed(answer)
    status, headers, got, kept = await outcome(call)
    assert (status, got, kept) == (200, body, True)
    assert "x-trailer" not in headers


# Limits


@pytest.mark.parametrize("bytewise", [False, True])
async def test_too_many_headers(bytewise):
    fields = [b"x: %d" % number for number in range(HEADERS_MAX)]
    call = Call()
    call.feed(ok(*fields[1:], b"content-length: 0"))
    assert (await outcome(call))[0] == 200
    call = Call()
    answer = ok(*fields, b"content-length: 0")
    call.feed(*([bytes([byte]) for byte in answer] if bytewise else [answer]))
    assert await outcome(call) == (TooLarge, True)


@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
async def test_a_head_that_is_too_long(size):
    long = ok(b"x: " + b"y" * HEAD_BYTES_MAX, b"content-length: 0")
    call = Call()
    call.feed(*(long[at : at + size] for at in range(0, len(long), size)))
    assert await outcome(call) == (TooLarge, True)


async def test_a_long_head_within_the_limit_is_taken():
    call = Call()
    call.feed(ok(b"x: " + b"y" * (HEAD_BYTES_MAX - 100), b"content-length: 2", body=b"ab"))
    assert (await outcome(call))[2] == b"ab"


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"HTTP/1.1 200 OK\r\nx: ", b"y" * 1000),
        (b"HTTP/1.1 200 ", b"O" * 1000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 40),
        (ok(CHUNKED, body=b"1;"), b"x" * 1000),
        (ok(CHUNKED), b"1;" + b"x" * 100 + b"\r\na\r\n"),
        (ok(CHUNKED, body=b"0\r\n"), b"x: " + b"y" * 1000 + b"\r\n"),
        (ok(CHUNKED, body=b"0\r\nx: "), b"y" * 1000),
        (ok(CHUNKED), b"0" * 1000),
    ],
)
async def test_a_flood_that_carries_no_body_is_stopped(start, more):
    call = Call()
    call.feed(start)
    for _ in range(2_000):
        call.feed(more)
    assert call.transport.closed
    assert await outcome(call) == (TooLarge, True)


async def test_tiny_chunks_are_no_flood():
    call = Call()
    for _ in range(20_000):
        call.feed(b"" if call.answer.status else ok(CHUNKED), b"01\r\nx\r\n")
    call.feed(b"0\r\n\r\n")
    assert (await outcome(call))[2] == b"x" * 20_000


class Heard:
    """What the parser itself says of a head."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}

    def on_message_begin(self) -> None:
        self.headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.setdefault(name.decode().lower(), value.decode("latin-1").strip(" \t"))


names = st.text("abXY-_.!~09", min_size=1, max_size=12)
values = st.text('ab:;, \t=\x7f\x80\xe9\xff"', max_size=20)
heads = st.lists(st.tuples(names, values), max_size=8).map(
    lambda pairs: b"".join(f"{name}:{value}\r\n".encode("latin-1") for name, value in pairs)
)


@fuzz
@given(
    interim=st.booleans(),
    before=st.sampled_from([b"", b"\r\n", b"\r\n\r\n"]),
    head=heads,
    changes=st.lists(st.tuples(st.integers(0, 1000), st.sampled_from(b"\r\n :\t\x00,")), max_size=2),
    at=st.lists(st.integers(0, 400), max_size=6),
)
@example(interim=True, before=b"\r\n\r\n", head=b"a:HTTP/1.1 200 OK\r\nHTTP/:1\r\n", changes=[], at=[30])
async def test_the_lines_of_a_head_are_those_that_the_parser_sees(interim, before, head, changes, at):
    damaged = bytearray(head)
    for place, byte in changes if damaged else ():
        damaged[place % len(damaged)] = byte
    answer = before + b"HTTP/1.1 200 OK\r\n" + bytes(damaged) + b"content-length: 2\r\n\r\n{}"
    if interim:
        answer = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + answer
    heard = Heard()
    call = Call()
    call.feed(*cut(answer, at))
    call.end()
    result = await outcome(call)
    with suppress(httptools.HttpParserError):
        httptools.HttpResponseParser(heard).feed_data(answer)
    assert result[0] != 200 or call.answer.headers == heard.headers


@pytest.mark.parametrize("first", [b"HTTP/1.1 204 No Content\r\n\r\n", ok(b"content-length: 0")])
async def test_an_end_that_ends_no_answer_is_a_cut(first):
    call = Call()
    call.feed(first)
    assert (await outcome(call))[3]
    call.answer = call.send()
    call.end()
    assert await outcome(call) == (Stale, False)


@pytest.mark.parametrize("ends", ["by us", "by the other side", "by bytes that answer nothing"])
async def test_a_connection_that_ends_is_not_taken_though_its_socket_has_yet_to_go(ends):
    call = Call()
    pool = Pool(FakeClock(), idle_s=60.0, idle_per_origin_max=2)
    pool.add(call.connection)
    call.feed(ok(b"content-length: 0"))
    pool.free(call.connection)
    assert pool.take(ORIGIN) is call.connection
    pool.free(call.connection)
    if ends == "by us":
        call.connection.abort()
    elif ends == "by the other side":
        call.connection.eof_received()
    else:
        call.feed(b"HTTP/1.1 200 OK\r\n")
    assert pool.take(ORIGIN) is None


async def test_a_pool_that_closes_keeps_none():
    call = Call()
    pool = Pool(FakeClock(), idle_s=60.0, idle_per_origin_max=2)
    await pool.close()
    pool.add(call.connection)
    pool.free(call.connection)
    assert call.transport.closed
    assert pool.take(ORIGIN) is None


# Anything


@fuzz
@given(data=st.binary(max_size=400), at=st.lists(st.integers(0, 1000), max_size=6))
@example(data=b"\r\n\r\n", at=[])
async def test_random_bytes_end_in_an_answer_or_an_upstream_error(data, at):
    call = Call()
    call.feed(*cut(data, at))
    call.end()
    result = await outcome(call)
    assert result[0] == 200 or issubclass(result[0], UpstreamError)
    assert call.lost == [call.connection]


@fuzz
@given(
    answer=answers,
    changes=st.lists(st.tuples(st.integers(0, 1000), st.sampled_from(b"\r\n :;0159aZ\x00\xff,")), max_size=4),
    keep=st.integers(0, 1000),
)
async def test_damaged_answers_end_in_an_answer_or_an_upstream_error(answer, changes, keep):
    damaged = bytearray(answer)
    for place, byte in changes:
        damaged[place % len(damaged)] = byte
    del damaged[keep:]
    call = Call()
    call.feed(bytes(damaged))
    call.end()
    result = await outcome(call)
    assert isinstance(result[0], int) or issubclass(result[0], UpstreamError)
    assert call.lost == [call.connection]


@given(first=answers, second=answers)
async def test_an_answer_leaves_no_trace_in_the_next_on_the_same_connection(first, second):
    alone, after = Call(), Call()
    alone.feed(second)
    alone.end()
    after.feed(first)
    if not after.freed:
        return
    after.freed.clear()
    after.answer = after.send()
    after.feed(second)
    after.end()
    assert await outcome(after) == await outcome(alone)


async def test_a_connection_lost_before_it_was_used_is_a_cut():
    call = Call()
    call.connection.abort()
    call.connection.connection_lost(None)
    call.answer = call.send()
    assert await outcome(call) == (Cut, False)


async def test_errors_of_the_parser_itself_do_not_leave():
    call = Call()
    call.feed(b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n")
    with pytest.raises(ProtocolFault) as raised:
        await call.answer.head()
    assert not isinstance(raised.value, httptools.HttpParserError)
    assert "provider.test" in raised.value.detail
    assert "bad header" not in raised.value.detail


async def test_sockets_do_not_wait_to_fill_a_segment():
    connection = Connection(ORIGIN, Turn(asyncio.get_running_loop()), free=print, lost=print)
    transport = MemoryTransport()
    connection.connection_made(transport)
    assert transport.option == (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


async def test_an_answer_in_small_chunks_takes_the_room_of_its_bytes():
    size = 256 * 1024
    call = Call()
    call.connection.data_received(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    reading = asyncio.create_task(call.answer.read(size))
    await asyncio.sleep(0)
    tracemalloc.start()
    try:
        for _ in range(size // 1024):
            call.connection.data_received(b"2\r\nab\r\n" * 512)
        call.connection.data_received(b"0\r\n\r\n")
        assert await reading == b"ab" * (size // 2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Each kept for itself, the pieces would take more than twenty times their bytes.
    assert peak < 4 * size


# Chunks that are taken without the parser: the same bytes, and the same verdict, as if the parser had seen all.


@contextmanager
def by_the_parser_alone() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "whole_chunks", lambda data, start: (b"", start, -1))
        patch.setattr(connection, "frame_of", lambda length: (b"", -1))
        patch.setattr(connection, "framed_as_ours", lambda data: b"")
        patch.setattr(connection.Forms, "fields", lambda _, data: None)
        yield


def edges(head: bytes, body: list[bytes]) -> list[int]:
    """Where each of its parts ends."""
    found, at = [], len(head)
    for part in (b"", *body):
        at += len(part)
        found.append(at)
    return found


@st.composite
def cut_answers(draw: st.DrawFn) -> list[bytes]:
    """Most often cut where chunks end, as it comes; else anywhere."""
    head, body = ok(CHUNKED), draw(chunked_bodies)
    if draw(st.booleans()):
        body = [*body, b"0\r\n\r\n"]
    at = [edge for edge in edges(head, body) if draw(st.integers(0, 3))]
    at += draw(st.lists(st.integers(0, 400), max_size=3))
    return cut(head + b"".join(body), at)


@fuzz
@given(pieces=cut_answers())
@example([ok(CHUNKED), chunk(b"a" * 300), chunk(b"b")[:-1], b"\n" + chunk(b"c"), b"0\r\n\r\n"])
@example([ok(CHUNKED) + chunk(b"a")[:4], b"\r\n", chunk(b"bc"), b"0\r\n", b"\r\n"])
@example([ok(CHUNKED), chunk(b"a"), b"1\r\na\r", chunk(b"b"), b"0\r\n\r\n"])
async def test_an_answer_in_chunks_is_the_same_as_by_the_parser_alone(pieces: list[bytes]) -> None:
    call = Call()
    call.feed(*pieces)
    call.end()
    with by_the_parser_alone():
        slow = Call()
        slow.feed(*pieces)
        slow.end()
    assert await outcome(call) == await outcome(slow)


@fuzz
@given(pieces=cut_answers())
async def test_whoever_pours_gets_the_same_from_either_and_each_chunk_as_it_came(pieces: list[bytes]) -> None:
    async def poured() -> tuple[object, ...]:
        call, taken = Call(), []

        def take(piece: bytes, framed: bytes | None) -> bool:
            assert framed is None or framed in pieces
            assert framed is None or b"".join(unframed(framed)) == piece
            taken.append(piece)
            return True

        async def reader() -> type | bool:
            try:
                await call.answer.head()
                return await call.answer.pour(take)
            except UpstreamError as error:
                return type(error)

        reading = asyncio.create_task(reader())
        for piece in pieces:
            await asyncio.sleep(0)
            call.feed(piece)
        await asyncio.sleep(0)
        call.end()
        how = await reading
        return how, b"".join(taken), bool(call.freed)

    fast = await poured()
    with by_the_parser_alone():
        assert await poured() == fast


async def test_chunks_that_come_whole_are_given_as_they_came() -> None:
    call, taken = Call(), []

    def take(piece: bytes, framed: bytes | None) -> bool:
        taken.append((piece, framed))
        return True

    async def reader() -> None:
        await call.answer.head()
        await call.answer.pour(take)

    reading = asyncio.create_task(reader())
    await asyncio.sleep(0)
    call.feed(ok(CHUNKED) + chunk(b"first"))
    await asyncio.sleep(0)
    came = chunk(b"a" * 300)
    call.feed(came, chunk(b"b") + chunk(b"c"), b"2\r\nde\r", b"\n", chunk(b"f"), b"0\r\n\r\n")
    await reading
    assert taken == [
        (b"first", None),
        (b"a" * 300, came),
        (b"bc", chunk(b"b") + chunk(b"c")),
        (b"de", None),
        (b"f", chunk(b"f")),
    ]
    assert taken[1][1] is came
    assert call.freed


async def test_the_next_answer_on_the_connection_is_read_from_its_head() -> None:
    call = Call()
    call.feed(ok(CHUNKED), chunk(b"abc"), b"0\r\n\r\n")
    assert (await outcome(call))[2] == b"abc"
    call.answer = call.send()
    call.feed(chunk(b"abc"))
    with pytest.raises(UpstreamError):
        await call.answer.head()


async def test_trailers_behind_chunks_that_came_alone_are_bounded() -> None:
    call = Call()
    call.feed(ok(CHUNKED), *[chunk(b"a" * 1_000) for _ in range(100)], b"0\r\n")
    with suppress(UpstreamError):
        for _ in range(200):
            call.feed(b"x-trailer: %b\r\n" % (b"a" * 1_000))
    assert call.transport.closed


TICK_S = 0.125
"""Between sweeps; a number whose multiples are exact."""


@given(
    waits=st.tuples(*map(st.sampled_from, ([0.5, 2.0, 60.0], [0.5, 3.0, 40.0], [30.0, 900.0]))),
    said=st.lists(st.floats(0.01, 45.0), max_size=6),
)
async def test_a_stall_is_never_seen_before_its_time_and_soon_after_it(
    waits: tuple[float, float, float], said: list[float]
) -> None:
    """`said`: how long after the piece before it each piece comes, the head first."""
    deadlines = Deadlines(first_byte_s=waits[0], between_bytes_s=waits[1], total_s=waits[2])
    call = Call()
    pool = Pool(FakeClock(), idle_s=60.0, idle_per_origin_max=1)
    pool.add(call.connection)
    call.answer = call.connection.send(
        UpstreamRequest(ORIGIN, RequestHead("POST", "/", b""), b"{}", deadlines), 0.0, 0.0
    )
    piece, tick, heard_s = b"HTTP/1.1 200 OK\r\n\r\n", 0, 0.0
    for wait_s, after_s in zip([waits[0], *[waits[1]] * len(said)], [*said, inf], strict=True):
        due_s = min(heard_s + wait_s, waits[2])
        seen_s = due_s + min(min(waits[:2]) / LOOKS_IN_A_WAIT, LOOK_S_MAX) + TICK_S
        while (tick + 1) * TICK_S < min(heard_s + after_s, seen_s + TICK_S) and not call.transport.closed:
            tick += 1
            pool.sweep(tick * TICK_S)
        if call.transport.closed:
            assert due_s - TICK_S < tick * TICK_S <= seen_s + 1e-6
            return
        assert heard_s + after_s <= seen_s + TICK_S
        heard_s += after_s
        call.feed(piece)
        piece = b"x"


async def test_a_stream_that_moves_is_looked_at_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    overdue = Exchange.overdue
    monkeypatch.setattr(Exchange, "overdue", lambda self, now_s: looks.append(now_s) or overdue(self, now_s))
    call = Call()
    pool = Pool(FakeClock(), idle_s=60.0, idle_per_origin_max=1)
    pool.add(call.connection)
    call.feed(ok(CHUNKED))
    for tick in range(1, 81):
        call.feed(b"1\r\nx\r\n")
        pool.sweep(tick * TICK_S)
    assert len(looks) == 80 * TICK_S / LOOK_S_MAX
