"""Batches count exactly once: in the table, in each roll-up and in the ledger, whatever comes between (GHS/1 17)."""

import asyncio
import itertools
from collections import Counter
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.errors import Conflict, Problem, Unauthenticated, Unavailable, Unprocessable
from control_plane.gateways import store
from control_plane.sync.upkeep import Upkeep
from control_plane.telemetry.errors import AnalyticsUnavailable
from shared.models.record import FIELDS, Record
from shared.protocol import batch
from shared.protocol.drop import Drop
from tests.fakes.record_store import Failure
from tests.fixtures.clickhouse import ClickhouseServer
from tests.fixtures.delivery import STREAM, Sender, payload
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.records import a_record, records

NOW_MS = 1_800_000_000_000
"""By the clock of the control plane in these tests."""
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
OTHER = "00000000000000bb"


def some(number: int, *, first: int = 0, **fields: Any) -> list[Record]:
    """Records of now, one second apart, of no workspace."""
    plain: dict[str, Any] = {"workspace": None, **fields}
    return [
        a_record(first + n, **{"started_at_ms": NOW_MS - 1000 * n, "cost_picousd": 7 + n, **plain})
        for n in range(number)
    ]


async def test_a_batch_counts_everywhere(sender: Sender) -> None:
    """GHS/1 17.5."""
    sent = some(50)
    assert await sender.deliver(1, payload(sent)) == 1
    await sender.require_counted(sent)
    assert (await sender.reconcile()).equal


async def test_each_batch_that_comes_twice_counts_once(sender: Sender) -> None:
    """GHS/1 17.5, 17.6."""
    sent = some(60)
    for seq in range(1, 7):
        part = payload(sent[10 * seq - 10 : 10 * seq])
        assert await sender.deliver(seq, part) == seq
        assert await sender.deliver(seq, part) == seq
    assert await sender.deliver(2, payload(sent[10:20])) == 6
    await sender.require_counted(sent)


async def test_batches_that_come_at_the_same_time_count_once(sender: Sender) -> None:
    """GHS/1 17.5: three processes of the control plane, each asked several times at once."""
    sent = some(40)
    for seq in (1, 2):
        part = payload(sent[20 * seq - 20 : 20 * seq])
        processes = [sender.restarted() for _ in range(3)]
        assert await asyncio.gather(*(process.deliver(seq, part) for process in processes * 3)) == [seq] * 9
    await sender.require_counted(sent)


@pytest.mark.parametrize("failure", ["before", "after"])
async def test_what_fails_at_the_insert_is_not_acknowledged_and_counts_when_it_comes_again(
    sender: Sender, failure: Failure
) -> None:
    """GHS/1 17.5: as when the control plane dies between the insert and the ledger."""
    sent = some(20)
    sender.store.failures = [failure, failure]
    for _ in range(2):
        with pytest.raises(AnalyticsUnavailable) as refused:
            await sender.deliver(1, payload(sent))
        assert refused.value.retry_after_s
        assert await sender.in_ledger() == {}
    assert await sender.restarted().deliver(1, payload(sent)) == 1
    await sender.require_counted(sent)


async def test_a_gap_is_refused_with_what_is_acknowledged(sender: Sender) -> None:
    """GHS/1 17.6."""
    with pytest.raises(Conflict) as refused:
        await sender.deliver(2, payload(some(1)))
    assert (refused.value.code, refused.value.extensions) == ("batch_gap", {"acknowledged": 0})
    await sender.deliver(1, payload(some(1)))
    with pytest.raises(Conflict) as refused:
        await sender.deliver(3, payload(some(1)))
    assert refused.value.extensions == {"acknowledged": 1}
    await sender.require_counted(some(1))


async def test_another_payload_under_the_last_number_is_refused(sender: Sender) -> None:
    """GHS/1 17.6, 17.4."""
    await sender.deliver(1, payload(some(1)))
    await sender.deliver(2, payload(some(1, first=1)))
    with pytest.raises(Unprocessable) as refused:
        await sender.deliver(2, payload(some(1, first=2)))
    assert (refused.value.status, refused.value.code) == (422, "batch_conflict")
    assert await sender.deliver(1, payload(some(1, first=3))) == 2
    await sender.require_counted([*some(1), *some(1, first=1)])


