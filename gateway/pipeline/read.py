"""From a body's bytes to a `Call` (pure): parsed once, and checked only as far as the gateway itself must know."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from gateway.cache.key import ANSWER_HEADERS
from gateway.dialects.registry import DIALECTS
from gateway.errors import Code, GatewayError
from gateway.pipeline.hops import next_hop
from gateway.pipeline.known import Known
from gateway.providers.base import Call, Door

FORWARDED = (*ANSWER_HEADERS, "idempotency-key", "traceparent")
"""Request headers that go to the provider as they came (design section 5)."""
_NAMED = {name: (f"x-portkey-{name}", f"x-gatehouse-{name}") for name in ANSWER_HEADERS}
"""The original has names of its own for these, which its clients send (reference/portkey.md 2.2)."""

_SPEAKS = {door: (door not in (Door.EMBEDDINGS, Door.COUNT_TOKENS), DIALECTS.get(door)) for door in Door}
"""Whether a door's answers can be streams, and what it speaks, if that is no chat."""

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def read_call(door: Door, headers: Mapping[str, str], body: bytes, known: Known | None = None) -> Call:
    """Raises GatewayError 400 with the place of the fault: position in the text, or JSON pointer."""
    if known is not None and known.plain is not None and known.forwarded is not None:
        few = _few(body)
        if few is not None and few.model == known.model:
            return Call(door, body, None, few.stream is True and _SPEAKS[door][0], known.forwarded, few=few)
    streams, dialect = _SPEAKS[door]
    parsed: dict[str, Any] | None
    few = None
    try:
        parsed = _whole(body)
    except GatewayError:
        # JSON all the same if the other reader says so, with a number that none holds: as the calls behind this one, it
        # goes on where nobody reads it whole, and is refused where somebody has to.
        few = _few(body) if known is not None and dialect is None else None
        if few is None:
            raise
        parsed, stream = None, check_fields({"model": few.model, "stream": few.stream})
    else:
        stream = check_fields(parsed)
    if known is None:
        lines = forwarded(headers)
    elif (lines_before := known.forwarded) is not None:
        lines = lines_before
    else:
        lines = known.forwarded = forwarded(headers)
    return Call(door, body, parsed, stream and streams, lines, dialect, few=few)


class _Few(msgspec.Struct, gc=False):
    """What a call that goes on as it came needs of its body; the rest is checked to be JSON, and not built."""

    model: Any = None
    stream: Any = None
    stream_options: Any = None
    user: Any = None

    def whole(self, raw: bytes) -> Mapping[str, Any]:
        return _whole(raw)


_FEW = msgspec.json.Decoder(_Few)


def _few(body: bytes) -> _Few | None:
    """None: it has to be looked at whole, to say what is wrong with it."""
    try:
        if not body.isascii():
            body.decode()  # Of what it skips, the decoder does not look whether it is text.
        few = _FEW.decode(body)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        return None
    return few if few.stream is None or type(few.stream) is bool else None


def _whole(body: bytes) -> dict[str, Any]:
    """Raises GatewayError 400."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise GatewayError(Code.JSON_MALFORMED, not_json(body, error)) from None
    if not isinstance(parsed, dict):
        raise GatewayError(Code.BODY_INVALID, "the body must be a JSON object", param="")
    return parsed


def check_fields(body: Mapping[str, Any]) -> bool:
    """What the gateway itself must know of a body: its `model` is one, and whether it asks for a stream.

    Raises GatewayError 400.
    """
    model = body.get("model")
    if model is not None and not (isinstance(model, str) and model):
        raise GatewayError(Code.BODY_INVALID, "`model` must be a string that is not empty", param="/model")
    stream = body.get("stream")
    if stream is None:
        return False
    if not isinstance(stream, bool):
        raise GatewayError(Code.BODY_INVALID, "`stream` must be true or false", param="/stream")
    return stream


def not_json(body: bytes, error: orjson.JSONDecodeError) -> str:
    """Words and place: line and column count characters from 1, bytes count from 0."""
    if not body:
        return "the body is empty; send a JSON object"
    try:
        text = body.decode()
    except UnicodeDecodeError as undecodable:  # Of which orjson says no place.
        before = body[: undecodable.start].decode()
        column = len(before) - before.rfind("\n")
        line = before.count("\n") + 1
        return f"the body is not UTF-8 at line {line}, column {column} (byte {undecodable.start})"
    byte = len(text[: error.pos].encode())
    return f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno} (byte {byte})"


def forwarded(headers: Mapping[str, str]) -> bytes:
    """The allowed request headers. Raises GatewayError for one that cannot go on, or for a call in a circle."""
    block = next_hop(headers)
    for name in FORWARDED:
        value = provider_header(headers, name)
        if value is not None:
            block += header_line(name, value)
    return block


def provider_header(headers: Mapping[str, str], name: str) -> str | None:
    """What a provider is to be told by this header."""
    for spelling in _NAMED.get(name, ()):
        if value := headers.get(spelling):
            return value
    return headers.get(name)


def header_line(name: str, value: str) -> bytes:
    """A header as it came. Raises GatewayError 400."""
    if _CONTROL.search(value):
        raise GatewayError(Code.HEADER_INVALID, f"the header {name} holds a control character", param=name)
    return b"%b: %b\r\n" % (name.encode(), value.encode("utf-8", "surrogateescape"))
