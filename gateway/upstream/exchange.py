"""One call under way: what has come of its answer, who waits for it, and how long it may still take."""

import asyncio
from collections.abc import Generator, Mapping
from types import MappingProxyType, coroutine
from typing import Protocol

from gateway.upstream.errors import Cut, FirstByteTimeout, StallTimeout, TooLarge, TotalTimeout, UpstreamError
from gateway.upstream.messages import Deadlines, Taken
from gateway.upstream.waiter import Waiter

UNREAD_BYTES_MAX = 256 * 1024
"""Beyond this the connection is read no further until the reader has caught up."""
PIECES_MAX = 64
"""Beyond this what comes is put together at once: the other side chooses how small its pieces are, and kept each for
itself they would take many times the room of their bytes."""
LOOK_S_MAX = 1.0
LOOKS_IN_A_WAIT = 32
"""So often it is looked whether anything has moved: a stall is seen so much too late at most. To look at a thousand
slow streams at each sweep would hold up their events."""
_LET_GO: Mapping[str, str] = MappingProxyType({})


class Wire(Protocol):
    """What an exchange asks of its connection."""

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def abort(self) -> None: ...


class Exchange(Waiter):
    """The answer as its reader sees it (an UpstreamResponse), and as the connection fills it.

    The connection calls `sending`, `sent`, `head_came`, `body_came`, `fed` or `fed_alone`, and last `ended` or
    `failed`, all from callbacks of the event loop; one task waits for the head and then reads.
    """

    __slots__ = (
        "_began_s",
        "_deadlines",
        "_error",
        "_moved",
        "_paused",
        "_pieces",
        "_sending",
        "_since_s",
        "_taken",
        "_unread_bytes",
        "_wake_bytes",
        "_wire",
        "headers",
        "starved",
        "status",
    )

    def __init__(
        self,
        wire: Wire,
        deadlines: Deadlines,
        now_s: float,
        began_s: float,
    ) -> None:
        self.heard_by = None
        self.status = 0
        self.headers: Mapping[str, str] = _LET_GO
        self.starved = False
        """It is the caller who takes the time: all that came of his upload has gone on."""
        self._wire: Wire | None = wire
        """None once the answer has ended, in whatever way."""
        self._error: UpstreamError | None = None
        self._pieces: list[bytes | bytearray] = []
        self._unread_bytes = 0
        self._taken: Taken | None = None
        """Who gets each piece at once, while somebody pours."""
        self._wake_bytes = 0
        """The waiter wakes when so many bytes are unread, or at the end; 0: as soon as the head is there."""
        self._paused = False
        self._deadlines = deadlines
        self._began_s = began_s
        """When the call began: it may be a second try on another connection."""
        self._sending = False
        self._since_s = now_s
        """Since when nothing has moved, as far as the last sweep saw."""
        self._moved = False
        """Bytes moved since the last sweep: the wait begins anew. A flag costs less than a look at the clock."""

    # What the reader calls

    @coroutine  # A frame less for each call than with `async` and `await`.
    def head(self) -> Generator[Waiter, None, None]:
        """Wait for the head. Raises an UpstreamError."""
        while not self.status:
            if self._error is not None:
                raise self._error
            try:
                yield self
            except asyncio.CancelledError:
                self.abort()
                raise

    async def read(self, bytes_max: int) -> bytes:
        while self._wire is not None and self._unread_bytes <= bytes_max:
            self._wake_bytes = bytes_max + 1
            self._resume()
            await self._wait()
        if self._error is not None:
            raise self._error
        if self._unread_bytes > bytes_max:
            self.abort()
            raise TooLarge(f"the answer's body has more than {bytes_max} bytes", answered=True)
        return self._take()

    async def chunk(self) -> bytes:
        self._wake_bytes = 1
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self._wire is None:
                return b""
            await self._wait()
        return self._take()

    async def pour(self, taken: Taken) -> bool:
        self.headers = _LET_GO
        while True:
            if self._pieces and not taken(self._take(), None):
                return True
            if self._error is not None:
                raise self._error
            if self._wire is None:
                return False
            self._taken, self._wake_bytes = taken, 1
            try:  # Not by `_wait`: that is a frame less for each stream that is open.
                await self
                stopped = self._taken is None
            except asyncio.CancelledError:
                self.abort()
                raise
            finally:
                self._taken = None
            if stopped:
                return True

    def read_out(self, within_s: float) -> None:
        if self._wire is None:
            return
        self._pieces.clear()
        self._unread_bytes = 0
        self._taken = _dropped
        self._resume()
        asyncio.get_running_loop().call_later(within_s, self.abort)

    def abort(self) -> None:
        wire, self._wire = self._wire, None
        if wire is None:
            return
        self._error = Cut("aborted from our side", answered=self.status != 0)
        self._pieces.clear()
        wire.abort()

    async def _wait(self) -> None:
        try:
            await self
        except asyncio.CancelledError:
            self.abort()
            raise

    def _take(self) -> bytes:
        pieces = self._pieces
        data = b"".join(pieces)  # Of one piece this is the piece itself.
        pieces.clear()
        self._unread_bytes = 0
        if self._paused:
            self._resume()
        return data

    def _resume(self) -> None:
        if self._paused and self._wire is not None:
            self._paused = False
            self._wire.resume_reading()

    # What the connection calls

    def sending(self) -> None:
        """The request goes out in pieces: each is given its time, and the answer's time begins after the last."""
        self._sending = self._moved = True

    def sent_some(self) -> None:
        self._moved = True

    def sent(self) -> None:
        if not self.status:
            self._sending = False
            self._moved = True

    def head_came(self, status: int, headers: Mapping[str, str]) -> None:
        """The waiter hears of it by the `fed`, `ended` or `failed` that follows."""
        self.status = status
        self.headers = headers
        self._moved = True

    def body_came(self, piece: bytes) -> None:
        pieces = self._pieces
        if len(pieces) < PIECES_MAX:
            pieces.append(piece)
        elif len(pieces) == PIECES_MAX:
            pieces.append(bytearray(piece))
        else:
            pieces[-1] += piece
        self._unread_bytes += len(piece)

    def fed(self) -> None:
        """Everything that one read from the socket held has been handed over, and more is to come."""
        self._moved = True
        pieces = self._pieces
        if self._taken is not None:
            if pieces:
                data = b"".join(pieces)  # Not by `_take`: while somebody pours, reading is not paused.
                pieces.clear()
                self._unread_bytes = 0
                self.fed_alone(data, None)
            return
        if self._unread_bytes >= self._wake_bytes:
            self.wake()
        if self._unread_bytes > UNREAD_BYTES_MAX and self.heard_by is None and not self._paused and self._wire:
            self._paused = True
            self._wire.pause_reading()

    def fed_alone(self, piece: bytes, chunk: bytes | None) -> None:
        """As `body_came` and `fed`, for all that one read held; `chunk` is as for `Taken`."""
        taken = self._taken
        if taken is None:
            self.body_came(piece)
            self.fed()
            return
        self._moved = True
        try:
            if taken(piece, chunk):
                return
        except Exception as error:  # noqa: BLE001 - no fault of the connection's: it is raised where it is awaited
            self._taken = None
            self.wake(error)
        else:
            self._taken = None
            self.wake()

    def came_whole(self, headers: Mapping[str, str], body: bytes) -> None:
        """As `head_came`, `body_came` and `ended`, for an answer with status 200 that came in one read."""
        self.status = 200
        self.headers = headers
        self._pieces.append(body)
        self._unread_bytes = len(body)
        self._wire = None
        self.wake()

    def ended(self) -> None:
        self._wire = None
        self.wake()

    def failed(self, error: UpstreamError) -> None:
        self._error = error
        self._wire = None
        self.wake()

    def overdue(self, now_s: float) -> tuple[type[UpstreamError], str] | None:
        """Which deadline has passed, and in words; None if none has. Called whenever `quiet_until_s` is over."""
        deadlines = self._deadlines
        if now_s >= self._began_s + deadlines.total_s:
            return TotalTimeout, f"has not ended within {deadlines.total_s:g} s"
        if not self.status and now_s >= self._began_s + deadlines.head_s:
            return FirstByteTimeout, f"no head came within {deadlines.head_s:g} s of the call"
        if self._moved or self._paused or self.starved:
            # While paused it is our own reader who takes the time.
            self._moved = False
            self._since_s = now_s
            return None
        is_moving = self._sending or self.status != 0
        wait_s = deadlines.between_bytes_s if is_moving else deadlines.first_byte_s
        if now_s < self._since_s + wait_s:
            return None
        return StallTimeout if is_moving else FirstByteTimeout, f"nothing moved, or no head came, within {wait_s:g} s"

    def quiet_until_s(self, now_s: float) -> float:
        """Until when nothing more can be overdue, but for what may be seen a look later."""
        deadlines = self._deadlines
        wait_s = min(deadlines.first_byte_s, deadlines.between_bytes_s)
        call_s = deadlines.total_s if self.status else min(deadlines.total_s, deadlines.head_s)
        look_s = min(wait_s / LOOKS_IN_A_WAIT, LOOK_S_MAX)
        return min(now_s + look_s, self._since_s + wait_s, self._began_s + call_s)


def _dropped(_: bytes, chunk: bytes | None) -> bool:  # noqa: ARG001 - as whoever takes it is called
    return True
