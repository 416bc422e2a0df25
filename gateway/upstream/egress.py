"""The egress proxy: which hosts are called through it, and the way through, by CONNECT (RFC 9110 section 9.3.6).

A name that goes to the proxy is resolved there, so its address cannot be checked here: the SSRF rule then holds for
literal addresses and for names that can only be of a private network.
"""

import asyncio
import base64
import re
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import cast
from urllib.parse import unquote, urlsplit

import msgspec

from gateway.upstream.address import Address, Network
from gateway.upstream.errors import ConnectFailed
from gateway.upstream.messages import Origin
from shared.crypto.secret import Secret

ANSWER_BYTES_MAX = 8 * 1024
"""Of the proxy's answer to CONNECT, which is only a head."""
PORT = 3128
"""Where the address of a proxy names none (as Squid's)."""

_PRIVATE_NAME = re.compile(r"(.*\.)?(localhost|local|internal|home\.arpa)|[^.]*")
"""RFC 6761, 6762, 8375 and ICANN's `.internal`; and names of one label, which only a search list completes."""
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r]")


class _Bypass(msgspec.Struct, frozen=True):
    """One entry of NO_PROXY. A name stands for itself and all below it."""

    name: str = ""
    network: Network | None = None
    port: int | None = None

    def holds(self, origin: Origin, address: Address | None) -> bool:
        if self.port is not None and self.port != origin.port:
            return False
        if self.network is not None:
            return address is not None and address in self.network
        return self.name == "" or origin.host == self.name or origin.host.endswith(f".{self.name}")


class Egress(msgspec.Struct, frozen=True):
    host: str
    port: int
    login: Secret | None
    """`name:password`."""
    bypasses: tuple[_Bypass, ...] = ()

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def login_header(self) -> Mapping[str, str]:
        """What the proxy is shown, if it wants to be (RFC 7617). It holds the password."""
        if self.login is None:
            return {}
        return {"proxy-authorization": f"Basic {base64.b64encode(self.login.reveal()).decode('ascii')}"}

    def carries(self, origin: Origin) -> bool:
        """Whether connections to `origin` go through the proxy: those of https that NO_PROXY does not name."""
        if origin.scheme != "https":
            return False
        address = literal(origin.host)
        return not any(bypass.holds(origin, address) for bypass in self.bypasses)

    async def connect(self, origin: Origin, tls: ssl.SSLContext, protocol: asyncio.Protocol) -> None:
        """Give `protocol` a TLS connection to `origin`. Raises ConnectFailed, OSError."""
        loop = asyncio.get_running_loop()
        _, tunnel = await loop.create_connection(lambda: _Tunnel(loop), self.host, self.port)
        try:
            tunnel.transport.write(self._request(origin))
            status = await tunnel.answered
            if not 200 <= status < 300:
                wants = "asks for another login" if status == 407 else "refuses it"
                raise ConnectFailed(f"{origin.authority}: the egress proxy {self.authority} {wants} (status {status})")
            transport = await loop.start_tls(tunnel.transport, protocol, tls, server_hostname=origin.host)
        except BaseException:
            tunnel.transport.abort()
            raise
        assert transport is not None
        protocol.connection_made(transport)

    def _request(self, origin: Origin) -> bytes:
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        target = f"{host}:{origin.port}".encode("ascii")
        head = b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n" % (target, target)
        for name, value in self.login_header.items():
            head += f"{name}: {value}\r\n".encode("ascii")
        return head + b"\r\n"


def parse(url: str, no_proxy: str) -> Egress:
    """From `http://name:password@host:port` and the value of NO_PROXY. Raises ValueError, which shows neither."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme != "http" or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("a proxy is wanted that speaks HTTP, as in http://proxy.example:3128")
    login = None
    if parts.username is not None:
        login = Secret(f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode())
    return Egress(host, PORT if port is None else port, login, tuple(_bypasses(no_proxy)))


def private_name(host: str) -> bool:
    """Whether a name can only be of a private network."""
    return _PRIVATE_NAME.fullmatch(host.rstrip(".")) is not None


def literal(host: str) -> Address | None:
    """The address that `host` is; None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _bypasses(no_proxy: str) -> Sequence[_Bypass]:
    """As curl and most others read it: names, `.names`, `*`, addresses, networks; each with a port, or without."""
    return [_bypass(entry) for entry in no_proxy.lower().replace(" ", ",").split(",") if entry]


def _bypass(entry: str) -> _Bypass:
    if entry == "*":
        return _Bypass()
    with suppress(ValueError):
        return _Bypass(network=ip_network(entry.strip("[]"), strict=False))
    name, colon, port = entry.rpartition(":")
    if not colon or not port.isdecimal():
        return _Bypass(name=_bare(entry))
    with suppress(ValueError):
        return _Bypass(network=ip_network(name.strip("[]"), strict=False), port=int(port))
    return _Bypass(name=_bare(name), port=int(port))


def _bare(name: str) -> str:
    """A name that stands for nothing else than itself and what is below it; never the empty one, which is all."""
    return name.removeprefix("*").removeprefix(".") or "*"


class _Tunnel(asyncio.Protocol):
    """The proxy's side of the way, until it is open."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.answered: asyncio.Future[int] = loop.create_future()
        self.transport: asyncio.Transport
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's has the methods but not the base class.

    def data_received(self, data: bytes) -> None:
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        status = _STATUS.match(self._head)
        if end < 0 and len(self._head) <= ANSWER_BYTES_MAX:
            return
        # Nobody on the other side may speak before the TLS greeting: more than a head of 2xx is no tunnel.
        opened = status is not None and status[1].startswith(b"2")
        if status is None or end < 0 or (opened and len(self._head) > end + 4):
            self._fail("what the egress proxy says is no answer to CONNECT")
        elif not self.answered.done():
            self.answered.set_result(int(status[1]))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio names it)
        self._fail("the egress proxy closed the connection")

    def _fail(self, why: str) -> None:
        if not self.answered.done():
            self.answered.set_exception(ConnectFailed(why))
            self.answered.exception()  # Whoever waited may have left.