async def test_another_payload_under_a_number_that_waits_is_refused(sender: Sender) -> None:
    """GHS/1 17.6, 17.4: the first one may be in the table already."""
    sender.store.failures = ["after"]
    with pytest.raises(AnalyticsUnavailable):
        await sender.deliver(1, payload(some(1)))
    with pytest.raises(Unprocessable):
        await sender.deliver(1, payload(some(1, first=1)))
    assert await sender.deliver(1, payload(some(1))) == 1
    await sender.require_counted(some(1))


@pytest.mark.parametrize("failure", [None, "before", "after"])
async def test_a_payload_counts_once_whatever_it_is_called(sender: Sender, failure: Failure | None) -> None:
    """GHS/1 17.4: its acknowledgement was lost, or its insert, and its node opened another stream for it."""
    sent = some(5)
    await sender.deliver_in_vain(1, payload(sent), failure)
    assert await sender.deliver(1, payload(sent), OTHER) == 1
    assert await sender.deliver(1, payload(sent)) == 1
    assert await sender.deliver(2, payload(sent), OTHER) == 2
    await sender.require_counted(sent)
    assert (await sender.reconcile()).equal


@pytest.mark.parametrize("failure", [None, "after"])
async def test_a_payload_counts_once_also_when_others_came_between(sender: Sender, failure: Failure | None) -> None:
    """GHS/1 17.4: whatever stream and number of its node it comes under."""
    first, second = some(5), some(4, first=5)
    await sender.deliver_in_vain(1, payload(first), failure)
    await sender.deliver(1, payload(first))
    await sender.deliver(2, payload(second))
    assert await sender.deliver(3, payload(first)) == 3
    assert await sender.deliver(1, payload(second), OTHER) == 1
    assert await sender.deliver(2, payload(first), OTHER) == 2
    assert await sender.restarted().deliver(3, payload(second), OTHER) == 3
    await sender.require_counted([*first, *second])
    assert (await sender.reconcile()).equal


async def test_a_payload_is_known_for_as_long_as_it_may_come_again(sender: Sender) -> None:
    """GHS/1 17.4: what is forgotten of it counts on; the last one of a stream is known for good."""
    first, second = some(5), some(4, first=5)
    await sender.deliver(1, payload(first))
    await sender.deliver(2, payload(second))
    upkeep = Upkeep(sender.plane.database)
    for days, known in ((7, 2), (1, 0)):
        await sender.execute("update record_payload set at = at - make_interval(days => $1) + interval '1 s'", days)
        await upkeep.turn(compacting=True)
        assert len(await sender.ledger("record_payload")) == known
    assert await sender.deliver(1, payload(second), OTHER) == 1
    assert len(await sender.ledger("record_payload")) == 1
    await sender.require_counted([*first, *second])


async def test_what_was_decided_about_a_batch_stays_decided(sender: Sender) -> None:
    """GHS/1 17.5: it is in the table as it came first; edits and time between change nothing."""
    confined = await sender.in_new_gateway([])
    mine, others = some(3), some(2, first=3, workspace=sender.plane.workspace)
    late = some(1, first=5, started_at_ms=NOW_MS - 400 * DAY_MS)
    confined.store.failures = ["after"]
    with pytest.raises(AnalyticsUnavailable):
        await confined.deliver(1, payload([*mine, *others, *late]))
    await confined.execute("update gateway set workspaces = null where id = $1", confined.gateway)
    confined.plane.clock.advance(2 * 86_400)
    assert await confined.deliver(1, payload([*mine, *others, *late])) == 1
    await confined.require_counted([*mine, *late])
    assert (await confined.reconcile()).equal


