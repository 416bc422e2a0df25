"""The load in Python: a closed loop of keep-alive connections, each calling again as soon as its answer was checked.

It takes the options of `bench/native/load.c` that fit, `--tls` besides, and prints the same. It serves where there is
no C compiler, and where a caller has to speak TLS.
"""

import argparse
import asyncio
import re
import ssl
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import cast

import httptools
import orjson
import uvloop

EXAMPLE_BYTES_MAX = 400

_WILD = re.compile(rb"\x00+|\x01+")


@dataclass(frozen=True, slots=True)
class Options:
    port: int
    request: bytes
    expected: bytes
    """A byte 0 stands for any byte, a run of bytes 1 for the time an event was sent."""
    connections: int
    warm_s: float
    measure_s: float
    drain_s: float
    tls: ssl.SSLContext | None = None


@dataclass(slots=True)
class Run:
    """What the connections of one run share: what to send, what to expect, and the tally."""

    request: bytes
    wanted: re.Pattern[bytes]
    measuring: bool = False
    over: bool = False
    calls: int = 0
    body_bytes: int = 0
    """Of the measured window."""
    latencies_us: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    example: str = ""


class Connection(asyncio.Protocol):
    """Calls, checks, calls again. `lost` is done when the connection is gone."""

    _transport: asyncio.Transport

    def __init__(self, run: Run, loop: asyncio.AbstractEventLoop) -> None:
        self.lost: asyncio.Future[None] = loop.create_future()
        self._run = run
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._waiting = False
        self._began_s = 0.0

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
        except httptools.HttpParserError:
            if self._waiting:
                self._answered("not HTTP")
            self._transport.abort()

    def on_body(self, data: bytes) -> None:
        if self._run.measuring:
            self._run.body_bytes += len(data)
        self._body.append(data)

    def on_message_complete(self) -> None:
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        fault = _fault(self._parser.get_status_code(), body, self._run.wanted)
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
        self._began_s = time.monotonic()
        self._transport.write(self._run.request)

    def _answered(self, fault: str | None) -> None:
        self._waiting = False
        if fault is not None:
            self._run.errors[fault] += 1
            return
        self._run.calls += 1
        if self._run.measuring:
            self._run.latencies_us.append((time.monotonic() - self._began_s) * 1e6)


def pattern(expected: bytes) -> re.Pattern[bytes]:
    """What fully matches the answers that `expected` stands for."""
    parts, at = [], 0
    for wild in _WILD.finditer(expected):
        one = b"." if wild[0][:1] == b"\x00" else b"[0-9]"
        parts += [re.escape(expected[at : wild.start()]), one, b"{%d}" % len(wild[0])]
        at = wild.end()
    return re.compile(b"".join((*parts, re.escape(expected[at:]))), re.DOTALL)


def _fault(status: int, body: bytes, wanted: re.Pattern[bytes]) -> str | None:
    if status != HTTPStatus.OK:
        return f"status {status}"
    return None if wanted.fullmatch(body) else "another body than the upstream sent"


async def _stay_connected(run: Run, port: int, tls: ssl.SSLContext | None) -> None:
    loop = asyncio.get_running_loop()
    while not run.over:
        try:
            _, connection = await loop.create_connection(lambda: Connection(run, loop), "127.0.0.1", port, ssl=tls)
        except OSError:
            run.errors["cannot connect"] += 1
            return
        try:
            await connection.lost
        finally:
            connection.give_up()


async def drive(options: Options) -> dict[str, object]:
    """One run against 127.0.0.1; says when the measured time begins and ends. The result as `load.c` prints it."""
    loop = asyncio.get_running_loop()
    run = Run(options.request, pattern(options.expected))
    connections = [
        asyncio.create_task(_stay_connected(run, options.port, options.tls)) for _ in range(options.connections)
    ]
    await asyncio.sleep(options.warm_s)
    print("began", flush=True)
    run.measuring, began_s = True, loop.time()
    await asyncio.sleep(options.measure_s)
    run.measuring, seconds = False, loop.time() - began_s
    print("ended", flush=True)
    run.over = True
    _, late = await asyncio.wait(connections, timeout=options.drain_s)
    for task in late:
        task.cancel()
    await asyncio.gather(*connections, return_exceptions=True)
    if not run.calls and not run.errors:
        run.errors["nothing was answered"] += 1
    return {
        "answers": run.body_bytes / len(options.expected),
        "seconds": seconds,
        "calls": run.calls,
        "events": 0,
        "latency": _spread(run.latencies_us),
        "first_event": None,
        "delay": None,
        "gap": None,
        "errors": dict(run.errors),
        "example": run.example,
    }


def _spread(us: Sequence[float]) -> dict[str, float] | None:
    if not us:
        return None
    ordered = sorted(us)

    def at(share: float) -> float:
        return ordered[int((len(ordered) - 1) * share)]

    return {
        "count": len(ordered),
        "p50_us": at(0.5),
        "p90_us": at(0.9),
        "p99_us": at(0.99),
        "p999_us": at(0.999),
        "max_us": at(1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--request", type=Path, required=True)
    parser.add_argument("--expect", type=Path, required=True)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--warm-s", type=float, default=0.5)
    parser.add_argument("--measure-s", type=float, default=2.0)
    parser.add_argument("--drain-s", type=float, default=10.0)
    parser.add_argument("--tls", type=Path, help="PEM of the authority to trust: speak TLS")
    asked = parser.parse_args()
    tls = None if asked.tls is None else ssl.create_default_context(cafile=asked.tls)
    options = Options(
        asked.port,
        asked.request.read_bytes(),
        asked.expect.read_bytes(),
        asked.connections,
        asked.warm_s,
        asked.measure_s,
        asked.drain_s,
        tls,
    )
    print(orjson.dumps(uvloop.run(drive(options))).decode())


if __name__ == "__main__":
    main()
