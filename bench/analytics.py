"""`scripts/bench analytics`: millions of records in an engine of its own, asked what the panel's pages ask.

Prints how long each question takes (p50 and p95 of its rounds) and whether its totals are the sums of the records in
its range. Exits 1 if any is not, never for a slow figure.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from statistics import quantiles
from zoneinfo import ZoneInfo

from bench.processes import free_port, running
from control_plane.analytics import dimensions, times
from control_plane.analytics.answer import Analyst, Answer, Order
from control_plane.analytics.engine import Engine
from control_plane.analytics.measures import MEASURES
from control_plane.analytics.question import Question, Visible
from control_plane.analytics.times import Range
from control_plane.db.migrate import read
from control_plane.filters.clickhouse import Parameters
from control_plane.filters.parse import parse
from control_plane.filters.records import VOCABULARY
from control_plane.telemetry.clickhouse import ClickHouse
from control_plane.telemetry.migrate import FOLDER, Engines, statements
from control_plane.telemetry.retention import Retention
from embedded import clickhouse_server
from shared.clock import FakeClock
from shared.crypto.api_keys import new_api_key
from shared.crypto.secret import Secret

DAYS = 30
CHUNK = 50_000
"""Rows of one insert."""
ORGANISATION = "org_bench"

_ROWS = """
insert into record select
    '{organisation}', concat('gw_', toString(k % 3)), concat('nd_', toString(h % 7)), '0', 1, started, false,
    concat('lg_', lower(hex(cityHash64(n, 1))), lower(hex(cityHash64(n, 2)))), started, 'standard',
    concat('ws_', toString(k % 8)), concat('ak_', toString(k)),
    ['chat', 'chat', 'chat', 'embeddings', 'messages'][k % 5 + 1], h % 10 < 4, 1, 'config',
    concat('cf_', toString(k % 20)), 1, concat('vk_', toString(k % 12)),
    concat('provider-', toString(model % 6)), concat('model-', toString(model)), 'config.targets[0]',
    status, status, if(status >= 400, 'refused', 'complete'), if(status >= 400, 'provider_error', ''),
    1 + (h % 50 = 0), h % 50 = 0, h % 90 = 0, 0, [], [],
    ['disabled', 'miss', 'miss', 'hit'][intDiv(h, 256) % 4 + 1], if(status < 400, 'provider', 'none'),
    tokens, intDiv(tokens, 7), intDiv(tokens, 3), 0, 0, 0, 0, 'p', '',
    if(h % 200 = 0, null, toDecimal64(tokens, 12) / 1000000), if(h % 200 = 0, null, toDecimal64(tokens, 12) / 2000000),
    0, 0, 0, 0, 0, took, 100, took - 600, took - 100, 400 + h % 300, tokens * 4, tokens,
    null, if(h % 3 = 0, lower(hex(MD5(toString(intDiv(h, 512) % 5000)))), ''),
    map('team', concat('team-', toString(intDiv(h, 1024) % 12))), '', ''
from (
    select number as n, cityHash64(number) as h, toUInt16(sqrt(h % 3600)) as k,
        toUInt16((k + intDiv(h, 16) % 2) % 40) as model,
        [200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 429, 400, 500]
            [intDiv(h, 32) % 20 + 1] as status,
        200 + intDiv(h, 4096) % 4000 as tokens,
        toUInt64(exp(10 + 5 * (intDiv(h, 8192) % 100000) / 100000)) + 1000 as took,
        fromUnixTimestamp64Milli(toInt64({start_ms} + intDiv(number * {length_ms}, {rows})), 'UTC') as started
    from numbers({first}, {count})
)
"""
"""Records of realistic shape: sixty keys, some busier than others, each with two models; some prices unknown."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of one of the panel's pages."""

    name: str
    measures: str
    last: str = f"{DAYS}d"
    by: str = ""
    step: str | None = None
    filter: str = ""
    compare: bool = False


QUESTIONS = (
    Asked("home: today", "requests error_rate cost_usd duration_p95_us cache_hits", "24h", step="1h", compare=True),
    Asked("overview: requests by status", "requests", by="status_class", step="1d"),
    Asked("overview: latency", "duration_p50_us duration_p95_us duration_p99_us first_byte_p95_us", step="6h"),
    Asked("overview: overhead", "overhead_p50_us overhead_p99_us", step="6h"),
    Asked("overview: compared", "requests errors tokens cost_usd", step="1d", compare=True),
    Asked("cost by model", "cost_usd cost_unknown", by="model", step="1d"),
    Asked("tokens", "input_tokens output_tokens cache_read_tokens reasoning_tokens", step="1d"),
    Asked("cache", "cache_hits cache_hit_rate", step="1d"),
    Asked("top models", "requests cost_usd duration_avg_us duration_p95_us error_rate tokens", by="model"),
    Asked("top keys", "requests cost_usd duration_avg_us error_rate tokens", by="api_key"),
    Asked(
        "filtered: one model's errors", "requests errors cost_usd", by="provider", filter="model:model-7 status>=400"
    ),
    Asked("last hour by the minute", "requests errors duration_p95_us", "1h", step="1m"),
    Asked("from records: top users", "requests cost_usd", by="user"),
    Asked("from records: one team", "requests cost_usd", by="model", filter="meta.team=team-3"),
)


