"""Callers' connections: how long a head, the wait for the next one, and an answer that is not taken may hold one.

aiohttp bounds none of them but the wait, by an hour; and of a body that breaks off in its chunks it tells nobody.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web
from aiohttp.http import RawRequestMessage

from control_plane.errors import Invalid
from control_plane.web import problem
from shared.settings import for_asyncio


@dataclass(frozen=True, slots=True)
class Limits:
    """The gateway's own (`gateway/serve/lane.py`)."""

    head_s: float = 10.0
    """From a head's first byte to its last; as long has a TLS handshake."""
    idle_s: float = 75.0
    """Between requests, and before the first."""
    write_stall_s: float = 30.0
    """How long a caller may take nothing of what is ready for it."""


LIMITS = Limits()


class Connection(web.RequestHandler):
    __slots__ = ("_head_late", "_limits", "_new_id", "_stalled")

    def __init__(
        self, server: web.Server, limits: Limits, new_id: Callable[[], str], loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # Its own test is for None: no access log.
            keepalive_timeout=limits.idle_s,
        )
        self._limits = limits
        self._new_id = new_id
        self._head_late: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_waiting_for_head()
        self._stop_waiting_for_reader()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._waiter is None or self._waiter.done():  # Not between requests: a head is whole, or one is answered.
            self._stop_waiting_for_head()
            self._tell_of_a_broken_body()
        elif data and self._head_late is None:
            self._head_late = self._loop.call_later(self._limits.head_s, self.force_close)

    def _stop_waiting_for_head(self) -> None:
        if self._head_late is not None:
            self._head_late.cancel()
            self._head_late = None

    def _tell_of_a_broken_body(self) -> None:
        """What cannot be parsed stands behind the requests that wait, as one more. If it was in the body of the one
        before it, that one would wait for the rest until its time is over."""
        if not self._messages or isinstance(self._messages[-1][0], RawRequestMessage):
            return
        if len(self._messages) > 1:
            body = self._messages[-2][1]
        elif self._current_request is not None:
            body = self._current_request.content
        else:
            return
        if not body.is_eof() and body.exception() is None:
            self._lingering_time = 0.0  # Nothing comes any more that could be read past.
            body.set_exception(web.RequestPayloadError("the body's chunks cannot be read"))

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        self._stop_waiting_for_reader()
        super().resume_writing()

    def _wait_for_reader(self) -> None:
        if self.transport is not None:
            unsent_bytes = self.transport.get_write_buffer_size()
            self._stalled = self._loop.call_later(self._limits.write_stall_s, self._look_at_reader, unsent_bytes)

    def _look_at_reader(self, unsent_bytes: int) -> None:
        """A large answer may take long on a slow link; but some of it goes in each such while."""
        if self.transport is None:
            return
        if self.transport.get_write_buffer_size() < unsent_bytes:
            self._wait_for_reader()
        else:
            self.transport.abort()

    def _stop_waiting_for_reader(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Raises ConnectionError for a caller who left, which ends the connection and is no fault of ours."""
        if isinstance(exc, ConnectionError):
            raise exc
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return super().handle_error(request, status, exc, message)  # Logs it.
        refused = Invalid("this is not HTTP as this control plane accepts it", code="http_malformed")
        response = problem.response(refused, self._new_id())
        response.force_close()
        return response


async def listen(
    server: web.Server,
    host: str,
    port: int,
    *,
    new_id: Callable[[], str],
    tls: ssl.SSLContext | None = None,
    limits: Limits = LIMITS,
) -> asyncio.Server:
    """Connections are taken until it is closed. `new_id` names requests that nobody could read. Raises OSError."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(
        lambda: Connection(server, limits, new_id, loop),
        for_asyncio(host),
        port,
        ssl=tls,
        ssl_handshake_timeout=None if tls is None else limits.head_s,
    )
