"""Trying targets: translate, send, fall back. The one file that knows both providers and upstream."""

from dataclasses import dataclass

from gateway.errors import Code, GatewayError
from gateway.pipeline.exchange import Attempt, Exchange
from gateway.pipeline.resolve import effective_model
from gateway.providers.base import BrokenAnswer, Call, StreamReader, Untranslatable, Usage
from gateway.upstream.errors import (
    AddressForbidden,
    ConnectFailed,
    ConnectTimeout,
    Cut,
    FirstByteTimeout,
    ProtocolFault,
    StallTimeout,
    TooLarge,
    TotalTimeout,
    UpstreamError,
)
from gateway.upstream.messages import Deadlines, UpstreamClient, UpstreamRequest, UpstreamResponse
from gateway.view.route import CredentialUnavailable, Fallback, Route, Target
from shared.clock import Clock

ERROR_BODY_BYTES_MAX = 1024 * 1024
_WITHOUT_BODY = frozenset({204, 205, 304})
"""Statuses that HTTP gives no body: one of them with an error in it would be read as the start of the next answer."""


@dataclass(slots=True)  # Made for each call: frozen, it would cost four times as much to make.
class Whole:
    """An answer that came in one piece: a 2xx, or a provider's error in our shape."""

    target: Target
    response: UpstreamResponse
    body: bytes
    usage: Usage | None


@dataclass(slots=True)  # Made for each call: frozen, it would cost four times as much to make.
class Stream:
    """An answer whose events are still coming. Whoever holds it reads it to its end or aborts it."""

    target: Target
    response: UpstreamResponse
    reader: StreamReader


Reply = Whole | Stream


@dataclass(frozen=True, slots=True)
class Waits:
    """Deadlines of a plain answer, which comes in one piece, and of a stream."""

    plain: Deadlines
    stream: Deadlines


class Attempts:
    __slots__ = ("_answer_bytes_max", "_client", "_clock", "_waits")

    def __init__(self, client: UpstreamClient, waits: Waits, answer_bytes_max: int, clock: Clock) -> None:
        self._client = client
        self._waits = waits
        self._answer_bytes_max = answer_bytes_max
        self._clock = clock

    async def run(self, route: Route, call: Call, exchange: Exchange) -> Reply:
        """The first reply that is good enough, else the last one. Raises the last GatewayError if none answered."""
        if isinstance(route, Target):
            return await self._try(route, call, exchange)
        for child in route.routes[:-1]:
            try:
                reply = await self.run(child, call, exchange)
            except GatewayError:
                pass  # Nobody answered, so there is no status that `on_status_codes` could name.
            else:
                if not _goes_on(route, reply.response.status):
                    return reply
                reply.response.abort()
            exchange.fallbacks += 1
        return await self.run(route.routes[-1], call, exchange)

    async def _try(self, target: Target, call: Call, exchange: Exchange) -> Reply:
        attempt = Attempt(target, effective_model(target, call), self._clock.monotonic_s(), sent=False)
        exchange.attempts.append(attempt)
        response: UpstreamResponse | None = None
        try:
            request = self._request(target, attempt.model, call, exchange)
            attempt.sent = True
            response = await self._client.send(request)
            attempt.status = response.status
            return await self._reply(target, call, response, attempt)
        except UpstreamError as error:
            attempt.sent = not isinstance(error, _UNSENT)
            raise _failed(attempt, renamed(error, target)) from error
        except BrokenAnswer as error:
            if response is not None:
                response.abort()
            message = f"{target.place.provider} answered {response.status if response else ''} but {error}"
            raise _failed(attempt, GatewayError(Code.UPSTREAM_BROKEN, message)) from None
        except BaseException as error:
            if response is not None:
                response.abort()
            if isinstance(error, GatewayError):
                _failed(attempt, error)
            raise
        finally:
            attempt.ended_s = self._clock.monotonic_s()

    def _request(self, target: Target, model: str, call: Call, exchange: Exchange) -> UpstreamRequest:
        try:
            key = target.credential.key() if target.credential is not None else None
        except CredentialUnavailable as error:
            raise GatewayError(Code.CREDENTIAL_UNAVAILABLE, str(error)) from None
        overrides = target.overrides or {}
        if target.models is not None or (exchange.caller is not None and exchange.caller.models is not None):
            # Written anew: of two `model` keys in one body the provider might read the one that was not checked.
            overrides = {**overrides, "model": model}
        try:
            translated = target.adapter.request(call, target.place, key, overrides, model)
        except Untranslatable as error:
            raise GatewayError(Code.BODY_INVALID, str(error), param="") from None
        return UpstreamRequest(
            origin=target.place.origin,
            method="POST",
            target=translated.target,
            headers=translated.headers,
            body=translated.body,
            deadlines=self._waits.stream if call.stream else self._waits.plain,
        )

    async def _reply(self, target: Target, call: Call, response: UpstreamResponse, attempt: Attempt) -> Reply:
        if response.status in _WITHOUT_BODY:
            raise BrokenAnswer("that says nothing to a call")
        content_type = response.headers.get("content-type", "")
        if not 200 <= response.status < 300:
            attempt.retry_after = response.headers.get("retry-after")
            body = await response.read(ERROR_BODY_BYTES_MAX)
            shaped = target.adapter.error(target.place.provider, response.status, content_type, body)
            return Whole(target, response, shaped, None)
        if call.stream and content_type.lower().startswith("text/event-stream"):
            return Stream(target, response, target.adapter.stream(call))
        body, usage = target.adapter.answer(call, await response.read(self._answer_bytes_max))
        return Whole(target, response, body, usage)


