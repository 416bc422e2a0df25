"""What is said between the corridor and the room that opens sockets. Knows no provider."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection goes; the key of the connection pool."""

    scheme: str
    """`https` or `http`."""
    host: str
    """Lower case; an IPv6 literal without brackets."""
    port: int

    @property
    def authority(self) -> str:
        """As in the Host header: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"https": 443, "http": 80}[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long each part of a call may take, in seconds (design section 3)."""

    connect_s: float = 5.0
    first_byte_s: float = 300.0
    """From the request's last byte to the answer's head. A plain answer comes in one piece, so it gets 600 s."""
    between_bytes_s: float = 120.0
    total_s: float = 900.0


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    origin: Origin
    method: str
    target: str
    """Path and query, ASCII, begins with `/`."""
    headers: bytes
    """A ready block of `name: value\\r\\n` lines, without host, content-length, connection and accept-encoding."""
    body: bytes
    deadlines: Deadlines


class UpstreamResponse(Protocol):
    """An answer whose head has come. Exactly one of reading to the end and `abort()` frees the connection."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case; of a repeated name the first value."""
        ...

    async def read(self, bytes_max: int) -> bytes:
        """The rest of the body, decoded. Raises an UpstreamError; TooLarge beyond `bytes_max`."""
        ...

    async def chunk(self) -> bytes:
        """What came since the last call, at least one byte, or `b""` at the proper end. Raises an UpstreamError."""
        ...

    def abort(self) -> None:
        """Close the connection if the body has not ended; harmless afterwards, and when called twice."""
        ...


class UpstreamClient(Protocol):
    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send, and wait for the answer's head. Raises an UpstreamError. Cancelling aborts the connection."""
        ...

    async def close(self) -> None:
        """Close every connection, idle and busy."""
        ...
