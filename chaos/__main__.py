"""`scripts/chaos`: provokes a stack of its own and counts what was lost. Exits 1 if anything was, never for slowness.

sync       kill -9 of control plane, agent, workers, Redis and PostgreSQL at random, under edits and calls
telemetry  kill -9 of workers, agents, control plane, ClickHouse and PostgreSQL, under calls: one record for each
backlog    a day's 8.64 million records drained beside live traffic: how fast, and is all of it there
writers    16 writers and three gateways: nothing lost, no gap, nothing out of order
edits      how long 100 edits take to be in effect on every worker, with watches and with watches blocked
size       50,000 resources: cold start, and edits applied under load
redis      a Redis that is frozen, slow, wiped, read-only, killed, under cached and other calls: none fails
fuzz       100,000 wrong bodies and as many wrong streams: no 5xx that is ours, nothing left behind
lanes      1,000,000 abuses of HTTP at both lanes of a worker, in memory: both take each for the same, none hangs
openapi    the API against its own description, by schemathesis: no 5xx, no answer unlike it
"""

import argparse
import asyncio
import random
import secrets
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import uvloop

from chaos import backlog, fuzz, kills, lanes, latency, openapi, redis, size, telemetry
from chaos.program import ProgramFailed
from chaos.stack import standing
from chaos.writers import Ledger, reckon, write
from embedded.api_client import ApiError
from embedded.clickhouse_server import NoClickhouse
from embedded.keeper import PartFailed
from embedded.postgres_programs import NoPostgres
from embedded.redis_server import NoRedis

INTERRUPTED = 130
WRITERS = 16


async def sync(folder: Path, options: argparse.Namespace) -> bool:
    seed = _seed(options)
    async with standing(folder, gateways=2, workspaces=2) as stack:
        print(f"everything is up; seed {seed}", flush=True)
        outcome = await kills.provoke(stack, 20.0 if options.short else 600.0, random.Random(seed))
    print(*kills.lines(outcome), sep="\n")
    return outcome.good


async def writers(folder: Path, options: argparse.Namespace) -> bool:
    edits, ledger = 60 if options.short else 1_000, Ledger()
    async with standing(folder, gateways=3, workspaces=4) as stack:
        print("everything is up", flush=True)
        await write(stack, ledger, writers=WRITERS, edits=edits)
        await stack.at_rest()
        found = await reckon(stack, ledger)
    print(*(f"wrong: {text}" for text in (*found.lost, *found.twice, *found.unordered)), sep="\n", end="")
    counts = f"{len(found.lost)} lost, {len(found.twice)} twice, {len(found.unordered)} out of order or missing"
    print(f"{WRITERS} writers, {len(ledger.acknowledged)} edits, 3 gateways: {counts}")
    return not (found.lost or found.twice or found.unordered)


async def edits(folder: Path, options: argparse.Namespace) -> bool:
    chance = random.Random(_seed(options))
    for number, watched in enumerate((True, False)):
        here = folder / str(number)
        here.mkdir()
        print(f"watches {'pass' if watched else 'are blocked'}", flush=True)
        async with latency.standing_stack(here, watched=watched) as stack:
            count, pause_s_max = (100, 1.0 if watched else 30.0) if not options.short else (12 if watched else 4, 1.0)
            took = await latency.measure(stack, edits=count, pause_s_max=pause_s_max, chance=chance)
        print(*latency.lines(took), sep="\n", flush=True)
    return True


async def records(folder: Path, options: argparse.Namespace) -> bool:
    seed, kills_wanted = _seed(options), options.kills or (8 if options.short else 40)
    async with standing(folder) as stack:
        gateway = stack.nodes[0].gateway
        twice = await stack.node(gateway, module="chaos.twice")
        await twice.program.ready()
        print(f"everything is up; seed {seed}; {twice.name} sends each batch twice", flush=True)
        found = await telemetry.provoke(stack, kills_wanted, random.Random(seed))
    print(*telemetry.lines(found), sep="\n")
    return found.good


async def day(folder: Path, options: argparse.Namespace) -> bool:
    records = options.records or (50_000 if options.short else 8_640_000)
    async with standing(folder, workers=1) as stack:
        print("everything is up", flush=True)
        drained = await backlog.drain(stack, records)
    print(*backlog.lines(drained), sep="\n")
    return drained.good


async def many(folder: Path, options: argparse.Namespace) -> bool:
    async with size.standing_stack(folder) as stack:
        return await size.measure(stack, 2_000 if options.short else 50_000)


async def without_redis(folder: Path, options: argparse.Namespace) -> bool:
    async with standing(folder, workers=1) as stack:
        print("everything is up", flush=True)
        found = await redis.provoke(stack, 2.0 if options.short else 15.0)
    print(*redis.lines(found), sep="\n")
    return all(phase.failed == 0 for phase in found)


async def wrong(folder: Path, options: argparse.Namespace) -> bool:
    seed, steps = _seed(options), options.steps or (3_000 if options.short else 100_000)
    async with standing(folder, workers=1) as stack:
        print(f"everything is up; seed {seed}", flush=True)
        found = await fuzz.fuzz(stack, steps, random.Random(seed))
    print(*fuzz.lines(found), sep="\n")
    return found.good


async def abused(_: Path, options: argparse.Namespace) -> bool:
    seed, inputs = _seed(options), options.steps or (5_000 if options.short else 1_000_000)
    print(f"seed {seed}", flush=True)
    found = await lanes.fuzz(inputs, random.Random(seed))
    print(*lanes.lines(found), sep="\n")
    return found.good


async def api(folder: Path, options: argparse.Namespace) -> bool:
    async with standing(folder) as stack:
        return await openapi.check(stack, folder, 30 if options.short else 900, _seed(options))


COMMANDS = {
    "sync": sync,
    "writers": writers,
    "edits": edits,
    "size": many,
    "telemetry": records,
    "backlog": day,
    "redis": without_redis,
    "fuzz": wrong,
    "lanes": abused,
    "openapi": api,
}


def _seed(options: argparse.Namespace) -> int:
    return secrets.randbits(32) if options.seed is None else int(options.seed)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--short", action="store_true", help="well under a minute")
    parser.add_argument("--kills", type=int, help="how many, where kills are counted (telemetry: 40)")
    parser.add_argument("--records", type=int, help="how many, where they are counted (backlog: 8,640,000)")
    parser.add_argument("--steps", type=int, help="how many of each kind (fuzz: 100,000; lanes: 1,000,000)")
    parser.add_argument("--seed", type=int, help="of what is left to chance")
    return parser.parse_args(arguments)


async def _main(options: argparse.Namespace) -> int:
    # SIGTERM unwinds as Ctrl-C does: whatever was started is ended.
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    try:
        with tempfile.TemporaryDirectory(prefix="gatehouse-chaos-") as folder:
            return 0 if await COMMANDS[options.command](Path(folder), options) else 1
    except (ProgramFailed, PartFailed, NoClickhouse, NoPostgres, NoRedis, ApiError) as failure:
        print(f"chaos: {failure}", file=sys.stderr)
        return 1


def main() -> int:
    try:
        options = _options(sys.argv[1:])
        run = uvloop.run if options.command == "lanes" else asyncio.run  # A worker's loop for a worker's lanes.
        return run(_main(options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("chaos: interrupted; everything it started was ended", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
