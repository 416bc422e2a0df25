"""A control plane without a ClickHouse: records wait at the gateways, and everything else is served."""

import orjson

from shared.protocol.batch import PATH
from shared.protocol.drop import Drop
from tests.fixtures.delivery import body, payload
from tests.fixtures.records import a_record
from tests.fixtures.sync import SyncPlane


async def test_records_are_refused_with_what_to_set_and_nothing_else_is(sync_plane: SyncPlane) -> None:
    """GHS/1 17.5."""
    node = await sync_plane.new_node()
    sent = body(1, payload([a_record(workspace=None)]))
    status, told = await node.send(PATH, sent, node.stamp(PATH, sent))
    problem = orjson.loads(told)
    assert (status, problem["code"]) == (503, "analytics_unavailable")
    assert "GATEHOUSE_CLICKHOUSE_URL" in problem["detail"]
    await node.beat()


async def test_what_nodes_lost_is_counted_all_the_same(sync_plane: SyncPlane) -> None:
    """GHS/1 17.8."""
    node = await sync_plane.new_node()
    sent = body(1, payload([], [Drop(reason="spool_full", count=7, from_ms=1, to_ms=2)]))
    assert (await node.send(PATH, sent, node.stamp(PATH, sent)))[0] == 200
    (row,) = await sync_plane.rows("select reason, count from record_drop")
    assert (row["reason"], int(row["count"])) == ("spool_full", 7)
