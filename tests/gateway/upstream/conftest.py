"""A provider scripted byte by byte on loopback, a client with a clock turned by hand, and a look at what is left over.

Every test here runs on asyncio's own loop and on uvloop.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from ipaddress import ip_network
from pathlib import Path

import pytest
import uvloop

from gateway.upstream.client import Client, Limits
from gateway.upstream.messages import Deadlines, Origin, RequestHead, UpstreamRequest
from gateway.upstream.resolve import FakeResolver
from gateway.upstream.tls import client_context
from shared.clock import FakeClock

HANG_S = 20.0
"""Only a guard against hanging; nothing is expected to take a tenth of it."""


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Caller:
    """The provider's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def request(self) -> tuple[bytes, bytes]:
        """Head and body of the next request."""
        async with asyncio.timeout(HANG_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            for line in head.split(b"\r\n"):
                name, _, value = line.partition(b": ")
                if name == b"content-length":
                    return head, await self.reader.readexactly(int(value))
            return head, b""

    async def say(self, *pieces: bytes) -> None:
        """Send, each piece in a segment of its own as far as the kernel allows."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def gone(self) -> None:
        """Wait until the other side has closed; whatever it still said is dropped."""
        async with asyncio.timeout(HANG_S):
            try:
                while await self.reader.read(65_536):
                    pass
            except ConnectionError:
                return

    def hang_up(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        self.writer.transport.abort()


class Provider:
    """A server on loopback. The test itself plays it: `accepted()` gives the next connection."""

    def __init__(self) -> None:
        self._arrived: asyncio.Queue[Caller] = asyncio.Queue()
        self._all: list[Caller] = []
        self._server: asyncio.Server | None = None
        self.origin = Origin("http", "127.0.0.1", 1)

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        self._server = await asyncio.start_server(self._arrive, "127.0.0.1", 0, ssl=tls)
        port = self._server.sockets[0].getsockname()[1]
        self.origin = Origin("https" if tls else "http", "provider.test", port)

    def _arrive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        caller = Caller(reader, writer)
        self._all.append(caller)
        self._arrived.put_nowait(caller)

    async def accepted(self) -> Caller:
        async with asyncio.timeout(HANG_S):
            return await self._arrived.get()

    @property
    def connections(self) -> int:
        return len(self._all)

    def ask(
        self,
        body: bytes = b"{}",
        *,
        method: str = "POST",
        target: str = "/v1/chat/completions",
        headers: bytes = b"content-type: application/json\r\n",
        deadlines: Deadlines | None = None,
    ) -> UpstreamRequest:
        return UpstreamRequest(self.origin, RequestHead(method, target, headers), body, deadlines or Deadlines())

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for caller in self._all:
            caller.writer.transport.abort()
        await self._server.wait_closed()


def _sockets() -> int:
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found += descriptor.readlink().name.startswith("socket:")
        except FileNotFoundError:
            continue  # The folder's own descriptor, closed since.
    return found


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    """After every test: no task and no socket more than before it."""
    loop = asyncio.get_running_loop()
    # uvloop makes its own pair of sockets at the first real wait.
    await asyncio.sleep(0.001)
    before = _sockets()
    faults: list[Mapping[str, object]] = []
    guard = loop.call_later(HANG_S, lambda: [task.cancel("hangs") for task in asyncio.all_tasks()])
    loop.set_exception_handler(lambda _, context: faults.append(context))
    yield
    async with asyncio.timeout(HANG_S):
        while asyncio.all_tasks() != {asyncio.current_task()} or _sockets() > before:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.001)
    guard.cancel()
    assert not faults


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def resolver() -> FakeResolver:
    return FakeResolver({"provider.test": ["127.0.0.1"]})


@pytest.fixture
def limits() -> Limits:
    """The client's own sweep is put off for good: tests sweep by hand."""
    return Limits(idle_s=60.0, idle_per_origin_max=2, sweep_s=86_400.0)


@pytest.fixture
async def client(nothing_left: None, clock: FakeClock, resolver: FakeResolver, limits: Limits) -> AsyncIterator[Client]:
    client = Client(
        limits,
        allow_cidrs=[ip_network("127.0.0.0/8")],
        tls=client_context(None),
        resolver=resolver,
        clock=clock,
    )
    yield client
    await client.close()


@pytest.fixture
async def provider(nothing_left: None) -> AsyncIterator[Provider]:
    provider = Provider()
    await provider.start()
    yield provider
    await provider.stop()
