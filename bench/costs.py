"""What each thing costs on top of a plain call of 1 KB, in CPU microseconds: the gateway with it, less without it.

TLS is measured with the upstream and the load in Python, and so is the plain call that it is compared with.
"""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from bench import certificates, native, report, source
from bench.gateway import Node
from bench.measure import Result, Shape
from bench.processes import free_port, run_to_end, running
from bench.report import NOTHING, Outcome, Table
from bench.rounds import Case, Scale, interleaved
from bench.source import Upstreams
from bench.stack import Stack, System, upstream_part
from bench.workloads import COUNTED, EMBEDDINGS, LARGE, SMALL, Workload
from embedded.ports import LOOPBACK

CONNECTIONS = 64
HEADINGS = ("what", "CPU µs/call", "on top", "calls/s seen", "errors", "core taken by others")
METADATA = 'x-portkey-metadata: {"team":"search"}'
_FIGURE = re.compile(r"^(.+): ([0-9.]+) µs of CPU", re.MULTILINE)

Rounds = dict[str, list[Result]]


async def run(stack: Stack, scale: Scale) -> Outcome:
    shape = Shape(CONNECTIONS, measure_s=scale.measure_s)
    plain = await interleaved(stack, _cases(stack, shape), scale.rounds)
    async with _nodes(stack) as (of_open, of_sealed):
        load = stack.load_of(native.in_python())
        cases = [
            Case("a plain call, tools in Python", of_open, SMALL, shape, load),
            Case("TLS to the upstream", stack.configured("open, secure", source.SECURE, of_open), SMALL, shape, load),
            Case("TLS from the caller", of_sealed, SMALL, shape, load),
        ]
        over_tls = await interleaved(stack, cases, scale.rounds)
    errors = report.failed_in_all(plain) + report.failed_in_all(over_tls)
    notes = (
        f"{CONNECTIONS} connections, medians of {scale.rounds} rounds, CPU of the gateway's whole process tree.",
        "Parts: in one process by itself, many at once.",
    )
    rows = [*_rows(plain), *_rows(over_tls), *await _parts(stack)]
    return Outcome([Table("What things cost", HEADINGS, rows, words=1, notes=notes)], failed=errors)


def _cases(stack: Stack, shape: Shape) -> list[Case]:
    """The plain call first."""
    conditional = stack.configured("conditional", source.CONDITIONAL)
    conditional = replace(conditional, headers=(*conditional.headers, METADATA))
    asked: list[tuple[str, System, Workload]] = [
        ("a plain call", stack.gateway, SMALL),
        ("30 KB", stack.gateway, LARGE),
        ("embeddings", stack.gateway, EMBEDDINGS),
        ("exact cache, a hit", stack.configured("cached", source.CACHED), SMALL),
        ("exact cache, a miss", stack.configured("cached", source.CACHED), COUNTED),
        ("override_params", stack.configured("overridden", source.OVERRIDDEN), SMALL),
        ("loadbalance and retry", stack.configured("balanced", source.BALANCED), SMALL),
        ("conditional on metadata", conditional, SMALL),
        ("translation to Anthropic", stack.configured("messages", source.MESSAGES), SMALL),
        ("translation to Gemini", stack.configured("contents", source.CONTENTS), SMALL),
    ]
    return [Case(name, system, workload, shape) for name, system, workload in asked]


@asynccontextmanager
async def _nodes(stack: Stack) -> AsyncIterator[tuple[System, System]]:
    """Two gateways that reach an upstream plainly and over TLS; the second one's callers speak TLS too."""
    folder = stack.folder / "tls"
    folder.mkdir()
    pem = certificates.make(folder)
    tools = native.in_python()
    plain_port, secure_port = free_port(), free_port()
    trusts = {"GATEHOUSE_UPSTREAM_CA_FILE": str(pem.authority)}
    seals = {"GATEHOUSE_TLS_CERT_FILE": str(pem.chain), "GATEHOUSE_TLS_KEY_FILE": str(pem.key)}
    upstreams = Upstreams(f"http://{LOOPBACK}:{plain_port}", f"https://{LOOPBACK}:{secure_port}")
    ports = {"upstream-python": (plain_port, ()), "upstream-tls": (secure_port, (f"--certificate={pem.both}",))}
    async with AsyncExitStack() as parts:
        for name, (port, arguments) in ports.items():
            part = upstream_part(name, tools, port, stack.answers, stack.environment, *arguments)
            await (await parts.enter_async_context(running(part, stack.place.others, folder))).until_ready()
        systems = []
        for name, settings, tls in (("open", trusts, None), ("sealed", trusts | seals, pem.authority)):
            node = Node.new(name, folder, stack.environment, stack.redis_url, stack.place, settings, tls)
            gateway = await parts.enter_async_context(node.started_first(source.source(node.id, upstreams, stack.keys)))
            system = System(name, node.port, gateway.pid, tls=tls)
            systems.append(stack.configured(name, source.PLAIN, system))
        yield systems[0], systems[1]


async def _parts(stack: Stack) -> list[tuple[str, ...]]:
    """What programs of the bench say that measure something by itself: lines of a name and CPU microseconds."""
    environment = {**stack.environment, "BENCH_REDIS_URL": stack.redis_url.reveal_text()}
    rows: list[tuple[str, ...]] = []
    for module in ("steps", "records", "redis_trip"):
        printed = await run_to_end(native.module(module), environment, stack.place.measured)
        for name, cost_us in _FIGURE.findall(printed.decode()):
            rows.append((f"part: {name}", NOTHING, cost_us, *[NOTHING] * 3))
    return rows


def _rows(results: Rounds) -> list[tuple[str, ...]]:
    """The first is what the others are on top of."""
    base, *_ = results.values()
    plain_us = report.cost(base, SMALL)
    rows: list[tuple[str, ...]] = []
    for name, rounds in results.items():
        cost_us = report.cost(rounds, SMALL)  # A workload's answer is one call whatever its size.
        rows.append(
            (
                name,
                f"{cost_us:.1f}",
                NOTHING if rounds is base else f"{cost_us - plain_us:+.1f}",
                f"{report.observed(rounds, SMALL):,.0f}",
                str(report.failed(rounds)),
                report.foreign(rounds),
            )
        )
    return rows
