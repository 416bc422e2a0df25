"""Names to addresses: the system's resolver behind a short cache, and the one tests fill by hand."""

import asyncio
import socket
from collections.abc import Awaitable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any, Protocol

from gateway.upstream.address import Address
from shared.clock import Clock

CACHE_S = 30.0
NAMES_MAX = 1_024


class Resolver(Protocol):
    async def resolve(self, host: str) -> Sequence[Address]:
        """Every address of `host`, the best first, at least one. Raises OSError."""
        ...


class GetAddrInfo(Protocol):
    """`getaddrinfo` of an event loop."""

    def __call__(self, host: str, port: None, *, type: socket.SocketKind) -> Awaitable[Sequence[Any]]: ...  # noqa: A002


class SystemResolver:
    """Asks the system, once for all who ask at the same time, and remembers the answer for 30 s, a failure never."""

    __slots__ = ("_asking", "_clock", "_getaddrinfo", "_known")

    def __init__(self, clock: Clock, getaddrinfo: GetAddrInfo | None = None) -> None:
        """`getaddrinfo` None: the running loop's."""
        self._clock = clock
        self._getaddrinfo = getaddrinfo or asyncio.get_running_loop().getaddrinfo
        self._known: dict[str, tuple[float, Sequence[Address]]] = {}
        self._asking: dict[str, asyncio.Task[Sequence[Address]]] = {}

    async def resolve(self, host: str) -> Sequence[Address]:
        known = self._known.get(host)
        if known is not None and self._clock.monotonic_s() < known[0]:
            return known[1]
        asking = self._asking.get(host)
        if asking is None:
            asking = self._asking[host] = asyncio.create_task(self._ask(host))
            asking.add_done_callback(_retrieve)
        # One asker that leaves must not take the answer from the others.
        return await asyncio.shield(asking)

    async def _ask(self, host: str) -> Sequence[Address]:
        try:
            found = await self._getaddrinfo(host, None, type=socket.SOCK_STREAM)
            addresses = tuple(dict.fromkeys(ip_address(sockaddr[0]) for *_, sockaddr in found))
            self._remember(host, addresses)
        finally:
            del self._asking[host]
        return addresses

    def _remember(self, host: str, addresses: Sequence[Address]) -> None:
        self._known.pop(host, None)
        if len(self._known) >= NAMES_MAX:
            del self._known[next(iter(self._known))]
        self._known[host] = (self._clock.monotonic_s() + CACHE_S, addresses)


def _retrieve(asked: "asyncio.Task[Sequence[Address]]") -> None:
    """Look at the failure even if everybody who waited for it has left."""
    if not asked.cancelled():
        asked.exception()


class FakeResolver:
    """Knows the names it was given and counts how often each was asked for."""

    __slots__ = ("_names", "asked")

    def __init__(self, names: Mapping[str, Sequence[str]]) -> None:
        self._names = names
        self.asked: list[str] = []

    async def resolve(self, host: str) -> Sequence[Address]:
        self.asked.append(host)
        if host not in self._names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return tuple(ip_address(address) for address in self._names[host])
