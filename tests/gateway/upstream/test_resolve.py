"""The cache in front of the system's resolver, with a loop's resolver that the test lets through by hand."""

import asyncio
import socket
from ipaddress import ip_address

import pytest

from gateway.upstream.resolve import CACHE_S, NAMES_MAX, FakeResolver, SystemResolver


class Names:
    """Stands in for the system: counts, waits at a gate, fails while it knows no address."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.addresses = ["192.0.2.1"]
        self.gate = asyncio.Event()
        self.gate.set()

    async def look_up(self, host: str, port: None, *, type: socket.SocketKind):  # noqa: A002
        self.asked.append(host)
        await self.gate.wait()
        if not self.addresses:
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return [(socket.AF_INET, type, 6, "", (address, 0)) for address in self.addresses]


@pytest.fixture
async def names() -> Names:
    return Names()


@pytest.fixture
async def resolver(clock, names) -> SystemResolver:
    return SystemResolver(clock, names.look_up)


async def test_answers_are_remembered_for_their_time(resolver, names, clock):
    assert await resolver.resolve("a.test") == (ip_address("192.0.2.1"),)
    names.addresses = ["192.0.2.2", "2001:db8::1", "192.0.2.2"]
    clock.advance(CACHE_S - 1)
    assert await resolver.resolve("a.test") == (ip_address("192.0.2.1"),)
    clock.advance(1)
    assert await resolver.resolve("a.test") == (ip_address("192.0.2.2"), ip_address("2001:db8::1"))
    assert names.asked == ["a.test", "a.test"]


async def test_a_failure_is_not_remembered(resolver, names):
    names.addresses = []
    with pytest.raises(OSError, match="try again"):
        await resolver.resolve("a.test")
    names.addresses = ["192.0.2.1"]
    assert await resolver.resolve("a.test")


async def test_those_who_ask_at_the_same_time_share_one_question(resolver, names):
    names.gate.clear()
    asking = [asyncio.create_task(resolver.resolve("a.test")) for _ in range(5)]
    await asyncio.sleep(0)
    names.gate.set()
    assert await asyncio.gather(*asking) == [(ip_address("192.0.2.1"),)] * 5
    assert names.asked == ["a.test"]


async def test_one_who_leaves_does_not_take_the_answer_from_the_others(resolver, names):
    names.gate.clear()
    leaver, stayer = (asyncio.create_task(resolver.resolve("a.test")) for _ in range(2))
    await asyncio.sleep(0)
    leaver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaver
    names.gate.set()
    assert await stayer == (ip_address("192.0.2.1"),)
    assert names.asked == ["a.test"]


async def test_a_failure_nobody_waits_for_any_more_makes_no_noise(resolver, names):
    names.gate.clear()
    names.addresses = []
    leaver = asyncio.create_task(resolver.resolve("a.test"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    leaver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaver
    names.gate.set()


async def test_the_names_remembered_are_bounded_and_the_oldest_goes_first(resolver, names):
    for number in range(NAMES_MAX + 1):
        await resolver.resolve(f"{number}.test")
    names.asked.clear()
    await resolver.resolve(f"{NAMES_MAX}.test")
    await resolver.resolve("1.test")
    assert names.asked == []
    await resolver.resolve("0.test")
    assert names.asked == ["0.test"]


async def test_the_system_itself_is_asked_unless_told_otherwise(clock):
    resolver = SystemResolver(clock, asyncio.get_running_loop().getaddrinfo)
    assert ip_address("127.0.0.1") in await resolver.resolve("localhost")


async def test_the_fake_fails_like_the_system():
    resolver = FakeResolver({"a.test": ["192.0.2.1"]})
    assert await resolver.resolve("a.test") == (ip_address("192.0.2.1"),)
    with pytest.raises(socket.gaierror):
        await resolver.resolve("b.test")
    assert resolver.asked == ["a.test", "b.test"]
