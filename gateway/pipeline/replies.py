"""What trying targets comes to: an answer of one piece, events that still come, or bytes of any kind."""

from collections.abc import Mapping

import msgspec

from gateway.providers.base import StreamReader, Usage
from gateway.upstream.messages import Taken, UpstreamResponse
from gateway.view.route import Target

WITHOUT_BODY = frozenset({204, 304})
"""Statuses whose answers end with their heads: a body behind one would be read as the start of the next answer."""
SAYS_NOTHING = WITHOUT_BODY | {205}
"""Statuses that HTTP gives no body. That of 205 is empty, and has to be told as any other's (RFC 9112, section 6.3)."""


class Whole(msgspec.Struct):
    """An answer that came in one piece: a 2xx, or a provider's error in our shape."""

    target: Target
    response: UpstreamResponse
    status: int
    """The response's own, or that of an error which came as the first event of a stream."""
    body: bytes
    usage: Usage | None
    content_type: str = "application/json"


class Stream(msgspec.Struct):
    """An answer whose events are still coming. Whoever holds it reads it to its end or aborts it."""

    target: Target
    response: UpstreamResponse
    status: int
    reader: StreamReader
    first: bytes
    """The events that came with its first content."""
    ended: bool = False
    """They are all."""


class Pipe(msgspec.Struct):
    """An answer that passes on byte by byte, whatever it is. Whoever holds it reads it to its end or aborts it."""

    target: Target
    response: UpstreamResponse
    status: int
    first: bytes
    """What of it has been read."""


Reply = Whole | Stream | Pipe


class OwnAnswer:
    """Stands where a provider's answer would, had one been asked."""

    status = 200
    headers: Mapping[str, str] = {}

    async def read(self, bytes_max: int) -> bytes:  # noqa: ARG002
        return b""

    async def chunk(self) -> bytes:
        return b""

    async def pour(self, taken: Taken) -> bool:  # noqa: ARG002
        return False

    def read_out(self, within_s: float) -> None: ...

    def abort(self) -> None: ...
