"""What came of a node's records shows at the node: what counts, what was refused and why, what it lost and when."""

from datetime import UTC, datetime, timedelta

import pytest

from control_plane.errors import Invalid, NotFound
from control_plane.gateways.nodes import Nodes
from control_plane.telemetry.errors import AnalyticsUnavailable
from shared.protocol.drop import Drop
from tests.fixtures.delivery import Sender, payload
from tests.fixtures.records import a_record

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def nodes(sender: Sender) -> Nodes:
    return Nodes(sender.plane.database, sender.plane.changes)


def ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def drop(reason: str, count: int, begin: datetime, end: datetime) -> Drop:
    return Drop(reason=reason, count=count, from_ms=ms(begin), to_ms=ms(end))


async def test_a_node_that_sent_nothing_has_nothing_counted(sender: Sender, nodes: Nodes) -> None:
    view = await nodes.read(sender.plane.call(gateway=sender.gateway, node=sender.node))
    records = view.records
    assert (records.counted, records.streams, records.received_at) == (0, 0, None)
    assert (records.refused, records.dropped) == ((), ())


async def test_counts_refusals_and_losses_show_at_their_node(sender: Sender, nodes: Nodes) -> None:
    other = await sender.in_new_node()
    good = [a_record(n, workspace=None, started_at_ms=sender.plane.clock.wall_ms()) for n in range(3)]
    odd = a_record(3, workspace=None, started_at_ms=0)
    foreign = a_record(4, workspace="ws_nobody")
    lost = [drop("disk_full", 2, NOON, NOON), drop("disk_full", 3, NOON - HOUR, NOON + HOUR)]
    await sender.deliver(1, payload([*good, odd, foreign], lost))
    sender.store.failures = ["after"]
    with pytest.raises(AnalyticsUnavailable):
        await sender.deliver(1, payload([a_record(9, workspace=None)]), "b" * 16)
    view = await nodes.read(sender.plane.call(gateway=sender.gateway, node=sender.node))
    records = view.records
    assert (records.counted, records.clamped, records.streams, records.streams_waiting) == (4, 1, 2, 1)
    assert records.received_at is not None
    assert [(refused.reason, refused.count) for refused in records.refused] == [("workspace_forbidden", 1)]
    (dropped,) = records.dropped
    assert (dropped.reason, dropped.count, dropped.from_at, dropped.to_at) == ("disk_full", 5, NOON - HOUR, NOON + HOUR)
    listed = await nodes.list(sender.plane.call(gateway=sender.gateway))
    assert {view.id: view.records.counted for view in listed.data} == {sender.node: 4, other.node: 0}


async def test_losses_are_listed_hour_by_hour(sender: Sender, nodes: Nodes) -> None:
    lost = [drop("disk_full", n + 1, NOON + n * HOUR, NOON + n * HOUR) for n in range(3)]
    await sender.deliver(1, payload([], [*lost, drop("damaged", 1, NOON, NOON), drop("disk_full", 9, NOON, NOON)]))
    call = sender.plane.call(query={"limit": "2", "sort": "hour"}, gateway=sender.gateway, node=sender.node)
    page = await nodes.list_drops(call)
    assert [(row.hour, row.reason, row.count) for row in page.data] == [(NOON, "damaged", 1), (NOON, "disk_full", 10)]
    assert page.next_cursor is not None
    query = {"limit": "2", "sort": "hour", "cursor": page.next_cursor}
    rest = await nodes.list_drops(sender.plane.call(query=query, gateway=sender.gateway, node=sender.node))
    assert [(row.hour, row.count) for row in rest.data] == [(NOON + HOUR, 2), (NOON + 2 * HOUR, 3)]
    assert rest.next_cursor is None
    query = {"filter": "reason:damaged hour>=2026-11-20"}
    found = await nodes.list_drops(sender.plane.call(query=query, gateway=sender.gateway, node=sender.node))
    assert [row.reason for row in found.data] == ["damaged"]
    with pytest.raises(Invalid):
        await nodes.list_drops(sender.plane.call(query={"sort": "count"}, gateway=sender.gateway, node=sender.node))


async def test_nobody_sees_what_another_organisations_node_lost(sender: Sender, nodes: Nodes) -> None:
    stranger = await sender.in_another_organisation()
    await sender.deliver(1, payload([], [drop("damaged", 1, NOON, NOON)]))
    with pytest.raises(NotFound):
        await nodes.list_drops(stranger.plane.call(gateway=sender.gateway, node=sender.node))
