"""Migrations of ClickHouse: in order, once, also when broken off; and how long rows are kept follows the settings."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from control_plane.db.migrate import MigrationError, read
from control_plane.telemetry.clickhouse import ClickHouse
from control_plane.telemetry.errors import AnalyticsUnavailable
from control_plane.telemetry.migrate import FOLDER, Engines, migrate, statements
from control_plane.telemetry.retention import Retention, hold
from shared.crypto.secret import Secret
from tests.fixtures.clickhouse import Clickhouse
from tests.fixtures.control_plane import Plane

PLAIN = Engines()


def folder(path: Path, **files: str) -> Path:
    path.mkdir(exist_ok=True)
    for name, sql in files.items():
        (path / f"{name[1:]}.sql").write_text(sql)
    return path


async def test_each_file_is_applied_once(client: ClickHouse, plane: Plane) -> None:
    applied = await migrate(client, plane.database, PLAIN)
    assert applied[0] == "0001_record"
    assert await migrate(client, plane.database, PLAIN) == []


async def test_of_several_processes_one_applies(client: ClickHouse, plane: Plane) -> None:
    applied = await asyncio.gather(*(migrate(client, plane.database, PLAIN) for _ in range(3)))
    assert sum("0001_record" in names for names in applied) == 1


async def test_a_file_that_was_broken_off_is_applied_again_from_its_beginning(
    client: ClickHouse, plane: Plane, tmp_path: Path
) -> None:
    made = "create table if not exists a (x UInt8) engine = MergeTree order by x;\n"
    broken = folder(tmp_path / "m", _0001_a=made + "create table b (x Nonsense) engine = MergeTree order by x;\n")
    with pytest.raises(Exception, match="Nonsense"):
        await migrate(client, plane.database, PLAIN, broken)
    whole = folder(
        tmp_path / "m", _0001_a=made + "create table if not exists b (x UInt8) engine = MergeTree order by x;"
    )
    assert await migrate(client, plane.database, PLAIN, whole) == ["0001_a"]
    assert await client.ask("select count() as n from b") == [{"n": 0}]


async def test_a_statement_takes_as_long_as_it_takes(clickhouse: Clickhouse, plane: Plane, tmp_path: Path) -> None:
    slow = "insert into a select sleepEachRow(0.5) from numbers(3) settings max_block_size = 1;\n"
    made = "create table if not exists a (x UInt8) engine = MergeTree order by x;\n"
    client = ClickHouse(Secret(clickhouse.url), connect_s_max=0.1, answer_s_max=0.5)
    try:
        assert await migrate(client, plane.database, PLAIN, folder(tmp_path / "m", _0001_a=made + slow)) == ["0001_a"]
        assert await client.ask("select count() as n from a") == [{"n": 3}]
    finally:
        await client.close()


async def test_from_each_older_state_everything_is_counted_on(clickhouse: Clickhouse, plane: Plane) -> None:
    """Records come before each file, some of which are begun twice, and after the last one."""
    client = clickhouse.client
    come = 0

    async def arrive() -> None:
        nonlocal come
        began = datetime.now(UTC) - timedelta(hours=3)
        rows = [["org", began + timedelta(hours=n), Decimal("0.5"), 7_000] for n in range(3)]
        await client.insert("record", rows, column_names=["organisation", "started_at", "cost_usd", "duration_us"])
        come += len(rows)

    for migration in read(FOLDER):
        if migration.number > 1:
            await arrive()
        for _ in range(2):
            for statement in statements(PLAIN.fill(migration.sql)):
                await client.command(statement)
    await arrive()
    for table in ("record_minute", "record_hour"):
        found = (await client.query(f"select sum(requests), sum(cost_usd), sum(duration_known) from {table}")).first_row
        assert found == (come, come * Decimal("0.5"), come), table
    for table in ("record_spread", "record_spread_workspace"):
        assert (await client.query(f"select sum(requests) from {table}")).first_row == (come,), table


async def test_a_file_that_was_changed_afterwards_is_refused(client: ClickHouse, plane: Plane, tmp_path: Path) -> None:
    files = folder(tmp_path / "m", _0001_a="create table if not exists a (x UInt8) engine = MergeTree order by x;\n")
    await migrate(client, plane.database, PLAIN, files)
    folder(files, _0001_a="create table if not exists a (x UInt16) engine = MergeTree order by x;\n")
    with pytest.raises(MigrationError, match="0001_a"):
        await migrate(client, plane.database, PLAIN, files)


async def test_an_older_build_leaves_a_newer_schema_alone(client: ClickHouse, plane: Plane, tmp_path: Path) -> None:
    await migrate(client, plane.database, PLAIN)
    with pytest.raises(MigrationError, match="older"):
        await migrate(client, plane.database, PLAIN, folder(tmp_path / "none"))


async def test_the_database_of_the_address_is_made(clickhouse: Clickhouse, plane: Plane) -> None:
    name = f"{clickhouse.database}_new"
    client = ClickHouse(Secret(clickhouse.url.replace(clickhouse.database, name)))
    try:
        await migrate(client, plane.database, PLAIN)
        assert await client.ask("select currentDatabase() as name") == [{"name": name}]
    finally:
        await client.close()
        await clickhouse.client.command(f"drop database {name} sync")


async def test_without_clickhouse_nothing_is_applied(plane: Plane) -> None:
    with pytest.raises(AnalyticsUnavailable):
        await migrate(ClickHouse(None), plane.database, PLAIN)


def test_on_a_cluster_every_table_is_replicated_and_made_everywhere() -> None:
    filled = Engines("main").fill("\n".join(path.read_text() for path in sorted(FOLDER.glob("*.sql"))))
    made = [statement for statement in statements(filled) if statement.startswith("create")]
    assert made
    assert all(" on cluster `main`" in statement for statement in made)
    tables = [statement for statement in made if statement.startswith("create table")]
    assert all("\nengine = Replicated" in statement for statement in tables)
    assert not [word for word in ("{replicated}", "{on_cluster}") if word in "".join(statements(filled))]


def test_a_statement_ends_with_a_semicolon_at_the_end_of_a_line() -> None:
    text = "-- first;\ncreate a (  -- why;\n  b\n);\n\nselect 'x;y'\n;\nselect 2"
    assert list(statements(text)) == ["create a (\n  b\n)", "select 'x;y'\n", "select 2"]


async def test_how_long_rows_are_kept_follows_the_settings(tables: ClickHouse) -> None:
    assert await hold(tables, Retention(), PLAIN) == ["record_minute"], "the fixture keeps minutes longer"
    assert await hold(tables, Retention(), PLAIN) == []
    changed = Retention(record_days=10, minute_days=3, hour_days=20)
    assert set(await hold(tables, changed, PLAIN)) == {
        "record",
        "record_hour",
        "record_minute",
        "record_spread",
        "record_spread_workspace",
    }
    assert await hold(tables, changed, PLAIN) == []
    assert await hold(tables, Retention(record_days=10, minute_days=4, hour_days=20), PLAIN) == ["record_minute"]
