"""From an origin to an open connection: resolve, check every address, connect to a checked one, speak TLS.

Through an egress proxy, where there is one for the origin: then the proxy resolves, and the name is checked.
"""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from typing import TypeVar

from gateway.upstream.address import Address, Network, refusal
from gateway.upstream.egress import Egress, literal, private_name
from gateway.upstream.errors import AddressForbidden, ConnectFailed, ConnectTimeout
from gateway.upstream.messages import Origin
from gateway.upstream.resolve import Resolver
from gateway.upstream.tls import Contexts

ProtocolT = TypeVar("ProtocolT", bound=asyncio.Protocol)


class Connector:
    __slots__ = ("_allow_cidrs", "_egress", "_resolver", "_tls")

    def __init__(
        self, resolver: Resolver, allow_cidrs: Sequence[Network], tls: ssl.SSLContext, egress: Egress | None
    ) -> None:
        self._resolver = resolver
        self._allow_cidrs = allow_cidrs
        self._tls = Contexts(tls)
        self._egress = egress

    async def connect(self, origin: Origin, factory: Callable[[], ProtocolT], within_s: float) -> ProtocolT:
        """Open a connection within `within_s`, name resolution and TLS handshake included.

        Raises AddressForbidden, ConnectFailed or ConnectTimeout; errors of asyncio and ssl end here.
        """
        egress = self._egress
        try:
            async with asyncio.timeout(within_s):
                if egress is not None and egress.carries(origin):
                    return await self._through(egress, origin, factory)
                return await self._try_each(origin, await self._addresses(origin.host), factory, within_s)
        except TimeoutError:
            raise ConnectTimeout(f"{origin.authority}: no connection within {within_s:g} s") from None

    async def _addresses(self, host: str) -> Sequence[Address]:
        """The addresses of `host`, every one checked: one that is forbidden refuses the name, lest a name with two
        faces show the good one to the check and the other to the socket.
        """
        address = literal(host)
        addresses: Sequence[Address] = () if address is None else (address,)
        if not addresses:
            try:
                addresses = await self._resolver.resolve(host)
            except (OSError, UnicodeError) as error:
                raise ConnectFailed(f"{host}: no address ({_why(error)})") from error
        if not addresses:
            raise ConnectFailed(f"{host}: no address")
        for address in addresses:
            self._require_allowed(host, address)
        return addresses

    def _require_allowed(self, host: str, address: Address) -> None:
        reason = refusal(address, self._allow_cidrs)
        if reason is not None:
            raise AddressForbidden(f"{host}: {address} may not be called ({reason})")

    async def _through(self, egress: Egress, origin: Origin, factory: Callable[[], ProtocolT]) -> ProtocolT:
        """By the egress proxy, which alone knows the address of a name."""
        address = literal(origin.host)
        if address is not None:
            self._require_allowed(origin.host, address)
        elif private_name(origin.host):
            raise AddressForbidden(
                f"{origin.host} may not be called through the egress proxy (private name); name it in NO_PROXY"
            )
        protocol = factory()
        tls = await self._context(origin)
        assert tls is not None, "only https goes through a proxy"
        try:
            await egress.connect(origin, tls, protocol)
        except OSError as error:
            raise ConnectFailed(f"{origin.authority} through {egress.authority}: {_why(error)}") from error
        return protocol

    async def _context(self, origin: Origin) -> ssl.SSLContext | None:
        if origin.scheme != "https":
            return None
        try:
            return await self._tls.of(origin.trust)
        except ssl.SSLError as error:
            message = f"{origin.authority}: the certificates that are set for it cannot be used ({_why(error)})"
            raise ConnectFailed(message) from error

    async def _try_each(
        self, origin: Origin, addresses: Sequence[Address], factory: Callable[[], ProtocolT], within_s: float
    ) -> ProtocolT:
        loop = asyncio.get_running_loop()
        tls = await self._context(origin)
        # An even share of the time for each, so that one that swallows packets leaves some for the next.
        share_s = within_s / len(addresses)
        reasons: list[str] = []
        for address in addresses:
            try:
                async with asyncio.timeout(share_s):
                    # To the address that was checked, by number: the name is not looked up a second time.
                    _, protocol = await loop.create_connection(
                        factory,
                        str(address),
                        origin.port,
                        ssl=tls,
                        server_hostname=origin.host if tls else None,
                    )
            except TimeoutError:
                continue
            except OSError as error:
                reasons.append(f"{address}: {_why(error)}")
            else:
                return protocol
        if not reasons:
            raise ConnectTimeout(f"{origin.authority}: no connection within {within_s:g} s")
        raise ConnectFailed(f"{origin.authority}: {'; '.join(reasons)}")


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or type(error).__name__}"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
