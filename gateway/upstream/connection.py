"""One socket to a provider: a request goes out as bytes, an answer comes in through llhttp and a few rules of ours.

Not accepted, each a ProtocolFault: a version other than 1.0 and 1.1, a status below 200 that is no interim answer or
above 599, a switch of protocols, a transfer coding other than `chunked`, one on HTTP/1.0, two of a header that frames
the body, content length and transfer coding together, a content coding (we asked for none). Source: RFC 9112.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import cast

import httptools

from gateway.upstream.chunks import LINE_END, frame_of, framed_as_ours, whole_chunks
from gateway.upstream.errors import Cut, ProtocolFault, TooLarge, UpstreamError
from gateway.upstream.exchange import Exchange
from gateway.upstream.head import Fields, Forms
from gateway.upstream.messages import Origin, RequestHead, UpstreamRequest
from gateway.upstream.turn import Turn
from gateway.upstream.upload import Upload

HEAD_BYTES_MAX = 64 * 1024
HEADERS_MAX = 256
WRITE_BYTES_MAX = 64 * 1024
"""A body up to this goes out in one write with the head; a longer one in pieces of it, as fast as they are taken."""
CHUNK_FRAME_BYTES_MAX = 16
"""What the framing of one chunk may take: size, two line ends, some leading zeros; no room to hide a flood in."""

_HEAD = b"%b%b%b%b\r\n"
_LAST_CHUNK = b"0\r\n\r\n"
_CHUNKS_FOLLOW = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
"""What the parser is given for a head of a known form, if it has to read on after all: of it all it would remember is
that chunks follow."""
_ONCE = frozenset({"transfer-encoding", "content-encoding"})
_VERSIONS = (b"HTTP/1.1 ", b"HTTP/1.0 ")
_NAME = re.compile(r"\r\n([^:]*):[ \t]*+")
"""Splits a head that the parser has found to be sound: its first line, then names and values by turns."""


class Stale(Cut):
    """A kept connection ended before a byte of the answer came."""


class Connection(asyncio.Protocol):
    """`free` is called when the connection may take the next request, `lost` when its socket has gone."""

    __slots__ = (
        "_body_bytes",
        "_chunk_left",
        "_exchange",
        "_fields",
        "_forms",
        "_free",
        "_has_body",
        "_head",
        "_headers_seen",
        "_heads_end",
        "_host_line",
        "_in_chunks",
        "_keep",
        "_lost",
        "_message_ended",
        "_parser",
        "_parser_waits",
        "_received_bytes",
        "_transport",
        "_turn",
        "_unsent",
        "_until_eof",
        "_upload",
        "_used",
        "_write_paused",
        "idle_since_s",
        "is_usable",
        "origin",
        "quiet_until_s",
    )

    def __init__(
        self,
        origin: Origin,
        turn: Turn,
        *,
        free: Callable[["Connection"], None],
        lost: Callable[["Connection"], None],
    ) -> None:
        self.origin = origin
        self._turn = turn
        self.idle_since_s = 0.0
        self.quiet_until_s = 0.0
        """Until then there is nothing to look for in a sweep."""
        self.is_usable = False
        """It is open, and we have not closed it."""
        self._free = free
        self._lost = lost
        self._host_line = b"host: %b\r\n" % origin.authority.encode("ascii")
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._parser_waits = False
        """It has seen nothing of this answer: so far all of it was a head of a known form and whole chunks."""
        self._exchange: Exchange | None = None
        self._used = False
        self._write_paused = False
        self._unsent: memoryview | None = None
        self._upload: Upload | None = None
        """What is still to come of the request's body, and then to go."""
        self._in_chunks = False
        self._head: bytes | None = b""
        """What has come and may be of the head; None once the head is there."""
        self._heads_end = 0
        self._headers_seen = 0
        self._forms = Forms()
        self._fields: Fields | None = None
        """The head, if it came at once and in a known form."""
        self._received_bytes = 0
        self._body_bytes = 0
        self._chunk_left = -1
        """How far it is to where the next chunk begins; -1: nobody but the parser knows."""
        self._has_body = True
        self._message_ended = False
        self._until_eof = False
        """Never taken back: such an answer is a connection's last."""
        self._keep = False

    # What the client and the pool call

    def send(self, request: UpstreamRequest, now_s: float, began_s: float) -> Exchange:
        """Send a call's request; `began_s`: when the call began."""
        exchange = Exchange(self, request.deadlines, now_s, began_s)
        transport = self._transport
        if transport is None:
            exchange.failed(self._cut())
            return exchange
        self._exchange = exchange
        self.quiet_until_s = now_s
        head, body, upload = request.head, request.body, request.upload
        self._has_body = head.has_answer_body
        length = len(body)
        if upload is None and 0 < length <= WRITE_BYTES_MAX:
            # What most requests are.
            framing = b"content-length: %d\r\n\r\n" % length
            self._turn.write(transport, b"".join((head.line, self._host_line, head.lines, framing, body)))
            return exchange
        start = _HEAD % (head.line, self._host_line, head.lines, _framing(head, length, upload))
        if upload is not None:
            exchange.sending()
            self._in_chunks = upload.left is None
            transport.write(start + self._framed(body))
            self._upload = upload
            upload.attach(self._pass_on)
            self._pass_on()
        elif body:
            exchange.sending()
            transport.write(start)
            self._unsent = memoryview(body)
            self._send_more()
        else:
            transport.write(start)
        return exchange

    def abort(self) -> None:
        """Close the socket at once. Its exchange, if any, hears nothing more."""
        self._exchange = None
        self._unsent = None
        self._leave_upload()
        self._close()

    def fail(self, error: UpstreamError) -> None:
        """Close the socket at once and end the exchange, if any, with `error`."""
        exchange = self._exchange
        self.abort()
        if exchange is not None:
            exchange.failed(error)

    def sweep(self, now_s: float, idle_s: float) -> None:
        """Hold the deadlines: of the exchange, or of being idle."""
        exchange = self._exchange
        if exchange is None:
            self.quiet_until_s = self.idle_since_s + idle_s
            if now_s >= self.quiet_until_s:
                self.abort()
            return
        overdue = exchange.overdue(now_s)
        if overdue is not None:
            late, words = overdue
            self.fail(late(f"{self.origin.authority}: {words}", answered=self._received_bytes > 0))
            return
        self.quiet_until_s = exchange.quiet_until_s(now_s)

    def pause_reading(self) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.pause_reading()

    def resume_reading(self) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.resume_reading()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.is_usable = True
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            # Nothing was asked, so this answers nothing: whoever took the connection next would be misled.
            self.abort()
            return
        chunk_left = self._chunk_left
        if chunk_left == 0:
            # Events, most often. They bring no bound nearer, so they are not even counted. One that comes by itself is
            # seen here: a frame less for each.
            line, size = frame_of(len(data))
            body = data.removeprefix(line).removesuffix(LINE_END)
            if len(body) == size or (body := framed_as_ours(data)):
                exchange.fed_alone(body, data)
                return
        if not self._received_bytes and self._has_come(data, exchange):
            return
        self._received_bytes += len(data)
        head = self._head
        if head is not None:
            self._head = head + data if head else data
        try:
            if chunk_left < 0:
                self._parse(data)
            else:
                self._feed_chunks(data)
        except httptools.HttpParserError as error:
            self._keep = False
            if not self._message_ended:
                cause = error.__context__
                self.fail(cause if isinstance(cause, UpstreamError) else self._fault(str(error)))
                return
        if self._message_ended:
            self._end_exchange(exchange)
        elif self._received_bytes - (1 + CHUNK_FRAME_BYTES_MAX) * self._body_bytes > HEAD_BYTES_MAX:
            self.fail(self._too_large("head, chunk extensions or trailers"))
        elif self._head is None:
            exchange.fed()

    def eof_received(self) -> None:
        if self._exchange is not None and self._until_eof and self._is_goodbye():
            self._end_exchange(self._exchange)
        else:
            # At once: closing in peace would wait until a request nobody reads had been written.
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.is_usable = False
        self._unsent = None
        self._leave_upload()
        self._lost(self)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.failed(self._cut(exc))

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._unsent is not None:
            self._send_more()
        elif self._upload is not None:
            self._pass_on()

    # What the parser calls

    def on_message_begin(self) -> None:
        if self._message_ended:
            raise self._fault("bytes after the end of the answer")

    def on_headers_complete(self) -> None:
        """The parser has found the head to be sound, and says so at its end; to be told of each line costs more than
        to take the lines apart here. A trailer is not seen: its bytes are bounded with the framing.
        """
        parser, exchange = self._parser, self._exchange
        assert exchange is not None
        if self._head is None:
            return  # It was read without the parser.
        fields = self._fields
        headers: Mapping[str, str] | None = self._read_head() if fields is None else fields
        if headers is None:
            return
        self._head = self._fields = None
        if not self._has_body:
            # The parser cannot be told that an answer to HEAD has no body, so the connection ends with it.
            self._keep = False
            self._message_ended = True
        elif parser.should_keep_alive():
            self._keep = True
        else:
            self._keep = False
            self._until_eof = "transfer-encoding" not in headers and "content-length" not in headers
        exchange.head_came(parser.get_status_code(), headers)

    def on_body(self, body: bytes) -> None:
        exchange = self._exchange
        if self._message_ended or exchange is None:
            return
        self._body_bytes += len(body)
        exchange.body_came(body)

    def on_message_complete(self) -> None:
        self._message_ended = self._head is None  # Else it was an interim answer.

    # The rest

    def _has_come(self, data: bytes, exchange: Exchange) -> bool:
        """Whether `data` is the whole answer, or how one in chunks begins, with a head of a known form: then nothing of
        it is left for the parser.
        """
        fields = self._forms.fields(data)
        if fields is None or not self._has_body or self._unsent is not None or self._upload is not None:
            return False
        if fields.form.length_at is None:
            return self._chunks_have_come(fields, data[fields.end :], exchange)
        body = fields.body(data)
        if not body:
            self._fields = fields
            return False
        self._let_go()
        exchange.came_whole(fields, body)
        return True

    def _chunks_have_come(self, fields: Fields, behind: bytes, exchange: Exchange) -> bool:
        """The same for an answer in chunks. `behind`: what stands behind its head."""
        chunks = behind.removesuffix(_LAST_CHUNK)
        body = framed_as_ours(chunks)
        if behind and not body:
            self._fields, self._chunk_left = fields, whole_chunks(behind, 0)[2]
            return False
        if len(chunks) < len(behind):
            self._let_go()
            exchange.came_whole(fields, body)
            return True
        self._received_bytes = fields.end + len(behind)
        self._head, self._keep = None, True
        self._parser_waits, self._chunk_left = True, 0
        exchange.head_came(200, fields)
        if body:
            self.on_body(body)
        exchange.fed()
        return True

    def _read_head(self) -> dict[str, str] | None:
        """The headers that count, of a name that repeats the first; None: it was an interim answer. Raises
        ProtocolFault, TooLarge.
        """
        head, start = self._head, self._heads_end
        assert head is not None
        if not head.startswith(_VERSIONS, start):
            start = self._first_line(head, start)
        end = head.find(b"\r\n\r\n", start)
        parts = _NAME.split(head[start:end].decode("latin-1"))
        keys = [name.lower() for name in parts[1::2]]
        self._headers_seen += len(keys)
        if self._headers_seen > HEADERS_MAX:
            raise self._too_large("head")
        headers: dict[str, str] = {}
        for key, value in zip(keys, parts[2::2], strict=True):
            if key in _ONCE and key in headers:
                raise self._fault(f"`{key}` twice")
            headers.setdefault(key, value.rstrip(" \t"))
        status = self._parser.get_status_code()
        if status == 101 or not 100 <= status <= 599:
            raise self._fault(f"status {status}")
        if self._received_bytes > HEAD_BYTES_MAX and _weight(headers) > HEAD_BYTES_MAX:
            raise self._too_large("head")
        if status < 200:
            # The answer's own head is still to come, behind this one and within the same bounds.
            self._heads_end = end + len(b"\r\n\r\n")
            return None
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise self._fault("a content coding, though none was asked for")
        coding = headers.get("transfer-encoding")
        if coding is not None and (coding.lower() != "chunked" or self._parser.get_http_version() == "1.0"):
            raise self._fault("a transfer coding other than `chunked`, or one on HTTP/1.0")
        self._heads_end = self._headers_seen = 0
        if coding is not None:
            _, _, self._chunk_left = whole_chunks(head, end + len(b"\r\n\r\n"))
        if status == 200:
            self._forms.learn(tuple(parts[1::2]), head[start : end + len(b"\r\n\r\n")])
        return headers

    def _first_line(self, head: bytes, start: int) -> int:
        """Where the head begins: empty lines may stand before it. Raises ProtocolFault."""
        start = len(head) - len(head[start:].lstrip(b"\r\n"))
        if not head.startswith(_VERSIONS, start):
            raise self._fault(f"HTTP version {self._parser.get_http_version()}, or no HTTP")
        return start

    def _parse(self, data: bytes) -> None:
        """Raises HttpParserError."""
        if self._parser_waits:
            self._parser_waits = False
            self._parser.feed_data(_CHUNKS_FOLLOW)
        self._parser.feed_data(data)

    def _feed_chunks(self, data: bytes) -> None:
        """Take whole chunks as they stand there; the parser would call for each of them. It is given all the rest, so
        it stands where it would stand had it seen all. Raises HttpParserError.
        """
        start = min(self._chunk_left, len(data))
        if start:
            self._parse(data[:start])
        if start < self._chunk_left:
            self._chunk_left -= start
            return
        if not start and data.endswith(_LAST_CHUNK):
            # How most streams end.
            chunks = data[: -len(_LAST_CHUNK)]
            body = framed_as_ours(chunks)
            if body or not chunks:
                self._chunk_left = -1
                if body:
                    self.on_body(body)
                if self._parser_waits:
                    self._parser_waits = False
                    self._message_ended = True
                else:
                    self._parser.feed_data(_LAST_CHUNK)
                return
        body, end, self._chunk_left = whole_chunks(data, start)
        if body:
            self.on_body(body)
        if end < len(data):
            self._parse(data[end:])

    def _send_more(self) -> None:
        exchange = self._exchange
        while exchange is not None and self._unsent is not None and self._transport is not None:
            if self._write_paused:
                exchange.sent_some()
                return
            self._transport.write(self._unsent[:WRITE_BYTES_MAX])
            self._unsent = self._unsent[WRITE_BYTES_MAX:] or None
            if self._unsent is None:
                exchange.sent()

    def _pass_on(self) -> None:
        """Send what has come of an upload, as fast as it is taken; what is not taken here, the caller has to keep."""
        upload, exchange, transport = self._upload, self._exchange, self._transport
        if upload is None or exchange is None or transport is None:
            return
        if upload.error is not None:
            self.fail(Cut("what the caller sends will never be whole"))
            return
        exchange.starved = not self._write_paused
        if self._write_paused:
            return
        if data := upload.take():
            transport.write(self._framed(data))
            exchange.sent_some()
        if upload.is_sent and self._upload is not None:
            self._leave_upload()
            exchange.starved = False
            if self._in_chunks:
                transport.write(_LAST_CHUNK)
            exchange.sent()

    def _framed(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._in_chunks and data else data

    def _leave_upload(self) -> None:
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.detach()

    def _end_exchange(self, exchange: Exchange) -> None:
        if self._keep and self._unsent is None and self._upload is None:
            self._head = b""
            self._received_bytes = self._body_bytes = 0
            self._message_ended = False
            self._let_go()
        else:
            self.abort()
        exchange.ended()

    def _let_go(self) -> None:
        """The connection may take the next request."""
        self._exchange = None
        self._used = True
        self._free(self)

    def _close(self) -> None:
        self.is_usable = False
        if self._transport is not None:
            self._transport.abort()

    def _is_goodbye(self) -> bool:
        """Whether an EOF was meant by the other side. Over TLS anybody on the way can end the TCP stream, so only
        a close_notify counts (RFC 9112, 9.8); after one, reading gives nothing instead of asking for more.
        """
        tls = None if self._transport is None else self._transport.get_extra_info("ssl_object")
        if tls is None:
            return True
        try:
            return not tls.read(1)
        except ssl.SSLError:
            return False

    def _cut(self, error: Exception | None = None) -> UpstreamError:
        answered = self._received_bytes > 0
        how = f"{type(error).__name__}" if error else "closed by the other side"
        kind = Stale if self._used and not answered else Cut
        return kind(f"{self.origin.authority}: {how} before the answer's end", answered=answered)

    def _fault(self, detail: str) -> UpstreamError:
        return ProtocolFault(f"{self.origin.authority}: {detail}", answered=True)

    def _too_large(self, what: str) -> UpstreamError:
        return TooLarge(f"{self.origin.authority}: {what} of more than {HEAD_BYTES_MAX} bytes", answered=True)


def _framing(head: RequestHead, length: int, upload: Upload | None) -> bytes:
    """The line that says where the body ends; nothing for a request that has none."""
    if upload is not None:
        left = upload.left
        return b"transfer-encoding: chunked\r\n" if left is None else b"content-length: %d\r\n" % (left + length)
    return b"content-length: %d\r\n" % length if length or head.has_body else b""


def _weight(headers: dict[str, str]) -> int:
    return sum(len(name) + len(value) for name, value in headers.items())
