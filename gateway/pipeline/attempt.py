"""Trying targets: translate, send, retry, fall back. The one file that knows both providers and upstream.

Until the first byte of content nothing has gone to the caller: whatever fails before it is tried again, or elsewhere.
Where nothing is left to try, nothing is held back.
"""

import random
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import msgspec
from msgspec.structs import replace

from gateway.errors import Code, GatewayError
from gateway.pipeline.breaker import Breakers, State
from gateway.pipeline.budget import RetryBudget
from gateway.pipeline.cached import Cached
from gateway.pipeline.exchange import Attempt, Exchange, Headers
from gateway.pipeline.grants import Grants
from gateway.pipeline.pause import PAUSES_S_MAX, pause_s, retry_after_s
from gateway.pipeline.replies import SAYS_NOTHING, OwnAnswer, Pipe, Reply, Stream, Whole
from gateway.pipeline.resolve import effective_model
from gateway.pipeline.shape import shaped
from gateway.pipeline.speed import FAILED_S, Speeds
from gateway.providers.base import (
    USER_AGENT,
    BrokenAnswer,
    Call,
    FailedAnswer,
    Heads,
    Provider,
    ProviderKey,
    StreamFailure,
    Translated,
    Untranslatable,
    Usage,
    masked,
)
from gateway.providers.form import FormGuard
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
from gateway.upstream.messages import Deadlines, Origin, RequestHead, UpstreamClient, UpstreamRequest, UpstreamResponse
from gateway.view.route import AS_IT_COMES, Credential, CredentialUnavailable, DeadEnd, Fallback, Retry, Route, Target
from shared.clock import Clock

ERROR_BODY_BYTES_MAX = 1024 * 1024
HELD_BYTES_MAX = 64 * 1024
HELD_S_MAX = 10.0
"""What of a stream comes before its content is held back so far and so long, while it can still be taken back."""

JSON: Mapping[str, str] = {"content-type": "application/json"}
JSON_BYTES_MAX = 1024 * 1024
"""Of an answer that cannot say what was used, so much is read before it is passed on."""

_UNCHANGED: Mapping[str, Any] = {}
_FORMS = ("stream_options", "encoding_format")
"""What of a body says how the answer is written, where an adapter writes it."""

Sleep = Callable[[float], Awaitable[None]]


class Preview(msgspec.Struct, frozen=True):
    """A first attempt as it would be made, with masks in the place of secrets."""

    request: UpstreamRequest | None
    """None: the gateway answers by itself."""
    deadlines: Deadlines
    notes: Headers


class Waits(msgspec.Struct, frozen=True):
    """Deadlines of a plain answer, which comes in one piece, and of a stream."""

    plain: Deadlines
    stream: Deadlines


