"""A PostgreSQL that was put back while nodes and ClickHouse went on, and a lost ClickHouse (docs/operations.md)."""

from typing import Any

import pytest

from control_plane.errors import Conflict
from control_plane.telemetry.migrate import Engines
from control_plane.telemetry.schema import Schema
from shared.models.record import Record
from tests.fixtures.clickhouse import Clickhouse
from tests.fixtures.delivery import KEPT, Sender, payload
from tests.fixtures.records import a_record

LEDGER = ("record_stream", "record_day", "record_payload")
NOW_MS = 1_800_000_000_000
OTHER = "b" * 16


def one(number: int) -> list[Record]:
    return [a_record(number, workspace=None, started_at_ms=NOW_MS, cost_picousd=3)]


async def backup(sender: Sender) -> dict[str, list[dict[str, Any]]]:
    return {table: await sender.ledger(table) for table in LEDGER}


async def restore(sender: Sender, kept: dict[str, list[dict[str, Any]]]) -> None:
    for table, rows in kept.items():
        await sender.execute(f"delete from {table} where node = $1", sender.node)
        for row in rows:
            places = ", ".join(f"${at}" for at in range(1, len(row) + 1))
            await sender.execute(f"insert into {table} ({', '.join(row)}) values ({places})", *row.values())


async def test_after_a_restore_batches_count_on_and_what_the_ledger_lost_is_told(sender: Sender) -> None:
    for seq in (1, 2):
        await sender.deliver(seq, payload(one(seq)))
    await sender.deliver_in_vain(3, payload(one(3)), "after")
    kept = await backup(sender)
    for seq in (3, 4, 5):
        await sender.deliver(seq, payload(one(seq)))
    await restore(sender, kept)
    with pytest.raises(Conflict) as gap:
        await sender.deliver(6, payload(one(6)))
    assert (gap.value.code, gap.value.extensions) == ("batch_gap", {"acknowledged": 2})
    # The node names the rest of its stream anew; 5 is there too where its acknowledgement was lost.
    for seq, number in enumerate((5, 6, 7), start=1):
        await sender.deliver(seq, payload(one(number)), OTHER)
    # A batch that was under way in the backup is taken for one that may still come, for a day.
    await sender.execute("update record_stream set pending_at = now() - interval '2 days'")
    result = await sender.reconcile()
    found = sum(records for records, _ in (await sender.in_table()).values())
    assert (found, result.counted.records) == (7, 5)
    assert {difference.found.records - difference.ledger.records for difference in result.differences} == {3, 2, -1}
    assert not result.twice


async def test_a_clickhouse_that_was_lost_is_made_anew_and_counts_on(sender: Sender, clickhouse: Clickhouse) -> None:
    await sender.deliver(1, payload(one(1)))
    await clickhouse.client.command(f"drop database {clickhouse.database} sync")
    with pytest.raises(Exception, match="ClickHouse cannot do it now"):
        await sender.deliver(2, payload(one(2)))
    await Schema(sender.tables, sender.plane.database, KEPT, Engines()).bring_up()
    await sender.deliver(2, payload(one(2)))
    result = await sender.reconcile()
    assert sum(records for records, _ in (await sender.in_table()).values()) == 1
    assert result.counted.records == 2
    assert not result.equal
