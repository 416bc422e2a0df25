"""One run of the load on one system: what was asked, and what it took."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bench import accounting
from bench.native import Tools
from bench.processes import Cores, PartFailed, talking
from bench.workloads import COUNT

BEYOND_S = 30.0
"""How much longer than it was asked to a run may take before it counts as hanging."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How calls come: as fast as `connections` are answered; at random, `rate` a second; or, `once`, a call for each
    connection, all of them opened within `ramp_s`, measured while all of them run and for `measure_s` at most."""

    connections: int = 64
    rate: float | None = None
    once: bool = False
    ramp_s: float = 0.0
    warm_s: float = 0.5
    measure_s: float = 2.0
    drain_s: float = 10.0
    """How long calls that are under way at the end may take before they count as errors."""

    def options(self) -> tuple[str, ...]:
        return (
            f"--connections={self.connections}",
            *((f"--rate={self.rate}",) if self.rate else ()),
            *(("--once",) if self.once else ()),
            *((f"--ramp-s={self.ramp_s}",) if self.ramp_s else ()),
            f"--warm-s={self.warm_s}",
            f"--measure-s={self.measure_s}",
            f"--drain-s={self.drain_s}",
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """What is sent to whom, and what has to come back: 0 is any byte, a run of 1 the time an event was sent."""

    port: int
    request: bytes
    expected: bytes
    tls: Path | None = None
    """The authority to trust, where the caller speaks TLS. Only the load in Python does."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Microseconds."""

    count: int
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float
    max_us: float


@dataclass(frozen=True, slots=True)
class Sample:
    """What the measured processes had used and held at one moment, and how long their core had been busy."""

    at_s: float
    cpu_s: float
    rss_bytes: int
    busy_s: float


@dataclass(frozen=True, slots=True)
class Result:
    """`answers`, `seconds`, `events` and what `began` and `ended` hold between them are of the measured window;
    `calls` and `errors` of the whole run."""

    answers: float
    """Counted by bytes: a stream that is half way when the window ends is half an answer."""
    seconds: float
    calls: int
    """Answered, and answered right."""
    events: int
    latency: Spread | None
    """Until the answer's last byte; at a fixed rate from when the call should have begun."""
    first_event: Spread | None
    delay: Spread | None
    """Of events, from the upstream's sending to the load's receiving."""
    gap: Spread | None
    """Between the events of a stream."""
    errors: Mapping[str, int]
    """How many calls failed, by what was seen."""
    example: str
    """The first wrong answer's body, shortened."""
    began: Sample
    ended: Sample

    @property
    def cpu_s(self) -> float:
        return self.ended.cpu_s - self.began.cpu_s

    @property
    def core_share(self) -> float:
        """Of one core, taken by what was measured."""
        return self.cpu_s / (self.ended.at_s - self.began.at_s)

    @property
    def foreign_share(self) -> float:
        """Of the measured core, taken by others."""
        return max(0.0, (self.ended.busy_s - self.began.busy_s - self.cpu_s) / (self.ended.at_s - self.began.at_s))

    @property
    def failed(self) -> int:
        return sum(self.errors.values())


@dataclass(frozen=True, slots=True)
class Load:
    """Runs the load program of `tools` on `cores`, with its files in `folder`."""

    tools: Tools
    folder: Path
    environment: Mapping[str, str]
    cores: Cores
    measured: Cores

    async def run(
        self, asked: Asked, shape: Shape, pid: int | None, began: Callable[[], None] = lambda: None
    ) -> Result:
        """`pid` is the root of the processes to account for; `began` is called when the measured time begins.

        Raises PartFailed.
        """
        name = f"{asked.port}-{time.monotonic_ns()}"
        request, expected = self.folder / f"{name}.request", self.folder / f"{name}.expected"
        request.write_bytes(asked.request)
        expected.write_bytes(asked.expected)
        command = (*self.tools.load, f"--port={asked.port}", f"--request={request}", f"--expect={expected}")
        command += shape.options()
        if (at := asked.request.find(COUNT)) >= 0:
            # Ten digits that no run before has come to, so that no call is like one that was kept.
            command += (f"--count-at={at + 1}", f"--count-from={time.monotonic_ns() // 1000 % 10**10}")
        if asked.tls is not None:
            command += (f"--tls={asked.tls}",)
        limit_s = shape.warm_s + shape.ramp_s + shape.measure_s + shape.drain_s + BEYOND_S
        samples = {}
        try:
            async with asyncio.timeout(limit_s), talking(command, self.environment, self.cores) as process:
                assert process.stdout is not None
                said = b""
                async for line in process.stdout:
                    word = line.strip()
                    if word in (b"began", b"ended"):
                        samples[word] = self._sample(pid)
                    if word == b"began":
                        began()
                    said = word
                complaints = await process.stderr.read() if process.stderr else b""
                code = await process.wait()
        except TimeoutError:
            raise PartFailed(f"the load has not ended after {limit_s:.0f} s") from None
        finally:
            request.unlink()
            expected.unlink()
        if code != 0 or len(samples) != 2:
            raise PartFailed(f"the load ended with {code}\n{complaints.decode(errors='replace')}")
        return _result(orjson.loads(said), samples[b"began"], samples[b"ended"])

    def _sample(self, pid: int | None) -> Sample:
        busy_s = accounting.busy_s(self.measured)
        usage = accounting.Usage(0.0, 0) if pid is None else accounting.usage(pid)
        return Sample(time.monotonic(), usage.cpu_s, usage.rss_bytes, busy_s)


def _result(said: dict[str, Any], began: Sample, ended: Sample) -> Result:
    return Result(
        answers=said["answers"],
        seconds=said["seconds"],
        calls=said["calls"],
        events=said["events"],
        latency=_spread(said["latency"]),
        first_event=_spread(said["first_event"]),
        delay=_spread(said["delay"]),
        gap=_spread(said["gap"]),
        errors=said["errors"],
        example=said["example"],
        began=began,
        ended=ended,
    )


def _spread(said: dict[str, Any] | None) -> Spread | None:
    return None if said is None else Spread(**said)
