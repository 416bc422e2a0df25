"""How a batch of records comes to count exactly once (GHS/1 17).

It is decided about in PostgreSQL, put into ClickHouse as one block under a token of its own, and then counted in
PostgreSQL. Whatever ends in between, the same batch is sent again, decided about as before, dropped by ClickHouse if it
is there already, and counted. Nothing of it is acknowledged before.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import asyncpg
import structlog

from control_plane.db.pool import Database
from control_plane.errors import Conflict, Invalid, TooLarge, Unauthenticated, Unavailable, Unprocessable
from control_plane.places import Places
from control_plane.telemetry import ledger, rows
from control_plane.telemetry.columns import COLUMNS
from control_plane.telemetry.ledger import Decision, Place, Standing
from control_plane.telemetry.rows import Rows, Sender
from shared.clock import Clock
from shared.protocol import batch
from shared.protocol.batch import Acknowledgement, Batch, BatchError
from shared.protocol.drop import Drop

TABLE = "record"
BATCHES_MAX = 4
"""Read and inserted at once in one process; further ones wait."""
BATCHES_EACH_MAX = 3
"""Of one organisation."""
TURN_S_MAX = 10.0
INSERT: Mapping[str, Any] = {
    # Once in the table and once in each roll-up.
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "materialized_views_ignore_errors": 0,
    # One block, there when it is answered, of as many months as it may have.
    "async_insert": 0,
    "max_partitions_per_insert_block": 0,
    "input_format_parallel_parsing": 0,
    # As `rows.py` writes them.
    "input_format_json_named_tuples_as_objects": 0,
    "input_format_null_as_default": 1,
    "date_time_input_format": "basic",
}
"""Settings of every insert of records, besides its token. docs/clickhouse.md says what each is needed for."""

log = structlog.get_logger("telemetry.ingest")


class Store(Protocol):
    """Where blocks of rows go; `telemetry/clickhouse.py`."""

    async def insert(self, table: str, columns: Sequence[str], rows: bytes, settings: Mapping[str, Any]) -> None:
        """Raises AnalyticsUnavailable, also where it is not known whether the block is there."""
        ...


@dataclass(slots=True)
class Counted:
    """What this process brought to count since it began; the ledger knows it of all and for ever."""

    batches: int = 0
    records: int = 0
    refused: int = 0
    dropped: int = 0


class Ingest:
    def __init__(self, database: Database, store: Store, clock: Clock, kept_days: int) -> None:
        """`kept_days`: how long records are kept."""
        self._database = database
        self._store = store
        self._clock = clock
        self._kept_days = kept_days
        self._turns = Places(BATCHES_MAX, each_max=BATCHES_EACH_MAX, wait_s_max=TURN_S_MAX)
        self.counted = Counted()

    async def deliver(self, organisation: str, gateway: str, node: str, body: bytes) -> Acknowledgement:
        """Raises Invalid, TooLarge, Conflict (`batch_gap`), Unprocessable (`batch_conflict`), Unavailable."""
        try:
            head, payload = batch.split(body)
            place = Place(organisation, gateway, node, head.stream, head.seq, hashlib.sha256(payload).digest())
            async with self._turns.place(organisation, Unavailable("too many batches come at once")):
                last_seq = await self._take(place, payload)
        except BatchError as error:
            log.warning("batch_refused", gateway=gateway, node=node, detail=str(error))
            raise (TooLarge if error.code == "too_large" else Invalid)(str(error)) from None
        return Acknowledgement(stream=head.stream, acknowledged=last_seq)

    async def _take(self, place: Place, payload: bytes) -> int:
        """The last batch that counts, once this one does."""
        async with self._database.tenant(place.organisation) as connection:
            standing = await ledger.standing(connection, place)
        if is_acknowledged(standing, place):
            return standing.last_seq
        if standing.counted:
            return await self._advance(place, None)
        parsed = await asyncio.to_thread(batch.parse, payload)
        decision = await self._decided(place, parsed)
        sender = Sender(*place.names, place.seq, decision.at_ms)
        made = await asyncio.to_thread(
            rows.make, sender, parsed.records, parsed.refused, decision.forbidden, self._kept_days
        )
        if made.records:
            await self._store.insert(TABLE, COLUMNS, made.block, {**INSERT, "insert_deduplication_token": token(place)})
        last_seq = await self._advance(place, (made, parsed.drops))
        refused = {reason: refusal.count for reason, refusal in made.refused.items()}
        dropped = sum(drop.count for drop in parsed.drops)
        self.counted.batches += 1
        self.counted.records += made.records
        self.counted.refused += sum(refused.values())
        self.counted.dropped += dropped
        if made.refused or parsed.drops:
            log.warning("records_missing", gateway=place.gateway, node=place.node, refused=refused, dropped=dropped)
        return last_seq

    async def _decided(self, place: Place, parsed: Batch) -> Decision:
        """What holds for this payload, from its first delivery on."""
        workspaces = {record.workspace for record in parsed.records if record.workspace is not None}
        async with self._database.tenant(place.organisation) as connection:
            standing = await _held(connection, place)
            if standing.decision is None:
                forbidden = await ledger.forbidden(connection, place.organisation, place.gateway, workspaces)
                decision = Decision(self._clock.wall_ms(), forbidden)
            else:
                decision = standing.decision
            if not is_acknowledged(standing, place) and standing.pending_hash is None:
                await ledger.decide(connection, place, decision)
        return decision

    async def _advance(self, place: Place, counted: tuple[Rows, Sequence[Drop]] | None) -> int:
        """None: what the batch tells counts already, under another name."""
        async with self._database.tenant(place.organisation) as connection:
            standing = await _held(connection, place)
            if is_acknowledged(standing, place):
                return standing.last_seq
            if not await ledger.advance(connection, place):
                raise Unavailable("the stream is not where it was; send the batch again")
            if counted is not None and not standing.counted:
                await ledger.count(connection, place, *counted)
        return place.seq


def token(place: Place) -> str:
    """What ClickHouse knows a block by: the payload of this node, whatever it is called (GHS/1 17.4)."""
    return f"{place.organisation}/{place.gateway}/{place.node}/{place.hash.hex()}"


def is_acknowledged(standing: Standing, place: Place) -> bool:
    """Whether the batch counts already; False: it is the next one. Raises Conflict, Unprocessable (GHS/1 17.6)."""
    last_seq = standing.last_seq
    if place.seq < last_seq:
        return True
    if place.seq > last_seq + 1:
        gap = Conflict(f"batch {last_seq + 1} of this stream comes next", code="batch_gap")
        gap.extensions["acknowledged"] = last_seq
        raise gap
    known = standing.last_hash if place.seq == last_seq else standing.pending_hash
    if known is not None and known != place.hash:
        raise Unprocessable(
            f"batch {place.seq} of this stream came before, with another payload", code="batch_conflict"
        )
    return place.seq == last_seq


async def _held(connection: asyncpg.Connection, place: Place) -> Standing:
    """Where it stands, and stays until the transaction ends. Raises Unauthenticated for a gateway that is gone."""
    if not await ledger.hold_node(connection, place):
        raise Unauthenticated("the gateway was deleted", code="gateway_unknown")
    return await ledger.standing(connection, place)
