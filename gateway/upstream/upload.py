"""A body on its way from a caller's socket to a provider's: bounded, so that whoever is slower holds the other back.

The lane fills it from callbacks, a provider's connection takes from it in callbacks; neither needs a task for that.
"""

import asyncio
from collections.abc import Callable

AHEAD_BYTES_MAX = 256 * 1024
"""Beyond this much that nobody has taken yet, the caller is read no further."""
KEPT_BYTES_MAX = 1024 * 1024
"""Of what was taken so much is kept: until then the call can be tried again, or elsewhere."""

Check = Callable[[bytes], Exception | None]
"""Looks at each piece before it goes on; what it returns ends the upload."""


class Upload:
    """The lane calls `came`, `ended`, `failed`, `answered`; the corridor `peek`, `inspect`, `start`; others the rest.

    Nothing is asked of the caller until somebody wants it: so a request that is refused was never asked for its body.
    """

    __slots__ = (
        "_answered",
        "_check",
        "_kept",
        "_pieces",
        "_skip",
        "_taken",
        "_taker",
        "_unread_bytes",
        "_waiter",
        "_wanted",
        "error",
        "is_wanted",
        "is_whole",
        "length",
        "received_bytes",
    )

    def __init__(self, length: int | None, *, wanted: Callable[[], None], taken: Callable[[], None]) -> None:
        """`wanted` is called once, when it is first asked for; `taken` whenever there is room again."""
        self.length = length
        """Bytes it will have in all; None: it comes in chunks, and nobody knows."""
        self.received_bytes = 0
        self.is_whole = False
        """All of it has come."""
        self.is_wanted = False
        self.error: Exception | None = None
        """Why it will never be whole."""
        self._wanted = wanted
        self._taken = taken
        self._pieces: list[bytes] = []
        self._unread_bytes = 0
        self._kept: bytearray | None = bytearray()
        self._skip = 0
        self._taker: Callable[[], None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._check: Check | None = None
        self._answered = False

    # What the lane calls

    @property
    def is_ahead(self) -> bool:
        return self._unread_bytes > AHEAD_BYTES_MAX

    def came(self, piece: bytes) -> None:
        self.received_bytes += len(piece)
        if self._answered and self._taker is None:
            return
        if self._check is not None and (error := self._check(piece)) is not None:
            self.failed(error)
            return
        self._pieces.append(piece)
        self._unread_bytes += len(piece)
        self._moved()

    def ended(self) -> None:
        self.is_whole = True
        self._moved()

    def failed(self, error: Exception) -> None:
        if self.error is None and not self.is_whole:
            self.error = error
            self._moved()

    def answered(self) -> None:
        """An answer has begun: from now on what nobody takes is dropped, or the caller might never come to read it."""
        self._answered = True
        self._drop()

    # What the corridor calls

    async def peek(self, more_than: int) -> bytes:
        """What has come, once that is more than so many bytes, or all there is. It is still to be taken.

        Raises the error that ended it.
        """
        while self._unread_bytes <= more_than and not self.is_whole and self.error is None:
            self._waiter = asyncio.get_running_loop().create_future()
            self._want()
            await self._waiter
        if self.error is not None:
            raise self.error
        return b"".join(self._pieces)

    @property
    def can_start(self) -> bool:
        """Nothing that was taken is lost, so it can go elsewhere from its beginning."""
        return self._kept is not None and self.error is None

    @property
    def is_sent(self) -> bool:
        """All of it was taken."""
        return self.is_whole and not self._unread_bytes

    def start(self, skip: int) -> None:
        """It is taken from its beginning on, without so many bytes. `can_start`."""
        self._skip = skip
        self.restart()

    def restart(self) -> bool:
        """Likewise, as before; whether that can be done."""
        if self._kept is None or self.error is not None:
            return False
        kept = bytes(self._kept)
        self._kept = bytearray()
        if kept:
            self._pieces.insert(0, kept)
            self._unread_bytes += len(kept)
        if self._skip:
            whole = b"".join(self._pieces)
            assert len(whole) >= self._skip, "only what was seen is skipped"
            self._kept += whole[: self._skip]
            self._pieces = [whole[self._skip :]] if len(whole) > self._skip else []
            self._unread_bytes = len(whole) - self._skip
        return True

    @property
    def left(self) -> int | None:
        """Bytes that are to be taken from here on."""
        return None if self.length is None else self.length - self._skip

    def inspect(self, check: Check | None) -> None:
        """From its first byte on, in place of the check before. Raises the error that it finds in what has come."""
        self._check = check
        if check is None:
            return
        seen = bytes(self._kept or b"") + b"".join(self._pieces)
        if seen and (error := check(seen)) is not None:
            self.failed(error)
            raise error

    # What a connection calls

    def attach(self, taker: Callable[[], None]) -> None:
        """`taker` is called when there is something to take, and at the end."""
        self._taker = taker
        self._want()

    def detach(self) -> None:
        self._taker = None
        if self._answered:
            self._drop()

    def take(self) -> bytes:
        """All that is there."""
        pieces = self._pieces
        if not pieces:
            return b""
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._unread_bytes = 0
        if self._kept is not None:
            if len(self._kept) + len(data) <= KEPT_BYTES_MAX:
                self._kept += data
            else:
                self._kept = None
        self._taken()
        return data

    def _drop(self) -> None:
        if self._taker is None:
            self._pieces.clear()
            self._unread_bytes = 0
            self._kept = None
            self._taken()

    def _want(self) -> None:
        if not self.is_wanted:
            self.is_wanted = True
            self._wanted()

    def _moved(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if self._taker is not None:
            self._taker()
