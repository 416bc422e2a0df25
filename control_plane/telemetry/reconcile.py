"""Compares what the ledger says has been counted with what ClickHouse holds, in its table and in its roll-ups.

Read while batches arrive, neither side is still. So the ledger is read before and after ClickHouse, and only what lies
outside of both is a difference; of a node with a batch that has come and is not counted yet, only what is missing is.

Quantiles' histograms hold what the sums by the hour say was timed: there is no ledger of that.

Each node's days are compared, and where they differ its streams are told: a payload that came under two names (GHS/1
17.4) is in the table under the first, and in the ledger under the one that was counted.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import asyncpg

from control_plane.db.pool import Database
from control_plane.telemetry.clickhouse import ClickHouse
from control_plane.telemetry.retention import Retention
from control_plane.telemetry.rows import EPOCH
from shared.clock import Clock

ANSWER_S_MAX = 300.0
UNDER_WAY_MAX = timedelta(days=1)
"""A batch that came before that and still does not count was given up by its node."""
TABLES = {"record_minute": "minute_days", "record_hour": "hour_days"}
"""Roll-ups, and how long the retention keeps them."""
SPREADS = ("record_spread", "record_spread_workspace")
TIMES = {"duration": "duration_known", "first_byte": "first_byte_known", "overhead": "overhead_known"}
"""What is in a histogram, and the column of `record_hour` that counts it."""

K = TypeVar("K", bound=tuple[Any, ...])
Timed = tuple[str, str, date]
"""Organisation, what was timed, and the day."""
Key = tuple[str, str, str, str, date]
"""Organisation, gateway, node, stream, and the day (UTC) on which the requests began."""


@dataclass(frozen=True, slots=True)
class Amount:
    records: int = 0
    cost_usd: Decimal = Decimal(0)

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.records + other.records, self.cost_usd + other.cost_usd)

    def __str__(self) -> str:
        return f"{_counted(self.records, 'record')}, {self.cost_usd:f} US dollars"


@dataclass(frozen=True, slots=True)
class Difference:
    what: str
    """The table, and whose rows and which day."""
    ledger: Amount
    found: Amount

    def __str__(self) -> str:
        return f"{self.what}: {self.found}; by the ledger {self.ledger}"


@dataclass(frozen=True, slots=True)
class Uncounted:
    what: str
    """The histogram, whose, of what, and which day."""
    timed: int
    """By the sums by the hour."""
    found: int

    def __str__(self) -> str:
        return f"{self.what}: {_counted(self.found, 'value')}; by record_hour {self.timed}"


@dataclass(frozen=True, slots=True)
class Reconciliation:
    streams: int
    counted: Amount
    """By the ledger."""
    differences: tuple[Difference, ...]
    uncounted: tuple[Uncounted, ...]
    twice: Mapping[str, int]
    """Records of one id that are there more than once, by node and day."""
    under_way: int
    """Nodes with a batch that has come and is not counted yet."""

    @property
    def count(self) -> int:
        """Places where they do not agree."""
        return len(self.differences) + len(self.uncounted) + len(self.twice)

    @property
    def equal(self) -> bool:
        return not self.count


@dataclass(frozen=True, slots=True)
class _Ledger:
    days: Mapping[Key, Amount]
    under_way: frozenset[tuple[str, ...]]
    """Organisation, gateway and node."""


async def reconcile(
    database: Database, clickhouse: ClickHouse, retention: Retention, clock: Clock, *, days: int | None = None
) -> Reconciliation:
    """Of the last `days`; None: of all that is kept. Raises Unavailable."""
    today = (EPOCH + timedelta(milliseconds=clock.wall_ms())).date()
    since = today - timedelta(days=min(days or retention.record_days, retention.record_days) - 1)
    async with database.snapshot(None) as connection:
        before = await _ledger(connection, since)
    table = await _table(clickhouse, since)
    twice = await _twice(clickhouse, since)
    sums = {name: await _sums(clickhouse, name, since) for name in TABLES}
    timed = await _timed(clickhouse, since)
    spreads = {name: await _spread(clickhouse, name, since) for name in SPREADS}
    timed_after = await _timed(clickhouse, since)
    async with database.snapshot(None) as connection:
        after = await _ledger(connection, since)
    differences = _compare_nodes(before, after, table)
    for name, kept in TABLES.items():
        first = max(since, today - timedelta(days=getattr(retention, kept) - 1))
        differences += _compare_sums(name, first, before, after, sums[name])
    busy = {node[0] for node in before.under_way | after.under_way}
    first = max(since, today - timedelta(days=retention.hour_days - 1))
    uncounted: list[Uncounted] = []
    for name, found in spreads.items():
        uncounted += _compare_spread(name, first, (timed, timed_after), found, busy)
    counted = sum(after.days.values(), Amount())
    streams = len({key[:4] for key in after.days})
    return Reconciliation(streams, counted, tuple(differences), tuple(uncounted), twice, len(after.under_way))


async def _ledger(connection: asyncpg.Connection, since: date) -> _Ledger:
    days = await connection.fetch(
        "select organisation, gateway, node, stream, day, records, cost_usd from record_day where day >= $1", since
    )
    under_way = await connection.fetch(
        "select organisation, gateway, node from record_stream"
        " where pending_hash is not null and not pending_counted and pending_at > now() - $1::interval",
        UNDER_WAY_MAX,
    )
    return _Ledger(
        {_key(row): Amount(row["records"], row["cost_usd"]) for row in days},
        frozenset(tuple(row.values()) for row in under_way),
    )


def _key(row: asyncpg.Record) -> Key:
    return row["organisation"], row["gateway"], row["node"], row["stream"], row["day"]


async def _table(clickhouse: ClickHouse, since: date) -> dict[Key, Amount]:
    rows = await clickhouse.rows(
        "select organisation, gateway, node, batch_stream, toDate(started_at) as day, count() as records,"
        " sum(ifNull(cost_usd, 0)) as cost from record where started_at >= toDateTime64({since:Date}, 3, 'UTC')"
        " group by organisation, gateway, node, batch_stream, day",
        {"since": since},
        answer_s_max=ANSWER_S_MAX,
    )
    return {
        (row["organisation"], row["gateway"], row["node"], row["batch_stream"], row["day"]): _amount(row)
        for row in rows
    }


async def _twice(clickhouse: ClickHouse, since: date) -> dict[str, int]:
    rows = await clickhouse.rows(
        "select node, toDate(started_at) as day, count() - uniqExact(id) as twice from record"
        " where started_at >= toDateTime64({since:Date}, 3, 'UTC') group by organisation, gateway, node, day"
        " having twice > 0",
        {"since": since},
        answer_s_max=ANSWER_S_MAX,
    )
    return {f"{row['node']} {row['day']}": row["twice"] for row in rows}


async def _sums(clickhouse: ClickHouse, table: str, since: date) -> dict[tuple[str, str, date], Amount]:
    rows = await clickhouse.rows(
        "select organisation, gateway, toDate(at) as day, sum(requests) as records, sum(cost_usd) as cost"  # noqa: S608
        f" from {table} where at >= toDateTime({{since:Date}}, 'UTC') group by organisation, gateway, day",
        {"since": since},
        answer_s_max=ANSWER_S_MAX,
    )
    return {(row["organisation"], row["gateway"], row["day"]): _amount(row) for row in rows}


async def _timed(clickhouse: ClickHouse, since: date) -> dict[Timed, int]:
    of = ", ".join(f"sum({column}) as {name}" for name, column in TIMES.items())
    rows = await clickhouse.rows(
        f"select organisation, toDate(at) as day, {of} from record_hour"  # noqa: S608
        " where at >= toDateTime({since:Date}, 'UTC') group by organisation, day",
        {"since": since},
        answer_s_max=ANSWER_S_MAX,
    )
    return {(row["organisation"], name, row["day"]): row[name] for row in rows for name in TIMES if row[name]}


async def _spread(clickhouse: ClickHouse, table: str, since: date) -> dict[Timed, int]:
    rows = await clickhouse.rows(
        f"select organisation, toString(measure) as name, toDate(at) as day, sum(requests) as n from {table}"  # noqa: S608
        " where at >= toDateTime({since:Date}, 'UTC') group by organisation, name, day",
        {"since": since},
        answer_s_max=ANSWER_S_MAX,
    )
    return {(row["organisation"], row["name"], row["day"]): row["n"] for row in rows}


def _compare_spread(
    table: str,
    first: date,
    timed: tuple[Mapping[Timed, int], Mapping[Timed, int]],
    found: Mapping[Timed, int],
    busy: Set[str],
) -> list[Uncounted]:
    """`busy`: organisations with a batch under way, which may be in one table and not yet in the other."""
    low, high = timed
    return [
        Uncounted(f"{table} {key[0]} {key[1]} {key[2]}", high.get(key, 0), found.get(key, 0))
        for key in sorted(low.keys() | high.keys() | found.keys())
        if key[2] >= first and key[0] not in busy and not low.get(key, 0) <= found.get(key, 0) <= high.get(key, 0)
    ]


def _compare_nodes(before: _Ledger, after: _Ledger, table: Mapping[Key, Amount]) -> list[Difference]:
    under_way = before.under_way | after.under_way
    differences = []
    for key, amounts in _triples(_by(before.days, _node), _by(after.days, _node), _by(table, _node)):
        if not _fits(*amounts, under_way=key[:3] in under_way):
            for stream in sorted(stream for stream in after.days.keys() | table.keys() if _node(stream) == key):
                ledger, found = after.days.get(stream, Amount()), table.get(stream, Amount())
                if ledger != found:
                    differences.append(Difference(f"record {' '.join(stream[:4])} {stream[4]}", ledger, found))
    return differences


def _compare_sums(
    name: str, first: date, before: _Ledger, after: _Ledger, sums: Mapping[tuple[str, str, date], Amount]
) -> list[Difference]:
    under_way = {node[:2] for node in before.under_way | after.under_way}
    differences = []
    for key, amounts in _triples(_by(before.days, _gateway), _by(after.days, _gateway), sums):
        if key[2] >= first and not _fits(*amounts, under_way=key[:2] in under_way):
            differences.append(Difference(f"{name} {key[0]} {key[1]} {key[2]}", amounts[1], amounts[2]))
    return differences


def _triples(*sides: Mapping[K, Amount]) -> Iterator[tuple[K, tuple[Amount, Amount, Amount]]]:
    """What the ledger had before, what it has after, and what was found between."""
    before, after, found = sides
    for key in sorted(before.keys() | after.keys() | found.keys()):
        yield key, (before.get(key, Amount()), after.get(key, Amount()), found.get(key, Amount()))


def _node(key: Key) -> tuple[str, str, str, date]:
    return *key[:3], key[4]


def _gateway(key: Key) -> tuple[str, str, date]:
    return *key[:2], key[4]


def _by(days: Mapping[Key, Amount], whose: Callable[[Key], K]) -> dict[K, Amount]:
    summed: defaultdict[K, Amount] = defaultdict(Amount)
    for key, amount in days.items():
        summed[whose(key)] += amount
    return summed


def _fits(low: Amount, high: Amount, found: Amount, *, under_way: bool) -> bool:
    enough = found.records >= low.records and found.cost_usd >= low.cost_usd
    return enough and (under_way or (found.records <= high.records and found.cost_usd <= high.cost_usd))


def _amount(row: Mapping[str, Any]) -> Amount:
    return Amount(row["records"], row["cost"])


def told(result: Reconciliation) -> Sequence[str]:
    """Lines for people; the last one says how it came out."""
    lines = [str(difference) for difference in (*result.differences, *result.uncounted)]
    lines += [f"record {where}: {_counted(count, 'record')} more than ids" for where, count in result.twice.items()]
    waiting = ""
    if result.under_way:
        have = "has" if result.under_way == 1 else "have"
        waiting = f"; {_counted(result.under_way, 'node')} {have} a batch under way"
    streams = _counted(result.streams, "stream")
    return [*lines, f"{'equal' if result.equal else 'DIFFERS'}: {streams}, {result.counted}{waiting}"]


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
