"""Server-sent events: sent as they come, for as long as the caller is there, may have them, and the server goes on."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from control_plane.errors import Problem, Unavailable
from control_plane.web.route import Event, EventsReply

HEARTBEAT_S = 15.0
"""Between comments that keep a quiet connection open; as often it is asked whether the caller still may."""
WRITE_S_MAX = 30.0
"""How long a caller may leave an event unread."""
LEFT_POLL_S = 0.5
"""How soon it is noticed that a caller is gone."""
RETRY_MS = 2_000
"""When a caller whose connection broke is to come again."""

CONTENT_TYPE = "text/event-stream"
_HEADERS = {
    "content-type": CONTENT_TYPE,
    "cache-control": "no-store",
    "x-accel-buffering": "no",  # A proxy that collects bytes would hold events back.
}


async def send(
    request: web.Request,
    reply: EventsReply,
    still_may: Callable[[], Awaitable[bool]],
    closing: asyncio.Event,
    headers: dict[str, str],
    heartbeat_s: float = HEARTBEAT_S,
) -> web.StreamResponse:
    """`still_may` answers, or raises a Problem, whether the caller may go on; `closing` is set when the server ends."""
    response = web.StreamResponse(headers={**_HEADERS, **headers})
    loop = asyncio.get_running_loop()
    end = asyncio.create_task(closing.wait())
    following = asyncio.ensure_future(anext(reply.events))
    try:
        await response.prepare(request)
        await _write(response, f"retry: {RETRY_MS}\n\n")
        beat = loop.time() + heartbeat_s
        while not closing.is_set() and not gone(request):
            wait_s = max(0.0, min(LEFT_POLL_S, beat - loop.time()))
            await asyncio.wait({following, end}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            if loop.time() >= beat:
                if not await _still(still_may):
                    break
                await _write(response, ": still here\n\n")
                beat = loop.time() + heartbeat_s
            if following.done():
                try:
                    event = following.result()
                except StopAsyncIteration:
                    break
                await _write(response, framed(event))
                following = asyncio.ensure_future(anext(reply.events))
        if not gone(request):
            await response.write_eof()
    except (ConnectionError, TimeoutError):
        pass  # The caller left, or does not read any more.
    finally:
        for task in (following, end):
            task.cancel()
        await asyncio.gather(following, end, return_exceptions=True)
        await reply.events.aclose()
        reply.done()
    return response


def framed(event: Event) -> str:
    """An event's lines. JSON holds no line break."""
    id_ = "" if event.id is None else f"id: {event.id}\n"
    return f"{id_}event: {event.name}\ndata: {event.data.model_dump_json()}\n\n"


def gone(request: web.Request) -> bool:
    """Whether the caller has left."""
    return request.transport is None or request.transport.is_closing()


async def _still(still_may: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await still_may()
    except Unavailable:
        return True  # Nobody can tell just now; who was let in stays.
    except Problem:
        return False


async def _write(response: web.StreamResponse, text: str) -> None:
    async with asyncio.timeout(WRITE_S_MAX):
        await response.write(text.encode())
