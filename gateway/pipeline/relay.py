"""From a reply to the caller's answer: allowed headers, events as they come, and never a silent cut."""

import math
from collections.abc import Awaitable, Iterable, Mapping
from functools import lru_cache

import orjson

from gateway.cache.claims import Held
from gateway.dialects.registry import DIALECTS
from gateway.errors import Code, GatewayError
from gateway.pipeline.attempt import renamed
from gateway.pipeline.exchange import Answer, Exchange, Headers, Records, lines
from gateway.pipeline.replies import WITHOUT_BODY, Pipe, Reply, Stream, Whole
from gateway.providers.base import BrokenAnswer, Door
from gateway.upstream.errors import UpstreamError
from gateway.upstream.head import Fields, Form
from gateway.upstream.messages import UpstreamResponse
from shared.clock import Clock
from shared.models.config import pointer
from shared.models.strategy import RETRIES_MAX

READ_OUT_S = 1.0
EVENT_STREAM = "text/event-stream; charset=utf-8"
PROVIDER_ERROR = "provider_error"
"""In a record: the error that was passed on is the provider's own."""

_RETRIES = {count: ("x-portkey-retry-attempt-count", str(count)) for count in range(-1, RETRIES_MAX + 1)}
_CACHE = {
    word: ("x-portkey-cache-status", told)
    for word, told in (
        ("disabled", "DISABLED"),
        ("miss", "MISS"),
        ("hit", "HIT"),
        ("refresh", "REFRESH"),
        ("replayed", "DISABLED"),
    )
}
_PASSED = frozenset(
    ("retry-after", "retry-after-ms", "request-id", "x-request-id", "x-amzn-requestid", "cf-ray", "x-should-retry")
)
_PASSED_PREFIXES = ("x-ratelimit-", "openai-", "anthropic-", "azureml-")

_DECIDED = (
    "x-gatehouse-revision",
    "x-portkey-provider",
    "x-portkey-last-used-option-index",
    "x-gatehouse-idempotency-status",
)
Decided = tuple[str | None, str | None, str | None, str | None]
"""By which signed configuration, the last target tried, if any was, and what came of an idempotency key."""


