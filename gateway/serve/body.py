"""Reading a request's body: bounded in bytes and in time."""

import asyncio

from aiohttp import web

from gateway.errors import Code, GatewayError


async def read_body(request: web.BaseRequest, bytes_max: int, wait_s: float) -> bytes:
    """The whole body. Raises GatewayError 400, 408 or 413. A body that came with its head costs no timer."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise GatewayError(
            Code.CONTENT_TYPE_INVALID, "send the body without content-encoding", param="content-encoding"
        )
    length = request.content_length
    if length is not None and length > bytes_max:
        raise _too_large(bytes_max)
    if request.content.is_eof():
        return _bounded(request.content.read_nowait(), bytes_max)
    if request.headers.get("expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # The answer proper has not begun.
    try:
        async with asyncio.timeout(wait_s):
            return await _read(request, bytes_max)
    except TimeoutError:
        message = f"the body did not come whole within {wait_s:g} s"
        raise GatewayError(Code.BODY_TIMEOUT, message) from None
    except web.RequestPayloadError:
        raise GatewayError(Code.HTTP_MALFORMED, "the body broke off or its chunks are malformed") from None


async def _read(request: web.BaseRequest, bytes_max: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := await request.content.readany():
        size += len(part)
        if size > bytes_max:
            raise _too_large(bytes_max)
        parts.append(part)
    return b"".join(parts)


def _bounded(body: bytes, bytes_max: int) -> bytes:
    if len(body) > bytes_max:
        raise _too_large(bytes_max)
    return body


def _too_large(bytes_max: int) -> GatewayError:
    return GatewayError(Code.BODY_TOO_LARGE, f"the body is larger than {bytes_max} bytes")
