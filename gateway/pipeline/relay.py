"""From a reply to the caller's answer: allowed headers, events as they come, and never a silent cut."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache

import orjson

from gateway.errors import Code, GatewayError
from gateway.pipeline.attempt import Reply, Stream, Whole, renamed
from gateway.pipeline.exchange import Answer, Exchange, Headers
from gateway.providers.base import BrokenAnswer
from gateway.upstream.errors import UpstreamError
from gateway.upstream.messages import UpstreamResponse

READ_OUT_S = 1.0

_PASSED = frozenset(
    ("retry-after", "retry-after-ms", "request-id", "x-request-id", "x-amzn-requestid", "cf-ray", "x-should-retry")
)
_PASSED_PREFIXES = ("x-ratelimit-", "openai-", "anthropic-", "azureml-")


async def relay(reply: Reply, exchange: Exchange, answer: Answer) -> None:
    """Write the reply to its end. A stream that breaks ends with an error event, then properly."""
    exchange.status = reply.response.status
    if isinstance(reply, Whole):
        exchange.usage = reply.usage
        exchange.bytes_out = len(reply.body)
        await answer.head(reply.response.status, _headers(reply, exchange, "application/json"), len(reply.body))
        await answer.chunk(reply.body)
        await answer.end()
        exchange.whole = True
        return
    try:
        await answer.head(reply.response.status, _headers(reply, exchange, "text/event-stream; charset=utf-8"), None)
        await _relay_events(reply, exchange, answer)
    finally:
        exchange.usage = reply.reader.usage
        reply.response.abort()


async def _relay_events(reply: Stream, exchange: Exchange, answer: Answer) -> None:
    response, reader = reply.response, reply.reader
    whole = False
    try:
        while not reader.complete and (data := await response.chunk()):
            await _send(reader.feed(data), exchange, answer)
        await _send(reader.end(), exchange, answer)
        whole = not reader.failed
    except UpstreamError as error:
        await _break_off(renamed(error, reply.target), exchange, answer)
    except BrokenAnswer as error:
        message = f"{reply.target.place.provider}: {error}"
        await _break_off(GatewayError(Code.UPSTREAM_BROKEN, message), exchange, answer)
    await answer.end()
    exchange.whole = whole
    if reader.complete:
        await _read_out(response)


async def _read_out(response: UpstreamResponse) -> None:
    """The body's end comes right behind the stream's last event; once it is read, the connection can be used again."""
    with suppress(UpstreamError, TimeoutError):
        async with asyncio.timeout(READ_OUT_S):
            while await response.chunk():
                pass


async def _send(events: bytes, exchange: Exchange, answer: Answer) -> None:
    if events:
        exchange.bytes_out += len(events)
        await answer.chunk(events)


async def _break_off(error: GatewayError, exchange: Exchange, answer: Answer) -> None:
    """An error event where the rest should have come, and no `[DONE]`: the caller sees that it has not everything."""
    exchange.error_code = error.code
    await answer.chunk(b"data: %b\n\n" % orjson.dumps(error_body(error, exchange.id)))


async def refuse(error: GatewayError, exchange: Exchange, answer: Answer) -> None:
    """The gateway's own error as a whole answer."""
    exchange.status = error.row.status
    exchange.error_code = error.code
    headers, body = refusal(error, exchange.id, exchange.trace_id)
    exchange.bytes_out = len(body)
    await answer.head(error.row.status, headers + _target(exchange), len(body))
    await answer.chunk(body)
    await answer.end()
    exchange.whole = True


def refusal(error: GatewayError, request_id: str, trace_id: str) -> tuple[Headers, bytes]:
    """Headers and body of the gateway's own error."""
    headers = [*_ours(request_id, trace_id), ("content-type", "application/json")]
    if error.retry_after_s is not None:
        headers.append(("retry-after", str(error.retry_after_s)))
    if not error.row.retry_helps:
        headers.append(("x-should-retry", "false"))
    return headers, orjson.dumps(error_body(error, request_id))


def error_body(error: GatewayError, request_id: str) -> dict[str, object]:
    """OpenAI's `error` object, and beside it the original's `status` and `message` (reference/portkey.md 2.6)."""
    body: dict[str, object] = {
        "error": {"message": error.message, "type": error.row.type, "param": error.param, "code": error.code.value},
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


def _headers(reply: Reply, exchange: Exchange, content_type: str) -> Headers:
    headers = _ours(exchange.id, exchange.trace_id)
    headers.extend(_target(exchange))
    headers.append(("content-type", content_type))
    headers.extend(_passed(reply.response.headers))
    return headers


def _ours(request_id: str, trace_id: str) -> Headers:
    return [
        ("x-portkey-request-id", request_id),
        ("x-portkey-trace-id", trace_id),
        ("x-portkey-cache-status", "DISABLED"),
        ("x-portkey-retry-attempt-count", "0"),
    ]


def _target(exchange: Exchange) -> Headers:
    """The last target tried, if any was."""
    if exchange.provider is None or exchange.target_path is None:
        return []
    return [
        ("x-portkey-provider", exchange.provider),
        ("x-portkey-last-used-option-index", exchange.target_path),
    ]


def _passed(headers: Mapping[str, str]) -> Headers:
    """The provider's headers that go on to the caller: a list of what may, not of what may not."""
    return [(name, value) for name, value in headers.items() if _passes(name)]


@lru_cache(maxsize=1_024)
def _passes(name: str) -> bool:
    return name in _PASSED or name.startswith(_PASSED_PREFIXES)
