"""The lane, fed in every way bytes can be cut: who is served, who is refused, who is waited for and for how long."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from errno import ENOTCONN
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.serve.body import FRAMING_BYTES_MAX
from gateway.serve.head import HEAD_BYTES_MAX
from gateway.serve.lane import AHEAD_BYTES_MAX, AT_ONCE_MAX, Phase
from gateway.upstream.errors import Cut
from gateway.upstream.messages import UpstreamRequest, UpstreamResponse
from gateway.upstream.turn import HELD_BYTES_MAX
from shared.clock import FakeClock
from tests.fakes.front import CHAT, LIMITS, Front, front, opened
from tests.fakes.transport import MemoryTransport
from tests.fakes.upstream import Hang, answers, streams
from tests.fakes.world import World
from tests.fixtures.wire import Wire, request

fuzz = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORLD = World()
AUTH = {"authorization": f"Bearer {WORLD.key}"}
OK = b'{"id": "1"}'
EVENT = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
FINISH = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
HANG_S = 30.0


class Echo:
    """A provider's client that answers each call with its number, whatever it asks."""

    def __init__(self) -> None:
        self.requests: list[UpstreamRequest] = []

    async def send(self, asked: UpstreamRequest) -> UpstreamResponse:
        self.requests.append(asked)
        return answers(200, b'{"number": %d}' % len(self.requests))

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Said:
    status: int
    head: bytes
    body: bytes

    @property
    def closes(self) -> bool:
        return b"\r\nconnection: close" in self.head.lower()

    @property
    def code(self) -> str:
        return str(orjson.loads(self.body)["error"]["code"])


def said(written: bytes | bytearray) -> list[Said]:
    """The whole answers in `written`, interim ones too."""
    found: list[Said] = []
    rest = bytes(written)
    while b"\r\n\r\n" in rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        status = int(head.split(b" ")[1])
        lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        body = b""
        if lines.get(b"transfer-encoding") == b"chunked":
            while True:
                size, _, rest = rest.partition(b"\r\n")
                if not size:
                    return found
                body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
                if size == b"0":
                    break
        else:
            length = int(lines.get(b"content-length", b"0"))
            if len(rest) < length:
                return found
            body, rest = rest[:length], rest[length:]
        found.append(Said(status, head, body))
    return found


