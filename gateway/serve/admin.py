"""The admin API at the gateway's door: where it is, and, if the operator wants it, forwarded to the control plane."""

from collections.abc import Callable, Mapping

import msgspec

from gateway.errors import Code, GatewayError
from gateway.pipeline.exchange import Headers
from gateway.upstream.errors import UpstreamError
from gateway.upstream.messages import Deadlines, RequestHead, UpstreamClient, UpstreamRequest, parse_origin
from shared.paths import is_plain

ANSWER_BYTES_MAX = 64 * 1024 * 1024
DEADLINES = Deadlines(connect_s=5.0, first_byte_s=60.0, between_bytes_s=30.0, total_s=120.0)
_METHODS = frozenset("GET POST PUT PATCH DELETE".split())
_ASKED = ("authorization", "x-portkey-api-key", "x-gatehouse-api-key", "content-type", "accept", "idempotency-key")
_TOLD = ("content-type", "retry-after", "allow", "cache-control", "x-gatehouse-request-id")
"""Allow-lists both: no cookie goes either way, so a browser's session stays with the control plane's own page."""

Address = Callable[[], str | None]
"""Scheme, host and port of the control plane; None while that is not known."""


class Forwarded(msgspec.Struct, frozen=True):
    status: int
    headers: Headers
    body: bytes


class AdminApi:
    """`client` None: the admin API is not forwarded, and callers are told where it is."""

    def __init__(self, address: Address, client: UpstreamClient | None) -> None:
        self._address = address
        self._client = client

    async def forward(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Forwarded:
        """The control plane's answer to a request with path and query `target`. Raises GatewayError."""
        path = target.partition("?")[0]
        address = self._address()
        if self._client is None or address is None or method not in _METHODS or not is_plain(path):
            where = "" if address is None else f" at {address}"
            message = f"{path} belongs to the admin API, which the control plane serves{where}, not the gateway"
            raise GatewayError(Code.ADMIN_API_ELSEWHERE, message)
        origin, _ = parse_origin(address)
        asked = "".join(f"{name}: {headers[name]}\r\n" for name in _ASKED if name in headers)
        block = asked.encode("utf-8", "surrogateescape")
        try:
            request = UpstreamRequest(origin, RequestHead(method, target, block), body, DEADLINES)
            response = await self._client.send(request)
            told = [(name, response.headers[name]) for name in _TOLD if name in response.headers]
            return Forwarded(response.status, told, await response.read(ANSWER_BYTES_MAX))
        except UpstreamError:
            message = f"the control plane at {address}, to which this gateway forwards the admin API, did not answer"
            raise GatewayError(Code.UPSTREAM_UNREACHABLE, message) from None
        except ValueError:
            raise GatewayError(Code.HEADER_INVALID, "a header or the path holds what cannot be sent on") from None