class Attempts:
    __slots__ = (
        "_answer_bytes_max",
        "_breakers",
        "_budget",
        "_cached",
        "_chance",
        "_client",
        "_clock",
        "_grants",
        "_sleep",
        "_speeds",
        "_waits",
    )

    def __init__(
        self,
        client: UpstreamClient,
        waits: Waits,
        answer_bytes_max: int,
        clock: Clock,
        *,
        breakers: Breakers,
        cached: Cached,
        chance: random.Random,
        sleep: Sleep,
    ) -> None:
        """`chance` and `sleep` are for the pauses between retries."""
        self._client = client
        self._grants = Grants(client, clock)
        self._waits = waits
        self._answer_bytes_max = answer_bytes_max
        self._clock = clock
        self._breakers = breakers
        self._cached = cached
        self._chance = chance
        self._sleep = sleep
        self._budget = RetryBudget()
        self._speeds = Speeds()

    def is_out(self, target: Target, now_s: float) -> bool:
        """Whether its breaker leaves a target out now."""
        return self._breakers.is_out(target, now_s)

    def breaker(self, target: Target) -> State | None:
        """As it stands, if the target has one that was needed."""
        return self._breakers.state(target)

    def cache_key(self, target: Target, call: Call, exchange: Exchange) -> str | None:
        """None: the call is not cached there."""
        return None if target.handling.cache is None else self._cached.key_of(target, call, exchange)

    def seconds(self, target: Target, call: Call) -> float | None:
        """How soon it answers such a call; None: nobody has tried."""
        return self._speeds.seconds((target.speed_key, effective_model(target, call), call.stream))

    def preview(self, target: Target, call: Call, exchange: Exchange, now_s: float) -> Preview:
        """What `run` would send there first. Nobody is asked, and nothing taken. Raises GatewayError."""
        exchange.due_s = None  # Each target is looked at by itself.
        deadlines = self._deadlines(target, call, exchange, now_s)
        model, key = effective_model(target, call), None if target.credential is None else _key(target.credential)
        if key is not None and (wanted := target.adapter.exchange(key)) is not None:
            key = self._grants.kept(wanted) or wanted.mask
        adapter = target.adapter if call.dialect is None else call.dialect.between(target.adapter, target.place)
        try:
            made = self._request(adapter, target, masked(key), model, call, exchange, deadlines)
        except Untranslatable as error:
            raise _refused(error) from None
        request = None if isinstance(made, Whole) else made
        return Preview(request, deadlines, exchange.notes or [])

    def run(
        self, plan: Route, call: Call, exchange: Exchange, *, final: bool = True, asked: bool = False
    ) -> Awaitable[Reply]:
        """The first reply that is good enough, else the last one. Raises the last GatewayError if none answered.

        `final`: nothing else is tried after this. `asked`: the cache was, if there is one.
        """
        # No coroutine of its own: one less that each byte of the answer goes through.
        if isinstance(plan, Target):
            handling = plan.handling
            if handling.cache is not None and not asked:
                run = partial(self.run, plan, exchange=exchange, final=final, asked=True)
                return self._cached.through(plan, handling.cache, call, exchange, run)
            now_s = self._clock.monotonic_s()
            self._budget.called(now_s)
            exchange.retry_told = 0
            if handling.retry is not None:
                return self._retried(plan, handling.retry, call, exchange, now_s, final=final)
            if plan.breaker_key:
                return self._watched(plan, call, exchange, now_s, final=final)
            return self._try(plan, call, exchange, now_s, final=final)
        if isinstance(plan, DeadEnd):
            raise plan.error
        assert isinstance(plan, Fallback), "what is tried was drawn before"
        return self._fallen_back(plan, call, exchange, final=final)

    async def _fallen_back(self, plan: Fallback, call: Call, exchange: Exchange, *, final: bool) -> Reply:
        for child in plan.routes[:-1]:
            try:
                reply = await self.run(child, call, exchange, final=False)
            except GatewayError as error:
                if not _error_goes_on(plan, error) or not _can_start(exchange):
                    raise
            else:
                if not _goes_on(plan, reply.status) or not _can_start(exchange):
                    return reply
                reply.response.abort()
            exchange.fallbacks += 1
            exchange.cache, exchange.cached = "disabled", None  # The next target has a word of its own.
        return await self.run(plan.routes[-1], call, exchange, final=final)

    async def _retried(
        self, target: Target, retry: Retry, call: Call, exchange: Exchange, now_s: float, *, final: bool
    ) -> Reply:
        paused_s = 0.0
        once = self._watched if target.breaker_key else self._try
        while True:
            outcome: Reply | GatewayError
            last = exchange.retry_told >= retry.attempts
            try:
                outcome = await once(target, call, exchange, now_s, final=final and last)
            except GatewayError as error:
                outcome = error
            if not _is_retried(retry, outcome) or not _can_start(exchange):
                return _given(outcome)
            now_s = self._clock.monotonic_s()
            wait_s = self._pause_s(exchange, retry, outcome)
            last = last or paused_s + wait_s >= PAUSES_S_MAX
            # A retry that could only begin when the call's time is over is none.
            if last or now_s + wait_s >= (exchange.due_s or now_s) or not self._budget.take(now_s):
                exchange.retry_told = -1
                return _given(outcome)
            if not isinstance(outcome, GatewayError):
                outcome.response.abort()
            await self._sleep(wait_s)
            paused_s += wait_s
            exchange.paused_s += wait_s
            exchange.retries += 1
            exchange.retry_told += 1
            now_s = self._clock.monotonic_s()

    def _pause_s(self, exchange: Exchange, retry: Retry, outcome: Reply | GatewayError) -> float:
        if isinstance(outcome, GatewayError):
            return pause_s(exchange.retry_told, retry, None, None, self._chance)
        told_s = exchange.attempts[-1].retry_after_s
        return pause_s(exchange.retry_told, retry, outcome.status, told_s, self._chance)

    async def _watched(self, target: Target, call: Call, exchange: Exchange, now_s: float, *, final: bool) -> Reply:
        """Try it, and let its breaker know."""
        probe = self._breakers.began(target, now_s)
        try:
            reply = await self._try(target, call, exchange, now_s, final=final)
        except GatewayError as error:
            if isinstance(error, Failed):
                self._breakers.ended(target, self._clock.monotonic_s(), None, probe)
                probe = None
            raise
        else:
            self._breakers.ended(target, self._clock.monotonic_s(), reply.status, probe)
            probe = None
            return reply
        finally:
            self._breakers.abandoned(target, self._clock.monotonic_s(), probe)

    async def _try(self, target: Target, call: Call, exchange: Exchange, now_s: float, *, final: bool) -> Reply:
        known, adapter, credential, upload = exchange.known, target.adapter, target.credential, exchange.upload
        if is_plain := known is not None and known.plain is target:
            deadlines = self._waits.stream if call.stream else self._waits.plain
            model = known.effective_model
        else:
            deadlines = self._deadlines(target, call, exchange, now_s)
            model = effective_model(target, call)
            if call.dialect is not None:
                adapter = call.dialect.between(adapter, target.place)
        attempt = Attempt(target, model, now_s, None, None, None, False)
        exchange.attempts.append(attempt)
        response: UpstreamResponse | None = None
        try:
            key = None if credential is None else credential.opened or _key(credential)
            request: UpstreamRequest | None = None
            if is_plain and (credential is None or credential.trust is None):
                heads = Heads() if credential is None else credential.heads
                request = adapter.plain_request(call, target.place, key, model, deadlines, heads)
            if request is None:
                if key is not None and (wanted := target.adapter.exchange(key)) is not None:
                    key = await self._grants.key(wanted, target, deadlines)
                made = self._request(adapter, target, key, model, call, exchange, deadlines)
                if isinstance(made, Whole):
                    return made
                request, call = made, _in_form(call, target)
            attempt.sent = True
            response = await self._client.send(request)
            status = attempt.status = response.status
            if status != 200 or call.stream or call.passage is not None:
                return await self._reply(adapter, target, call, response, attempt, final=final)
            # What most calls come to.
            body, usage = adapter.answer(call, await response.read(self._answer_bytes_max))
            return Whole(target, response, status, body, usage)
        except UpstreamError as error:
            attempt.sent = attempt.sent and not isinstance(error, _UNSENT)
            if upload is not None and upload.error is not None:
                raise _failed(attempt, _not_whole(upload.error)) from error
            raise _failed(attempt, self._renamed(error, target, now_s)) from error
        except FailedAnswer as error:
            assert response is not None, "there was an answer"
            return self._told(adapter, target, response, error.failure, error.usage, attempt)
        except BrokenAnswer as error:
            if response is not None:
                response.abort()
            message = f"{target.place.provider} answered {response.status if response else ''} but {error}"
            raise _failed(attempt, Failed(Code.UPSTREAM_BROKEN, message)) from None
        except BaseException as error:
            if response is not None:
                response.abort()
            if isinstance(error, Untranslatable):
                raise _failed(attempt, _refused(error)) from None
            if isinstance(error, GatewayError):
                _failed(attempt, error)
            raise
        finally:
            attempt.ended_s = self._clock.monotonic_s()
            if target.speed_key and attempt.sent:
                self._measured(target, attempt, call)
            if upload is not None and attempt.status is None and not upload.is_sent:
                attempt.sent = False  # Nobody works on half a request.

    def _measured(self, target: Target, attempt: Attempt, call: Call) -> None:
        if attempt.status is None and attempt.error is None:
            return  # The caller left.
        assert attempt.ended_s is not None
        answered = attempt.error is None and attempt.status is not None and 200 <= attempt.status < 300
        took_s = attempt.ended_s - attempt.began_s if answered else FAILED_S
        self._speeds.took((target.speed_key, attempt.model, call.stream), took_s)

    def _deadlines(self, target: Target, call: Call, exchange: Exchange, now_s: float) -> Deadlines:
        """What the attempt may take: as the config or the caller says, within what the call may take as a whole."""
        waits = self._waits.stream if call.stream else self._waits.plain
        timeout_ms = target.handling.timeout_ms
        left_s = waits.total_s
        if exchange.due_s is None:
            exchange.due_s = now_s + left_s
            if timeout_ms is None:
                return waits
        else:
            left_s = exchange.due_s - now_s
        if left_s <= 0:
            message = f"the call as a whole has taken the {waits.total_s:g} s it may take; nothing more is tried"
            raise GatewayError(Code.UPSTREAM_TIMEOUT, message)
        if timeout_ms is None:
            return replace(waits, total_s=left_s)
        timeout_s = timeout_ms / 1_000
        return replace(
            waits,
            connect_s=min(waits.connect_s, timeout_s),
            head_s=timeout_s,
            total_s=left_s if call.stream else min(left_s, timeout_s),
        )

    def _request(
        self,
        adapter: Provider,
        target: Target,
        key: ProviderKey | None,
        model: str,
        call: Call,
        exchange: Exchange,
        deadlines: Deadlines,
    ) -> UpstreamRequest | Whole:
        """What is sent; or the answer, where nobody has to be asked. Raises Untranslatable."""
        place, credential, upload = target.place, target.credential, exchange.upload
        call, overrides = _shaped(call, target, exchange, model)
        translated = adapter.request(call, place, key, overrides, model)
        exchange.notes = _notes(translated) if translated.left_out or translated.answer is not None else None
        if translated.answer is not None:
            return Whole(target, OwnAnswer(), 200, translated.answer, None)
        if upload is not None:
            upload.start(translated.skip)
        # Below by place and not by name, as whatever is made for each call.
        origin, method, path = translated.origin or place.origin, translated.method, translated.target
        headers, body = translated.headers, translated.body
        trust = place.trust if credential is None else credential.trust or place.trust
        if trust is not None:
            origin = Origin(origin.scheme, origin.host, origin.port, trust)
        if "user-agent" in target.handling.forward_headers and "user-agent" in exchange.headers:
            headers = headers.replace(USER_AGENT, b"", 1)
        if translated.signer is not None:
            headers += translated.signer.sign(method, origin, path, headers, body)
        return UpstreamRequest(origin, RequestHead(method, path, headers), body, deadlines, upload)

    async def _reply(
        self,
        adapter: Provider,
        target: Target,
        call: Call,
        response: UpstreamResponse,
        attempt: Attempt,
        *,
        final: bool,
    ) -> Reply:
        status = response.status
        if call.passage is not None and 200 <= status < 300:
            return await self._passed(adapter, target, call, response, attempt, final=final)
        if status in SAYS_NOTHING:
            raise BrokenAnswer("that says nothing to a call")
        content_type = response.headers.get("content-type", "")
        if not 200 <= status < 300:
            body = await response.read(ERROR_BODY_BYTES_MAX)
            attempt.retry_after_s = self._retry_after_s(target, response, body)
            shaped_error = adapter.error(target.place.provider, status, response.headers, body)
            return Whole(target, response, status, shaped_error, None)
        if call.stream and content_type.lower().startswith(adapter.stream_type):
            return await self._stream(adapter, target, call, response, attempt, final=final)
        body, usage = adapter.answer(call, await response.read(self._answer_bytes_max))
        return Whole(target, response, status, body, usage)

    async def _passed(
        self,
        adapter: Provider,
        target: Target,
        call: Call,
        response: UpstreamResponse,
        attempt: Attempt,
        *,
        final: bool,
    ) -> Reply:
        """JSON is read whole, since it may say what was used; whatever else it is passes as it comes."""
        assert call.passage is not None
        content_type = response.headers.get("content-type", "")
        kind = content_type.partition(";")[0].strip().lower()
        if kind == "text/event-stream":
            return await self._stream(adapter, target, call, response, attempt, final=final)
        if kind != "application/json" or response.status in SAYS_NOTHING:
            return Pipe(target, response, response.status, b"")
        bytes_max = self._answer_bytes_max if call.passage.runs_model else JSON_BYTES_MAX
        body = bytearray()
        while data := await response.chunk():
            body += data
            if len(body) > bytes_max:
                return Pipe(target, response, response.status, bytes(body))
        whole, usage = adapter.answer(call, bytes(body))
        return Whole(target, response, response.status, whole, usage, content_type)

    async def _stream(
        self,
        adapter: Provider,
        target: Target,
        call: Call,
        response: UpstreamResponse,
        attempt: Attempt,
        *,
        final: bool,
    ) -> Reply:
        """The stream from its first content on. An error before it is an answer like one that comes alone."""
        reader = adapter.stream(call)
        reply = Stream(target, response, response.status, reader, b"")
        held_s: float | None = None
        while not (reader.begun or reader.complete or reader.failed):
            data = await response.chunk()
            if not data:
                reply.first += reader.end()
                reply.ended = True
                break
            reply.first += reader.feed(data)
            if reply.first and not (reader.begun or reader.failed):
                now_s = self._clock.monotonic_s()
                held_s = now_s if held_s is None else held_s
                if final or len(reply.first) > HELD_BYTES_MAX or now_s - held_s >= HELD_S_MAX:
                    return reply
        failure = reader.failure
        # Some hosts end with the error what says nothing else, which is an end and so a beginning.
        if failure is None or (reader.begun and reader.usage.output_tokens != 0):
            return reply
        response.abort()
        return self._told(adapter, target, response, failure, None, attempt)

    def _told(
        self,
        adapter: Provider,
        target: Target,
        response: UpstreamResponse,
        failure: StreamFailure,
        usage: Usage | None,
        attempt: Attempt,
    ) -> Whole:
        """A provider's error that did not come as one, with the status that it would have had."""
        attempt.status = failure.status
        attempt.retry_after_s = self._retry_after_s(target, response, failure.body)
        body = adapter.error(target.place.provider, failure.status, JSON, failure.body)
        return Whole(target, response, failure.status, body, usage)

    def _retry_after_s(self, target: Target, response: UpstreamResponse, body: bytes) -> float | None:
        told_s = retry_after_s(response.headers, self._clock.wall_ms())
        return target.adapter.retry_after_s(body) if told_s is None else told_s

    def _renamed(self, error: UpstreamError, target: Target, began_s: float) -> GatewayError:
        timeout_ms = target.handling.timeout_ms
        if timeout_ms is None or not isinstance(error, _LATE):
            return renamed(error, target)
        if self._clock.monotonic_s() - began_s < timeout_ms / 1_000:
            return renamed(error, target)
        message = f"Request exceeded the timeout sent in the request: {timeout_ms}ms"
        return Failed(Code.REQUEST_TIMEOUT, message)


