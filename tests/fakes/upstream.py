"""An UpstreamClient that answers from a script: what is asked of the network is seen, what comes back is said."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gateway.upstream.errors import TooLarge, UpstreamError
from gateway.upstream.messages import Taken, UpstreamRequest, UpstreamResponse
from shared.clock import FakeClock


@dataclass(eq=False)
class Hang:
    """Stands in a script where nothing comes until it is let go; `reached` says that somebody waits."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self) -> None:
        self.reached.set()
        await self.released.wait()


Piece = bytes | UpstreamError | Hang


class FakeResponse:
    """An answer in pieces. An UpstreamError among them is raised where it stands and ends the answer."""

    def __init__(self, status: int, headers: Mapping[str, str], pieces: Iterable[Piece]) -> None:
        self.status = status
        self.headers = headers
        self._pieces = list(pieces)
        self.ended = False
        self.aborted = False
        self.left = False
        """To end by itself."""

    @property
    def freed(self) -> bool:
        """Read to its end, left to end by itself, or aborted: the connection is nobody's any more."""
        return self.ended or self.aborted or self.left

    async def read(self, bytes_max: int) -> bytes:
        whole = b""
        while piece := await self.chunk():
            whole += piece
            if len(whole) > bytes_max:
                self.abort()
                raise TooLarge("scripted")
        return whole

    async def chunk(self) -> bytes:
        assert not self.aborted, "nobody reads an answer that was aborted"
        while self._pieces:
            piece = self._pieces[0]
            if isinstance(piece, Hang):
                await piece.wait()
                self._pieces.pop(0)
                continue
            self._pieces.pop(0)
            if isinstance(piece, UpstreamError):
                self.ended = True
                raise piece
            if piece:
                return piece
        self.ended = True
        return b""

    async def pour(self, taken: Taken) -> bool:
        while piece := await self.chunk():
            if not taken(piece, b"%x\r\n%b\r\n" % (len(piece), piece)):
                return True
            await asyncio.sleep(0)  # From a socket each would come in a turn of its own.
        return False

    def read_out(self, within_s: float) -> None:
        assert within_s > 0
        self.left = not self.ended

    def abort(self) -> None:
        if not self.ended:
            self.aborted = True


def answers(
    status: int, *pieces: Piece, content_type: str = "application/json", headers: Mapping[str, str] | None = None
) -> FakeResponse:
    return FakeResponse(status, {"content-type": content_type, **(headers or {})}, pieces)


def streams(*pieces: Piece, headers: Mapping[str, str] | None = None) -> FakeResponse:
    return answers(200, *pieces, content_type="text/event-stream", headers=headers)


@dataclass(frozen=True)
class Later:
    """What comes when so much time has passed."""

    seconds: float
    step: FakeResponse | UpstreamError


Step = FakeResponse | UpstreamError | Hang | Later


class FakeClient:
    """Takes one step of its script for each request: answers, raises, or hangs and then takes the next step."""

    def __init__(self, *script: Step, clock: FakeClock | None = None) -> None:
        self._script = list(script)
        self._clock = clock
        self.requests: list[UpstreamRequest] = []
        self.responses: list[FakeResponse] = []

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        self.requests.append(request)
        step = self._script.pop(0)
        if isinstance(step, Hang):
            await step.wait()
            step = self._script.pop(0)
        if isinstance(step, Later):
            assert self._clock is not None
            self._clock.advance(step.seconds)
            step = step.step
        assert not isinstance(step, Hang)
        if isinstance(step, UpstreamError):
            raise step
        self.responses.append(step)
        return step

    async def close(self) -> None:
        self._script.clear()
