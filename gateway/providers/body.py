"""Bodies of requests and answers, as every adapter writes and reads them (pure)."""

from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from gateway.providers.base import (
    BrokenAnswer,
    Call,
    Place,
    ProviderKey,
    Translated,
    Untranslatable,
    address,
    request_headers,
)


def dumped(asked: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(asked)
    except orjson.JSONEncodeError:  # orjson reads 1,024 levels and writes 254.
        raise Untranslatable("the body is nested too deep to be changed on its way") from None


def json_request(
    call: Call, place: Place, key: ProviderKey | None, path: str, asked: Mapping[str, Any], left_out: frozenset[str]
) -> Translated:
    """`asked` on its way to a path below the provider's base URL. Raises Untranslatable."""
    origin, prefix = address(place, key)
    return Translated(
        target=prefix + path,
        origin=origin,
        headers=request_headers(call, place, key),
        body=dumped(asked),
        left_out=left_out,
    )


def parsed_answer(body: bytes) -> dict[str, Any]:
    """Raises BrokenAnswer."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BrokenAnswer("the answer is not JSON") from None
    if not isinstance(parsed, dict):
        raise BrokenAnswer("the answer is not a JSON object")
    return parsed


def word(value: Any) -> str:
    """What a provider says in a word or a number, an id for one; empty for whatever else stands there, which may be
    nested deeper than Python writes down.
    """
    return str(value) if isinstance(value, str | int | float) else ""


class _Answer(msgspec.Struct, gc=False):
    usage: msgspec.Raw = msgspec.Raw(b"null")


_ANSWER = msgspec.json.Decoder(_Answer)


def usage_in(body: bytes) -> msgspec.Raw | None:
    """The JSON of an answer's `usage`; the rest of it is checked to be JSON, and not built. None: it has to be parsed
    whole, to say what is wrong with it.
    """
    try:
        if not body.isascii():
            body.decode()  # Of what it skips, the decoder does not look whether it is text.
        return _ANSWER.decode(body).usage
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        return None


def caller_wants_usage(call: Call) -> bool:
    options = call.body.get("stream_options") if call.few is None else call.few.stream_options
    return isinstance(options, dict) and options.get("include_usage") is True