class Failed(GatewayError):
    """The provider answered too late, or not as it should."""


class Unanswered(Failed):
    """It did not answer at all: there was no connection, or it was lost."""


def _key(credential: Credential) -> ProviderKey | None:
    """Raises GatewayError."""
    try:
        return credential.key()
    except CredentialUnavailable as error:
        raise GatewayError(Code.CREDENTIAL_UNAVAILABLE, str(error)) from None


def _shaped(call: Call, target: Target, exchange: Exchange, model: str) -> tuple[Call, Mapping[str, Any]]:
    """The call as the target takes it, and what is put into its body; of an upload, that is held to both."""
    caller, upload = exchange.caller, exchange.upload
    overrides = target.overrides or _UNCHANGED
    if target.handling is not AS_IT_COMES:
        call, overrides = shaped(call, target, exchange.headers)
    parts_max = _parts_max(call, overrides)
    if model and (target.models is not None or (caller is not None and caller.models is not None)):
        # Written anew: of two `model` keys in one body the provider might read the one that was not checked.
        overrides = {**overrides, "model": model}
        parts_max["model"] = 1
    if call.form is not None and upload is not None:  # Also where nothing is held to it: the target before may have.
        upload.inspect(FormGuard(call.form.boundary, parts_max) if parts_max else None)
    return call, overrides


