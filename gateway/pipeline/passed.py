"""From a request that passes through to a `Call` (pure): its body is read only where it is a JSON object."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import orjson

from gateway.dialects.passed import PASSED
from gateway.errors import Code, GatewayError
from gateway.pipeline.read import check_fields, forwarded, header_line, not_json
from gateway.pipeline.shape import A_KEY_OF_OURS
from gateway.providers.base import Call, Passage

_NO_FIELDS: Mapping[str, Any] = {}


def read_passed(passage: Passage, headers: Mapping[str, str], body: bytes) -> Call:
    """Raises GatewayError 400."""
    if A_KEY_OF_OURS.search(unquote(passage.path + passage.query)):
        message = "a Gatehouse API key stands in the address; it goes in a header, and never on to a provider"
        raise GatewayError(Code.HEADER_INVALID, message)
    if body and passage.method == "GET":
        raise GatewayError(Code.BODY_INVALID, "a GET has no body", param="")
    fields = _fields(body)
    return Call(
        door=passage.door,
        raw=body,
        body=_NO_FIELDS if fields is None else fields,
        stream=fields is not None and fields.get("stream") is True,
        forwarded=_content(headers, has_body=bool(body)) + forwarded(headers),
        dialect=PASSED,
        passage=passage,
        is_object=fields is not None,
    )


def _fields(body: bytes) -> Mapping[str, Any] | None:
    """Of a JSON object; None if it is none."""
    if not body:
        return None
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise GatewayError(Code.JSON_MALFORMED, not_json(body, error)) from None
    if not isinstance(parsed, dict):
        return None
    check_fields(parsed)
    return parsed


def _content(headers: Mapping[str, str], *, has_body: bool) -> bytes:
    """What the body is and what may be answered, in the caller's words."""
    kind = headers.get("content-type", "application/json") if has_body else None
    accept = header_line("accept", headers.get("accept", "*/*"))
    return accept if kind is None else header_line("content-type", kind) + accept
