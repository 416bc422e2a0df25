"""Signed requests to the control plane (GHS/1 12). The only place of the gateway's sync that speaks HTTP.

Through the egress proxy where one is set. Foreign errors leave here as CallFailed and nothing else.
"""

import asyncio
import secrets
from collections.abc import Sequence
from io import BytesIO
from typing import Any, Protocol

import aiohttp
import msgspec
import orjson

from gateway.sync.node_keys import NodeKeys
from gateway.upstream.egress import Egress
from gateway.upstream.messages import parse_origin
from gateway.upstream.tls import client_context
from shared.clock import Clock
from shared.protocol import request
from shared.protocol.snapshot import DOCUMENT_BYTES_MAX

CONNECT_S_MAX = 5.0
ANSWER_S_MAX = 30.0
"""Until the answer begins, and between its parts; a watch waits longer by what it asks for."""
TOTAL_S_MAX = 300.0
JSON = "application/json"
BYTES = "application/octet-stream"
_REFUSAL_BYTES_MAX = 64 * 1024
UNREACHABLE = "unreachable"
_NO_CODE = "http_"
"""Begins the code of a failure that has none of a control plane's."""
_OF_WHAT_WAS_SENT = frozenset({"invalid", "too_large", "batch_gap", "batch_conflict", "analytics_unavailable"})
"""Refusals of a body, or for want of what all endpoints share: another endpoint would say the same (GHS/1 12.6)."""


class CallFailed(Exception):
    """No answer, or none of status 200. `code` is the problem document's, or `unreachable`, or `http_…`."""

    def __init__(self, code: str, detail: str, retry_after_s: float = 0.0) -> None:
        """`retry_after_s`: how long whoever answered asks to wait."""
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s


class Told(msgspec.Struct, frozen=True):
    """An answer that nobody has judged yet."""

    body: bytes
    turn: int = 0
    """Which of the turns from endpoint to endpoint it came in."""


class ControlPlane(Protocol):
    async def post(
        self,
        path: str,
        body: bytes,
        *,
        wait_s: float = 0.0,
        media_type: str = JSON,
        answer_bytes_max: int = DOCUMENT_BYTES_MAX,
    ) -> Told:
        """The body of a 200, cut behind `answer_bytes_max` and one. Raises CallFailed.

        `wait_s`: how long the answer may take beyond what any may.
        """
        ...

    def leave(self, told: Told) -> None:
        """What was told is no answer, or is refused: another endpoint is asked next (GHS/1 12.6)."""
        ...


class ControlPlaneClient:
    """Made in a running loop. Goes on to the next endpoint when one cannot be reached, is no control plane or refuses
    whoever asks, or when whoever asked leaves it."""

    def __init__(
        self, endpoints: Sequence[str], node_keys: NodeKeys, clock: Clock, egress: Egress | None = None
    ) -> None:
        """`endpoints`: scheme, host and port, at least one."""
        self._endpoints = tuple(endpoints)
        self._node_keys = node_keys
        self._clock = clock
        self._at = 0
        self._egress = egress
        # Its own TLS settings: those that aiohttp makes as it is loaded trust nobody in a gateway (`__main__.py`).
        connector = aiohttp.TCPConnector(ssl=client_context(None))
        self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    async def post(
        self,
        path: str,
        body: bytes,
        *,
        wait_s: float = 0.0,
        media_type: str = JSON,
        answer_bytes_max: int = DOCUMENT_BYTES_MAX,
    ) -> Told:
        at = self._at
        endpoint = self._endpoints[at % len(self._endpoints)]
        stamp = request.stamp(
            self._node_keys.signing,
            self._node_keys.node,
            method="POST",
            path=path,
            body=body,
            time_ms=self._clock.wall_ms(),
            nonce=secrets.token_bytes(request.NONCE_BYTES),
        )
        timeout = aiohttp.ClientTimeout(
            total=TOTAL_S_MAX + wait_s, sock_connect=CONNECT_S_MAX, sock_read=ANSWER_S_MAX + wait_s
        )
        headers = {**stamp, "content-type": media_type}
        try:
            async with self._session.post(
                endpoint + path,
                data=BytesIO(body),
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
                **self._through(endpoint),
            ) as response:
                if response.status != 200:
                    refusal = _refusal(response, await _read(response, _REFUSAL_BYTES_MAX))
                    # Else it ends, has lost what it needs, or is not the node's at all: nothing of it is signed.
                    if refusal.code not in _OF_WHAT_WAS_SENT:
                        self._go_on(at)
                    raise refusal
                return Told(await _read(response, answer_bytes_max), at)
        except (aiohttp.ClientError, OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            # ValueError is how aiohttp names an address it cannot use.
            self._go_on(at)
            raise CallFailed(UNREACHABLE, f"{endpoint}: {type(error).__name__}") from error

    def leave(self, told: Told) -> None:
        self._go_on(told.turn)

    def _go_on(self, at: int) -> None:
        """To the next endpoint, unless another request that failed has done so already (GHS/1 12.6)."""
        if self._at == at:
            self._at += 1

    def _through(self, endpoint: str) -> dict[str, Any]:
        """By the egress proxy, if it carries what goes there."""
        if self._egress is None or not self._egress.carries(parse_origin(endpoint)[0]):
            return {}
        return {"proxy": f"http://{self._egress.authority}", "proxy_headers": self._egress.login_header}

    async def close(self) -> None:
        await self._session.close()


async def _read(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    """The body, one byte more than `bytes_max` at most: enough to refuse it."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > bytes_max:
            return bytes(body[: bytes_max + 1])
    return bytes(body)


def _refusal(response: aiohttp.ClientResponse, body: bytes) -> CallFailed:
    """What a problem document says; of any other page only the status (GHS/1 12.5)."""
    wait = response.headers.get("retry-after", "")
    wait_s = float(wait) if wait.isascii() and wait.isdecimal() and len(wait) < 9 else 0.0
    try:
        told = orjson.loads(body)
        code, detail = told["code"], told["detail"]
        if isinstance(code, str) and isinstance(detail, str):
            return CallFailed(code[:100], detail[:500], wait_s)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        pass
    return CallFailed(
        f"{_NO_CODE}{response.status}", f"{response.url.origin()}: not an answer of a control plane", wait_s
    )
