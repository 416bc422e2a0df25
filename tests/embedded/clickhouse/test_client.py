"""The unmodified client against the engine's front: what of it works is what these tests name."""

from tests.fixtures.clickhouse import Clickhouse


async def test_a_database_of_its_own_is_made_written_and_read(clickhouse: Clickhouse) -> None:
    await clickhouse.client.command("CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a")
    await clickhouse.client.insert("t", [[1, "one"], [2, "two"]], column_names=["a", "s"])
    found = await clickhouse.client.query("SELECT currentDatabase(), a, s FROM t ORDER BY a")
    assert found.result_rows == [(clickhouse.database, 1, "one"), (clickhouse.database, 2, "two")]