def _in_form(call: Call, target: Target) -> Call:
    """The call as its answer is read: what form it is to have, a config may say in the caller's place."""
    overrides, defaults = target.overrides or _UNCHANGED, target.handling.defaults or _UNCHANGED
    if call.dialect is not None or not (overrides or defaults):
        return call
    given = {name: value for name, value in defaults.items() if name not in call.body} | dict(overrides)
    said = {name: given[name] for name in _FORMS if name in given}
    return replace(call, parsed={**call.body, **said}, few=None) if said else call


def _parts_max(call: Call, overrides: Mapping[str, Any]) -> dict[str, int]:
    """Of fields that a config puts into a form: those that were seen, or two readers could take different ones."""
    if call.form is None or call.passage is None or not call.passage.runs_model:
        return {}
    return {name: int(name in call.form.fields) for name in overrides if name != "model"}


def _notes(translated: Translated) -> Headers:
    notes = [("x-gatehouse-left-out", ", ".join(sorted(translated.left_out)))] if translated.left_out else []
    return notes if translated.answer is None else [*notes, ("x-gatehouse-estimated", "true")]


def _refused(error: Untranslatable) -> GatewayError:
    code = Code.PARAMETER_UNSUPPORTED if error.unsupported else Code.BODY_INVALID
    return GatewayError(code, str(error), param=error.pointer)


