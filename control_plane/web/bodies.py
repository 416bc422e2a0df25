"""A request's body as it comes: bounded in bytes and in time."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from control_plane.errors import TimedOut, TooLarge

STRANGERS_BYTES_MAX = 64 * 1024
"""A larger one is taken only of somebody who is known, as at gateways (`gateway/serve/lane.py`)."""


async def read(
    request: web.Request, *, bytes_max: int, s_max: float, known: Callable[[], Awaitable[None]] | None = None
) -> bytes:
    """The whole body. Raises TooLarge; TimedOut for one that is not there within `s_max` seconds.

    `known` is called once the body is more than a stranger may send, and raises what it is refused with.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(s_max):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > bytes_max:
                    raise TooLarge(f"the body is larger than {bytes_max} bytes")
                if known is not None and len(body) > STRANGERS_BYTES_MAX:
                    await known()
                    known = None
    except TimeoutError:
        raise TimedOut(f"the body did not come whole within {s_max:g} s; send it again, in one go") from None
    return bytes(body)
