"""A body that goes to a provider while it comes from a caller: framed, held back, cut off, begun anew."""

import asyncio
from dataclasses import dataclass, field

import msgspec
import pytest

from gateway.upstream.client import Client
from gateway.upstream.errors import Cut, FirstByteTimeout, StallTimeout
from gateway.upstream.exchange import LOOK_S_MAX
from gateway.upstream.messages import UpstreamRequest
from gateway.upstream.upload import AHEAD_BYTES_MAX, KEPT_BYTES_MAX, Upload
from shared.clock import FakeClock
from tests.gateway.upstream.conftest import HANG_S, Caller, Provider

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass
class Lane:
    """The caller's side of an upload."""

    length: int | None
    wanted: int = 0
    room: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.upload = Upload(self.length, wanted=self._want, taken=self.room.set)
        self.upload.start(0)

    def _want(self) -> None:
        self.wanted += 1

    def ask(self, provider: Provider, body: bytes = b"") -> UpstreamRequest:
        return msgspec.structs.replace(provider.ask(body), upload=self.upload)

    async def send(self, data: bytes, piece: int = 65_536) -> None:
        for at in range(0, len(data), piece):
            self.upload.came(data[at : at + piece])
            while self.upload.is_ahead:
                self.room.clear()
                async with asyncio.timeout(HANG_S):
                    await self.room.wait()
        self.upload.ended()


async def head(caller: Caller) -> bytes:
    async with asyncio.timeout(HANG_S):
        return await caller.reader.readuntil(b"\r\n\r\n")


async def exactly(caller: Caller, count: int) -> bytes:
    async with asyncio.timeout(HANG_S):
        return await caller.reader.readexactly(count)


async def chunks(caller: Caller) -> bytes:
    """A body in chunks, to its end."""
    body = b""
    while True:
        async with asyncio.timeout(HANG_S):
            size = int(await caller.reader.readline(), 16)
        piece = await exactly(caller, size + 2)
        assert piece.endswith(b"\r\n")
        if not size:
            return body
        body += piece[:-2]


async def test_a_body_of_known_length_has_a_length_there_too(client: Client, provider: Provider) -> None:
    lane = Lane(9)
    call = asyncio.create_task(client.send(lane.ask(provider, b"instead")))
    lane.upload.came(b"123")
    caller = await provider.accepted()
    assert b"\r\ncontent-length: 16\r\n" in await head(caller)
    assert await exactly(caller, 10) == b"instead123"
    lane.upload.came(b"456789")
    lane.upload.ended()
    assert await exactly(caller, 6) == b"456789"
    await caller.say(
        OK,
    )
    assert await (await call).read(10) == b"ok"
    assert lane.wanted == 1
    again = asyncio.create_task(client.send(provider.ask()))
    await caller.request()
    await caller.say(OK)
    await (await again).read(10)
    assert provider.connections == 1


async def test_a_body_of_unknown_length_goes_in_chunks(client: Client, provider: Provider) -> None:
    lane = Lane(None)
    call = asyncio.create_task(client.send(lane.ask(provider, b"instead")))
    caller = await provider.accepted()
    assert b"\r\ntransfer-encoding: chunked\r\n" in await head(caller)
    await lane.send(bytes(range(256)) * 5_000, 70_001)
    assert await chunks(caller) == b"instead" + bytes(range(256)) * 5_000
    await caller.say(OK)
    assert await (await call).read(10) == b"ok"


async def test_what_the_provider_does_not_take_the_caller_keeps(client: Client, provider: Provider) -> None:
    lane = Lane(50_000_000)
    call = asyncio.create_task(client.send(lane.ask(provider)))
    caller = await provider.accepted()
    await head(caller)
    sent = 0
    # The kernel's own buffers fill first.
    while not lane.upload.is_ahead:
        lane.upload.came(bytes(65_536))
        sent += 65_536
        assert sent < 40_000_000
        await asyncio.sleep(0.001)
    assert lane.upload._unread_bytes <= AHEAD_BYTES_MAX + 65_536
    sending = asyncio.create_task(lane.send(bytes(50_000_000 - sent)))
    assert await exactly(caller, 50_000_000) == bytes(50_000_000)
    await sending
    await caller.say(OK)
    assert (await call).status == 200
    await (await call).read(10)