def _not_whole(error: Exception) -> GatewayError:
    """Why the caller's upload ended before its end."""
    if isinstance(error, Untranslatable):
        return GatewayError(Code.BODY_INVALID, str(error), param=error.pointer)
    assert isinstance(error, GatewayError)
    return error


def _failed(attempt: Attempt, error: GatewayError) -> GatewayError:
    attempt.error = error.code.value
    return error


def _given(outcome: Reply | GatewayError) -> Reply:
    if isinstance(outcome, GatewayError):
        raise outcome
    return outcome


def _can_start(exchange: Exchange) -> bool:
    """Whether the request can be sent once more: of an upload that is gone nothing more is kept than it has to be."""
    return exchange.upload is None or exchange.upload.can_start


def _is_retried(retry: Retry, outcome: Reply | GatewayError) -> bool:
    """Whoever does not answer at all is asked again, whatever the list says, as in the original."""
    if not isinstance(outcome, GatewayError):
        return outcome.status in retry.on_status_codes
    if isinstance(outcome, Unanswered):
        return True
    return isinstance(outcome, Failed) and outcome.row.status in retry.on_status_codes


def _goes_on(fallback: Fallback, status: int) -> bool:
    if fallback.on_status_codes is None:
        return not 200 <= status < 300
    return status in fallback.on_status_codes