class Relay:
    """Writes answers; a request's record comes before its answer's last byte, so whoever has an answer is counted."""

    __slots__ = ("_clock", "_records")

    def __init__(self, records: Records, clock: Clock) -> None:
        self._records = records
        self._clock = clock

    def reply(self, reply: Reply | Held, exchange: Exchange, answer: Answer) -> Awaitable[None]:
        """Write the reply to its end. A stream that breaks ends with an error event, then properly."""
        # No coroutine of its own: one less that an open stream keeps.
        if not isinstance(reply, Whole):
            return self._other(reply, exchange, answer)
        exchange.status = status = reply.status
        headers = _head(exchange, reply.content_type, reply.response.headers, exchange.notes)
        if not 200 <= status < 300:
            exchange.error = PROVIDER_ERROR
            headers += _told_elsewhere(reply, exchange)
        exchange.usage = reply.usage
        return self._whole(status, headers, reply.body, exchange, answer)

    def _other(self, reply: Stream | Pipe | Held, exchange: Exchange, answer: Answer) -> Awaitable[None]:
        if isinstance(reply, Held):
            return self._replay(reply, exchange, answer)
        exchange.status = reply.status
        if isinstance(reply, Stream):
            return self._stream(reply, exchange, answer)
        return self._pipe(reply, exchange, answer)

    def _replay(self, held: Held, exchange: Exchange, answer: Answer) -> Awaitable[None]:
        """The answer to an earlier call, once more: the same status and bytes, under its own request's id."""
        entry = held.entry
        assert entry is not None, "a call that still runs has no answer"
        exchange.status = entry.status
        content_type = EVENT_STREAM if entry.is_stream else entry.content_type
        replayed = ("x-gatehouse-idempotent-replayed", "true"), ("x-gatehouse-original-request-id", held.request_id)
        headers = _head(exchange, content_type, {}, [*entry.notes, *replayed])
        return self._whole(entry.status, headers, entry.body, exchange, answer)

    async def refuse(self, error: GatewayError, exchange: Exchange, answer: Answer) -> None:
        """The gateway's own error as a whole answer."""
        headers, body = refusal(
            error, exchange.id, exchange.trace_id, exchange.door, exchange.retry_told, exchange.cache
        )
        exchange.refused(error, len(body))
        decided = _decision(_decided(exchange))
        await self._whole(error.row.status, lines([*headers, *decided]), body, exchange, answer)

    async def _whole(self, status: int, headers: bytes, body: bytes, exchange: Exchange, answer: Answer) -> None:
        length = exchange.bytes_out = len(body)
        exchange.ending = exchange.ending or "complete"
        self._records.end(exchange)
        answer.head(status, headers, length)
        if not answer.end(body):
            await answer.drained()

    async def _pipe(self, reply: Pipe, exchange: Exchange, answer: Answer) -> None:
        """As it comes, in the length it says. One that breaks is cut: there is no word for it in bytes of any kind."""
        response = reply.response
        try:
            length = _length(response)
            if not answer.head(reply.status, _head(exchange, None, response.headers, exchange.notes), length):
                await answer.drained()
            data = reply.first or await response.chunk()
            while data and (length is None or exchange.bytes_out + len(data) < length):
                self._count(data, exchange)
                if not answer.put(data):
                    await answer.drained()
                data = await response.chunk()
            exchange.ending = "complete"
        except UpstreamError as error:
            exchange.error = exchange.attempts[-1].error = renamed(error, reply.target).code.value
            exchange.ending = "broken"
            self._records.end(exchange)
            await answer.drained()  # The head at least: where nothing came, clients ask again by themselves.
            answer.cut()
        else:
            if data:
                self._count(data, exchange)
            self._records.end(exchange)
            if not answer.end(data):
                await answer.drained()
        finally:
            response.abort()

    async def _stream(self, reply: Stream, exchange: Exchange, answer: Answer) -> None:
        try:
            # By no name of its own: what only the head needs does not stay as long as the stream takes.
            headers = reply.response.headers
            answer.head(reply.status, _head(exchange, EVENT_STREAM, headers, exchange.notes), None)
            del headers
            if not (reply.reader.complete or reply.ended or self._first(reply, exchange, answer)):
                await answer.drained()
            last = await self._events(reply, exchange, answer)
            exchange.usage = reply.reader.usage
            self._count(last, exchange)
            self._records.end(exchange)
            if reply.reader.complete:
                # The body's end comes right behind the last event, and the connection can be used again.
                reply.response.read_out(READ_OUT_S)
            else:
                reply.response.abort()
            if not answer.end(last):
                await answer.drained()
        except BaseException:
            reply.response.abort()
            raise
        finally:
            if exchange.usage is None:
                exchange.usage = reply.reader.usage

    def _first(self, reply: Stream, exchange: Exchange, answer: Answer) -> bool:
        """Pass on the events that are there already, in one write with the head; what can be done later is. Returns
        whether all is out, and more is taken.
        """
        first, reply.first = reply.first, b""
        taken = False
        if first:
            self._count(first, exchange)
            taken = answer.put(first)
        exchange.let_go()
        return taken

    async def _events(self, reply: Stream, exchange: Exchange, answer: Answer) -> bytes:
        """Pass the events on as they come, but for the last ones, which are returned: the record comes before them."""
        response, reader = reply.response, reply.reader
        sees_again, put, put_framed = reader.sees_again, answer.put, answer.passes()
        last, reply.first = reply.first, b""
        passed = 0

        def taken(data: bytes, chunk: bytes | None) -> bool:
            nonlocal last, passed
            if sees_again(data):  # As most of a stream is.
                passed += len(data)
                return put(data) if chunk is None or put_framed is None else put_framed(chunk)
            events = reader.feed(data)
            if reader.complete:
                last = events
                return False
            if not events:
                return True
            if exchange.first_byte_s is None:
                self._begun(exchange)
            passed += len(events)
            return put(events) if chunk is None or put_framed is None or events != data else put_framed(chunk)

        try:
            while not (reader.complete or reply.ended) and await response.pour(taken):
                await answer.drained()
            if not reply.ended:
                last += reader.end()
        except UpstreamError as error:
            return last + _broken_off(renamed(error, reply.target), reply, exchange)
        except BrokenAnswer as error:
            message = f"{reply.target.place.provider}: {error}"
            return last + _broken_off(GatewayError(Code.UPSTREAM_BROKEN, message), reply, exchange)
        finally:
            exchange.bytes_out += passed
        exchange.ending = "broken" if reader.failed else "complete"
        if reader.failed:
            exchange.error = PROVIDER_ERROR
        return last

    def _count(self, data: bytes, exchange: Exchange) -> None:
        if exchange.first_byte_s is None:
            self._begun(exchange)
        exchange.bytes_out += len(data)

    def _begun(self, exchange: Exchange) -> None:
        """The answer's first byte is there."""
        exchange.first_byte_s = self._clock.monotonic_s()
        if exchange.cached is None:
            exchange.attempts[-1].ended_s = exchange.first_byte_s


def _broken_off(error: GatewayError, reply: Stream, exchange: Exchange) -> bytes:
    """An error event where the rest should have come, and no proper end: the caller sees that it has not everything."""
    exchange.error = exchange.attempts[-1].error = error.code.value
    exchange.ending = "broken"
    return reply.reader.error_event(error_body(error, exchange.id), error.row.status)


