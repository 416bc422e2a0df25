"""The client: it waits for nothing longer than it says, and everything that is away has one name."""

import asyncio

import pytest

from control_plane.telemetry.clickhouse import ClickHouse
from control_plane.telemetry.errors import AnalyticsTooMuch, AnalyticsUnavailable
from shared.crypto.secret import Secret
from tests.fixtures.clickhouse import Clickhouse, ClickhouseServer
from tests.fixtures.control_plane import Plane
from tests.fixtures.processes import free_ports
from tests.fixtures.telemetry import schema


async def test_values_come_only_as_parameters_and_come_back_exact(tables: ClickHouse) -> None:
    text = "a'b\\c\n\t{x:String} \u2028 ; drop table record"
    (row,) = await tables.rows(
        "select {text:String} as text, {many:Array(String)} as many", {"text": text, "many": [text]}
    )
    assert row == {"text": text, "many": [text]}


async def test_where_no_address_is_set_it_says_what_to_set() -> None:
    client = ClickHouse(None)
    with pytest.raises(AnalyticsUnavailable, match="GATEHOUSE_CLICKHOUSE_URL") as refused:
        await client.rows("select 1")
    assert (refused.value.status, refused.value.code) == (503, "analytics_unavailable")
    assert await client.state() == "unset"


async def test_before_its_tables_are_there_nobody_is_answered(client: ClickHouse) -> None:
    with pytest.raises(AnalyticsUnavailable, match="not there yet"):
        await client.rows("select 1")
    assert await client.state() == "away"


async def test_nobody_listens() -> None:
    (port,) = free_ports(1)
    client = ClickHouse(Secret(f"http://user:secret@127.0.0.1:{port}/gatehouse"))
    client.open()
    with pytest.raises(AnalyticsUnavailable) as refused:
        await client.rows("select 1")
    assert "secret" not in str(refused.value)
    assert await client.state() == "away"
    await client.close()


@pytest.mark.parametrize("code", [75, 76, 243])
async def test_a_full_disk_is_away_too_whichever_way_it_is_told(tables: ClickHouse, code: int) -> None:
    fails = f"select throwIf(1, 'no room', toInt16({code})) settings allow_custom_error_code_in_throwif = 1"
    with pytest.raises(AnalyticsUnavailable, match=rf"code {code}\)"):
        await tables.rows(fails)


async def test_a_right_that_its_user_lacks_is_away_too_and_named(tables: ClickHouse) -> None:
    fails = "select throwIf(1, 'no grant', toInt16(497)) settings allow_custom_error_code_in_throwif = 1"
    with pytest.raises(AnalyticsUnavailable, match="ACCESS_DENIED"):
        await tables.rows(fails)


async def test_a_wrong_password_is_away_too(clickhouse: Clickhouse) -> None:
    client = ClickHouse(Secret(f"http://gatehouse:wrong@127.0.0.1:{clickhouse.server.port}/{clickhouse.database}"))
    client.open()
    with pytest.raises(AnalyticsUnavailable):
        await client.rows("select 1")
    await client.close()


async def test_who_does_not_answer_is_not_waited_for(
    clickhouse_engine: ClickhouseServer, clickhouse: Clickhouse
) -> None:
    client = ClickHouse(Secret(clickhouse.url), connect_s_max=0.1)
    client.open()
    await client.rows("select 1")
    clickhouse_engine.freeze()
    try:
        with pytest.raises(AnalyticsUnavailable):
            await client.rows("select 1", answer_s_max=0.1)
        assert await client.state() == "away"
    finally:
        clickhouse_engine.thaw()
    assert await client.rows("select 1 as one") == [{"one": 1}]
    await client.close()


async def test_a_question_that_takes_too_long_has_its_own_name(tables: ClickHouse) -> None:
    with pytest.raises(AnalyticsTooMuch):
        await tables.rows("select sum(sipHash64(number)) as sum from numbers(1000000000000)", answer_s_max=0.2)


async def test_a_fault_of_ours_flies_on(tables: ClickHouse) -> None:
    with pytest.raises(Exception, match="UNKNOWN_IDENTIFIER") as fault:
        await tables.rows("select nothing_of_that_name")
    assert not isinstance(fault.value, AnalyticsUnavailable)


async def test_after_its_engine_was_killed_and_started_the_same_client_goes_on(
    clickhouse_engine: ClickhouseServer, tables: ClickHouse
) -> None:
    clickhouse_engine.kill()
    with pytest.raises(AnalyticsUnavailable):
        await tables.rows("select 1")
    await clickhouse_engine.start()
    assert await tables.rows("select count() as records from record") == [{"records": 0}]
    assert await tables.state() == "ready"


async def test_the_tables_come_as_soon_as_clickhouse_does(
    clickhouse_engine: ClickhouseServer, client: ClickHouse, plane: Plane
) -> None:
    clickhouse_engine.kill()
    keeping = asyncio.create_task(schema(client, plane).run())
    try:
        with pytest.raises(AnalyticsUnavailable):
            await client.rows("select 1")
        await clickhouse_engine.start()
        await _answered(client)
    finally:
        keeping.cancel()


async def test_tables_that_were_lost_are_made_again(clickhouse: Clickhouse, client: ClickHouse, plane: Plane) -> None:
    keeping = asyncio.create_task(schema(client, plane).run())
    try:
        await _answered(client)
        for table in ("record_minute_view", "record_hour_view", "record_spread_view", "record", "migration"):
            await clickhouse.client.command(f"drop table {table} sync")
        with pytest.raises(AnalyticsUnavailable):
            await client.rows("select count() from record")
        await _answered(client)
    finally:
        keeping.cancel()


async def _answered(client: ClickHouse) -> None:
    async with asyncio.timeout(120):
        while True:
            try:
                await client.rows("select count() from record")
            except AnalyticsUnavailable:
                await asyncio.sleep(0.05)
            else:
                return