async def test_an_answer_before_the_end_is_heard_and_the_connection_ends(client: Client, provider: Provider) -> None:
    lane = Lane(1_000)
    call = asyncio.create_task(client.send(lane.ask(provider)))
    caller = await provider.accepted()
    await head(caller)
    lane.upload.came(b"x")
    await caller.say(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
    answer = await call
    assert (answer.status, await answer.read(10)) == (413, b"no")
    await caller.gone()
    lane.upload.answered()
    lane.upload.came(b"y")
    assert not lane.upload.is_ahead


async def test_an_upload_that_will_never_be_whole_is_no_whole_request(client: Client, provider: Provider) -> None:
    for length in (1_000, None):
        lane = Lane(length)
        call = asyncio.create_task(client.send(lane.ask(provider)))
        caller = await provider.accepted()
        await head(caller)
        lane.upload.came(b"x")
        lane.upload.failed(ValueError("scripted"))
        with pytest.raises(Cut):
            await call
        rest = b""
        async with asyncio.timeout(HANG_S):
            try:
                while piece := await caller.reader.read(1_000):
                    rest += piece
            except ConnectionError:
                pass
        assert not rest.endswith(b"0\r\n\r\n")


async def test_whoever_leaves_ends_the_upload_at_the_provider(client: Client, provider: Provider) -> None:
    lane = Lane(1_000)
    call = asyncio.create_task(client.send(lane.ask(provider)))
    caller = await provider.accepted()
    await head(caller)
    call.cancel()
    await caller.gone()
    with pytest.raises(asyncio.CancelledError):
        await call
    lane.upload.came(b"x")


@pytest.mark.parametrize("taken", [100, KEPT_BYTES_MAX + 1])
async def test_on_a_connection_that_had_just_ended_it_begins_anew_if_it_still_can(
    client: Client, provider: Provider, taken: int
) -> None:
    first = asyncio.create_task(client.send(provider.ask()))
    caller = await provider.accepted()
    await caller.request()
    await caller.say(OK)
    await (await first).read(10)
    lane = Lane(taken)
    call = asyncio.create_task(client.send(lane.ask(provider)))
    await head(caller)
    lane.upload.came(bytes(taken))
    await exactly(caller, 50)
    caller.reset()
    if taken > KEPT_BYTES_MAX:
        with pytest.raises(Cut):
            await call
        return
    lane.upload.ended()
    caller = await provider.accepted()
    await head(caller)
    assert await exactly(caller, taken) == bytes(taken)
    await caller.say(OK)
    await (await call).read(10)


async def test_time_is_counted_against_whoever_takes_it(client: Client, provider: Provider, clock: FakeClock) -> None:
    lane = Lane(2)
    call = asyncio.create_task(client.send(lane.ask(provider)))
    caller = await provider.accepted()
    await head(caller)
    lane.upload.came(b"1")
    await exactly(caller, 1)
    for _ in range(3):  # The caller's; his lane has a deadline for that.
        clock.advance(150)
        client.sweep(clock.monotonic_s())
    assert not call.done()
    lane.upload.came(b"2")
    lane.upload.ended()
    clock.advance(LOOK_S_MAX)
    client.sweep(clock.monotonic_s())
    clock.advance(299)
    client.sweep(clock.monotonic_s())
    assert not call.done()
    clock.advance(1)
    client.sweep(clock.monotonic_s())
    with pytest.raises(FirstByteTimeout):
        await call


async def test_a_provider_who_takes_nothing_is_given_up(client: Client, provider: Provider, clock: FakeClock) -> None:
    lane = Lane(50_000_000)
    call = asyncio.create_task(client.send(lane.ask(provider)))
    await head(await provider.accepted())
    while not lane.upload.is_ahead:
        lane.upload.came(bytes(65_536))
        await asyncio.sleep(0.001)
    client.sweep(clock.monotonic_s())
    clock.advance(120)
    client.sweep(clock.monotonic_s())
    with pytest.raises(StallTimeout):
        await call
