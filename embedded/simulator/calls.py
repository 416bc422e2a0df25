"""The calls the simulator got, the newest 10,000, so that a test can see what came and await how it ended."""

import asyncio
import hashlib
from collections import deque
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from embedded.simulator.upload import Upload

CALLS_MAX = 10_000
CREDENTIALS = frozenset(("api-key", "authorization", "x-api-key", "x-goog-api-key"))
"""Headers that hold one."""


class State(StrEnum):
    STARTED = "started"
    ANSWERED = "answered"
    CUT_BY_US = "cut_by_us"
    CLIENT_LEFT = "client_left"


class Call:
    """One call, from its head to its end."""

    __slots__ = ("body_bytes", "body_sha256", "chunks", "headers", "method", "model", "number", "path", "state")

    def __init__(self, number: int, method: str, path: str, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self.number = number
        self.method = method
        self.path = path
        self.headers = headers
        self.model: str | None = None
        self.body_sha256 = ""
        self.body_bytes = 0
        self.chunks = 0
        """Chunks of the answer's body given to the socket; a plain answer is one."""
        self.state = State.STARTED

    def received(self, upload: Upload) -> None:
        self.body_sha256 = upload.digest
        self.body_bytes = upload.bytes

    def as_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "method": self.method,
            "path": self.path,
            "model": self.model,
            "headers": [_shown(name.decode("latin-1"), value) for name, value in self.headers],
            "body_sha256": self.body_sha256,
            "body_bytes": self.body_bytes,
            "chunks": self.chunks,
            "state": self.state,
        }


class Calls:
    """A ring of calls, numbered from 1, and those who wait for one to end."""

    def __init__(self) -> None:
        self._ring: deque[Call] = deque(maxlen=CALLS_MAX)
        self._begun = 0
        self._changed = asyncio.Event()
        """Set and replaced at every change; nobody waiting, it costs nothing."""

    def begin(self, method: str, path: str, headers: Sequence[tuple[bytes, bytes]]) -> Call:
        self._begun += 1
        call = Call(self._begun, method, path, headers)
        self._ring.append(call)
        self._tell()
        return call

    def end(self, call: Call, state: State) -> None:
        call.state = state
        self._tell()

    def after(self, number: int) -> list[Call]:
        return [call for call in self._ring if call.number > number]

    async def wait(self, number: int, state: State) -> Call | None:
        """The call once it has begun and is in `state`, or has ended in another; None if the ring has dropped it."""
        while True:
            oldest = self._begun - len(self._ring) + 1
            if number < oldest:
                return None
            if number <= self._begun:
                call = self._ring[number - oldest]
                if call.state in (state, State.ANSWERED, State.CUT_BY_US, State.CLIENT_LEFT):
                    return call
            await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _shown(name: str, value: bytes) -> tuple[str, str]:
    """A header as tests may see it: a credential only by its hash."""
    if name.lower() in CREDENTIALS:
        return name.lower(), "sha256:" + hashlib.sha256(value).hexdigest()
    return name.lower(), value.decode("latin-1")