async def bench(rows: int, rounds: int) -> bool:
    """Whether every total was right."""
    now = datetime.now(UTC).replace(microsecond=123_000)
    with tempfile.TemporaryDirectory(prefix="gatehouse-bench-") as name:
        async with _engine(Path(name)) as (clickhouse, engine):
            began = time.monotonic()
            await _load(clickhouse, rows, now)
            took_s = time.monotonic() - began
            print(f"{rows:,} records over {DAYS} days loaded in {took_s:.0f} s ({rows / took_s:,.0f}/s)\n", flush=True)
            analyst = Analyst(engine, FakeClock(round(now.timestamp() * 1000)), Retention(minute_days=DAYS))
            right = [await _ask(analyst, engine, asked, now, rounds) for asked in QUESTIONS]
    print(f"\ntotals equal the sum of events: {sum(right)} of {len(right)} questions")
    return all(right)


async def _load(clickhouse: ClickHouse, rows: int, now: datetime) -> None:
    length_ms = DAYS * 86_400_000
    start_ms = round(now.timestamp() * 1000) - length_ms
    for first in range(0, rows, CHUNK):
        count = min(CHUNK, rows - first)
        sql = _ROWS.format(
            organisation=ORGANISATION, first=first, count=count, rows=rows, start_ms=start_ms, length_ms=length_ms
        )
        await clickhouse.command(sql)
        print(f"\r{first + count:,}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


async def _ask(analyst: Analyst, engine: Engine, asked: Asked, now: datetime, rounds: int) -> bool:
    utc = ZoneInfo("UTC")
    found = times.read({"last": asked.last}, round(now.timestamp() * 1000), utc)
    assert found is not None
    question = Question(
        Visible(ORGANISATION, None),
        found,
        tuple(MEASURES[name] for name in asked.measures.split()),
        tuple(dimensions.find(name) for name in filter(None, [asked.by])),
        parse(asked.filter, VOCABULARY),
        () if asked.step is None else times.points(found, asked.step, utc),
    )
    order, took = Order(MEASURES["requests"], True, 10), []
    for _ in range(rounds):
        began = time.perf_counter()
        answer, _ = await analyst.ask(question, order, compare=asked.compare)
        took.append((time.perf_counter() - began) * 1000)
    right = await _is_sum(engine, found, asked, answer)
    cuts = quantiles(took, n=20, method="inclusive")
    said = "equal" if right else "NOT EQUAL"
    print(f"{asked.name:<32} p50 {cuts[9]:7.0f} ms   p95 {cuts[18]:7.0f} ms   totals {said}", flush=True)
    return right


_SUMS = {
    "requests": "count()",
    "errors": "countIf(status >= 400)",
    "tokens": "sum(input_tokens + output_tokens)",
    "input_tokens": "sum(input_tokens)",
    "output_tokens": "sum(output_tokens)",
    "cost_usd": "sum(toDecimal128(ifNull(cost_usd, 0), 12))",
    "cost_unknown": "countIf(cost_usd is null)",
    "cache_hits": "countIf(cache = 'hit')",
}
_WHERE = {
    "model:model-7 status>=400": "model = 'model-7' and status >= 400",
    "meta.team=team-3": "metadata['team'] = 'team-3'",
    "": "true",
}


async def _is_sum(engine: Engine, asked_of: Range, asked: Asked, answer: Answer) -> bool:
    """Said once more, of the records themselves, in other words; and keys and steps add up to the total."""
    names = [name for name in asked.measures.split() if name in _SUMS]
    parameters = Parameters()
    start, end = (parameters.add(round(at.timestamp() * 1000), "Int64") for at in (asked_of.start, asked_of.end))
    sums = ", ".join(f"{_SUMS[name]} as sum_{name}" for name in names) or "count()"
    rows = await engine.rows(
        ORGANISATION,
        f"select {sums} from record where {_WHERE[asked.filter]} and toUnixTimestamp64Milli(started_at) >= {start}"  # noqa: S608
        f" and toUnixTimestamp64Milli(started_at) < {end}",
        parameters,
    )
    totals = answer.totals
    right = all(Decimal(str(totals.values[name])) == Decimal(str(rows[0][f"sum_{name}"])) for name in names)
    groups = [*answer.by_key.values(), *([] if answer.other is None else [answer.other])]
    for name in names:
        total = Decimal(str(totals.values[name]))
        if asked.by:
            right &= sum(Decimal(str(group.values[name] or 0)) for group in groups) == total
        if asked.step:
            right &= sum(Decimal(str(value or 0)) for value in totals.points[name]) == total
    return right


@asynccontextmanager
async def _engine(folder: Path) -> AsyncIterator[tuple[ClickHouse, Engine]]:
    password, port = Secret(new_api_key().reveal_text()), free_port()
    part = clickhouse_server.part(folder, port, password)
    async with running(part, frozenset(os.sched_getaffinity(0)), folder) as engine:
        await engine.until_ready()
        clickhouse = ClickHouse(clickhouse_server.url(port, password, "gatehouse"))
        try:
            await clickhouse.make_database("")
            for migration in read(FOLDER):
                for statement in statements(Engines().fill(migration.sql)):
                    await clickhouse.command(statement)
            clickhouse.open()
            yield clickhouse, Engine(clickhouse)
        finally:
            await clickhouse.close()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench analytics", description="Questions to millions of records.")
    parser.add_argument("--records", type=int, default=5_000_000, help="how many records (5000000)")
    parser.add_argument("--rounds", type=int, default=15, help="how often each question is asked (15)")
    asked = parser.parse_args(arguments)
    return 0 if asyncio.run(bench(asked.records, max(2, asked.rounds))) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