def _error_goes_on(fallback: Fallback, error: GatewayError) -> bool:
    """Nobody answered, so there is no status that a list could name; only a timeout that was asked for has one."""
    return error.code is not Code.REQUEST_TIMEOUT or _goes_on(fallback, error.row.status)


_UNSENT = (AddressForbidden, ConnectFailed, ConnectTimeout)
"""The provider never saw the request."""
_LATE = (ConnectTimeout, FirstByteTimeout, StallTimeout, TotalTimeout)

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
_OTHERWISE = (Code.UPSTREAM_BROKEN, "failed")


def renamed(error: UpstreamError, target: Target) -> GatewayError:
    """An upstream failure in words for the caller. The address stays in our logs."""
    provider = target.place.provider
    if isinstance(error, AddressForbidden):
        if target.inline_host:
            message = "the custom host resolves to an address that this gateway does not call"
            return GatewayError(Code.CUSTOM_HOST_FORBIDDEN, message)
        message = f"{provider} resolves to an address that this gateway does not call; its operator can allow it"
        return GatewayError(Code.UPSTREAM_UNREACHABLE, message)
    code, words = next((_WORDS[kind] for kind in type(error).__mro__ if kind in _WORDS), _OTHERWISE)
    made = Unanswered if isinstance(error, ConnectFailed | ConnectTimeout | Cut) else Failed
    return made(code, f"{provider} {words}")
