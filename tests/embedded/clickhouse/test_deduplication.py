"""An insert that is repeated with its token: what it leaves in a raw table and in the roll-ups behind it.

Settled here on the engine for whoever writes records (docs/clickhouse.md, "Exactly once"). The tables are of the kinds
that records have: raw by day, a roll-up of sums, one of states, and one that a roll-up feeds.
"""

import asyncio
import secrets
import shutil
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from tests.fixtures.clickhouse import Clickhouse, ClickhouseServer

WINDOW = "non_replicated_deduplication_window = 100000"
TABLES = (
    f"""CREATE TABLE record (id String, started_at DateTime64(3, 'UTC'), model String, cost_usd Decimal(18, 12))
    ENGINE = MergeTree PARTITION BY toYYYYMMDD(started_at) ORDER BY (started_at, id) SETTINGS {WINDOW}""",
    f"""CREATE TABLE record_minute (minute DateTime('UTC'), model String, requests UInt64, cost_usd Decimal(38, 12))
    ENGINE = SummingMergeTree PARTITION BY toYYYYMM(minute) ORDER BY (minute, model) SETTINGS {WINDOW}""",
    """CREATE MATERIALIZED VIEW record_minute_view TO record_minute AS SELECT toStartOfMinute(started_at) AS minute,
    model, count() AS requests, sum(cost_usd) AS cost_usd FROM record GROUP BY minute, model""",
    f"""CREATE TABLE record_hour (hour DateTime('UTC'), requests AggregateFunction(count),
    cost_usd AggregateFunction(sum, Decimal(18, 12)), ids AggregateFunction(uniq, String))
    ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(hour) ORDER BY hour SETTINGS {WINDOW}""",
    """CREATE MATERIALIZED VIEW record_hour_view TO record_hour AS SELECT toStartOfHour(started_at) AS hour,
    countState() AS requests, sumState(cost_usd) AS cost_usd, uniqState(id) AS ids FROM record GROUP BY hour""",
    f"""CREATE TABLE record_day (day Date, requests UInt64, cost_usd Decimal(38, 12))
    ENGINE = SummingMergeTree PARTITION BY toYYYYMM(day) ORDER BY day SETTINGS {WINDOW}""",
    """CREATE MATERIALIZED VIEW record_day_view TO record_day AS SELECT toDate(minute) AS day,
    sum(requests) AS requests, sum(cost_usd) AS cost_usd FROM record_minute GROUP BY day""",
)
SUMS = {
    "record": "SELECT count(), sum(cost_usd) FROM record",
    "record_minute": "SELECT sum(requests), sum(cost_usd) FROM record_minute",
    "record_hour": "SELECT countMerge(requests), sumMerge(cost_usd) FROM record_hour",
    "record_day": "SELECT sum(requests), sum(cost_usd) FROM record_day",
}
COLUMNS = ("id", "started_at", "model", "cost_usd")
COST_USD = Decimal("0.000001000001")
ON: dict[str, Any] = {"deduplicate_blocks_in_dependent_materialized_views": 1}
OFF: dict[str, Any] = {"deduplicate_blocks_in_dependent_materialized_views": 0}
ROWS = 100
Row = list[Any]


@pytest.fixture
async def client(clickhouse: Clickhouse) -> AsyncClient:
    for statement in TABLES:
        await clickhouse.client.command(statement)
    return clickhouse.client


def batch(first: int = 0, *, days: int = 5) -> list[Row]:
    """ROWS records of several minutes, days and months."""
    began = datetime(2026, 10, 29, 12, 0, tzinfo=UTC)
    numbers = range(first, first + ROWS)
    return [[f"lg_{n}", began + timedelta(days=n % days, minutes=n % 7), f"model-{n % 3}", COST_USD] for n in numbers]


async def insert(client: AsyncClient, rows: list[Row], token: str, settings: dict[str, Any]) -> None:
    settings = {**settings, "insert_deduplication_token": token}
    await client.insert("record", rows, column_names=COLUMNS, settings=settings)


async def sums(client: AsyncClient) -> dict[str, Any]:
    return {table: (await client.query(question)).result_rows[0] for table, question in SUMS.items()}


def times(batches: int) -> dict[str, Any]:
    """What the tables hold of so many batches."""
    return dict.fromkeys(SUMS, (batches * ROWS, batches * ROWS * COST_USD))


async def test_a_repeated_insert_is_in_the_raw_table_and_in_every_roll_up_once(client: AsyncClient) -> None:
    for _ in range(3):
        await insert(client, batch(), "token", ON)
        assert await sums(client) == times(1)


async def test_without_the_setting_a_repeated_insert_doubles_the_roll_ups(client: AsyncClient) -> None:
    for _ in range(2):
        await insert(client, batch(), "token", OFF)
    assert await sums(client) == {**times(2), "record": times(1)["record"]}


async def test_rows_as_json_are_known_again_like_those_of_the_native_format(client: AsyncClient) -> None:
    lines = b"".join(orjson.dumps([id_, f"{at:%F %T}", model, str(cost)]) + b"\n" for id_, at, model, cost in batch())
    for _ in range(2):
        settings = {**ON, "insert_deduplication_token": "token"}
        await client.raw_insert("record", COLUMNS, lines, settings=settings, fmt="JSONCompactEachRow")
    assert await sums(client) == times(1)


async def test_the_same_insert_coming_several_times_at_once_counts_once(client: AsyncClient) -> None:
    await asyncio.gather(*(insert(client, batch(), "token", ON) for _ in range(8)))
    assert await sums(client) == times(1)


