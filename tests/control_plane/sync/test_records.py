"""`POST /sync/v1/records`: what a node sends and hears, on a real socket, with both databases."""

import asyncio
from typing import Any

import orjson
import pytest

from control_plane.telemetry import ledger
from control_plane.telemetry.clickhouse import ClickHouse
from shared.models.record import Record
from shared.protocol.batch import PATH
from shared.protocol.heartbeat import HEARTBEAT_PATH
from tests.fakes.record_store import UnsureStore
from tests.fixtures.clickhouse import ClickhouseServer
from tests.fixtures.delivery import STREAM, body, payload
from tests.fixtures.records import a_record
from tests.fixtures.sync import SyncNode, SyncPlane

NOW_MS = 1_800_000_000_000


@pytest.fixture
def record_store(tables: ClickHouse) -> UnsureStore:
    return UnsureStore(tables)


@pytest.fixture
async def node(sync_plane: SyncPlane) -> SyncNode:
    return await sync_plane.new_node()


def some(number: int, *, first: int = 0, **fields: Any) -> list[Record]:
    plain: dict[str, Any] = {"workspace": None, "started_at_ms": NOW_MS, **fields}
    return [a_record(first + n, **plain) for n in range(number)]


async def deliver(node: SyncNode, seq: int, records: list[Record], stream: str = STREAM) -> tuple[int, Any]:
    sent = body(seq, payload(records), stream)
    status, told = await node.send(PATH, sent, node.stamp(PATH, sent))
    return status, orjson.loads(told)


async def in_table(tables: ClickHouse, node: SyncNode) -> int:
    (row,) = await tables.rows(
        "select count() as records from record where node = {node:String} and gateway = {gateway:String}",
        {"node": node.keys.node, "gateway": node.gateway},
    )
    return int(row["records"])


async def test_a_batch_is_acknowledged_when_it_is_there(node: SyncNode, tables: ClickHouse) -> None:
    """GHS/1 17.1, 17.5."""
    assert await deliver(node, 1, some(3)) == (200, {"stream": STREAM, "acknowledged": 1})
    assert await in_table(tables, node) == 3
    assert await deliver(node, 1, some(3)) == (200, {"stream": STREAM, "acknowledged": 1})
    assert await in_table(tables, node) == 3


async def test_a_gap_and_a_conflict_are_refused_by_name_with_what_is_acknowledged(node: SyncNode) -> None:
    """GHS/1 17.6, 12.5."""
    await deliver(node, 1, some(1))
    status, told = await deliver(node, 3, some(1, first=3))
    assert (status, told["code"], told["acknowledged"]) == (409, "batch_gap", 1)
    status, told = await deliver(node, 1, some(1, first=1))
    assert (status, told["code"]) == (422, "batch_conflict")


@pytest.mark.parametrize("failure", ["before", "after"])
async def test_while_clickhouse_is_away_a_node_is_told_to_come_again(
    node: SyncNode, record_store: UnsureStore, tables: ClickHouse, failure: Any
) -> None:
    """GHS/1 17.5."""
    record_store.failures = [failure]
    sent = body(1, payload(some(2)))
    async with node.house.session.post(node.house.url + PATH, data=sent, headers=node.stamp(PATH, sent)) as response:
        assert (response.status, response.headers["retry-after"]) == (503, "5")
        assert (await response.json(content_type=None))["code"] == "analytics_unavailable"
    assert (await deliver(node, 1, some(2)))[0] == 200
    assert await in_table(tables, node) == 2


async def test_a_batch_that_is_not_signed_by_an_enrolled_node_does_not_count(
    node: SyncNode, tables: ClickHouse
) -> None:
    """GHS/1 17.1, 12.1, 12.2."""
    sent = body(1, payload(some(1)))
    stranger = SyncNode(node.house)
    for stamp in (stranger.stamp(PATH, sent), node.stamp(HEARTBEAT_PATH, sent), node.stamp(PATH, sent + b"x")):
        status, _ = await node.send(PATH, sent, stamp)
        assert status == 401
    assert await in_table(tables, node) == 0


async def test_the_same_request_is_taken_once(node: SyncNode) -> None:
    """GHS/1 12.3."""
    sent = body(1, payload(some(1)))
    stamp = node.stamp(PATH, sent)
    assert (await node.send(PATH, sent, stamp))[0] == 200
    status, told = await node.send(PATH, sent, stamp)
    assert (status, orjson.loads(told)["code"]) == (401, "nonce_used")


async def test_a_node_of_another_gateway_has_its_own_streams(node: SyncNode, tables: ClickHouse) -> None:
    """GHS/1 17.3: it neither goes on with another's stream nor conflicts with it."""
    other = await node.house.new_node(await node.house.new_gateway())
    await deliver(node, 1, some(2))
    status, told = await deliver(other, 2, some(1, first=2))
    assert (status, told["code"], told["acknowledged"]) == (409, "batch_gap", 0)
    assert (await deliver(other, 1, some(1, first=3)))[0] == 200
    assert (await in_table(tables, node), await in_table(tables, other)) == (2, 1)


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"", 400, "invalid"),
        (b"GHB1\0\0\0\2{}", 400, "invalid"),
        (body(1, b"no zstd"), 400, "invalid"),
        (b"GHB1" + bytes(4 * 1024 * 1024), 413, "too_large"),
    ],
)
async def test_what_is_no_batch_is_refused_whole(node: SyncNode, sent: bytes, status: int, code: str) -> None:
    """GHS/1 17.1."""
    got, told = await node.send(PATH, sent, node.stamp(PATH, sent))
    assert (got, orjson.loads(told)["code"]) == (status, code)
    assert await node.house.rows("select stream from record_stream") == []


async def test_a_batch_wakes_who_waits_for_records_of_its_organisation(node: SyncNode) -> None:
    house = node.house
    another = await house.plane.in_another_organisation()
    with (
        house.arrivals.waiting(house.plane.organisation) as event,
        house.arrivals.waiting(another.organisation) as others,
    ):
        await deliver(node, 1, some(1))
        async with asyncio.timeout(30):
            await event.wait()
        assert not others.is_set()
        assert event.received_ms == {house.plane.clock.wall_ms()}
        event.clear()
        await house.lose_listener()
        async with asyncio.timeout(30):
            await event.wait()


async def test_a_batch_without_a_record_wakes_nobody(node: SyncNode) -> None:
    with node.house.arrivals.waiting(node.house.plane.organisation) as event:
        await deliver(node, 1, [])
        await deliver(node, 1, [], "b" * 16)
        await node.house.rows("select pg_notify($1, 'org_else')", ledger.CHANNEL)
        assert not event.is_set()


async def test_an_engine_that_is_killed_between_two_batches_loses_nothing(
    node: SyncNode, tables: ClickHouse, clickhouse_engine: ClickhouseServer
) -> None:
    """GHS/1 17.5."""
    assert (await deliver(node, 1, some(4)))[0] == 200
    clickhouse_engine.kill()
    try:
        assert (await deliver(node, 2, some(4, first=4)))[0] == 503
    finally:
        await clickhouse_engine.start()
    for seq in (1, 2):
        assert (await deliver(node, seq, some(4, first=4 * seq - 4)))[0] == 200
    assert await in_table(tables, node) == 8
