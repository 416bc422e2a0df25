"""The load: a closed loop of keep-alive connections, each calling again as soon as its answer was checked.

As a process of its own it reads one `Plan` as JSON from standard input and writes one `Result` as JSON.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import cast

import httptools
import orjson
import uvloop

from bench import accounting, workloads
from bench.workloads import Workload

RECONNECT_WAIT_S = 0.05
EXAMPLE_BYTES_MAX = 400


@dataclass(frozen=True, slots=True)
class Plan:
    workload: str
    port: int
    api_key: str
    measured_pid: int
    """Root of the process tree whose CPU time counts."""
    connections: int = 64
    warm_s: float = 0.5
    measure_s: float = 2.0
    drain_s: float = 10.0
    """How long calls that are under way at the end may take before they count as errors."""


@dataclass(frozen=True, slots=True)
class Result:
    """`answers`, `seconds` and `cpu_s` are of the measured window; `calls` and `errors` of the whole run."""

    answers: float
    """Counted by bytes: a stream that is half way when the window ends is half an answer."""
    seconds: float
    cpu_s: float
    calls: int
    """Answered, and answered right."""
    errors: dict[str, int]
    """How many calls failed, by what was seen."""
    example: str
    """The first wrong answer's body, shortened."""


class Run:
    """What the connections of one run share: what to send, what to expect, and the tally."""

    def __init__(self, request: bytes, answer: bytes) -> None:
        self.request = request
        self.answer = answer
        self.over = False
        self.calls = 0
        self.body_bytes = 0
        self.errors: Counter[str] = Counter()
        self.example = ""


class Connection(asyncio.Protocol):
    """Calls, checks, calls again. `lost` is done when the connection is gone."""

    _transport: asyncio.Transport

    def __init__(self, run: Run, loop: asyncio.AbstractEventLoop) -> None:
        self.lost: asyncio.Future[None] = loop.create_future()
        self._run = run
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has the methods but not the base class.
        self._call()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio names it)
        if self._waiting:
            self._answered("connection lost before the answer's end")
        if not self.lost.done():
            self.lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._answered(f"not HTTP: {error}")
            self._transport.abort()

    def on_body(self, data: bytes) -> None:
        self._run.body_bytes += len(data)
        self._body.append(data)

    def on_message_complete(self) -> None:
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        status = self._parser.get_status_code()
        fault = _fault(status, body, self._run.answer)
        if fault and not self._run.example:
            self._run.example = body[:EXAMPLE_BYTES_MAX].decode(errors="replace")
        self._answered(fault)
        self._body = []
        if self._run.over or not self._parser.should_keep_alive():
            self._transport.close()
        else:
            self._call()

    def give_up(self) -> None:
        if self._waiting:
            self._answered("no answer")
        self._transport.abort()

    def _call(self) -> None:
        self._waiting = True
        self._transport.write(self._run.request)

    def _answered(self, fault: str | None) -> None:
        self._waiting = False
        if fault is None:
            self._run.calls += 1
        else:
            self._run.errors[fault] += 1


def _fault(status: int, body: bytes, expected: bytes) -> str | None:
    if status != HTTPStatus.OK:
        return f"status {status}"
    return None if body == expected else "another body than the upstream sent"


async def _stay_connected(run: Run, port: int) -> None:
    loop = asyncio.get_running_loop()
    while not run.over:
        try:
            _, connection = await loop.create_connection(lambda: Connection(run, loop), "127.0.0.1", port)
        except OSError as error:
            run.errors[f"cannot connect: {error.strerror}"] += 1
            await asyncio.sleep(RECONNECT_WAIT_S)
            continue
        try:
            await connection.lost
        finally:
            connection.give_up()


async def drive(plan: Plan, workload: Workload, cpu_s: Callable[[], float]) -> Result:
    """One run against 127.0.0.1. `cpu_s` says what the measured system has used so far."""
    loop = asyncio.get_running_loop()
    run = Run(workloads.head(plan.port, plan.api_key, len(workload.body)) + workload.body, workload.answer)
    connections = [asyncio.create_task(_stay_connected(run, plan.port)) for _ in range(plan.connections)]
    await asyncio.sleep(plan.warm_s)
    began = loop.time(), cpu_s(), run.body_bytes
    await asyncio.sleep(plan.measure_s)
    ended = loop.time(), cpu_s(), run.body_bytes
    run.over = True
    _, late = await asyncio.wait(connections, timeout=plan.drain_s)
    for task in late:
        task.cancel()
    await asyncio.gather(*connections, return_exceptions=True)
    if ended[2] == began[2]:
        run.errors["nothing was answered"] += 1
    seconds, used_s, body_bytes = (after - before for before, after in zip(began, ended, strict=True))
    return Result(body_bytes / len(workload.answer), seconds, used_s, run.calls, dict(run.errors), run.example)


def main() -> None:
    plan = Plan(**orjson.loads(sys.stdin.buffer.read()))
    workload = workloads.ALL[plan.workload]
    result = uvloop.run(drive(plan, workload, lambda: accounting.usage(plan.measured_pid).cpu_s))
    sys.stdout.buffer.write(orjson.dumps(asdict(result)))


if __name__ == "__main__":
    main()
