"""`scripts/bench records`: what a request's record and its slot cost on the hot path, in CPU microseconds, by part.

The worker's own code on a real file, with a call such as most are: one saved config, one attempt, usage and a price.
Medians of rounds; the last line is the whole.
"""

import gc
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median

import orjson

from gateway.pipeline.exchange import Attempt, Exchange
from gateway.pipeline.record import Writer
from gateway.providers.base import Call, Door, Place, Usage
from gateway.providers.registry import adapters
from gateway.roles.node import COLLECTOR_THRESHOLDS
from gateway.telemetry import segments, slots
from gateway.telemetry.recorder import Recorder
from gateway.telemetry.slots import SlotTable
from gateway.telemetry.spool import Spool
from gateway.upstream.messages import parse_origin
from gateway.view.route import Target
from gateway.view.view import Caller, ConfigView, WorkspaceView
from shared.clock import SystemClock
from shared.crypto.secret import Secret
from shared.models.price import Amounts, Price
from shared.models.record import FIELDS
from shared.models.workspace import InlineRules
from shared.pricing import PriceTable

ROUNDS = 101
CALLS = 300
"""In each round: few enough that an exchange is in the processor's cache when it ends, as when it has just run."""
SLOTS = 2_064
BODY = orjson.dumps({"model": "acme-large", "messages": [{"role": "user", "content": "x" * 900}]})


class Calls:
    """Makes exchanges as the corridor leaves them at their end."""

    def __init__(self) -> None:
        prices = (
            Price(valid_from=date(2026, 1, 1), amounts=Amounts(input_usd_per_mtok="0.15", output_usd_per_mtok="0.6")),
        )
        origin, prefix = parse_origin("https://api.acme.example/v1")
        place = Place("acme", origin, prefix, b"authorization", b"Bearer ", True, frozenset({"chat"}))
        workspace = WorkspaceView(
            id="ws_0199c7d7a0e03f51c09d7744e7a1c2b0",
            slug="team",
            default_config=None,
            allowed_providers=None,
            inline=InlineRules(),
            aliases={},
            configs={},
            virtual_keys={},
            providers={},
            listing={},
            metadata_keys=frozenset(),
            anonymous=False,
        )
        caller = Caller(
            "ak_0199c7d7a0e03f51c09d7744e7a1c2b0", workspace, frozenset(), None, None, True, True, True, None, False
        )
        self._view = ConfigView(7, Secret(b"k" * 32), {}, PriceTable({("acme", "acme-large"): prices}))
        self._caller = caller
        self._target = Target(
            "config.targets[0]", place, adapters()["openai"], None, "acme", "vk_0199c7d7a0e03f51c09d7744e7a1c2b0"
        )
        self._call = Call(Door.CHAT, BODY, orjson.loads(BODY), stream=False)
        self._headers = {"host": "gateway", "authorization": "Bearer gh_x", "content-type": "application/json"}
        self._number = 0

    def one(self) -> Exchange:
        self._number += 1
        exchange = Exchange(f"lg_019f9a4a7a00{self._number:020x}", Door.CHAT, self._headers, BODY, 10.0)
        exchange.received_s, exchange.view, exchange.caller, exchange.call = (
            10.0001,
            self._view,
            self._caller,
            self._call,
        )
        exchange.way = "default_config"
        exchange.told()
        attempt = Attempt(self._target, "acme-large", 10.0002, 10.2, status=200)
        exchange.attempts.append(attempt)
        exchange.usage = Usage(input_tokens=240, output_tokens=80, cache_read_tokens=0)
        exchange.status, exchange.ending, exchange.bytes_out = 200, "complete", 640
        return exchange


def cpu_us(act: Callable[[Exchange], object], make: Callable[[], Exchange]) -> float:
    """Median CPU microseconds of `act` alone."""
    rounds = []
    for _ in range(ROUNDS):
        exchanges = [make() for _ in range(CALLS)]
        began = time.process_time_ns()
        for exchange in exchanges:
            act(exchange)
        rounds.append((time.process_time_ns() - began) / 1_000 / CALLS)
    return median(rounds)


def main() -> int:
    clock, calls = SystemClock(), Calls()
    # As a worker sets it: what lives long is not looked through again and again.
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
    with tempfile.TemporaryDirectory(prefix="gatehouse-bench-") as name:
        folder = Path(name)
        (folder / slots.FOLDER).mkdir()
        table = SlotTable(slots.path_of(folder, "worker-0"), SLOTS)
        spool = Spool(folder / segments.FOLDER, "worker-0", FIELDS, clock)
        recorder = Recorder(table, spool, clock, lambda _: None, lambda _: None)
        writer = Writer()
        payload = writer.record(calls.one(), 10.3, lambda _: None)

        def nothing(_: Exchange) -> None: ...

        def slot(exchange: Exchange) -> None:
            recorder.begin(exchange)
            recorder.name(exchange)
            table.give_back(exchange.slot or 0)

        def whole(exchange: Exchange) -> None:
            recorder.begin(exchange)
            recorder.name(exchange)
            recorder.end(exchange)
            recorder.write()  # As of a call that ends alone in its turn.

        parts: dict[str, Callable[[Exchange], object]] = {
            "slot: taken, named, given back": slot,
            "record: made": lambda exchange: writer.record(exchange, clock.monotonic_s(), lambda _: None),
            f"record: written ({len(payload)} bytes)": lambda _: spool.write(payload),
            "all of it": whole,
        }
        loop_us = cpu_us(nothing, calls.one)
        figures = {name: max(cpu_us(act, calls.one) - loop_us, 0.0) for name, act in parts.items()}
        recorder.close()
    for name, figure in figures.items():
        print(f"{name:<36} {figure:6.2f} µs")
    print(f"record and slot: {figures['all of it']:.1f} µs of CPU a request")
    return 0


if __name__ == "__main__":
    sys.exit(main())
