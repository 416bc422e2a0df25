"""Callers who hold a connection: slow heads, none at all, answers that nobody takes, bodies that break off."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from control_plane.ids import Ids
from control_plane.web.api import Api
from control_plane.web.certificate import Certificate
from control_plane.web.connection import Limits, listen
from control_plane.web.route import Route
from shared.clock import FakeClock
from tests.control_plane.web.test_bodies import Word, take
from tests.control_plane.web.test_public_routes import Nobody
from tests.fixtures.certificates import Authority
from tests.fixtures.processes import free_ports

HANG_S = 30.0
LONG = Limits(head_s=600.0, idle_s=600.0, write_stall_s=600.0)
LARGE = bytes(32 * 1024 * 1024)
"""More than the kernel keeps for somebody who does not read."""
HEAD = b"POST /open HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
GOOD = HEAD + b'Content-Length: 12\r\n\r\n{"word":"x"}'


@dataclass(frozen=True, slots=True)
class Served:
    port: int
    server: web.Server

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def a_head_came(self) -> None:
        await until(lambda: self.server.requests_count > 0)

    async def all_left(self) -> None:
        await until(lambda: not self.server.connections)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(HANG_S):
        while not holds():  # noqa: ASYNC110 - the server announces it to nobody
            await asyncio.sleep(0.005)


async def test_every_address_is_those_of_ipv4_too() -> None:
    """By itself asyncio takes `::` for IPv6 alone; a gateway, which has its own sockets, does not."""
    (port,) = free_ports(1)

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response()

    try:
        listener = await listen(web.Server(answer), "::", port, new_id=str)
    except OSError as error:
        pytest.skip(f"NO IPV6 HERE: {error.strerror}")
    with closing(listener):
        for address in ("127.0.0.1", "::1"):
            _, writer = await asyncio.open_connection(address, port)
            writer.close()


@asynccontextmanager
async def served(limits: Limits = LONG, tls: ssl.SSLContext | None = None) -> AsyncIterator[Served]:
    async def wait(_: web.Request) -> web.Response:
        await asyncio.sleep(0.2)
        return web.Response(text="done")

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=LARGE)

    application = web.Application()
    ids = Ids(FakeClock())
    Api(Nobody(), ids).add(application, [Route("POST", "/open", "open.create", take, "Open", Word, public=True)])
    application.router.add_get("/wait", wait)
    application.router.add_get("/large", large)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    assert runner.server is not None
    try:
        with closing(
            await listen(runner.server, "127.0.0.1", 0, new_id=lambda: ids.new("rq"), tls=tls, limits=limits)
        ) as taking:
            yield Served(taking.sockets[0].getsockname()[1], runner.server)
    finally:
        await runner.cleanup()


async def to_the_end(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(HANG_S):
        return await reader.read()


async def test_a_head_that_comes_byte_by_byte_holds_a_connection_for_a_time_only() -> None:
    async with served(Limits(head_s=0.1, idle_s=600.0)) as there:
        reader, writer = await there.open()
        ended = asyncio.create_task(to_the_end(reader))
        writer.write(b"GET /wait HTTP/1.1\r\nX: ")
        while not ended.done():
            writer.write(b"x")
            await asyncio.wait({ended}, timeout=0.01)
        assert ended.exception() is not None or ended.result() == b""
        await there.all_left()
        writer.close()


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00"])
async def test_a_handshake_that_does_not_go_on_holds_a_connection_for_a_time_only(tmp_path: Path, sent: bytes) -> None:
    authority = Authority.make()
    authority.issue(tmp_path / "cert.pem", tmp_path / "key.pem")
    tls = Certificate(tmp_path / "cert.pem", tmp_path / "key.pem").context
    async with served(Limits(head_s=0.2), tls) as there:
        reader, writer = await there.open()
        writer.write(sent)
        with suppress(ConnectionError):
            assert await to_the_end(reader) == b""
        writer.close()
        port, trusted = there.port, authority.trusted()
        reader, writer = await asyncio.open_connection("localhost", port, ssl=trusted)
        writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert len(await to_the_end(reader)) > len(LARGE)
        writer.close()


async def test_a_head_in_two_parts_is_served_however_long_its_answer_takes() -> None:
    async with served(Limits(head_s=0.1, idle_s=600.0)) as there:
        reader, writer = await there.open()
        for part in (b"GET /wait HTTP/1.1\r\nHo", b"st: x\r\nConnection: close\r\n\r\n"):
            writer.write(part)
            await asyncio.sleep(0.01)
        assert (await to_the_end(reader)).endswith(b"done")
        writer.close()


@pytest.mark.parametrize("first", [b"", GOOD])
async def test_a_connection_between_requests_is_kept_for_a_time_only(first: bytes) -> None:
    async with served(Limits(idle_s=0.1)) as there:
        reader, writer = await there.open()
        writer.write(first)
        assert (await to_the_end(reader)).startswith(b"HTTP/1.1 204" if first else b"")
        await there.all_left()
        writer.close()


async def test_an_answer_that_nobody_takes_is_given_up() -> None:
    async with served(Limits(write_stall_s=0.1)) as there:
        _, writer = await there.open()
        writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        await there.a_head_came()
        await there.all_left()
        writer.close()


async def test_an_answer_that_is_taken_slowly_arrives_whole() -> None:
    async with served(Limits(write_stall_s=0.4)) as there:
        reader, writer = await there.open()
        writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        came = 0
        for _ in range(16):
            came += len(await reader.readexactly(1024 * 1024))
            await asyncio.sleep(0.05)
        assert came + len(await to_the_end(reader)) > len(LARGE)
        writer.close()


@pytest.mark.parametrize("before", [b"", GOOD])
@pytest.mark.parametrize("broken", [b"zz\r\n", b'3\r\n{"word":"x"}\r\n', b"f" * 17 + b"\r\n"])
async def test_chunks_that_cannot_be_read_are_refused_at_once(
    broken: bytes, before: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with served() as there:
        reader, writer = await there.open()
        writer.write(before + CHUNKED + b"2\r\n{ \r\n")
        await asyncio.sleep(0.01)
        writer.write(broken)
        answers = await to_the_end(reader)
        assert answers.count(b"HTTP/1.1 204") == (1 if before else 0)
        refusal = answers[answers.index(b"HTTP/1.1 400") :]
        assert b"connection: close" in refusal.lower()
        assert orjson.loads(refusal.partition(b"\r\n\r\n")[2])["code"] == "invalid"
        await there.all_left()
        writer.close()
    assert not caplog.records


@pytest.mark.parametrize("head", [CHUNKED, HEAD + b"Content-Length: 12\r\n\r\n"])
async def test_a_caller_who_leaves_in_its_body_leaves_nothing_behind(
    head: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with served() as there:
        _, writer = await there.open()
        writer.write(head + b'3\r\n{"w')
        await there.a_head_came()
        writer.close()
        await there.all_left()
    assert not caplog.records


@pytest.mark.parametrize(
    "head", [b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nHo\0st: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"]
)
async def test_what_is_no_http_is_told_so_and_fills_no_log(head: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with served() as there:
        reader, writer = await there.open()
        writer.write(head)
        answer = await to_the_end(reader)
        assert orjson.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "http_malformed"
        await there.all_left()
        writer.close()
    assert not caplog.records
