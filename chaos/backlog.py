"""A day's records, written by the spool's own writer, drained beside live traffic: how fast, and is all of it there.

The clock is passed in, so a day takes as long as its bytes do. The node is down while they are written, as after a day
on which nobody took them; then it starts, callers call, and all go through agent, control plane and ClickHouse.
"""

import asyncio
import time
from dataclasses import dataclass

import clickhouse_connect
import orjson
from clickhouse_connect.driver.asyncclient import AsyncClient

from chaos.callers import Load, calling
from chaos.stack import Stack
from gateway.telemetry import segments
from gateway.telemetry.spool import Spool
from shared.boundary import SAMPLE
from shared.clock import FakeClock
from shared.models.record import FIELDS

RATE = 100
"""Records in a second of the day that is written."""
WORKER = "worker-0"
CALLERS = 4
LIVE_MODEL = "sim-slow-20"
PROGRESS_S = 10.0
LOOK_S = 1.0
QUIET_S_MAX = 60.0
"""Nothing new for so long: what is missing will not come."""
_TOLD = 1_000_000
_MARK = "backlog"
_OF_DAY = (
    "select count(), groupBitmap(reinterpretAsUInt32(reverse(unhex(right(id, 8))))) from record"
    " where trace_id = 'backlog'"
)
"""How many there are, and how many different ones: by their numbers, whose set is small enough for the engine."""
_COUNT = "select count() from record where trace_id = 'backlog'"
_LIVE = "select id from record where trace_id != 'backlog'"
_ONE = "select count() from record where id = {id:String} and started_at > now() - interval 1 hour"


@dataclass(frozen=True, slots=True)
class Drained:
    records: int
    seconds: float
    """From the last look at ClickHouse that found none of them to the first that found them all."""
    lost: int
    twice: int
    live: int
    """Answered calls beside it."""
    live_lost: int
    live_seen_s: list[float]
    """How long a live record took to be seen while the backlog drained."""
    failed: int

    @property
    def good(self) -> bool:
        return not (self.lost or self.twice or self.live_lost or self.failed)


async def drain(stack: Stack, records: int) -> Drained:
    (node,), workspace = stack.nodes, stack.workspaces[0]
    await node.program.stop()
    began_s = time.monotonic()
    await asyncio.to_thread(_write, stack, records)
    written_s = time.monotonic() - began_s
    print(f"{records:,} records are written ({written_s:.0f} s, {records / written_s:,.0f}/s)", flush=True)
    client = await clickhouse_connect.get_async_client(dsn=stack.clickhouse_url.reveal_text())
    try:
        await node.program.start()
        async with calling(stack.nodes, workspace.api_key, callers=CALLERS, model=LIVE_MODEL) as load:
            seen_s: list[float] = []
            watching = asyncio.create_task(_watch_live(client, load, seen_s))
            seconds = await _until_drained(client, records)
            watching.cancel()
        answered = set(load.answered)
        await _until_quiet(client)
        ((count, distinct),) = (await client.query(_OF_DAY)).result_rows
        live = {id_ for (id_,) in (await client.query(_LIVE)).result_rows}
    finally:
        await client.close()
    return Drained(
        records=records,
        seconds=seconds,
        lost=records - distinct,
        twice=count - distinct,
        live=len(answered),
        live_lost=len(answered - live),
        live_seen_s=sorted(seen_s),
        failed=len(load.failed),
    )


def lines(drained: Drained) -> list[str]:
    seen_s = drained.live_seen_s
    middle = f"{seen_s[len(seen_s) // 2]:.1f} s (longest {seen_s[-1]:.1f} s)" if seen_s else "not measured"
    return [
        f"{drained.live} live calls beside it, {drained.live_lost} of their records lost; one was seen after {middle}",
        f"drained {drained.records:,} records in {drained.seconds:.0f} s: {drained.records / drained.seconds:,.0f}/s",
        f"0 kills: {drained.lost + drained.live_lost} lost, {drained.twice} twice, {drained.failed} failed",
    ]


def _write(stack: Stack, records: int) -> None:
    """A day that ends now. Each record as a worker would have written it then."""
    now_ms = time.time_ns() // 1_000_000
    clock = FakeClock(now_ms - records * 1_000 // RATE)
    spool = Spool(stack.nodes[0].folder / segments.FOLDER, WORKER, FIELDS, clock)
    (workspace,) = stack.workspaces
    record = SAMPLE._replace(workspace=workspace.id, user=None, metadata={}, trace_id=_MARK)
    for number in range(records):
        at_ms = clock.wall_ms()
        row = record._replace(id=f"lg_{at_ms:012x}{number:020x}", started_at_ms=at_ms)
        spool.write(orjson.dumps(tuple(row)))
        clock.advance(1 / RATE)
        if (number + 1) % _TOLD == 0:
            print(f"{number + 1:,} of {records:,} written", flush=True)
    spool.close()


async def _until_drained(client: AsyncClient, records: int) -> float:
    """Seconds of `Drained`; of a backlog that stops coming, to where it stopped.

    They begin with the last look that found nothing: a short backlog may all be there at the next one.
    """
    began_s = grew_s = told_s = time.monotonic()
    before = 0
    while True:
        ((count,),) = (await client.query(_COUNT)).result_rows
        now_s = time.monotonic()
        if not count:
            began_s = grew_s = told_s = now_s
        if count > before:
            before, grew_s = count, now_s
        if count and (count >= records or now_s - grew_s > QUIET_S_MAX):
            return grew_s - began_s
        if count and now_s - told_s > PROGRESS_S:
            told_s = now_s
            print(f"{count:,} of {records:,} ({count / (now_s - began_s):,.0f}/s)", flush=True)
        await asyncio.sleep(LOOK_S)


async def _watch_live(client: AsyncClient, load: Load, seen_s: list[float]) -> None:
    """Take the newest answer, and wait until its record is seen; again and again."""
    while True:
        await load.reach(1)
        id_, began_s = load.answered[-1], time.monotonic()
        while not (await client.query(_ONE, parameters={"id": id_})).result_rows[0][0]:  # noqa: ASYNC110 - seen there only
            await asyncio.sleep(LOOK_S)
        seen_s.append(time.monotonic() - began_s)


async def _until_quiet(client: AsyncClient) -> None:
    """Until nothing comes any more."""
    before, grew_s = -1, time.monotonic()
    while time.monotonic() - grew_s < 5 * LOOK_S:
        ((count,),) = (await client.query("select count() from record")).result_rows
        if count != before:
            before, grew_s = count, time.monotonic()
        await asyncio.sleep(LOOK_S)
