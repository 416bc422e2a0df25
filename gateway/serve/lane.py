"""The express lane: one caller's connection on `asyncio.Protocol` and llhttp, which serves the hot doors itself.

Every request is taken whole, by one set of rules; only an upload, which passes through, is served while it comes. If it
opens a hot door or passes through, one coroutine runs the pipeline; for any other the connection is lent to aiohttp
until it is answered. Bytes behind a request wait unread until then: so pipelined requests are answered in order, and
nothing in them can disturb the one before.
"""

import asyncio
import select
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import Enum, auto
from math import inf
from typing import Protocol, cast

import msgspec
import structlog

from gateway.errors import Code, GatewayError
from gateway.pipeline.exchange import Exchange, Records, lines
from gateway.pipeline.pipeline import Pipeline
from gateway.pipeline.relay import refusal
from gateway.serve.answer import CallerLeft, LaneAnswer
from gateway.serve.body import Body, ChunkedBody, ChunkedUpload, SizedBody, SizedUpload, too_large
from gateway.serve.head import Head, answer_head, check_content, is_json, sized
from gateway.serve.head_reader import HeadReader
from gateway.serve.run import Run
from gateway.upstream.turn import Turn
from gateway.upstream.upload import Upload
from shared.clock import Clock

AHEAD_BYTES_MAX = 64 * 1024
"""Beyond this much behind a request that is not answered yet, the connection is read no further."""
AT_ONCE_MAX = 16
"""So many requests of one caller are answered in one turn of the loop."""
UPLOAD_BYTES_PER_WAIT_MIN = 64 * 1024
"""So much of an upload has to come within each `body_wait_s`, unless it is we who do not read."""
COLD_BODY_BYTES_FREE = 64 * 1024
"""A request that carries no LLM call takes a place among those that run if it brings more than this, or may."""

STRANGERS_BODY_BYTES_MAX = 64 * 1024
"""A larger body, or one of unknown length, is taken only of somebody whose key is known."""

log = structlog.get_logger("serve.lane")

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Limits(msgspec.Struct, frozen=True):
    body_bytes_max: int
    body_wait_s: float
    """From the head's end to the body's."""
    running_requests_max: int
    upload_bytes_max: int = 512 * 1024 * 1024
    head_s: float = 10.0
    """From a head's first byte to its last."""
    idle_s: float = 75.0
    write_stall_s: float = 30.0
    """How long a caller may take nothing of what is ready for him."""
    linger_s: float = 10.0
    """How long a caller may go on sending after the answer that ends his connection, and how long TLS waits for his
    word that he has seen its end."""
    sweep_s: float = 1.0


class Lent(Protocol):
    """aiohttp's side of a connection that it has for one request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...

    def connection_lost(self, exc: Exception | None) -> None: ...

    def data_received(self, data: bytes) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def detach(self) -> None:
        """It has the connection no longer, and leaves the socket as it is."""
        ...


class Shared(Protocol):
    """What the lanes of a worker have in common."""

    pipeline: Pipeline
    records: Records
    clock: Clock
    limits: Limits
    turn: Turn
    draining: bool
    running: int
    """Requests whose head has come and whose answer has not ended, but for small ones that carry no LLM call."""

    def new_id(self) -> str: ...

    def lend(self, answered: Callable[[bool], None]) -> Lent:
        """For a request that the lane does not serve; `answered(may_stay_open)` is called after its answer."""
        ...

    def entered(self, lane: "Lane") -> None: ...

    def left(self, lane: "Lane") -> None:
        """Its socket has gone, and nothing of it runs."""
        ...


class Phase(Enum):
    HEAD = auto()
    """Between requests, or with some of the next one's head."""
    BODY = auto()
    UPLOAD = auto()
    """The pipeline runs while the body comes."""
    ANSWER = auto()
    LINGER = auto()
    """The last answer is written; what the caller still sends is dropped until he hangs up. Closed over unread bytes,
    the connection would be reset, and the answer lost on its way."""


