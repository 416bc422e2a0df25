"""Abuse by the million at both lanes of a worker, in memory: whatever a caller writes, both take it for the same.

The same bytes go to a hot door, to a path that aiohttp serves, and to each of them behind a good request. Behind both
stands an echo, so that a verdict says also which requests, with which bodies, were found in the bytes. Held: the
verdicts are equal; when every deadline has passed, nobody is connected; no fault is logged; tasks and memory stay flat.
"""

import asyncio
import os
import random
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import Any, cast

import structlog
from aiohttp import web

from bench.accounting import usage
from chaos import abuse
from gateway.pipeline.exchange import Exchange
from gateway.pipeline.pipeline import Pipeline
from gateway.serve.answer import LaneAnswer
from gateway.serve.http import ColdFront, ColdServer, Connection
from gateway.serve.lane import Lane, Limits
from gateway.serve.server import Server
from shared.clock import FakeClock

HOT, COLD = b"/v1/chat/completions", b"/v2/chat/completions"
"""They differ in one byte: a cut, or the end of a body, falls on the same place in both."""
LIMITS = Limits(abuse.BODY_BYTES_MAX, body_wait_s=20.0, running_requests_max=100, sweep_s=3_600.0)
ALL_DEADLINES_S = 1_000.0
QUIET_TURNS = 2
"""So many turns of the loop without a byte: nothing is under way."""
TURNS_MAX = 2_000
"""Then it hangs."""
TOLD_EVERY = 50_000
"""Inputs to a line of progress."""
EXAMPLES_MAX = 5
GROWTH_BYTES_MAX = 24 * 1024 * 1024
"""Of memory in the second half: above the allocator's noise, below what a leak would cost."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    closes: bool
    echo: bytes
    """What the request's body was taken for; empty for a refusal."""


@dataclass(frozen=True, slots=True)
class Verdict:
    answers: tuple[Answer, ...]
    reads_on: bool
    """The connection is kept, and whatever comes next is read as a request or the rest of one."""
    at_last: tuple[int, ...]
    """What a caller who then goes silent is told before his connection ends."""


class _Echo:
    """In the pipeline's place: answers with the body it was given."""

    def admit(self, exchange: Exchange) -> None: ...

    async def run(self, exchange: Exchange, answer: LaneAnswer) -> None:
        answer.head(200, b"content-type: text/plain\r\n", len(exchange.body))
        answer.put(exchange.body)
        if not answer.end():
            await answer.drained()


class _ColdEcho:
    """Likewise in the cold lane."""

    def __init__(self) -> None:
        numbers = count()
        self.new_id: Callable[[], str] = lambda: f"lg_{next(numbers):032x}"

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=await request.read(), headers={"content-type": "text/plain"})


class _NoRecords:
    waiting = ()

    def begin(self, exchange: Exchange) -> None: ...

    def name(self, exchange: Exchange) -> None: ...

    def end(self, exchange: Exchange) -> None: ...

    def write(self) -> None: ...