async def test_a_row_that_is_no_record_is_refused_alone(sender: Sender) -> None:
    """GHS/1 17.7."""
    good = some(3)
    rows = [orjson.dumps(list(record)) for record in good]
    bad = list(good[0]._replace(id="lg_" + "f" * 32))
    bad[FIELDS.index("status")] = "MARKER"
    dear = list(some(1, first=9, cost_picousd=10**18)[0])
    mixed = batch.payload(FIELDS, [rows[0], orjson.dumps(bad), rows[1], orjson.dumps(dear), b"[1]", rows[2]])
    assert await sender.deliver(1, mixed) == 1
    await sender.require_counted(good)
    (row,) = await sender.ledger("record_refused")
    assert (row["reason"], row["count"]) == ("malformed", 3)
    assert "MARKER" not in row["detail"]
    (stream,) = await sender.ledger("record_stream")
    assert (stream["records"], stream["refused"]) == (3, 3)


async def test_workspaces_that_are_not_the_gateways_are_refused_row_by_row(sender: Sender) -> None:
    """GHS/1 17.7: another organisation's, nobody's, one the gateway may not serve."""
    foreign = await sender.in_another_organisation()
    second = await sender.plane.in_another_workspace("second")
    confined = await sender.in_new_gateway([sender.plane.workspace])
    mine = some(2, workspace=sender.plane.workspace) + some(1, first=2)
    wrong = [foreign.plane.workspace, "ws_nobody", second.workspace]
    others = [some(1, first=10 + n, workspace=workspace)[0] for n, workspace in enumerate(wrong)]
    assert await confined.deliver(1, payload([*others, *mine])) == 1
    await confined.require_counted(mine)
    (row,) = await confined.ledger("record_refused")
    assert (row["reason"], row["count"]) == ("workspace_forbidden", 3)
    assert await foreign.in_table() == {}
    assert (await confined.reconcile()).equal


async def test_what_was_served_before_a_workspace_was_taken_away_or_deleted_counts(sender: Sender) -> None:
    """GHS/1 17.7: it was paid for; the node may have been cut off meanwhile."""
    second = await sender.plane.in_another_workspace("second")
    both = await sender.in_new_gateway([sender.plane.workspace, second.workspace])
    async with sender.plane.database.tenant(sender.plane.organisation) as connection:
        for gateway in (both.gateway, sender.gateway):
            fields = {"name": "x", "workspaces": [sender.plane.workspace], "url": None}
            await store.update(connection, sender.plane.organisation, gateway, fields)
    await sender.execute("delete from workspace where id = $1", second.workspace)
    sent = some(2, workspace=second.workspace)
    for gateway in (both, sender):
        await gateway.deliver(1, payload(sent))
        await gateway.require_counted(sent)


async def test_a_time_that_cannot_be_is_that_of_reception(sender: Sender) -> None:
    """GHS/1 17.11."""
    fits = [
        some(1, first=1, started_at_ms=NOW_MS - 400 * DAY_MS)[0],
        some(1, first=2, started_at_ms=NOW_MS + HOUR_MS)[0],
    ]
    absurd = [
        some(1, first=3, started_at_ms=NOW_MS - 400 * DAY_MS - 1)[0],
        some(1, first=4, started_at_ms=NOW_MS + HOUR_MS + 1)[0],
        some(1, first=5, started_at_ms=0)[0],
        some(1, first=6, started_at_ms=2**63 - 1)[0],
    ]
    await sender.deliver(1, payload(fits + absurd))
    await sender.require_counted([*fits, *(record._replace(started_at_ms=NOW_MS) for record in absurd)])
    rows = await sender.tables.rows(
        "select id, clamped from record where node = {node:String} order by id", {"node": sender.node}
    )
    assert [row["clamped"] for row in rows] == [False, False, True, True, True, True]
    (stream,) = await sender.ledger("record_stream")
    assert stream["clamped"] == 4


