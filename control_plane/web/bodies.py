"""A request's body as it comes: bounded in bytes and in time."""

import asyncio

from aiohttp import web

from control_plane.errors import TimedOut, TooLarge


async def read(request: web.Request, *, bytes_max: int, s_max: float) -> bytes:
    """The whole body. Raises TooLarge; TimedOut for one that is not there within `s_max` seconds."""
    body = bytearray()
    try:
        async with asyncio.timeout(s_max):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > bytes_max:
                    raise TooLarge(f"the body is larger than {bytes_max} bytes")
    except TimeoutError:
        raise TimedOut(f"the body did not come whole within {s_max:g} s; send it again, in one go") from None
    return bytes(body)
