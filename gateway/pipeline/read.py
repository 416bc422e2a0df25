"""From a body's bytes to a `Call` (pure): parsed once, and checked only as far as the gateway itself must know."""

from collections.abc import Mapping

import orjson

from gateway.errors import Code, GatewayError
from gateway.providers.base import Call, Door

_FORWARDED = (
    "openai-organization",
    "openai-project",
    "openai-beta",
    "anthropic-beta",
    "idempotency-key",
    "traceparent",
)
"""Request headers that go to the provider as they came (design section 5)."""


def read_call(door: Door, headers: Mapping[str, str], body: bytes) -> Call:
    """Raises GatewayError 400 with the place of the fault: position in the text, or JSON pointer."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise GatewayError(
            Code.JSON_MALFORMED,
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno} (byte {_byte(error)})"
            if body
            else "the body is empty; send a JSON object",
        ) from None
    if not isinstance(parsed, dict):
        raise GatewayError(Code.BODY_INVALID, "the body must be a JSON object", param="")
    model = parsed.get("model")
    if model is not None and not (isinstance(model, str) and model):
        raise GatewayError(Code.BODY_INVALID, "`model` must be a string that is not empty", param="/model")
    stream = parsed.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise GatewayError(Code.BODY_INVALID, "`stream` must be true or false", param="/stream")
    return Call(
        door=door,
        raw=body,
        body=parsed,
        stream=stream is True and door is not Door.EMBEDDINGS,
        forwarded=_forwarded(headers),
    )


def _byte(error: orjson.JSONDecodeError) -> int:
    return len(error.doc[: error.pos].encode("utf-8", "surrogatepass"))


def _forwarded(headers: Mapping[str, str]) -> bytes:
    """Values were parsed off an HTTP head, so they hold no line break."""
    block = b""
    for name in _FORWARDED:
        value = headers.get(name)
        if value is not None:
            block += b"%b: %b\r\n" % (name.encode(), value.encode("utf-8", "surrogateescape"))
    return block