async def test_what_a_node_lost_is_counted_as_exactly_as_records(sender: Sender) -> None:
    """GHS/1 17.8."""
    lost = [
        Drop(reason="disk_full", count=5, from_ms=NOW_MS - 5000, to_ms=NOW_MS),
        Drop(reason="disk_full", count=2**53 - 1, from_ms=NOW_MS - HOUR_MS, to_ms=NOW_MS),
        Drop(reason="damaged", count=1, from_ms=2**53 - 1, to_ms=0),
    ]
    sender.store.failures = ["after"]
    with pytest.raises(AnalyticsUnavailable):
        await sender.deliver(1, payload(some(1), lost))
    await sender.deliver(1, payload(some(1), lost))
    await sender.deliver(1, payload(some(1), lost))
    await sender.deliver(1, payload(some(1), lost), OTHER)
    await sender.deliver(2, payload([], lost[:1]))
    counts = {row["reason"]: int(row["count"]) for row in await sender.ledger("record_drop")}
    assert counts == {"disk_full": 5 + 2**53 - 1 + 5, "damaged": 1}
    await sender.require_counted(some(1))


async def test_a_batch_of_drops_alone_needs_no_clickhouse(sender: Sender) -> None:
    sender.store.failures = ["before"]
    drop = Drop(reason="spool_full", count=3, from_ms=NOW_MS, to_ms=NOW_MS)
    assert await sender.deliver(1, payload([], [drop])) == 1
    assert sender.store.failures == ["before"]


async def test_equal_names_of_different_nodes_and_organisations_are_different_streams(sender: Sender) -> None:
    """GHS/1 17.3: nobody writes into another's stream, or keeps its batches from counting."""
    same = payload(some(3))
    senders = [sender, await sender.in_new_gateway(), await sender.in_another_organisation()]
    for one in senders:
        assert await one.deliver(1, same) == 1
    for one in senders:
        await one.require_counted(some(3))


async def test_what_is_no_batch_is_refused_by_what_is_wrong_with_it(sender: Sender) -> None:
    """GHS/1 17.1."""
    whole = batch.encode(batch.Head(stream=STREAM, seq=1), payload(some(1)))
    for broken in (b"", whole[:-1], whole + b"x", b"GHB2" + whole[4:], whole[:40] + b"\0\0\0"):
        with pytest.raises(Problem) as refused:
            await sender.ingest.deliver(sender.plane.organisation, sender.gateway, sender.node, broken)
        assert (refused.value.status, refused.value.code) == (400, "invalid")
    many = batch.payload(["id"], [b"[0]"] * (batch.ROWS_MAX + 1))
    with pytest.raises(Problem, match=r"\$\.rows"):
        await sender.deliver(1, many)
    assert await sender.ledger("record_stream") == []


async def test_a_batch_for_a_gateway_that_was_deleted_does_not_count(sender: Sender) -> None:
    await sender.execute("delete from gateway where id = $1", sender.gateway)
    with pytest.raises(Unauthenticated) as refused:
        await sender.deliver(1, payload(some(1)))
    assert refused.value.code == "gateway_unknown"
    assert await sender.in_table() == {}


async def test_clickhouse_may_be_killed_and_come_back_at_any_time(
    sender: Sender, clickhouse_engine: ClickhouseServer
) -> None:
    """GHS/1 17.5: killed while batches are on their way, over and over; what was acknowledged is there."""
    sent = some(400)
    parts = [payload(sent[n : n + 20]) for n in range(0, 400, 20)]

    async def ship() -> None:
        for seq, part in enumerate(parts, start=1):
            while True:
                try:
                    assert await sender.deliver(seq, part) == seq
                    break
                except Unavailable:
                    await came_back.wait()

    came_back = asyncio.Event()
    came_back.set()
    async with asyncio.timeout(300):
        shipping = asyncio.create_task(ship())
        for _ in range(3):
            await sender.store.inserted(3)
            came_back.clear()
            clickhouse_engine.kill()
            await clickhouse_engine.start()
            came_back.set()
        await shipping
    await sender.require_counted(sent)
    assert (await sender.reconcile()).equal


async def test_without_postgres_nothing_is_acknowledged_and_all_counts_when_it_is_back(
    sender: Sender, postgres_server: PostgresServer
) -> None:
    """GHS/1 17.5."""
    sent = some(6)
    await sender.deliver(1, payload(sent[:3]))
    postgres_server.kill()
    try:
        with pytest.raises(Unavailable) as refused:
            await sender.deliver(2, payload(sent[3:]))
        assert refused.value.retry_after_s
    finally:
        await postgres_server.start()
    assert await sender.deliver(2, payload(sent[3:])) == 2
    await sender.require_counted(sent)


