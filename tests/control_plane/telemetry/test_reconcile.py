"""Reconciliation: equal where it is, and each way in which table, roll-ups and ledger may part is told."""

import asyncio
import os
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import structlog

from control_plane.telemetry.errors import AnalyticsUnavailable
from control_plane.telemetry.reconcile import told
from control_plane.telemetry.reconciling import TOLD_MAX, Reconciling
from shared.models.record import Record
from tests.fixtures.clickhouse import Clickhouse
from tests.fixtures.delivery import KEPT, STREAM, Sender, payload
from tests.fixtures.records import a_record

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000


def some(number: int, *, first: int = 0, **fields: Any) -> list[Record]:
    plain: dict[str, Any] = {"workspace": None, "started_at_ms": NOW_MS, **fields}
    return [a_record(first + n, **{"cost_picousd": 3 + n, **plain}) for n in range(number)]


async def test_what_was_counted_is_what_is_there(sender: Sender) -> None:
    other = await sender.in_another_organisation()
    await sender.deliver(1, payload(some(3)))
    await sender.deliver(1, payload(some(2, first=3, started_at_ms=NOW_MS - 5 * DAY_MS)), "b" * 16)
    await other.deliver(1, payload(some(4, cost_picousd=None)))
    result = await sender.reconcile()
    assert told(result) == ["equal: 3 streams, 9 records, 0.000000000019 US dollars"]
    assert result.equal


async def test_nothing_is_equal_to_nothing(sender: Sender) -> None:
    assert told(await sender.reconcile()) == ["equal: 0 streams, 0 records, 0 US dollars"]


async def test_a_record_that_is_missing_is_told_with_its_stream_and_day(sender: Sender, clickhouse: Clickhouse) -> None:
    await sender.deliver(1, payload(some(3)))
    await clickhouse.client.command(f"delete from record where id = '{some(1)[0].id}'")
    result = await sender.reconcile()
    assert not result.equal
    day = datetime.fromtimestamp(NOW_MS / 1000, UTC).date()
    where = f"record {sender.plane.organisation} {sender.gateway} {sender.node} {STREAM} {day}"
    by_ledger = "3 records, 0.000000000012 US dollars"
    missing = f"{where}: 2 records, 0.000000000009 US dollars; by the ledger {by_ledger}"
    assert told(result) == [missing, f"DIFFERS: 1 stream, {by_ledger}"]


@pytest.mark.parametrize("table", ["record_minute", "record_hour"])
async def test_a_roll_up_that_parted_is_told(sender: Sender, clickhouse: Clickhouse, table: str) -> None:
    await sender.deliver(1, payload(some(3)))
    await clickhouse.client.command(f"truncate table {table}")
    (difference,) = (await sender.reconcile()).differences
    assert difference.what.startswith(f"{table} {sender.plane.organisation} {sender.gateway} ")
    assert (difference.found.records, difference.ledger.records) == (0, 3)


@pytest.mark.parametrize("table", ["record_spread", "record_spread_workspace"])
async def test_a_histogram_that_does_not_hold_what_was_timed_is_told(
    sender: Sender, clickhouse: Clickhouse, table: str
) -> None:
    await sender.deliver(1, payload(some(3, duration_us=1_000, first_byte_us=500, overhead_us=None)))
    assert (await sender.reconcile()).equal
    await clickhouse.client.command(
        f"alter table {table} delete where measure = 'duration' settings mutations_sync = 2"
    )
    result = await sender.reconcile()
    day = datetime.fromtimestamp(NOW_MS / 1000, UTC).date()
    (difference,) = result.uncounted
    told_as = f"{table} {sender.plane.organisation} duration {day}: 0 values; by record_hour 3"
    assert (str(difference), result.equal) == (told_as, False)


