"""From a request that passes through to a `Call`: of its body a JSON object is read, or the first fields of a form."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import orjson

from gateway.dialects.passed import PASSED
from gateway.errors import Code, GatewayError
from gateway.pipeline.exchange import Exchange
from gateway.pipeline.read import check_fields, forwarded, header_line, not_json
from gateway.pipeline.shape import A_KEY_OF_OURS
from gateway.providers.base import Call, Passage, Untranslatable
from gateway.providers.form import FIELDS_BYTES_MAX, FormStart, boundary_in, start_of
from gateway.upstream.upload import Upload

FORM_BYTES_MIN = 1_024
"""A form that has begun is looked at again when so much of it is there, and then each time it has doubled."""


async def read_passed(passage: Passage, exchange: Exchange) -> Call:
    """Waits for an upload no longer than it has to. Raises GatewayError."""
    headers, body, upload = exchange.headers, exchange.body, exchange.upload
    if A_KEY_OF_OURS.search(unquote(passage.path + passage.query)):
        message = "a Gatehouse API key stands in the address; it goes in a header, and never on to a provider"
        raise GatewayError(Code.HEADER_INVALID, message)
    has_body = bool(body) or upload is not None
    if has_body and passage.method == "GET":
        raise GatewayError(Code.BODY_INVALID, "a GET has no body", param="")
    block = _content(headers, has_body=has_body) + forwarded(headers)
    if upload is not None:
        return await _uploaded(passage, upload, headers["content-type"], block)
    fields = _fields(body)
    return Call(
        door=passage.door,
        raw=body,
        parsed=fields or {},
        stream=fields is not None and fields.get("stream") is True,
        forwarded=block,
        dialect=PASSED,
        passage=passage,
        is_object=fields is not None,
    )


async def _uploaded(passage: Passage, upload: Upload, content_type: str, block: bytes) -> Call:
    form = await _form(upload, content_type)
    fields: Mapping[str, Any] = form.fields if form is not None else {}
    check_fields({"model": fields.get("model")})
    return Call(
        door=passage.door,
        raw=b"",
        parsed=fields,
        stream=fields.get("stream") == "true",
        forwarded=block,
        dialect=PASSED,
        passage=passage,
        is_object=False,
        form=form,
    )


async def _form(upload: Upload, content_type: str) -> FormStart | None:
    """The fields before a form's first file; None for what is no form."""
    try:
        boundary = boundary_in(content_type)
    except Untranslatable as error:
        raise GatewayError(Code.CONTENT_TYPE_INVALID, str(error), param=error.pointer) from None
    if boundary is None:
        return None
    seen = await upload.peek(0)
    while (form := start_of(seen, boundary)).is_open and len(seen) <= FIELDS_BYTES_MAX and not upload.is_whole:
        seen = await upload.peek(max(2 * len(seen), FORM_BYTES_MIN))
    return form


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
    accept = header_line("accept", headers.get("accept", "*/*"))
    if not has_body:
        return accept
    return header_line("content-type", headers.get("content-type", "application/json")) + accept