@dataclass
class Node:
    """What a node that keeps to the protocol does: one batch of a stream under way, sent until it is acknowledged."""

    sender: Sender
    batches: list[list[Record]]
    stream: int = 0
    base: int = 0
    """Batches acknowledged before the stream began."""
    acknowledged: int = 0

    @property
    def next(self) -> tuple[int, bytes, str]:
        """Number, payload and stream of the batch whose turn it is."""
        return self.acknowledged - self.base + 1, payload(self.batches[self.acknowledged]), f"{self.stream:016x}"

    async def do(self, step: str) -> None:
        seq, sent, stream = self.next
        match step:
            case "deliver":
                assert await self.sender.deliver(seq, sent, stream) == seq
                self.acknowledged += 1
            case "several at once":
                processes = [self.sender.restarted() for _ in range(3)]
                await asyncio.gather(*(process.deliver(seq, sent, stream) for process in processes))
            case "unheard":
                await self.sender.deliver_in_vain(seq, sent, None, stream)
            case "lost before the insert":
                await self.sender.deliver_in_vain(seq, sent, "before", stream)
            case "lost after the insert":
                await self.sender.deliver_in_vain(seq, sent, "after", stream)
            case "the one before" if seq > 1:
                assert (
                    await self.sender.deliver(seq - 1, payload(self.batches[self.acknowledged - 1]), stream) >= seq - 1
                )
            case "a gap":
                with pytest.raises(Conflict):
                    await self.sender.deliver(seq + 2, sent, stream)
            case "another stream":
                self.stream += 1
                self.base = self.acknowledged


STEPS = [
    "deliver",
    "several at once",
    "unheard",
    "lost before the insert",
    "lost after the insert",
    "the one before",
    "a gap",
    "another stream",
]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(st.lists(records(), max_size=6), min_size=1, max_size=5),
    steps=st.lists(st.sampled_from(STEPS), max_size=16),
)
async def test_whatever_happens_each_record_counts_once(
    sender: Sender, batches: list[list[Record]], steps: list[str]
) -> None:
    """GHS/1 17.4, 17.5, 17.6: table, roll-ups and ledger have what was sent, to the last picodollar."""
    numbers = itertools.count()
    # Of no workspace, of the time that is kept, and each with an id of its own.
    batches = [
        [
            record._replace(
                id=f"lg_{next(numbers):032x}",
                workspace=None,
                started_at_ms=NOW_MS - record.started_at_ms % (399 * DAY_MS),
            )
            for record in batch_
        ]
        for batch_ in batches
    ]
    node = Node(await sender.in_new_gateway(), batches)
    for step in steps:
        if node.acknowledged < len(batches):
            await node.do(step)
    while node.acknowledged < len(batches):
        await node.do("deliver")
    await node.sender.require_counted([record for batch_ in batches for record in batch_])
    assert (await sender.reconcile()).equal


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sent=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from([STREAM, OTHER]), st.sampled_from([None, "before", "after"])),
        min_size=1,
        max_size=12,
    )
)
async def test_in_whatever_order_payloads_are_repeated_each_counts_once(
    sender: Sender, sent: list[tuple[int, str, Failure | None]]
) -> None:
    """GHS/1 17.4: under the next number of either stream, first in vain or at once."""
    node = await sender.in_new_gateway()
    parts = [some(2 + n, first=10 * n) for n in range(3)]
    next_seq = Counter({STREAM: 1, OTHER: 1})
    for number, stream, failure in sent:
        if failure is not None:
            await node.deliver_in_vain(next_seq[stream], payload(parts[number]), failure, stream)
        assert await node.deliver(next_seq[stream], payload(parts[number]), stream) >= next_seq[stream]
        next_seq[stream] += 1
    await node.require_counted([record for number in {number for number, _, _ in sent} for record in parts[number]])
    assert (await node.reconcile()).equal
