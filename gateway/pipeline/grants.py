"""Credentials that are exchanged for short-lived ones before calls can carry them: kept, and renewed ahead of time.

The first call of a credential waits for the exchange, as does one that comes after a grant ran out unused; every other
call takes what is there, and one of them has it renewed beside the calls.
"""

import asyncio
from collections import OrderedDict

import msgspec
from msgspec.structs import replace

from gateway.errors import Code, GatewayError
from gateway.providers.base import Exchange, Grant, GrantRefused, ProviderKey
from gateway.upstream.messages import Deadlines, RequestHead, UpstreamClient, UpstreamRequest
from gateway.view.route import Target
from shared.clock import Clock

GRANTS_MAX = 10_000
GRANT_BYTES_MAX = 256 * 1024
WAIT_S = 10.0
"""For an exchange, the connection and all."""
RENEW_MS = 300_000
"""So long before its end a grant is renewed beside the calls."""
SPENT_MS = 10_000
"""So long before its end a grant is not used any more: what is sent with it has to arrive."""
RETRY_MS = 10_000
"""So long nobody tries again what could not be renewed."""


class _Kept(msgspec.Struct):
    grant: Grant | None = None
    ends_s: float = 0.0
    """When it ends, by the monotonic clock."""
    asking: "asyncio.Task[Grant] | None" = None
    """Under way; whoever needs it waits for the one that is."""
    again_at_s: float = 0.0

    def left_ms(self, clock: Clock) -> float:
        """By the clock that leaves it less: the wall's may be set back, and the other stands while a machine sleeps."""
        if self.grant is None:
            return 0
        return min(self.grant.expires_at_ms - clock.wall_ms(), (self.ends_s - clock.monotonic_s()) * 1_000)


class Grants:
    __slots__ = ("_client", "_clock", "_kept")

    def __init__(self, client: UpstreamClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def kept(self, exchange: Exchange) -> ProviderKey | None:
        """What calls carry now; None: the next one has it exchanged first."""
        kept = self._kept.get(exchange.name)
        return None if kept is None or kept.grant is None else kept.grant.key

    async def key(self, exchange: Exchange, target: Target, deadlines: Deadlines) -> ProviderKey:
        """What calls carry. Raises GatewayError, UpstreamError."""
        kept = self._kept.get(exchange.name)
        if kept is None:
            kept = self._kept[exchange.name] = _Kept()
            if len(self._kept) > GRANTS_MAX:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(exchange.name)
        left_ms = kept.left_ms(self._clock)
        if kept.grant is not None and left_ms > SPENT_MS:
            if left_ms < RENEW_MS and kept.asking is None and self._clock.monotonic_s() >= kept.again_at_s:
                self._ask(kept, exchange, target)
            return kept.grant.key
        asking = kept.asking or self._ask(kept, exchange, target)
        try:
            async with asyncio.timeout(min(deadlines.head_s, deadlines.total_s, WAIT_S)):
                # Shielded: others may wait for it too, and the next caller will be glad of it.
                return (await asyncio.shield(asking)).key
        except TimeoutError:
            message = f"{target.place.provider} did not exchange the credential of {_whose(target)} in time"
            raise GatewayError(Code.UPSTREAM_TIMEOUT, message) from None
        except GrantRefused as error:
            message = f"the credential of {_whose(target)} cannot be used: {error}"
            raise GatewayError(Code.CREDENTIAL_UNAVAILABLE, message) from None

    def _ask(self, kept: _Kept, exchange: Exchange, target: Target) -> "asyncio.Task[Grant]":
        asking = kept.asking = asyncio.create_task(self._exchanged(exchange, target))

        def asked(task: "asyncio.Task[Grant]") -> None:
            kept.asking = None
            if task.cancelled() or task.exception() is not None:
                kept.again_at_s = self._clock.monotonic_s() + RETRY_MS / 1_000
            else:
                kept.grant = task.result()
                left_ms = kept.grant.expires_at_ms - self._clock.wall_ms()
                kept.ends_s = self._clock.monotonic_s() + left_ms / 1_000

        asking.add_done_callback(asked)
        return asking

    async def _exchanged(self, exchange: Exchange, target: Target) -> Grant:
        """Raises GrantRefused, UpstreamError."""
        asked = exchange.request(self._clock.wall_ms())
        origin = asked.origin or target.place.origin
        headers = asked.headers
        if asked.signer is not None:
            headers += asked.signer.sign("POST", origin, asked.target, headers, asked.body)
        deadlines = replace(Deadlines(), head_s=WAIT_S, total_s=WAIT_S)
        head = RequestHead("POST", asked.target, headers)
        response = await self._client.send(UpstreamRequest(origin, head, asked.body, deadlines))
        body = await response.read(GRANT_BYTES_MAX)
        return exchange.grant(response.status, body, self._clock.wall_ms())


def _whose(target: Target) -> str:
    return f"@{target.virtual_key}" if target.virtual_key is not None else "the config"