async def until(caller: MemoryTransport, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(HANG_S):
        while not condition():
            caller.moved.clear()
            await caller.moved.wait()


async def answered(caller: MemoryTransport, count: int = 1) -> list[Said]:
    """Wait until there are so many answers."""
    await until(caller, lambda: len(said(caller.written)) >= count or caller.closed)
    return said(caller.written)


async def quiet() -> None:
    """Until whatever can run has run."""
    for _ in range(20):
        await asyncio.sleep(0)


async def gone(behind: Front, caller: MemoryTransport) -> None:
    caller.lose()
    async with asyncio.timeout(HANG_S):
        while not behind.is_empty:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted({edge % (len(data) + 1) for edge in at}), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def chat(**fields: Any) -> bytes:
    return request("POST", CHAT, AUTH, {"model": "sim-chat", **fields})


def in_chunks(data: bytes, *, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    head, _, body = data.partition(b"\r\n\r\n")
    head = head.replace(b"content-length: %d" % len(body), b"transfer-encoding: chunked")
    halves = [half for half in (body[: len(body) // 2], body[len(body) // 2 :]) if half]
    framed = b"".join(b"%x%b\r\n%b\r\n" % (len(half), extension, half) for half in halves)
    return head + b"\r\n\r\n" + framed + b"0\r\n" + trailer + b"\r\n"


def with_header(data: bytes, line: bytes) -> bytes:
    return data.replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n\r\n", 1)


# Any cuts, any number, in order

REQUESTS: dict[str, tuple[bytes, int]] = {
    "chat": (chat(), 200),
    "chat with a blank line in its body": (request("POST", CHAT, AUTH, b'{"model":\r\n\r\n"sim-chat"}'), 200),
    "chunks": (in_chunks(chat()), 200),
    "chunks, blank lines, trailers": (
        in_chunks(
            request("POST", CHAT, AUTH, b'{\r\n\r\n\r\n"model":"sim-chat"}'), extension=b";a=b", trailer=b"x: y\r\n"
        ),
        200,
    ),
    "embeddings with a query": (request("POST", "/v1/embeddings?a=/x", AUTH, {"model": "sim-chat"}), 200),
    "an offer to switch protocols": (with_header(with_header(chat(), b"upgrade: h2c"), b"connection: upgrade"), 200),
    "the same in chunks": (with_header(with_header(in_chunks(chat()), b"upgrade: h2c"), b"connection: upgrade"), 200),
    "an empty line first": (b"\r\n" + chat(), 200),
    "no key": (request("POST", CHAT, {}, {}), 401),
    "no body": (request("POST", CHAT, AUTH), 400),
    "bad JSON": (request("POST", CHAT, AUTH, b"{"), 400),
    "alive": (request("GET", "/livez", {}), 200),
    "models": (request("GET", "/v1/models", AUTH), 200),
    "no such path": (request("POST", "/v2/chatter", AUTH, b"{}\r\n\r\n"), 404),
    "no such path in chunks": (in_chunks(request("POST", "/v2/chatter", AUTH, b"{}\r\n\r\n")), 404),
    "wrong method": (request("GET", CHAT, AUTH), 405),
    "an offer of websockets": (request("GET", "/v2/x", {"upgrade": "websocket", "connection": "upgrade"}), 404),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_one_request_bytewise_and_whole(name: str) -> None:
    data, status = REQUESTS[name]
    for pieces in ([data], bytewise(data)):
        behind = front(client=Echo(), world=WORLD)
        caller = behind.caller()
        caller.feed(*pieces)
        assert [answer.status for answer in await answered(caller)] == [status]
        await quiet()
        assert not caller.closed
        assert not caller.half_closed
        await gone(behind, caller)


@pytest.mark.parametrize("body", [b"", b"content-length: 0\r\n"], ids=["no length", "length 0"])
@pytest.mark.parametrize("line", [b"POST /v1/chat/completions", b"GET /livez"], ids=["hot", "cold"])
async def test_a_request_without_a_body_that_ends_its_connection_does(line: bytes, body: bytes) -> None:
    behind = front(client=Echo(), world=WORLD)
    caller = behind.caller()
    caller.feed(line + b" HTTP/1.1\r\nhost: a\r\nconnection: close\r\n" + body + b"\r\n", request("GET", "/livez", {}))
    (reply,) = await answered(caller)
    await quiet()
    assert (reply.closes, caller.half_closed, said(caller.written)) == (True, True, [reply])
    await gone(behind, caller)


@pytest.mark.parametrize("line", [b"POST /v1/chat/completions", b"GET /livez"], ids=["hot", "cold"])
async def test_no_connection_of_http_1_0_is_kept_whatever_it_offers(line: bytes) -> None:
    behind = front(client=Echo(), world=WORLD)
    caller = behind.caller()
    caller.feed(line + b" HTTP/1.0\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\n{}")
    (reply,) = await answered(caller)
    await quiet()
    assert (reply.closes, caller.half_closed) == (True, True)
    await gone(behind, caller)


@pytest.mark.parametrize(
    ("headers", "status"), [({}, 200), ({"content-encoding": "gzip"}, 400), ({"content-length": "9999"}, 413)]
)
async def test_an_answer_to_head_is_a_head_alone(headers: dict[str, str], status: int) -> None:
    behind = front(client=Echo(), world=WORLD)
    caller = behind.caller()
    caller.feed(request("HEAD", "/livez", headers))
    await until(caller, lambda: bool(caller.written))
    await quiet()
    assert caller.written.startswith(b"HTTP/1.1 %d " % status)
    assert caller.written.index(b"\r\n\r\n") + 4 == len(caller.written)
    caller.written.clear()
    if not caller.half_closed:
        caller.feed(request("POST", CHAT, {"content-encoding": "gzip"}, {}))
        assert [reply.code for reply in await answered(caller)] == ["content_type_invalid"]
    await gone(behind, caller)


@fuzz
@given(names=st.lists(st.sampled_from(sorted(REQUESTS)), max_size=8), at=st.lists(st.integers(0, 4_000), max_size=20))
async def test_any_requests_cut_anywhere_are_answered_in_order(names: list[str], at: list[int]) -> None:
    behind = front(client=Echo(), world=WORLD)
    caller = behind.caller()
    for piece in cut(b"".join(REQUESTS[name][0] for name in names), at):
        caller.feed(piece)
        await asyncio.sleep(0)
    replies = await answered(caller, len(names))
    await quiet()
    assert said(caller.written) == replies
    assert [reply.status for reply in replies] == [REQUESTS[name][1] for name in names]
    ids = [
        int(part.split(b"\r\n")[0]) for reply in replies for part in reply.head.split(b"x-portkey-request-id: lg_")[1:]
    ]
    assert ids == sorted(ids)
    numbers = [orjson.loads(reply.body)["number"] for reply in replies if b'"number"' in reply.body]
    assert numbers == list(range(1, len(behind.client.requests) + 1))
    assert caller.reading
    await gone(behind, caller)


async def test_a_connection_comes_back_from_aiohttp_between_any_two_calls() -> None:
    data = chat() + request("GET", "/livez", {}) + in_chunks(chat()) + request("POST", "/v2/x", {}, b"{}") + chat()
    for at in range(len(data)):
        behind = front(client=Echo(), world=WORLD)
        caller = behind.caller()
        caller.feed(data[:at])
        await quiet()
        caller.feed(data[at:])
        assert [reply.status for reply in await answered(caller, 5)] == [200, 200, 200, 404, 200], at
        assert len(behind.client.requests) == 3
        await gone(behind, caller)


async def test_thousands_of_refused_requests_in_one_piece_are_answered_one_by_one() -> None:
    behind = front(client=Echo(), world=WORLD, running_requests_max=0)
    caller = behind.caller()
    caller.feed(b"POST /v1/embeddings HTTP/1.1\r\nhost:a\r\n\r\n" * 5_000)
    await until(caller, lambda: caller.written.count(b"HTTP/1.1 503") >= 5_000)
    assert [reply.code for reply in await answered(caller, 5_000)] == ["overloaded"] * 5_000
    await gone(behind, caller)


async def test_strangers_who_never_say_all_they_announce_take_nobodys_place() -> None:
    behind = front(answers(200, OK), world=WORLD, running_requests_max=1)
    strangers = [behind.caller() for _ in range(3)]
    for stranger in strangers:
        stranger.feed(b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n12345")
    caller = behind.caller()
    caller.feed(chat())
    assert [reply.status for reply in await answered(caller, 1)] == [200]
    for stranger in strangers:
        stranger.lose()
    await gone(behind, caller)


async def test_a_small_body_that_comes_in_pieces_finds_a_place_or_hears_so_and_keeps_its_connection() -> None:
    hang = Hang()
    behind = front(hang, answers(200, OK), answers(200, OK), world=WORLD, running_requests_max=1)
    running, caller = behind.caller(), behind.caller()
    asked = chat()
    caller.feed(asked[:-5])
    running.feed(chat())
    await hang.reached.wait()
    caller.feed(asked[-5:])
    assert [(reply.status, reply.code) for reply in await answered(caller, 1)] == [(503, "overloaded")]
    hang.released.set()
    await answered(running, 1)
    caller.feed(asked[:-5])
    caller.feed(asked[-5:])
    assert [reply.status for reply in await answered(caller, 2)] == [503, 200]
    assert behind.server.running == 0
    running.lose()
    await gone(behind, caller)


@pytest.mark.parametrize("framing", [b"content-length: 65537\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n1\r\na"])
async def test_large_bodies_that_carry_no_llm_call_have_their_number_too(framing: bytes) -> None:
    """They wait in memory like any other, and whoever sends them need not even have a key."""
    behind = front(client=Echo(), world=WORLD, running_requests_max=1, body_bytes_max=1_000_000)
    first, second, third = behind.caller(), behind.caller(), behind.caller()
    for caller in (first, second):
        caller.feed(b"POST /v2/x HTTP/1.1\r\nhost: a\r\n" + framing)
    assert not first.written
    assert [reply.code for reply in await answered(second, 1)] == ["overloaded"]
    third.feed(request("GET", "/livez", {}), request("POST", "/v2/x", {}, b"{}"))
    assert [reply.status for reply in await answered(third, 2)] == [200, 404]
    first.lose()
    second.lose()
    await quiet()
    fourth = behind.caller()
    fourth.feed(request("POST", "/v2/x", {}, bytes(65_537)))
    assert [reply.status for reply in await answered(fourth, 1)] == [404]
    third.lose()
    await gone(behind, fourth)


async def test_what_follows_a_running_request_waits_and_is_bounded() -> None:
    hang = Hang()
    behind = front(hang, answers(200, OK), answers(200, OK), world=WORLD)
    caller = behind.caller()
    caller.feed(chat(), chat())
    await hang.reached.wait()
    caller.feed(b"x" * AHEAD_BYTES_MAX)
    assert not caller.reading
    assert len(behind.client.requests) == 1
    hang.released.set()
    replies = await answered(caller, 3)
    assert [reply.status for reply in replies] == [200, 200, 400]
    assert caller.reading
    assert caller.half_closed
    await gone(behind, caller)


@pytest.mark.parametrize("refused", [request("POST", CHAT, {}, b"{}"), request("POST", CHAT, {}, b"")], ids=len)
async def test_of_requests_that_are_answered_at_once_few_are_in_one_turn_of_the_loop(refused: bytes) -> None:
    behind = front(world=WORLD)
    caller = behind.caller()
    caller.feed(refused * 100)
    for _ in range(2):
        await asyncio.sleep(0)
        before = len(said(caller.written))
        caller.feed(refused)
        assert len(said(caller.written)) == before, "what came later stands behind what waits"
        await asyncio.sleep(0)
        assert len(said(caller.written)) - before <= 2 * AT_ONCE_MAX
    assert [reply.status for reply in await answered(caller, 102)] == [401] * 102
    assert len(behind.records.records) == 102
    await gone(behind, caller)


async def test_what_follows_is_as_bounded_behind_each_request_as_behind_the_first() -> None:
    hangs = [Hang() for _ in range(6)]
    behind = front(*(step for hang in hangs for step in (hang, answers(200, OK))), world=WORLD)
    caller = behind.caller()
    lane = next(iter(behind.server._lanes))
    caller.feed(chat())
    piece = chat() * (AHEAD_BYTES_MAX // len(chat()))
    for number, hang in enumerate(hangs):
        await hang.reached.wait()
        while caller.reading:
            caller.feed(piece)
        assert AHEAD_BYTES_MAX - len(chat()) * len(hangs) < len(lane._ahead) <= 2 * AHEAD_BYTES_MAX
        hang.released.set()
        await answered(caller, number + 1)
    await gone(behind, caller)


async def test_what_follows_is_as_bounded_while_the_connection_is_lent() -> None:
    first, second = Hang(), Hang()
    behind = front(first, answers(200, OK), world=WORLD, forwards=True)
    behind.client._script[2:] = [second, answers(200, OK)]
    caller = behind.caller()
    lane = next(iter(behind.server._lanes))
    caller.feed(chat())
    await first.reached.wait()
    caller.feed(request("POST", "/v1/configs", AUTH, {}), bytes(2 * AHEAD_BYTES_MAX))
    first.released.set()
    await second.reached.wait()
    for _ in range(10):
        if caller.reading:
            caller.feed(bytes(AHEAD_BYTES_MAX))
    assert len(lane._ahead) <= 4 * AHEAD_BYTES_MAX
    second.released.set()
    assert [reply.status for reply in await answered(caller, 3)] == [200, 200, 400]
    await gone(behind, caller)


@pytest.mark.parametrize("behind_it", [b"\x00garbage\r\n\r\n", b"GET\r\n\r\n", b"POST /x HTTP/1.1\r\na b: c\r\n\r\n"])
async def test_malformed_bytes_behind_a_running_stream_do_not_disturb_it(behind_it: bytes) -> None:
    hang = Hang()
    behind = front(streams(EVENT, hang, FINISH, DONE), world=WORLD)
    caller = behind.caller()
    caller.feed(chat(stream=True))
    await hang.reached.wait()
    caller.feed(behind_it)
    hang.released.set()
    stream, refusal = await answered(caller, 2)
    assert stream.body == EVENT + FINISH + DONE
    assert (refusal.status, refusal.closes, caller.half_closed) == (400, True, True)
    await gone(behind, caller)


async def test_expect_is_answered_once_and_only_where_the_body_is_missing() -> None:
    behind = front(client=Echo(), world=WORLD)
    caller = behind.caller()
    head, _, body = with_header(chat(), b"expect: 100-Continue").partition(b"\r\n\r\n")
    caller.feed(head + b"\r\n\r\n" + body)
    assert [reply.status for reply in await answered(caller)] == [200]
    caller.feed(head + b"\r\n\r\n", *bytewise(body))
    assert [reply.status for reply in await answered(caller, 3)] == [200, 100, 200]
    await gone(behind, caller)


@pytest.mark.parametrize("path", [CHAT, "/v1/images/generations", "/v1/files"])
@pytest.mark.parametrize("framing", [b"content-length: 900000", b"transfer-encoding: chunked"])
async def test_a_stranger_is_refused_before_his_large_body_has_come(path: str, framing: bytes) -> None:
    behind = front(client=Echo(), world=WORLD, body_bytes_max=1_000_000)
    for expects in ({}, {"expect": "100-continue"}):
        caller = behind.caller()
        headers = {"authorization": "Bearer gh_nobody", "content-type": "application/json", **expects}
        caller.feed(request("POST", path, headers, b"").replace(b"content-length: 0", framing))
        if not expects:
            caller.feed(b"5\r\n{    \r\n")
        (refused,) = await answered(caller)
        assert (refused.status, refused.closes, refused.code) == (401, True, "invalid_api_key")
        await gone(behind, caller)
    assert len(behind.records.records) == 2


async def test_expect_of_too_large_a_body_is_refused_without_asking_for_it() -> None:
    behind = front(client=Echo(), world=WORLD)
    caller = behind.caller()
    caller.feed(b"POST %b HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5000\r\n\r\n" % CHAT.encode())
    (refusal,) = await answered(caller)
    assert (refusal.status, refusal.closes) == (413, True)
    await gone(behind, caller)


# What two readers could read differently

H = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n"
NEXT = b"POST /v1/embeddings HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}"
TE = b"transfer-encoding: chunked\r\n"
KNOWN = H + b"authorization: Bearer %b\r\n" % WORLD.key.encode()
"""Of a stranger a body in chunks would not be read at all."""
SMUGGLING: dict[str, bytes] = {
    "length and chunks": H + b"content-length: 5\r\n" + TE + b"\r\n0\r\n\r\n",
    "chunks and length": H + TE + b"content-length: 5\r\n\r\n0\r\n\r\n",
    "length 0 and chunks": H + b"content-length: 0\r\n" + TE + b"\r\n0\r\n\r\n",
    "two lengths": H + b"content-length: 0\r\ncontent-length: 71\r\n\r\n",
    "two equal lengths": H + b"content-length: 0\r\ncontent-length: 0\r\n\r\n",
    "a list of lengths": H + b"content-length: 0, 71\r\n\r\n",
    "a length with a sign": H + b"content-length: +0\r\n\r\n",
    "a negative length": H + b"content-length: -1\r\n\r\n",
    "a length in hex": H + b"content-length: 0x0\r\n\r\n",
    "a length with a dot": H + b"content-length: 0.0\r\n\r\n",
    "a length with an underscore": H + b"content-length: 0_0\r\n\r\n",
    "a length with a space inside": H + b"content-length: 0 0\r\n\r\n",
    "an empty length": H + b"content-length:\r\n\r\n",
    "a length that overflows": H + b"content-length: 18446744073709551616\r\n\r\n",
    "a length in other digits": H + "content-length: \u0660\r\n\r\n".encode(),
    "a space before the colon of the length": H + b"content-length : 0\r\n\r\n",
    "a space before the colon of the coding": H + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
    "a tab before the colon of the coding": H + b"transfer-encoding\t: chunked\r\n\r\n0\r\n\r\n",
    "a folded coding": H + b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a folded line": H + b"x: y\r\n transfer-encoding: chunked\r\n\r\n",
    "a folded first line": b"POST /v1/chat/completions HTTP/1.1\r\n host: a\r\n\r\n",
    "an unknown coding": H + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a quoted coding": H + b'transfer-encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "chunked and another": H + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "another and chunked": H + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "identity": H + b"transfer-encoding: identity\r\n\r\n0\r\n\r\n",
    "chunked twice": H + TE + TE + b"\r\n0\r\n\r\n",
    "chunked and identity": H + TE + b"transfer-encoding: identity\r\n\r\n0\r\n\r\n",
    "a coding with a vertical tab": H + b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a coding with a null": H + b"transfer-encoding: chunked\x00\r\n\r\n0\r\n\r\n",
    "a coding on HTTP/1.0": H.replace(b"1.1", b"1.0") + TE + b"\r\n0\r\n\r\n",
    "a bare line feed in the head": H + b"a: b\ncontent-length: 71\r\n\r\n",
    "a bare return in the head": H + b"a: b\rcontent-length: 71\r\n\r\n",
    "a bare line feed at the head's end": H + b"content-length: 0\r\n\n",
    "a null in a header": H + b"a: \x00\r\n\r\n",
    "a null in a name": H + b"a\x00: b\r\n\r\n",
    "no name": H + b": b\r\n\r\n",
    "no colon": H + b"a\r\n\r\n",
    "no host": b"POST /v1/chat/completions HTTP/1.1\r\n\r\n",
    "two hosts": H + b"host: b\r\n\r\n",
    "two equal hosts": H + b"Host: a\r\n\r\n",
    "absolute form": H.replace(b" /", b" http://b/") + b"\r\n",
    "authority form": H.replace(b"/v1/chat/completions", b"b:80") + b"\r\n",
    "a tunnel": b"CONNECT a:443 HTTP/1.1\r\nhost: a\r\n\r\n",
    "a path without a slash": H.replace(b" /", b" ") + b"\r\n",
    "two spaces": H.replace(b" HTTP", b"  HTTP") + b"\r\n",
    "a tab for a space": H.replace(b" HTTP", b"\tHTTP") + b"\r\n",
    "a space in the path": H.replace(b"/v1/", b"/v1 /") + b"\r\n",
    "HTTP/0.9": b"POST /v1/chat/completions\r\n\r\n",
    "HTTP/0.9 with a query that looks like more": b"POST /v1/chat/completions?a\r\nx HTTP/1.1\r\nhost: a\r\n\r\n",
    "HTTP/1.2": H.replace(b"1.1", b"1.2") + b"\r\n",
    "HTTP/2.0": H.replace(b"1.1", b"2.0") + b"\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another protocol": H.replace(b"HTTP", b"RTSP") + b"\r\n",
    "a lower-case method": H.replace(b"POST", b"post") + b"\r\n",
    "a chunk's size in another notation": KNOWN + TE + b"\r\n0x1\r\nx\r\n0\r\n\r\n",
    "a negative chunk": KNOWN + TE + b"\r\n-1\r\n\r\n",
    "a chunk's size that overflows": KNOWN + TE + b"\r\n10000000000000000\r\n\r\n",
    "a space behind a chunk's size": KNOWN + TE + b"\r\n0 \r\n\r\n",
    "a chunk longer than its size": KNOWN + TE + b"\r\n1\r\nxx\r\n0\r\n\r\n",
    "a chunk ended by a line feed": KNOWN + TE + b"\r\n1\r\nx\n0\r\n\r\n",
    "a chunk's size ended by a line feed": KNOWN + TE + b"\r\n1\nx\r\n0\r\n\r\n",
    "an extension ended by a line feed": KNOWN + TE + b"\r\n1;a\nx\r\n0\r\n\r\n",
    "a line end in a quoted extension": KNOWN + TE + b'\r\n1;a="\r\n"\r\nx\r\n0\r\n\r\n',
    "a last chunk ended by a line feed": KNOWN + TE + b"\r\n0\r\n\n",
    "a length in the trailers": KNOWN + TE + b"\r\n0\r\ncontent-length: 71\r\n\r\n",
    "a coding in the trailers": KNOWN + TE + b"\r\n0\r\ntransfer-encoding: chunked\r\n\r\n",
    "a folded trailer": KNOWN + TE + b"\r\n0\r\na: b\r\n c\r\n\r\n",
    "a blank line before the first chunk": KNOWN + TE + b"\r\n\r\n0\r\n\r\n",
    "the same on a path of the other lane": b"GET /livez HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n"
    + TE
    + b"\r\n0\r\n\r\n",
    "two hosts on a path of the other lane": b"GET /livez HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    "absolute form on a path of the other lane": b"GET http://b/livez HTTP/1.1\r\nhost: a\r\n\r\n",
}
assert len(SMUGGLING) >= 40


@pytest.mark.parametrize("name", SMUGGLING)
async def test_what_two_readers_could_read_differently_is_refused_and_nothing_behind_it_is_read(name: str) -> None:
    for pieces in ([SMUGGLING[name] + NEXT], bytewise(SMUGGLING[name] + NEXT), [SMUGGLING[name], NEXT]):
        behind = front(client=Echo(), world=WORLD)
        caller = behind.caller()
        caller.feed(*pieces)
        (refusal,) = await answered(caller)
        await quiet()
        assert said(caller.written) == [refusal]
        assert (refusal.status, refusal.closes, caller.half_closed) == (400, True, True)
        assert behind.client.requests == []
        assert [(record.status, record.ending) for record in behind.records.records] in ([], [(400, "refused")])
        await gone(behind, caller)


async def test_underscores_are_no_dashes() -> None:
    behind = front(client=Echo(), world=WORLD)
    caller = behind.caller()
    caller.feed(request("POST", CHAT, {"x_portkey_api_key": WORLD.key}, {}))
    assert [reply.code for reply in await answered(caller)] == ["api_key_missing"]
    await gone(behind, caller)


# Floods


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"POST /v1/chat/completions HTTP/1.1\r\n", b"a: b\r\n"),
        (b"POST /", b"a" * 100),
        (b"GET /livez HTTP/1.1\r\nhost: a\r\n", b"a: b\r\n"),
        (KNOWN + TE + b"\r\n", b"1;" + b"a" * 200 + b"\r\nx\r\n"),
        (KNOWN + TE + b"\r\n1;", b"a" * 200),
        (KNOWN + TE + b"\r\n0\r\n", b"a: b\r\n"),
    ],
    ids=["headers", "a path", "headers of the other lane", "extensions", "one extension", "trailers"],
)
async def test_a_flood_that_carries_nothing_is_stopped(start: bytes, more: bytes) -> None:
    behind = front(client=Echo(), world=WORLD)
    caller = behind.caller()
    caller.feed(start)
    sent = len(start)
    while not caller.half_closed:
        caller.feed(more)
        sent += len(more)
        assert sent < 4 * (HEAD_BYTES_MAX + FRAMING_BYTES_MAX)
    assert [reply.status for reply in await answered(caller)] == [400]
    assert behind.server.running == 0
    await gone(behind, caller)


async def test_tiny_chunks_are_no_flood() -> None:
    body = b'{"model":"sim-chat"' + b" " * FRAMING_BYTES_MAX + b"}"
    behind = front(client=Echo(), world=WORLD, body_bytes_max=len(body))
    caller = behind.caller()
    head = request("POST", CHAT, AUTH, b"").replace(b"content-length: 0\r\n", TE)
    caller.feed(head, *(b"1\r\n%c\r\n" % byte for byte in body), b"0\r\n\r\n")
    assert [reply.status for reply in await answered(caller)] == [200]
    await gone(behind, caller)


# Deadlines, on a clock turned by hand


@dataclass
class Turned:
    clock: FakeClock
    behind: Front
    caller: MemoryTransport

    def after(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.behind.server.sweep(self.clock.monotonic_s())


def turned(*script: Any, **options: Any) -> Turned:
    clock = FakeClock()
    client = options.pop("client", None) or (None if script else Echo())
    behind = front(*script, client=client, world=WORLD, clock=clock, sweep_s=86_400.0, **options)
    return Turned(clock, behind, behind.caller())


async def test_silence_is_borne_until_the_idle_time_is_over() -> None:
    lane = turned()
    lane.after(LIMITS.idle_s - 1)
    assert not lane.caller.closed
    lane.after(1)
    assert lane.caller.closed
    assert not lane.caller.written
    await gone(lane.behind, lane.caller)


async def test_the_idle_time_begins_anew_with_each_answer() -> None:
    lane = turned()
    for data in (chat(), request("GET", "/livez", {})):
        lane.after(LIMITS.idle_s - 1)
        lane.caller.written.clear()
        lane.caller.feed(data)
        await answered(lane.caller)
        await quiet()
    lane.after(LIMITS.idle_s - 1)
    assert not lane.caller.closed
    lane.after(1)
    assert lane.caller.closed
    await gone(lane.behind, lane.caller)


@pytest.mark.parametrize("data", [chat(), request("GET", "/livez", {"a": "b" * 100})])
async def test_a_head_that_trickles_is_given_its_time_and_no_more(data: bytes) -> None:
    lane = turned()
    for byte in bytewise(data[:10]):
        lane.caller.feed(byte)
        assert not lane.caller.closed
        lane.after(LIMITS.head_s / 10)
    assert lane.caller.closed
    assert not lane.caller.written
    await gone(lane.behind, lane.caller)


@pytest.mark.parametrize("path", [CHAT, "/v2/x"])
async def test_a_body_that_trickles_is_408_and_its_connection_ends(path: str) -> None:
    lane = turned()
    lane.caller.feed(request("POST", path, AUTH, b"").replace(b"content-length: 0", b"content-length: 900"))
    for _ in range(10):
        assert not lane.caller.written
        lane.caller.feed(b"x" * 50)
        lane.after(LIMITS.body_wait_s / 10)
    (refusal,) = await answered(lane.caller)
    assert (refusal.status, refusal.closes, refusal.code) == (408, True, "body_timeout")
    assert lane.behind.server.running == 0
    lane.after(LIMITS.linger_s - 1)
    assert not lane.caller.closed
    lane.after(1)
    assert lane.caller.closed
    await gone(lane.behind, lane.caller)


async def test_a_running_request_has_no_deadline_here() -> None:
    hang = Hang()
    lane = turned(hang, answers(200, OK))
    lane.caller.feed(chat())
    await hang.reached.wait()
    lane.after(10_000)
    hang.released.set()
    assert [reply.status for reply in await answered(lane.caller)] == [200]
    await gone(lane.behind, lane.caller)


async def test_a_caller_who_takes_nothing_is_cut_and_the_provider_with_him() -> None:
    lane = turned(streams(EVENT, EVENT, EVENT, DONE))
    lane.caller.hold()
    lane.caller.feed(chat(stream=True))
    await until(lane.caller, lambda: lane.caller.unsent_bytes > 0)
    await quiet()
    lane.after(0)
    for _ in range(3):
        lane.after(LIMITS.write_stall_s - 1)
        assert not lane.caller.closed
        lane.caller.take(1)
        lane.after(0)
    lane.after(LIMITS.write_stall_s)
    assert lane.caller.aborted
    await gone(lane.behind, lane.caller)
    assert lane.behind.client.responses[0].aborted
    assert [record.ending for record in lane.behind.records.records] == ["left"]


async def test_a_caller_who_does_not_take_his_last_answer_is_cut_too() -> None:
    lane = turned()
    lane.caller.hold()
    lane.caller.feed(b"NONSENSE\r\n\r\n")
    lane.after(0)
    lane.after(LIMITS.write_stall_s)
    assert lane.caller.aborted
    await gone(lane.behind, lane.caller)


# Backpressure


async def test_nothing_more_is_asked_of_the_provider_until_the_caller_has_taken_what_there_is() -> None:
    behind = front(streams(*[EVENT] * 4, FINISH, DONE), world=WORLD)
    caller = behind.caller()
    caller.hold()
    caller.feed(chat(stream=True))
    await until(caller, lambda: caller.unsent_bytes > 0)
    await quiet()
    response = behind.client.responses[0]
    left = len(response._pieces)
    assert left > 1
    caller.take()
    (stream,) = await answered(caller)
    assert stream.body == EVENT * 4 + FINISH + DONE
    await gone(behind, caller)


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_caller_who_asks_and_does_not_read_is_read_no_further(at_once: bool) -> None:
    behind = front(client=Echo(), world=WORLD)
    caller = behind.caller()
    caller.hold()
    refused = request("POST", CHAT, {"content-type": "text/plain"}, b"{}")
    count = 2 * AHEAD_BYTES_MAX // len(refused)
    caller.feed(*([refused * (count - 1), refused] if at_once else [refused] * count))
    await quiet()
    assert len(caller.written) < 2 * HELD_BYTES_MAX, "answers pile up"
    assert len(said(caller.written)) <= AT_ONCE_MAX or not at_once
    assert not caller.reading
    caller.take()
    assert [reply.status for reply in await answered(caller, count)] == [400] * count
    assert caller.reading
    await gone(behind, caller)


async def test_a_lent_connection_hears_of_the_backpressure_too() -> None:
    behind = front(client=Echo(), world=WORLD)
    caller = behind.caller()
    caller.feed(request("GET", "/livez", {}))
    caller.hold()
    await until(caller, lambda: caller.unsent_bytes > 0)
    caller.feed(chat())
    await quiet()
    assert behind.client.requests == []
    assert len(asyncio.all_tasks()) > 1, "aiohttp does not wait"
    caller.take()
    assert [reply.status for reply in await answered(caller, 2)] == [200, 200]
    await gone(behind, caller)


async def test_a_connection_that_is_lent_to_who_may_not_write_yet_says_so() -> None:
    behind = front(client=Echo(), world=WORLD)
    await among_many(behind)
    caller = behind.caller()
    caller.hold()
    caller.feed(REFUSED + request("GET", "/livez", {}))
    await quiet()
    assert [reply.status for reply in said(caller.written)] == [400, 200]
    assert len(asyncio.all_tasks()) > 1, "aiohttp does not wait"
    caller.take()
    caller.feed(chat())
    assert [reply.status for reply in await answered(caller, 3)] == [400, 200, 200]
    await gone(behind, caller)


async def test_a_large_body_that_aiohttp_does_not_want_stops_nothing() -> None:
    behind = front(client=Echo(), world=WORLD, body_bytes_max=1_000_000)
    caller = behind.caller()
    caller.feed(request("POST", "/v2/x", {}, b"x" * 900_000), chat())
    assert [reply.status for reply in await answered(caller, 2)] == [404, 200]
    assert caller.reading
    await gone(behind, caller)


async def test_a_caller_who_leaves_before_he_took_aiohttps_answer_leaves_nothing_behind() -> None:
    behind = front(client=Echo(), world=WORLD)
    caller = behind.caller()
    caller.hold()
    caller.feed(request("GET", "/livez", {}))
    await until(caller, lambda: caller.unsent_bytes > 0)
    await gone(behind, caller)
    await quiet()
    assert asyncio.all_tasks() == {asyncio.current_task()}


# Leaving

STAGES: dict[str, list[bytes]] = {
    "at once": [],
    "in the head": [chat()[:30]],
    "in the body": [chat()[:-5]],
    "in a chunk": [in_chunks(chat())[:-20]],
    "while the provider thinks": [chat()],
    "in a stream": [chat(stream=True)],
    "after a refusal": [b"NONSENSE\r\n\r\n"],
    "while refused": [chat().replace(b"content-length: ", b"content-length: 9999")],
    "in a body of the other lane": [request("POST", "/v2/x", {}, b"{}")[:-1]],
    "at the other lane": [request("GET", "/livez", {})],
    "with more behind": [chat() + chat()],
}


@pytest.mark.parametrize("how", ["hang up", "lose"])
@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("stage", STAGES)
async def test_whoever_leaves_leaves_nothing_behind(stage: str, waits: bool, how: str) -> None:
    hang = Hang()
    step = streams(EVENT, hang) if "stream" in stage else answers(200, hang)
    behind = front(step, world=WORLD)
    caller = behind.caller()
    caller.feed(*STAGES[stage])
    if waits:
        await quiet()
    called = bool(behind.client.requests)
    caller.hang_up() if how == "hang up" else caller.lose()
    async with asyncio.timeout(HANG_S):
        while not behind.is_empty:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0)
    assert caller.closed
    assert called == any(word in stage for word in ("thinks", "stream", "more"))
    if called:
        assert behind.client.responses[0].aborted
    assert [record.id for record in behind.records.records] == behind.records.begun, "each that began has one record"
    assert len(behind.records.begun) >= len(behind.client.requests)


async def test_a_caller_who_hangs_up_over_an_answer_he_did_not_take_is_not_waited_for() -> None:
    behind = front(streams(EVENT, EVENT, EVENT, DONE), world=WORLD)
    caller = behind.caller()
    caller.hold()
    caller.feed(chat(stream=True))
    await until(caller, lambda: caller.unsent_bytes > 0)
    caller.hang_up()
    async with asyncio.timeout(HANG_S):
        while not behind.is_empty:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0)
    assert behind.client.responses[0].aborted


async def test_half_a_connection_shut_by_a_waiting_caller_means_that_he_has_left() -> None:
    hang = Hang()
    async with opened(answers(200, hang), answers(200, OK), world=WORLD) as door:
        _, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(chat())
        await hang.reached.wait()
        writer.write_eof()
        async with asyncio.timeout(HANG_S):
            await door.records.ended.wait()
        assert door.client.responses[0].aborted
        writer.close()
        assert (await door.post()).status == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_a_caller_who_leaves_behind_more_than_is_read_has_left(stream: bool) -> None:
    """His end stands behind bytes that nobody reads; the provider went on being paid."""
    hang = Hang()
    async with opened(streams(EVENT, hang) if stream else answers(200, hang), world=WORLD) as door:
        _, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(chat(stream=stream))
        await hang.reached.wait()
        (lane,) = door.server._lanes
        writer.write(bytes(2 * AHEAD_BYTES_MAX))
        async with asyncio.timeout(HANG_S):
            while not lane._reading_paused:  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0.001)
        assert not door.records.ended.is_set()
        writer.close()
        async with asyncio.timeout(HANG_S):
            await door.records.ended.wait()
        assert door.client.responses[0].aborted
        assert [record.ending for record in door.records.records] == ["left"]


async def test_a_caller_of_whom_more_waits_than_is_read_is_waited_for() -> None:
    hang = Hang()
    async with opened(answers(200, hang, OK), world=WORLD) as door, await Wire.open(door.port) as wire:
        await wire.send(chat())
        await hang.reached.wait()
        (lane,) = door.server._lanes
        await wire.send(bytes(2 * AHEAD_BYTES_MAX))
        for _ in range(2):
            door.server.sweep(0.0)
        assert lane._phase is Phase.ANSWER
        hang.released.set()
        assert (await wire.reply()).status == 200


async def test_a_refused_upload_that_goes_on_gets_to_read_why() -> None:
    async with opened(world=WORLD) as door, await Wire.open(door.port) as wire:
        size = 20_000_000
        await wire.send(request("POST", CHAT, AUTH, b"").replace(b"content-length: 0", b"content-length: %d" % size))
        for _ in range(20):
            await wire.send(b"x" * (size // 20))
        assert (await wire.reply()).status == 413
        assert await wire.ended()


# The end of a turn of the loop


REFUSED = request("POST", CHAT, {"content-type": "text/plain"}, b"{}")


async def among_many(behind: Front) -> None:
    """There is much to do, and several are answered in this turn: what is said first in the next one waits."""
    behind.server.turn.is_busy = True
    callers = [behind.caller() for _ in range(2)]
    for caller in callers:
        caller.feed(REFUSED)
    await asyncio.sleep(0)
    for caller in callers:
        assert said(caller.written)
        caller.hang_up()


@pytest.mark.parametrize("end", ["he shuts his end", "the worker drains", "he says close", "another is to be lent"])
async def test_what_was_said_goes_out_before_what_ends_its_turn(end: str) -> None:
    behind = front(world=WORLD)
    await among_many(behind)
    caller = behind.caller()
    if end == "he says close":
        caller.feed(REFUSED, request("POST", CHAT, {"content-type": "text/plain", "connection": "close"}, b"{}"))
    elif end == "another is to be lent":
        caller.feed(REFUSED, request("GET", "/livez", {}))
    else:
        caller.feed(REFUSED)
        assert not said(caller.written)
    if end == "he shuts his end":
        caller.hang_up()
    elif end == "the worker drains":
        behind.server.draining = True
        for lane in list(behind.server._lanes):
            lane.drain()
    assert said(caller.written), "what ends the turn sends what waits"
    statuses = {"he says close": [400, 400], "another is to be lent": [400, 200]}.get(end, [400])
    assert [reply.status for reply in await answered(caller, len(statuses))] == statuses
    await gone(behind, caller)


async def test_what_came_before_a_break_goes_out_before_the_end_that_tells_of_it() -> None:
    broken = answers(200, b"audio", Cut("x"), content_type="audio/mpeg")
    behind = front(broken, world=WORLD)
    await among_many(behind)
    caller = behind.caller()
    asked = request("POST", "/v1/audio/speech", {"x-portkey-provider": "@main", **AUTH}, {"model": "m", "input": "x"})
    caller.feed(asked.replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1))
    await until(caller, lambda: caller.closed)
    assert caller.written.endswith(b"audio")


# The end of a worker


async def test_draining_ends_idle_connections_and_lets_calls_end() -> None:
    plain, stream, half = Hang(), Hang(), chat()
    behind = front(plain, answers(200, OK), world=WORLD)
    behind.client._script[2:] = [streams(EVENT, stream, FINISH, DONE), answers(200, OK)]
    idle, waiting, streaming, speaking = (behind.caller() for _ in range(4))
    waiting.feed(chat())
    await plain.reached.wait()
    # The provider's next step is the plain answer's, so the stream is asked for behind it.
    plain.released.set()
    await answered(waiting)
    waiting.written.clear()
    streaming.feed(chat(stream=True))
    await stream.reached.wait()
    speaking.feed(half[:40])

    closing = asyncio.create_task(behind.server.close(3_600))
    await quiet()
    assert (idle.closed, waiting.closed, streaming.closed, speaking.closed) == (True, True, False, False)
    late = behind.caller()
    assert late.closed
    speaking.feed(half[40:])
    (reply,) = await answered(speaking)
    assert (reply.status, reply.closes) == (200, True)
    assert not closing.done()
    stream.released.set()
    await until(streaming, lambda: streaming.closed)
    (whole,) = said(streaming.written)
    assert whole.body == EVENT + FINISH + DONE
    async with asyncio.timeout(HANG_S):
        await closing
    assert behind.is_empty


@pytest.mark.parametrize("data", [chat(), chat()[:40], chat()[:-5], b"NONSENSE\r\n\r\n"])
async def test_draining_waits_no_longer_than_it_may(data: bytes) -> None:
    behind = front(answers(200, Hang()), world=WORLD)
    caller = behind.caller()
    caller.feed(data)
    await quiet()
    async with asyncio.timeout(HANG_S):
        await behind.server.close(0.01)
    assert caller.closed
    assert behind.is_empty


async def test_a_call_that_ends_while_a_worker_drains_says_that_it_is_the_last() -> None:
    hang = Hang()
    behind = front(hang, answers(200, OK), world=WORLD)
    caller = behind.caller()
    caller.feed(chat(), chat())
    await hang.reached.wait()
    closing = asyncio.create_task(behind.server.close(3_600))
    await quiet()
    hang.released.set()
    async with asyncio.timeout(HANG_S):
        await closing
    assert [(reply.status, reply.closes) for reply in said(caller.written)] == [(200, True)]
    assert len(behind.client.requests) == 1


# Faults


class Faulty(Echo):
    """A client with a bug, in the middle of an answer."""

    async def send(self, asked: UpstreamRequest) -> UpstreamResponse:
        response = streams(EVENT)
        response._pieces.append(RuntimeError())  # type: ignore[arg-type]
        return response


async def test_a_fault_amid_an_answer_cuts_it_and_is_logged() -> None:
    behind = front(client=Faulty(), world=WORLD)
    caller = behind.caller()
    with capture_logs() as logged:
        caller.feed(chat(stream=True))
        await until(caller, lambda: caller.closed)
    assert caller.aborted
    assert not caller.written.endswith(b"0\r\n\r\n")
    assert [line["event"] for line in logged if line.get("exc_info")] == ["request_failed"]
    await gone(behind, caller)


@fuzz
@given(data=st.binary(max_size=400), at=st.lists(st.integers(0, 400), max_size=5))
async def test_random_bytes_end_in_400_or_nothing(data: bytes, at: list[int]) -> None:
    await endure(cut(data, at), {400})


@fuzz
@given(
    name=st.sampled_from(sorted(REQUESTS)),
    changes=st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=3)), min_size=1, max_size=4),
    at=st.lists(st.integers(0, 400), max_size=5),
)
async def test_damaged_requests_are_a_callers_mistake_or_none(
    name: str, changes: list[tuple[int, bytes]], at: list[int]
) -> None:
    data = bytearray(REQUESTS[name][0] + chat())
    for place, value in changes:
        data[place % len(data) : place % len(data) + len(value)] = value
    await endure(cut(bytes(data), at), {100, 200, 400, 401, 403, 404, 405, 413})


async def endure(pieces: list[bytes], allowed: set[int]) -> None:
    behind = front(client=Echo(), world=WORLD)
    caller = behind.caller()
    with capture_logs() as logged:
        for piece in pieces:
            caller.feed(piece)
            await asyncio.sleep(0)
        await quiet()
        assert {reply.status for reply in said(caller.written)} <= allowed
        await gone(behind, caller)
    assert logged == []


def test_the_lane_needs_no_full_segment() -> None:
    async def connect() -> MemoryTransport:
        return front(client=Echo(), world=WORLD).caller()

    caller = asyncio.run(connect())
    assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in caller.options


async def test_a_caller_who_is_gone_as_the_last_answer_ends_is_let_go() -> None:
    behind = front(answers(200, OK))
    caller = behind.caller()

    def gone_already() -> None:
        raise OSError(ENOTCONN, "Transport endpoint is not connected")  # As asyncio's own transport says.

    caller.write_eof = gone_already  # type: ignore[method-assign]
    caller.feed(chat().replace(b" HTTP/1.1", b" HTTP/1.0"))
    await gone(behind, caller)