class Caller(asyncio.Transport):
    """One connection in memory, of a caller who takes whatever he is sent."""

    def __init__(self, lane: Lane, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._lane = lane
        self._loop = loop
        self.family = socket.AF_UNIX
        self.written = bytearray()
        self.half_closed = False
        self.closed = False
        self.left = False
        """The lane knows that it is closed."""
        lane.connection_made(self)

    def feed(self, piece: bytes) -> None:
        """In the next turn of the loop, as sockets do: within a task, what begins at once elsewhere begins later."""
        self._loop.call_soon(self._come, piece)

    def _come(self, piece: bytes) -> None:
        if not self.closed:
            self._lane.data_received(piece)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self if name == "socket" else default

    def setsockopt(self, *option: int) -> None: ...

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.half_closed = True

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._loop.call_soon(self._lose)

    def abort(self) -> None:
        self.close()

    def _lose(self) -> None:
        self.left = True
        self._lane.connection_lost(None)

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Lanes:
    """A worker's public port with an echo behind both lanes. Made inside the loop that it is used in."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self._loop = asyncio.get_running_loop()
        self._lent = 0
        """Requests at aiohttp."""
        front = _ColdEcho()
        self._cold = ColdServer(cast(ColdFront, front), self._loop)
        self._server = Server(
            cast(Pipeline, _Echo()),
            self._cold,
            _NoRecords(),
            self.clock,
            front.new_id,
            LIMITS,
        )
        self._server.lend = self._lend

    async def verdict(
        self, data: bytes, path: bytes, cuts: Sequence[int] = (), *, behind_good: bool = False
    ) -> Verdict:
        """Of `data` for `path`, cut into pieces. Raises TimeoutError for a connection that outlives all deadlines."""
        caller = Caller(self._server(), self._loop)
        self._lent = 0
        if behind_good:
            caller.feed(abuse.SIZED.replace(abuse.PATH, path))
            await self._quiet(caller)
            if _answers(caller.written) != (Answer(200, False, abuse.SIZED.partition(b"\r\n\r\n")[2]),):
                raise TimeoutError("a good request was not answered")
            caller.written.clear()
        data = data.replace(abuse.PATH, path)
        for start, end in pairwise((0, *sorted(cuts), len(data))):
            if start < end:
                caller.feed(data[start:end])
                await self._quiet(caller)  # Else what lies ahead would depend on how long a lane takes.
        answers, reads_on = _answers(caller.written), not (caller.closed or caller.half_closed)
        caller.written.clear()
        for _ in range(3):  # A body that is late, the last answer's lingering, and one more.
            self.clock.advance(ALL_DEADLINES_S)
            self._server.sweep(self.clock.monotonic_s())
            await self._quiet(caller)
        if not caller.left or self._server.running:
            raise TimeoutError("a connection is held beyond every deadline")
        return Verdict(answers, reads_on, tuple(answer.status for answer in _answers(caller.written)))

    async def _quiet(self, caller: Caller) -> None:
        """Until nothing is under way: a call at a hot door takes one turn of the loop."""
        still, before = 0, -1
        for _ in range(TURNS_MAX):
            await asyncio.sleep(0)
            written = len(caller.written)
            still, before = (still + 1, before) if written == before and not self._lent else (0, written)
            if still >= QUIET_TURNS:
                return
        raise TimeoutError("it never comes to rest")

    def _lend(self, answered: Callable[[bool], None]) -> Connection:
        def given_back(may_stay_open: bool) -> None:
            self._lent -= 1
            answered(may_stay_open)

        self._lent += 1
        return self._cold.lend(given_back)


def _answers(written: bytes | bytearray) -> tuple[Answer, ...]:
    found: list[Answer] = []
    rest = bytes(written)
    while rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        headers = dict(line.split(b": ", 1) for line in lines[1:])
        status, length = int(head[9:12]), int(headers.get(b"content-length", b"0"))
        echo, rest = rest[:length].replace(HOT[:3], COLD[:3]), rest[length:]
        found.append(Answer(status, headers.get(b"connection") == b"close", echo if status == 200 else b""))
    return tuple(found)


@dataclass(slots=True)
class Found:
    inputs: int = 0
    differ: int = 0
    hangs: int = 0
    crashes: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    tasks: tuple[int, int] = (0, 0)
    """Before and after."""
    rss_bytes: tuple[int, int] = (0, 0)
    """At half and at the end."""

    @property
    def flat(self) -> bool:
        return self.tasks[0] == self.tasks[1] and self.rss_bytes[1] - self.rss_bytes[0] <= GROWTH_BYTES_MAX

    @property
    def good(self) -> bool:
        return self.flat and not (self.differ or self.hangs or self.crashes)

    def example(self, text: str) -> None:
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(text)


async def compare(lanes: Lanes, data: bytes, cuts: Sequence[int]) -> dict[str, Verdict]:
    """What each lane makes of `data`, alone and behind a good request."""
    return {
        f"{name}{', behind a good one' if behind else ''}": await lanes.verdict(data, path, cuts, behind_good=behind)
        for name, path in (("hot", HOT), ("cold", COLD))
        for behind in (False, True)
    }


async def fuzz(inputs: int, chance: random.Random) -> Found:
    heard, loop = _Heard(), asyncio.get_running_loop()
    handler, configured = loop.get_exception_handler(), structlog.get_config()
    structlog.configure(processors=[heard.log], cache_logger_on_first_use=False)
    loop.set_exception_handler(heard.fault)
    try:
        return await _fuzz(heard, inputs, chance)
    finally:
        loop.set_exception_handler(handler)
        structlog.configure(**configured)


async def _fuzz(heard: "_Heard", inputs: int, chance: random.Random) -> Found:
    found = Found()
    lanes = Lanes()
    found.tasks = (len(asyncio.all_tasks()), 0)
    half = inputs // 2
    while found.inputs < inputs:
        data = abuse.mutated(chance)
        cuts = [chance.randint(0, len(data) + len(HOT)) for _ in range(chance.choice((0, 0, 1, 3)))]
        found.inputs += 1
        try:
            verdicts = await compare(lanes, data, cuts)
        except TimeoutError as error:
            found.hangs += 1
            found.example(f"{error}: {data!r} cut at {cuts}")
            lanes = Lanes()
            continue
        found.statuses.update(answer.status for answer in verdicts["hot"].answers)
        if len(set(verdicts.values())) > 1:
            found.differ += 1
            found.example(f"{data!r} cut at {cuts}: {verdicts}")
        if heard.told or any(answer.status >= 500 for each in verdicts.values() for answer in each.answers):
            found.crashes += 1
            found.example(f"{heard.told} after {data!r} cut at {cuts}")
            heard.told.clear()
        if found.inputs == half:
            found.rss_bytes = (usage(os.getpid()).rss_bytes, 0)
        if found.inputs % TOLD_EVERY == 0:
            print(f"lanes: {found.inputs:,} of {inputs:,}", flush=True)
    await asyncio.sleep(0)
    found.tasks = (found.tasks[0], len(asyncio.all_tasks()))
    end_bytes = usage(os.getpid()).rss_bytes
    found.rss_bytes = (found.rss_bytes[0] or end_bytes, end_bytes)
    return found


class _Heard:
    """Whatever was logged, or raised where nobody waited for it."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def log(self, _: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        self.told.append(str(event))
        raise structlog.DropEvent

    def fault(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.told.append(str(context.get("exception") or context.get("message")))


def lines(found: Found) -> list[str]:
    statuses = ", ".join(f"{count:,} x {status}" for status, count in sorted(found.statuses.items()))
    grown = (found.rss_bytes[1] - found.rss_bytes[0]) / 2**20
    flat = "memory and tasks flat" if found.flat else "memory or tasks NOT flat"
    return [
        *(f"wrong: {text}" for text in found.examples),
        f"each on a hot door and a cold path, alone and behind a good request; answered: {statuses}",
        f"tasks {found.tasks[0]} before, {found.tasks[1]} after; {grown:+.1f} MB in the second half",
        f"{found.inputs} inputs, {found.differ} verdicts differ, {found.hangs} hangs, {found.crashes} crashes, {flat}",
    ]
