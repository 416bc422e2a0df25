"""An UpstreamClient that takes uploads as a connection does: all that comes, or, while it holds, nothing."""

from dataclasses import dataclass

from gateway.upstream.errors import Cut, UpstreamError
from gateway.upstream.messages import UpstreamRequest, UpstreamResponse
from gateway.upstream.waiter import Waiter
from tests.fakes.upstream import FakeResponse, answers


@dataclass(eq=False)
class Taken:
    """What one request brought."""

    request: UpstreamRequest
    body: bytearray
    whole: bool = False
    left: bool = False
    """Nobody sends it any more."""


@dataclass(eq=False)
class Early:
    """An answer that comes when so much of the upload was taken."""

    at_bytes: int
    response: FakeResponse


class Taker:
    """`script`: for each request its answer, or what goes wrong once it is there; after that, `{}`."""

    def __init__(self, *script: FakeResponse | UpstreamError | Early) -> None:
        self._script = list(script)
        self.taken: list[Taken] = []
        self.holds = False
        self._waiting: set[Waiter] = set()

    def let_go(self) -> None:
        self.holds = False
        self._moved()

    @property
    def requests(self) -> list[UpstreamRequest]:
        return [taken.request for taken in self.taken]

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        taken = Taken(request, bytearray(request.body))
        self.taken.append(taken)
        step = self._script.pop(0) if self._script else answers(200, b"{}")
        try:
            await self._take(taken, step.at_bytes if isinstance(step, Early) else None)
        finally:
            taken.left = True
        if isinstance(step, UpstreamError):
            raise step
        return step.response if isinstance(step, Early) else step

    async def close(self) -> None: ...

    async def _take(self, taken: Taken, at_bytes: int | None) -> None:
        upload = taken.request.upload
        if upload is None:
            taken.whole = True
            return
        upload.attach(self._moved)
        try:
            while True:
                if upload.error is not None:
                    raise Cut("scripted")
                if not self.holds:
                    taken.body += upload.take()
                    taken.whole = upload.is_sent
                if taken.whole or (at_bytes is not None and len(taken.body) >= at_bytes):
                    return
                waiter = Waiter()
                self._waiting.add(waiter)
                await waiter
        finally:
            upload.detach()

    def _moved(self) -> None:
        """Whoever waits goes on at once, as those do who wait for a connection."""
        waiting, self._waiting = self._waiting, set()
        for waiter in waiting:
            waiter.wake()