async def test_a_cost_that_is_off_by_a_picodollar_is_told(sender: Sender) -> None:
    await sender.deliver(1, payload(some(3)))
    await sender.execute("update record_day set cost_usd = cost_usd - 0.000000000001")
    differences = (await sender.reconcile()).differences
    assert {d.found.cost_usd - d.ledger.cost_usd for d in differences} == {Decimal("0.000000000001")}
    assert len(differences) == 3


async def test_a_record_that_is_there_twice_is_told(sender: Sender) -> None:
    await sender.deliver(1, payload(some(3)))
    await sender.deliver(2, payload(some(1, cost_picousd=99)))
    result = await sender.reconcile()
    assert list(result.twice.values()) == [1]
    assert not result.equal


async def test_a_batch_under_way_is_no_difference_until_its_node_gave_it_up(sender: Sender) -> None:
    await sender.deliver(1, payload(some(3)))
    sender.store.failures = ["after"]
    with pytest.raises(AnalyticsUnavailable):
        await sender.deliver(2, payload(some(2, first=3)))
    await sender.execute("update record_stream set pending_at = now()")
    result = await sender.reconcile()
    assert result.equal
    assert told(result)[-1].endswith("; 1 node has a batch under way")
    await sender.execute("update record_stream set pending_at = now() - interval '2 days'")
    assert not (await sender.reconcile()).equal


async def test_a_payload_under_two_names_is_no_difference(sender: Sender) -> None:
    """GHS/1 17.4."""
    await sender.deliver_in_vain(1, payload(some(3)), "after")
    await sender.deliver(1, payload(some(3)), "b" * 16)
    assert (await sender.reconcile()).equal


async def test_now_and_then_it_is_said_in_the_log(sender: Sender, capsys: pytest.CaptureFixture[str]) -> None:
    reconciling = Reconciling(sender.plane.database, sender.tables, KEPT, sender.plane.clock)
    await sender.deliver(1, payload(some(3)))
    await reconciling.turn()
    assert "records_reconciled" in capsys.readouterr().out
    await sender.execute("delete from record_day")
    await reconciling.turn()
    assert "records_differ" in capsys.readouterr().out


async def test_a_clickhouse_that_was_lost_is_told_in_a_line_that_can_be_read(
    sender: Sender, clickhouse: Clickhouse
) -> None:
    for number in range(TOLD_MAX + 5):
        await sender.deliver(1, payload(some(1, first=number)), f"{number:016x}")
    await clickhouse.client.command("truncate table record")
    reconciling = Reconciling(sender.plane.database, sender.tables, KEPT, sender.plane.clock)
    with structlog.testing.capture_logs() as logs:
        await reconciling.turn()
    (line,) = logs
    assert (line["event"], line["count"], len(line["told"])) == ("records_differ", TOLD_MAX + 5, TOLD_MAX + 1)
    assert line["told"][-1].startswith(f"DIFFERS: {TOLD_MAX + 5} streams")


async def test_the_command_says_how_it_came_out_and_fails_where_it_differs(
    sender: Sender, migrated_url: str, clickhouse: Clickhouse
) -> None:
    now_ms = round(datetime.now(UTC).timestamp() * 1000)
    await sender.deliver(1, payload(some(2, started_at_ms=now_ms)))
    assert await command(migrated_url, clickhouse.url, "migrate") == (0, "the schema is up to date\n")
    code, out = await command(migrated_url, clickhouse.url, "reconcile", "--days", "2")
    assert (code, out) == (0, "equal: 1 stream, 2 records, 0.000000000007 US dollars\n")
    await sender.execute("delete from record_day")
    code, out = await command(migrated_url, clickhouse.url, "reconcile")
    assert code == 1
    assert out.splitlines()[-1].startswith("DIFFERS: ")


async def command(postgres: str, clickhouse: str, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "control_plane", *arguments),
        env={**os.environ, "GATEHOUSE_POSTGRES_URL": postgres, "GATEHOUSE_CLICKHOUSE_URL": clickhouse},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()