def _failed(attempt: Attempt, error: GatewayError) -> GatewayError:
    attempt.error = error.code.value
    return error


def _goes_on(fallback: Fallback, status: int) -> bool:
    if fallback.on_status_codes is None:
        return not 200 <= status < 300
    return status in fallback.on_status_codes


_UNSENT = (AddressForbidden, ConnectFailed, ConnectTimeout)
"""The provider never saw the request."""

_WORDS: dict[type[UpstreamError], tuple[Code, str]] = {
    ConnectFailed: (Code.UPSTREAM_UNREACHABLE, "could not be reached"),
    ConnectTimeout: (Code.UPSTREAM_TIMEOUT, "did not take the connection in time"),
    FirstByteTimeout: (Code.UPSTREAM_TIMEOUT, "did not begin to answer in time"),
    StallTimeout: (Code.UPSTREAM_TIMEOUT, "went silent before its answer was complete"),
    TotalTimeout: (Code.UPSTREAM_TIMEOUT, "did not finish its answer in time"),
    Cut: (Code.UPSTREAM_BROKEN, "broke off before its answer was complete"),
    TooLarge: (Code.UPSTREAM_BROKEN, "sent an answer larger than this gateway takes"),
    ProtocolFault: (Code.UPSTREAM_BROKEN, "sent what is not HTTP as this gateway accepts it"),
}
_FAILED = (Code.UPSTREAM_BROKEN, "failed")


def renamed(error: UpstreamError, target: Target) -> GatewayError:
    """An upstream failure in words for the caller. The address stays in our logs."""
    provider = target.place.provider
    if isinstance(error, AddressForbidden):
        if target.inline_host:
            message = "the custom host resolves to an address that this gateway does not call"
            return GatewayError(Code.CUSTOM_HOST_FORBIDDEN, message)
        message = f"{provider} resolves to an address that this gateway does not call; its operator can allow it"
        return GatewayError(Code.UPSTREAM_UNREACHABLE, message)
    code, words = next((_WORDS[kind] for kind in type(error).__mro__ if kind in _WORDS), _FAILED)
    return GatewayError(code, f"{provider} {words}")