def refusal(
    error: GatewayError,
    request_id: str,
    trace_id: str,
    door: Door | None = None,
    retries: int = 0,
    cache: str = "disabled",
) -> tuple[Headers, bytes]:
    """Headers and body of the gateway's own error, in the shape of the door, if it is known."""
    headers = [
        ("x-portkey-request-id", request_id),
        ("x-portkey-trace-id", trace_id),
        _CACHE[cache],
        _RETRIES[retries],
        ("content-type", "application/json"),
    ]
    if error.retry_after_s is not None:
        headers.append(("retry-after", str(error.retry_after_s)))
    if not error.row.retry_helps:
        headers.append(("x-should-retry", "false"))
    if error.code is Code.INTERNAL:
        headers.append(("x-portkey-gateway-exception", "true"))
    body = error_body(error, request_id)
    dialect = DIALECTS.get(door) if door is not None else None
    return headers, orjson.dumps(body if dialect is None else dialect.error(body, error.row.status))


def error_body(error: GatewayError, request_id: str) -> dict[str, object]:
    """OpenAI's `error` object, and beside it the original's `status` and `message` (reference/portkey.md 2.6)."""
    param = pointer(error.faults[0].path) if error.faults else error.param
    body: dict[str, object] = {
        "error": {"message": error.message, "type": error.row.type, "param": param, "code": error.code.value},
        "status": "failure",
        "message": error.message,
        "request_id": request_id,
    }
    if error.faults:
        body["errors"] = [
            {"message": f"path: {','.join(str(part) for part in fault.path)}, message: {fault.message}"}
            for fault in error.faults
        ]
    return body


def _length(response: UpstreamResponse) -> int | None:
    """Of its body, if it says so."""
    if response.status in WITHOUT_BODY:
        return 0
    length = response.headers.get("content-length")
    # The parser took nothing but digits, but Python takes no more than 4,300 of them, were they all zeros.
    return None if length is None else int(length.lstrip("0") or "0")


def _head(
    exchange: Exchange, content_type: str | None, given: Mapping[str, str], notes: Iterable[tuple[str, str]] | None
) -> bytes:
    """The lines of an answer's head. `given` are the provider's. `content_type` None: its own."""
    id_, labels = exchange.id, exchange.labels or exchange.told()
    head = f"x-portkey-request-id: {id_}\r\nx-portkey-trace-id: {labels.echo or id_}\r\n".encode()
    head += _same(exchange.cache, exchange.retry_told, content_type, _decided(exchange))
    if exchange.passage is not None:
        names = ("content-disposition",) if content_type is not None else ("content-type", "content-disposition")
        head += lines([(name, _as_it_came(given[name])) for name in names if name in given])
    # The provider's headers that go on to the caller: a list of what may, not of what may not.
    if isinstance(given, Fields):
        head += given.lines(_passing_runs(given.form))
    else:
        head += lines([(name, value) for name, value in given.items() if _passes(name)])
    return head + lines(notes) if notes else head


@lru_cache(maxsize=1_024)
def _same(cache: str, retries: int, content_type: str | None, decided: Decided) -> bytes:
    """What is the same for many answers, as lines."""
    headers = [_CACHE[cache], _RETRIES[retries], *_decision(decided)]
    return lines(headers if content_type is None else [*headers, ("content-type", content_type)])


def _decided(exchange: Exchange) -> Decided:
    """On a hit the target whose answer it is."""
    view, attempts = exchange.view, exchange.attempts
    revision = None if view is None else view.revision
    attempt = exchange.cached or (attempts[-1] if attempts else None)
    if attempt is None:
        return revision, None, None, exchange.idempotency
    target = attempt.target
    return revision, target.place.provider, target.path, exchange.idempotency


def _decision(decided: Decided) -> Headers:
    return [(name, value) for name, value in zip(_DECIDED, decided, strict=True) if value is not None]


def _told_elsewhere(reply: Reply, exchange: Exchange) -> bytes:
    """When to come back, where the provider said it but not in the header that clients read."""
    told_s = None if exchange.answered is None else exchange.answered.retry_after_s
    if told_s is None or "retry-after" in reply.response.headers:
        return b""
    return b"retry-after: %d\r\n" % math.ceil(told_s)


def _as_it_came(value: str) -> str:
    """Such that its bytes are written as they were read: file names come in more than ASCII."""
    return value.encode("latin-1").decode("utf-8", "surrogateescape")


@lru_cache(maxsize=64)
def _passing_runs(form: Form) -> tuple[tuple[int, int], ...]:
    """Which lines of such a head pass, as runs of neighbours."""
    runs: list[tuple[int, int]] = []
    for name, place in form.places.items():
        if not _passes(name):
            continue
        if runs and runs[-1][1] == place - 1:
            runs[-1] = runs[-1][0], place
        else:
            runs.append((place, place))
    return tuple(runs)


def _passes(name: str) -> bool:
    return name in _PASSED or name.startswith(_PASSED_PREFIXES)