_HEAD, _BODY, _UPLOAD, _ANSWER, _LINGER = Phase
"""To look one up in its enumeration takes longer than what is done with it."""


class Lane(asyncio.Protocol):
    __slots__ = (
        "_ahead",
        "_body",
        "_closes",
        "_cold",
        "_drain_waiter",
        "_due_s",
        "_exchange",
        "_expects_continue",
        "_heads",
        "_holds_place",
        "_http_1_1",
        "_lent",
        "_loop",
        "_phase",
        "_reading_paused",
        "_refused",
        "_run",
        "_shared",
        "_transport",
        "_unsent_bytes",
        "_unsent_due_s",
        "_upload",
        "_upload_bytes",
        "write_paused",
    )

    def __init__(self, shared: Shared, loop: asyncio.AbstractEventLoop) -> None:
        self._shared = shared
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._phase = _HEAD
        self._due_s = inf
        """When the phase will have lasted too long."""
        self._heads = HeadReader()
        self._ahead = b""
        self._reading_paused = False
        self.write_paused = False
        self._drain_waiter: asyncio.Future[None] | None = None
        self._unsent_bytes = 0
        self._unsent_due_s = inf
        self._run: Run | None = None
        """What runs the pipeline, as soon as a request has come for it."""
        self._lent: Lent | None = None
        self._holds_place = False
        self._http_1_1 = True
        self._exchange: Exchange | None = None
        self._body: Body | None = None
        self._cold = b""
        """The head of a request for the other lane, while its body comes."""
        self._upload: Upload | None = None
        """The body of the request that runs, if it passes on as it comes."""
        self._upload_bytes = 0
        """Of it had come when its time was last looked at."""

    # What the server calls

    def sweep(self, now_s: float) -> None:
        """Hold the deadlines, of the phase and of a caller who does not read, and see who has left unseen."""
        transport = self._transport
        if transport is None:
            return
        unsent_bytes = transport.get_write_buffer_size()
        if unsent_bytes != self._unsent_bytes:
            self._unsent_bytes = unsent_bytes
            self._unsent_due_s = now_s + self._shared.limits.write_stall_s if unsent_bytes else inf
        elif now_s >= self._unsent_due_s:
            transport.abort()
            return
        if self._reading_paused and self._phase in (_ANSWER, _UPLOAD) and _has_hung_up(transport):
            transport.abort()
            return
        if now_s < self._due_s:
            return
        if transport.is_closing():
            if not unsent_bytes:
                transport.abort()
        elif self._phase is _BODY:
            wait_s = self._shared.limits.body_wait_s
            self._refuse(GatewayError(Code.BODY_TIMEOUT, f"the body did not come whole within {wait_s:g} s"))
        elif self._phase is _UPLOAD:
            self._look_at_upload(now_s)
        else:
            self._close()

    def drain(self) -> None:
        """No more requests: end now if none has begun, else with its answer."""
        idle = self._phase is _HEAD and not self._heads.begun
        if idle or self._phase is _LINGER:
            self._close()

    def abort(self) -> None:
        """Close the socket at once; what runs is cancelled."""
        if self._transport is not None:
            self._transport.abort()

    # What an answer calls

    def answers(self) -> bool:
        upload = self._upload
        if upload is None or upload.is_whole:
            return self._shared.draining
        upload.answered()
        return True

    def write(self, data: bytes) -> bool:
        transport = self._transport
        if transport is None:
            raise CallerLeft("the caller has left")
        turn = self._shared.turn
        if not turn.at_once or turn.waiting:
            turn.write(transport, data)
        elif not transport.is_closing():
            transport.write(data)  # A frame less for each event.
        return not self.write_paused

    def cut(self) -> None:
        if self._http_1_1:
            self._close()
        else:
            self._shared.turn.end()
            self.abort()  # There the end of the connection is the answer's own.

    async def drained(self) -> None:
        waiter = self._drain_waiter = self._loop.create_future()
        await waiter

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._due_s = self._shared.clock.monotonic_s() + self._shared.limits.idle_s
        self._shared.entered(self)

    def data_received(self, data: bytes) -> None:
        if self._phase is _LINGER:
            return
        if self._phase is not _ANSWER and not self.write_paused and not self._ahead:
            self._read(data)
            return
        if self._phase is _UPLOAD:  # It goes on, whatever is ready for the caller.
            data = self._read_upload(data)
        self._ahead += data
        # Each time: aiohttp, where the connection is lent to it, has its own reasons to read on.
        if len(self._ahead) > AHEAD_BYTES_MAX and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """A caller who shuts his end while he waits has left. The transport closes itself after this."""
        if self._phase in (_ANSWER, _UPLOAD):
            # At once: closing in peace would wait until an answer that nobody reads had been written.
            self.abort()
        else:
            self._shared.turn.end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        run, self._run = self._run, None
        if run is not None:
            busy = run.busy
            run.close()
            if busy:
                return
        lent, self._lent = self._lent, None
        if lent is not None:
            lent.connection_lost(exc)
        self._leave()

    def pause_writing(self) -> None:
        self.write_paused = True
        if self._lent is not None:
            self._lent.pause_writing()

    def resume_writing(self) -> None:
        self.write_paused = False
        if self._lent is not None:
            self._lent.resume_writing()
        waiter, self._drain_waiter = self._drain_waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        elif self._phase not in (_ANSWER, _UPLOAD):
            self._read_ahead()

    # From bytes to requests

    def _read(self, data: bytes) -> None:
        """Take requests out of `data` until one runs or more is needed. What is left over waits.

        Of those that are answered at once some are the last in this turn of the loop, however many lie behind them:
        others wait too.
        """
        begun = 0
        while data and not self.write_paused:
            if self._phase is _HEAD:
                if begun == AT_ONCE_MAX:
                    self._loop.call_soon(self._go_on)
                    break
                begun += 1
                data = self._read_head(data)
            elif self._phase is _BODY:
                data = self._read_body(data)
            elif self._phase is _UPLOAD:
                data = self._read_upload(data)
            else:
                break
        self._ahead = data

    def _go_on(self) -> None:
        transport = self._transport
        if self._phase is _HEAD and transport is not None and not transport.is_closing():
            self._read_ahead()

    def _read_ahead(self) -> None:
        """Likewise out of what has waited. What waits on is as bounded as before, or it would grow with each."""
        paused, self._reading_paused = self._reading_paused, False
        data, self._ahead = self._ahead, b""
        self._read(data)
        transport = self._transport
        if self._phase is _LINGER:
            self._ahead = b""  # Nobody reads it any more.
        if transport is None:
            return
        if len(self._ahead) > AHEAD_BYTES_MAX:
            self._reading_paused = True
            transport.pause_reading()
        elif paused and not self._reading_paused:
            transport.resume_reading()

    def _read_head(self, data: bytes) -> bytes:
        """Returns what lies behind the request, as far as it is here."""
        heads = self._heads
        begun = heads.begun
        if not begun:
            again = heads.again(data)
            if again is not None:
                return self._read_again(*again, data)
        try:
            head, behind = heads.feed(data)
        except GatewayError as error:
            self._refuse(error)
            return b""
        if head is None:
            if heads.begun and not begun:
                self._due_s = self._shared.clock.monotonic_s() + self._shared.limits.head_s
            return b""
        self._head_came(head)
        return self._read_on(behind)

    def _read_again(self, head: Head, end: int, data: bytes) -> bytes:
        """A request with the head of the one before it. Returns what lies behind it."""
        shared, length = self._shared, head.length
        assert head.door is not None
        assert length is not None
        behind = end + length
        if (
            not head.is_plain
            or length > STRANGERS_BODY_BYTES_MAX
            or len(data) < behind
            or length > shared.limits.body_bytes_max
            or shared.running >= shared.limits.running_requests_max
        ):
            self._head_came(head)
            return self._read_on(data[end:])
        # It is here whole, and there is nothing to refuse it for or to say before its answer.
        now_s = shared.clock.monotonic_s()
        body = data[end:behind]
        exchange = Exchange(shared.new_id(), head.door, head.headers, body, now_s, known=head.known, received_s=now_s)
        shared.records.begin(exchange)
        shared.running += 1
        self._holds_place = True
        self._closes = not head.keeps_alive
        self._phase = _ANSWER
        self._due_s = inf
        self._start(exchange)
        return data[behind:]

    def _read_on(self, data: bytes) -> bytes:
        """What stands behind a head, up to the request's end. Returns what lies behind that."""
        if self._phase is not _UPLOAD:
            return self._read_body(data)
        behind = self._read_upload(data)
        # Behind what is here of it: what begins may end at once, and with it the request.
        self._start(cast(Exchange, self._exchange))
        return behind

    def _head_came(self, head: Head) -> None:
        shared, headers, length, passage = self._shared, head.headers, head.length, head.passage
        limits = shared.limits
        now_s = shared.clock.monotonic_s()
        uploads = False
        if head.door is not None:
            self._exchange = Exchange(shared.new_id(), head.door, headers, b"", now_s, known=head.known)
            shared.records.begin(self._exchange)
        elif passage is not None:
            self._exchange = Exchange(shared.new_id(), passage.door, headers, b"", now_s, passage)
            shared.records.begin(self._exchange)
            uploads = length != 0 and not is_json(headers)
        else:
            self._cold = head.raw
        self._body = ChunkedBody(limits.body_bytes_max) if length is None else SizedBody(length)
        self._http_1_1 = head.http_1_1
        self._closes = not head.keeps_alive
        self._expects_continue = head.http_1_1 and headers.get("expect", "").lower() == "100-continue"
        self._phase = _BODY
        self._due_s = now_s + limits.body_wait_s
        self._refused: GatewayError | None = None
        try:
            self._admit(headers, length, uploads=uploads)
        except GatewayError as error:
            self._refused = error
            return
        if uploads:
            self._pass_on(length)

    def _pass_on(self, length: int | None) -> None:
        """The pipeline is to begin while the body comes. Its time is counted from when somebody wants it."""
        upload = Upload(length, wanted=self._upload_wanted, taken=self._upload_taken)
        bytes_max = self._shared.limits.upload_bytes_max
        self._body = ChunkedUpload(bytes_max, upload) if length is None else SizedUpload(length, upload)
        self._upload = cast(Exchange, self._exchange).upload = upload
        self._upload_bytes = 0
        self._phase = _UPLOAD
        self._due_s = inf

    def _admit(self, headers: Mapping[str, str], length: int | None, *, uploads: bool) -> None:
        """Raises GatewayError for a request that is refused before its body has come."""
        limits = self._shared.limits
        bytes_max = limits.upload_bytes_max if uploads else limits.body_bytes_max
        if length is not None and length > bytes_max:
            raise too_large(bytes_max)
        exchange = self._exchange
        check_content(headers, json=exchange is not None and exchange.passage is None)
        if exchange is None and length is not None and length <= COLD_BODY_BYTES_FREE:
            return  # Probes and the model list answer also under the greatest load.
        is_small = length is not None and length <= STRANGERS_BODY_BYTES_MAX
        if exchange is not None and is_small and not uploads:
            return  # It takes its place when it is there whole: strangers who say no more could hold them all.
        self._take_place()
        if exchange is not None and not is_small:
            self._shared.pipeline.admit(exchange)

    def _take_place(self) -> None:
        """Among the requests that run. Raises GatewayError where there is none."""
        shared = self._shared
        places = shared.limits.running_requests_max
        if shared.running >= places:
            message = f"this worker already carries {places} requests; try again shortly"
            raise GatewayError(Code.OVERLOADED, message, retry_after_s=1)
        shared.running += 1
        self._holds_place = True

    def _read_body(self, data: bytes) -> bytes:
        """Returns what lies behind the request."""
        body = cast(Body, self._body)
        try:
            behind = body.feed(data)
        except GatewayError as error:
            self._refuse(error)
            return b""
        if behind is None:
            if self._refused is not None:
                self._refuse(self._refused)
            elif self._expects_continue:
                self._expects_continue = False
                with suppress(CallerLeft):
                    self.write(_CONTINUE)
            return b""
        exchange, self._exchange = self._exchange, None
        self._body = None  # The lane outlives the request; a large body should not.
        if exchange is not None and self._refused is None and not self._holds_place:
            try:
                self._take_place()
            except GatewayError as error:
                self._refused = error
        if self._refused is not None:
            self._closes = self._closes or self._shared.draining
            self._say(self._refused, exchange, closes=self._closes)
            self._cold = b""
            self._answered(closes=self._closes)
            return behind
        self._phase = _ANSWER
        self._due_s = inf
        if exchange is None:
            head, self._cold = self._cold, b""
            self._lend(sized(head, body.whole()))
        else:
            exchange.body = body.whole()
            exchange.received_s = self._shared.clock.monotonic_s()
            self._start(exchange)
        return behind

    def _read_upload(self, data: bytes) -> bytes:
        """Returns what lies behind the request. Of one that has failed nothing more is read."""
        body, upload = self._body, cast(Upload, self._upload)
        if body is None:
            return b""
        try:
            behind = body.feed(data)
        except GatewayError as error:
            self._fail_upload(error)
            return b""
        if self._phase is not _UPLOAD:
            return b""  # For what came last it was refused, and that is said already.
        if behind is None:
            if upload.is_ahead and not self._reading_paused and self._transport is not None:
                self._reading_paused = True
                self._transport.pause_reading()
            return b""
        self._body = None
        self._phase = _ANSWER
        self._due_s = inf
        upload.ended()
        return behind

    def _upload_wanted(self) -> None:
        self._due_s = self._shared.clock.monotonic_s() + self._shared.limits.body_wait_s
        if self._expects_continue and not cast(Upload, self._upload).received_bytes:
            with suppress(CallerLeft):
                self.write(_CONTINUE)
        self._expects_continue = False

    def _upload_taken(self) -> None:
        if self._reading_paused and self._phase is _UPLOAD and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()

    def _look_at_upload(self, now_s: float) -> None:
        upload, wait_s = cast(Upload, self._upload), self._shared.limits.body_wait_s
        came = upload.received_bytes - self._upload_bytes
        if self._reading_paused or came >= UPLOAD_BYTES_PER_WAIT_MIN:
            self._upload_bytes = upload.received_bytes
            self._due_s = now_s + wait_s
            return
        message = f"only {came} bytes of the body came within {wait_s:g} s; the least is {UPLOAD_BYTES_PER_WAIT_MIN}"
        self._fail_upload(GatewayError(Code.BODY_TIMEOUT, message))

    def _fail_upload(self, error: GatewayError) -> None:
        """Where this request ends is in doubt, so nothing behind it is read as another."""
        if self._upload is None:
            return  # It has been answered meanwhile.
        self._body = None
        self._due_s = inf
        self._upload.failed(error)

    # From requests to answers

    def _start(self, exchange: Exchange) -> None:
        self._exchange = exchange
        run = self._run
        if run is None:
            run = self._run = Run(self._answer, self._rested, self._loop)
        run.begin()

    async def _answer(self) -> None:
        """All that is done for a request that has come. It gets to where it first waits before anybody can leave."""
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        answer = LaneAnswer(self, self._http_1_1, self._closes)
        whole = False
        try:
            await self._shared.pipeline.run(exchange, answer)
            whole = True
        except CallerLeft:
            pass  # While we wrote to him: no fault, and nobody is there to be told of one.
        except Exception:  # A fault of our own ends nothing but its call, and stands in the log.
            log.exception("request_failed", request_id=exchange.id)
            if not answer.begun:
                message = "this gateway failed by a fault of its own; its log says more"
                self._say(GatewayError(Code.INTERNAL, message), exchange, closes=True)
                answer.closes = whole = True
        finally:
            self._upload = None
            if not whole:
                self.abort()
            if self._transport is None:
                self._leave()
        if whole:
            self._answered(closes=answer.closes)

    def _rested(self) -> None:
        if self._ahead or self._reading_paused:
            self._read_ahead()

    def _lend(self, request: bytes) -> None:
        self._shared.turn.end()
        transport = cast(asyncio.Transport, self._transport)
        lent = self._lent = self._shared.lend(self._taken_back)
        lent.connection_made(transport)
        if self.write_paused:  # By what was said before, a moment ago.
            lent.pause_writing()
        lent.data_received(request)

    def _taken_back(self, stays_open: bool) -> None:
        lent, self._lent = self._lent, None
        if lent is None:
            return  # The caller has left meanwhile.
        lent.detach()
        self._reading_paused = True  # By aiohttp, if the body was large.
        self._answered(closes=not stays_open)
        self._read_ahead()

    def _refuse(self, error: GatewayError) -> None:
        """Answer a request of which more would have to come, and read no further."""
        self._say(error, self._exchange, closes=True)
        self._linger()

    def _say(self, error: GatewayError, exchange: Exchange | None, *, closes: bool) -> None:
        if exchange is None:
            request_id = self._shared.new_id()
            headers, body = refusal(error, request_id, request_id)
        else:
            headers, body = refusal(error, exchange.id, exchange.trace_id, exchange.door)
        if exchange is not None:
            exchange.refused(error, len(body))
            self._shared.records.end(exchange)
        framing = b"content-length: %d\r\n" % len(body)
        head = answer_head(error.row.status, lines(headers), framing, closes=closes)
        # Behind the head of an answer to HEAD a body would be taken for the next answer.
        with suppress(CallerLeft):
            self.write(head if self._cold.startswith(b"HEAD ") else head + body)

    def _answered(self, *, closes: bool) -> None:
        self._release()
        if closes or self._shared.draining:
            self._linger()
        else:
            self._phase = _HEAD
            self._due_s = self._shared.clock.monotonic_s() + self._shared.limits.idle_s

    def _linger(self) -> None:
        self._release()
        self._phase = _LINGER
        self._due_s = self._shared.clock.monotonic_s() + self._shared.limits.linger_s
        self._forget()
        self._shared.turn.end()
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._reading_paused:
            self._reading_paused = False
            transport.resume_reading()
        if self._shared.draining or not (transport.can_write_eof() or self._http_1_1):
            transport.close()
        elif transport.can_write_eof():
            with suppress(OSError):  # asyncio's own transport tells here that the caller has gone.
                transport.write_eof()
        # Else it is TLS, which knows no half-closed connection: the answer says where it ends and that none follows.

    def _close(self) -> None:
        """In peace: what waits is sent before."""
        self._shared.turn.end()
        transport = self._transport
        if transport is not None and not transport.is_closing():
            self._due_s = self._shared.clock.monotonic_s() + self._shared.limits.linger_s
            transport.close()

    def _release(self) -> None:
        """Give back the request's place among those that run, if it has one."""
        if self._holds_place:
            self._holds_place = False
            self._shared.running -= 1

    def _forget(self) -> None:
        """Let go of what has come. A request that came in part has its record all the same."""
        if self._exchange is not None:
            self._shared.records.end(self._exchange)
        self._heads.forget()
        self._ahead = self._cold = b""
        self._exchange = self._body = None

    def _leave(self) -> None:
        self._release()
        self._forget()
        self._shared.left(self)


def _has_hung_up(transport: asyncio.Transport) -> bool:
    """Whether a caller has ended his side, of whom bytes wait that nobody reads: behind them asyncio sees no end."""
    if transport.is_closing():
        return False
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLRDHUP)
    ends = select.POLLRDHUP | select.POLLHUP | select.POLLERR
    return any(event & ends for _, event in poll.poll(0))