async def test_the_token_decides_and_not_what_the_rows_are(client: AsyncClient) -> None:
    await insert(client, batch(), "one", ON)
    await insert(client, batch(), "two", ON)
    assert await sums(client) == times(2)
    await insert(client, batch(first=1_000), "one", ON)
    assert await sums(client) == times(2)


async def test_an_insert_that_a_view_refused_can_be_repeated(client: AsyncClient) -> None:
    await client.command("CREATE TABLE refused (a UInt8) ENGINE = MergeTree ORDER BY a")
    refusing = "CREATE MATERIALIZED VIEW refusing TO refused AS SELECT throwIf(id = 'lg_7') AS a FROM record"
    await client.command(refusing)
    with pytest.raises(DatabaseError):
        await insert(client, batch(), "token", ON)
    await client.command("DROP TABLE refusing SYNC")
    await insert(client, batch(), "token", ON)
    assert await sums(client) == times(1)


async def test_a_repetition_is_known_after_merges(client: AsyncClient) -> None:
    for number in range(4):
        await insert(client, batch(number * ROWS), str(number), ON)
    for table in SUMS:
        await client.command(f"OPTIMIZE TABLE {table} FINAL")
    for number in range(4):
        await insert(client, batch(number * ROWS), str(number), ON)
    assert await sums(client) == times(4)


async def test_a_repetition_is_known_after_a_kill_and_after_a_stop(clickhouse: Clickhouse, client: AsyncClient) -> None:
    await insert(client, batch(), "token", ON)
    clickhouse.server.kill()
    await clickhouse.server.start()
    await insert(client, batch(), "token", ON)
    clickhouse.server.stop()
    await clickhouse.server.start()
    await insert(client, batch(), "token", ON)
    assert await sums(client) == times(1)


@pytest.mark.parametrize("acknowledged", [1, 3, 6])
async def test_inserts_that_a_kill_cut_off_are_repeated_without_loss_or_doubling(
    acknowledged: int, clickhouse: Clickhouse, client: AsyncClient
) -> None:
    batches = 8
    tokens = [secrets.token_hex(8) for _ in range(batches)]

    done: list[None] = []
    killed = asyncio.Event()

    async def insert_one(number: int) -> None:
        await insert(client, batch(number * ROWS), tokens[number], ON)
        done.append(None)
        if len(done) == acknowledged:
            clickhouse.server.kill()
            killed.set()

    outcomes = await asyncio.gather(*map(insert_one, range(batches)), return_exceptions=True)
    assert killed.is_set()
    assert all(outcome is None or isinstance(outcome, OperationalError) for outcome in outcomes)
    await clickhouse.server.start()
    for number in range(batches):
        await insert(client, batch(number * ROWS), tokens[number], ON)
    assert await sums(client) == times(batches)


@pytest.mark.parametrize("table", SUMS)
async def test_a_kill_between_a_parts_record_and_its_move_loses_nothing(
    table: str, clickhouse: Clickhouse, client: AsyncClient
) -> None:
    """The engine writes down that the part is there, and then moves it there: two system calls, in this order."""
    await insert(client, batch(first=1_000), "before", ON)
    before = await parts(client, table)
    await insert(client, batch(), "token", ON)
    newest = max(await parts(client, table) - before)
    clickhouse.server.kill()
    shutil.rmtree(newest)
    await clickhouse.server.start()
    assert (await sums(client))[table] != times(2)[table]
    await insert(client, batch(first=1_000), "before", ON)
    await insert(client, batch(), "token", ON)
    assert await sums(client) == times(2)


async def parts(client: AsyncClient, table: str) -> set[str]:
    """Their folders, of which the greatest was made last: numbers have one digit here."""
    await client.command(f"SYSTEM STOP MERGES {table}")
    question = "SELECT path FROM system.parts WHERE active AND database = currentDatabase() AND table = {table:String}"
    return {path for (path,) in (await client.query(question, parameters={"table": table})).result_rows}


async def test_a_batch_over_too_many_partitions_is_refused_whole(client: AsyncClient) -> None:
    with pytest.raises(DatabaseError) as refusal:
        await insert(client, batch(days=101) + batch(first=100, days=101), "token", ON)
    assert refusal.value.name == "TOO_MANY_PARTS"
    assert (await sums(client))["record"] == times(0)["record"]
    unlimited = {**ON, "max_partitions_per_insert_block": 0}
    await insert(client, batch(days=101), "token", unlimited)
    await insert(client, batch(days=101), "token", unlimited)
    assert await sums(client) == times(1)


async def test_the_window_counts_parts_of_a_table(clickhouse: Clickhouse) -> None:
    client = clickhouse.client
    await client.command(
        "CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 2"
    )
    for token in ("one", "two", "three", "one", "three"):
        await client.insert("t", [[1]], settings={"insert_deduplication_token": token})
    # `one` was forgotten by `three`; `three` was not by the second `one`.
    assert (await client.query("SELECT count() FROM t")).result_rows == [(4,)]


async def test_what_was_acknowledged_outlives_a_kill(clickhouse_engine: ClickhouseServer) -> None:
    async with clickhouse_engine.database() as name:
        async with clickhouse_engine.client(name) as client:
            await client.command("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
            for number in range(100):
                await client.insert("t", [[number]])
            clickhouse_engine.kill()
        await clickhouse_engine.start()
        async with clickhouse_engine.client(name) as client:
            assert (await client.query("SELECT count(), uniqExact(a) FROM t")).result_rows == [(100, 100)]
