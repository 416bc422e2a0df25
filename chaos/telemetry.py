"""Parts of both planes are killed at random under load; then every answer is looked for among the records.

One node sends each batch once, the other each batch twice. Every answered request must have exactly one record; those
beyond are of calls that were in flight on killed workers; and raw rows, roll-ups and their costs must be equal.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from http import HTTPStatus

import clickhouse_connect
from clickhouse_connect.driver.asyncclient import AsyncClient

from chaos.callers import Ask, Ended, calling, post
from chaos.kills import Kill, Killer, in_flight_line
from chaos.stack import Stack, chat

VICTIMS = ("agent", "clickhouse", "control_plane", "postgres", "worker", "worker")
"""Workers die twice as often: their records are what is at stake."""
CALLERS = 10
"""At each node."""
QUIET_S = 4.0
"""Records that have not grown for so long, with nothing missing, are all there."""
REST_S_MAX = 180.0
LOOK_S = 0.25
PRICE = {"input_usd_per_mtok": "0.15", "output_usd_per_mtok": "0.6"}

_RECORDS = "select id, ending, count() from record group by id, ending"
_RAW = "select count(), sum(cost_usd), sum(input_tokens), sum(output_tokens) from record"
_ROLLED_UP = "select sum(requests), sum(cost_usd), sum(input_tokens), sum(output_tokens) from {table}"

Sums = tuple[int, Decimal, int, int]


@dataclass(frozen=True, slots=True)
class Found:
    kills: list[Kill]
    answered: int
    records: int
    aborted: int
    beyond: int
    """Records of calls that had no answer."""
    in_flight: list[Ended]
    failed: list[Ended]
    lost: list[str]
    twice: list[str]
    sums: dict[str, Sums]
    """By table."""

    @property
    def unexplained(self) -> int:
        """Records that no call explains."""
        return max(self.beyond - len(self.in_flight), 0)

    @property
    def good(self) -> bool:
        equal = len(set(self.sums.values())) == 1
        return equal and not (self.lost or self.twice or self.failed or self.unexplained)


async def provoke(stack: Stack, kills: int, chance: random.Random) -> Found:
    """Raises ProgramFailed if a part does not come back."""
    workspace = stack.workspaces[0]
    await stack.api.post("/api/v1/prices", {"provider": "simulator", "valid_from": "2026-01-01", "amounts": PRICE})
    await stack.at_rest()
    killer = Killer(stack, chance)
    async with calling(stack.nodes, workspace.api_key, callers=CALLERS, asks=_asks(workspace.api_key)) as load:
        await load.reach(5 * CALLERS)
        for number in range(1, kills + 1):
            await killer.kill_one(VICTIMS)
            print(f"kill {number}/{kills}: {killer.kills[-1].what}; {load.calls} calls so far", flush=True)
        await load.reach(10 * CALLERS)
    await stack.at_rest()
    client = await clickhouse_connect.get_async_client(dsn=stack.clickhouse_url.reveal_text())
    try:
        counts = await _at_rest(client, load.answered)
        sums = {"record": await _sums(client, _RAW)}
        for table in ("record_minute", "record_hour"):
            sums[table] = await _sums(client, _ROLLED_UP.format(table=table))
    finally:
        await client.close()
    held = {port for kill in killer.kills for port in kill.connections}
    told = Counter({id_: count for (id_, _), count in counts.items()})
    answered = set(load.answered)
    return Found(
        kills=killer.kills,
        answered=len(load.answered),
        records=sum(counts.values()),
        aborted=sum(count for (_, ending), count in counts.items() if ending == "aborted"),
        beyond=len(told.keys() - answered),
        in_flight=[ended for ended in load.failed if ended.connection in held],
        failed=[ended for ended in load.failed if ended.connection not in held],
        lost=sorted(answered - told.keys()),
        twice=sorted(id_ for id_, count in told.items() if count > 1),
        sums=sums,
    )


def lines(found: Found) -> list[str]:
    """What a person reads: what went wrong, the figures, then the two lines that every provocation ends with."""
    told = [f"failed: {ended.what}" for ended in found.failed]
    told += [f"lost: {id_}" for id_ in found.lost]
    told += [f"twice: {id_}" for id_ in found.twice]
    if found.unexplained:
        told.append(f"unexplained: {found.unexplained} records of calls that nobody made")
    told.append(
        f"{found.answered} answered requests, {found.records} records:"
        f" {found.beyond} beyond the answered, {found.aborted} of them aborted"
    )
    for table, (requests, cost, tokens_in, tokens_out) in found.sums.items():
        told.append(f"{table:<14} {requests} requests, {cost} USD, {tokens_in} tokens in, {tokens_out} out")
    told.append(in_flight_line(found.kills, found.in_flight))
    lost, twice = len(found.lost), len(found.twice) + found.unexplained
    told.append(f"{len(found.kills)} kills: {lost} lost, {twice} twice, {len(found.failed)} failed")
    return told


def _asks(api_key: str) -> Sequence[Ask]:
    """Plain answers, streams, a provider's error, and refusals of the gateway's own."""
    return (
        Ask(post(api_key, chat(model="sim-slow-20"))),
        Ask(post(api_key, chat(model="sim-chat", stream=True))),
        Ask(post(api_key, chat(model="sim-error-429")), HTTPStatus.TOO_MANY_REQUESTS),
        Ask(post(api_key, chat(), x_portkey_config="no-such-config"), HTTPStatus.BAD_REQUEST),
        Ask(post("gh_" + "x" * 49, chat()), HTTPStatus.UNAUTHORIZED),
    )


async def _at_rest(client: AsyncClient, answered: Sequence[str]) -> Counter[tuple[str, str]]:
    """How often each record is there, when nothing is missing and nothing comes any more, or the wait is over."""
    wanted, began_s = set(answered), time.monotonic()
    counts: Counter[tuple[str, str]] = Counter()
    grew_s = began_s
    while True:
        rows = (await client.query(_RECORDS)).result_rows
        seen = Counter({(id_, ending): count for id_, ending, count in rows})
        now_s = time.monotonic()
        if seen != counts:
            counts, grew_s = seen, now_s
        whole = wanted <= {id_ for id_, _ in counts}
        if (whole and now_s - grew_s > QUIET_S) or now_s - began_s > REST_S_MAX:
            return counts
        await asyncio.sleep(LOOK_S)


async def _sums(client: AsyncClient, query: str) -> Sums:
    ((requests, cost, tokens_in, tokens_out),) = (await client.query(query)).result_rows
    return requests, cost, tokens_in, tokens_out
