"""The ledger in PostgreSQL: how far each stream has been counted, and what. Every statement names the organisation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from control_plane.telemetry.rows import AHEAD_MS_MAX, EPOCH, Refusal, Rows
from shared.protocol.batch import PAYLOAD_KNOWN_DAYS
from shared.protocol.drop import Drop
from shared.protocol.resource import workspace_shard

CHANNEL = "gatehouse_record"
"""`pg_notify` channel; the payload is the organisation of which records have come, and their `received_at` in ms."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which batch: its stream, its number, and the SHA-256 of its payload, by which it is known (GHS/1 17.4)."""

    organisation: str
    gateway: str
    node: str
    stream: str
    seq: int
    hash: bytes

    @property
    def names(self) -> tuple[str, str, str, str]:
        return self.organisation, self.gateway, self.node, self.stream


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about a payload when it came first, so that it is the same whenever it comes again."""

    at_ms: int
    forbidden: frozenset[str]
    """Workspaces whose records do not count."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the stream of a batch is, and what is known of its payload."""

    last_seq: int = 0
    last_hash: bytes | None = None
    pending_hash: bytes | None = None
    """Of the batch after the last, if it has come."""
    decision: Decision | None = None
    """About this payload, under whatever name it came."""
    counted: bool = False
    """This payload counts already."""


async def standing(connection: asyncpg.Connection, place: Place) -> Standing:
    rows = await connection.fetch(
        "select known, stream, last_seq, last_hash, pending_hash, pending_at, pending_forbidden, pending_counted"
        " from (select exists (select from record_payload"
        " where organisation = $1 and gateway = $2 and node = $3 and hash = $5) as known) as payload"
        " left join record_stream on organisation = $1 and gateway = $2 and node = $3"
        " and (stream = $4 or last_hash = $5 or pending_hash = $5)",
        *place.names,
        place.hash,
    )
    own = next((row for row in rows if row["stream"] == place.stream), None)
    waiting = [row for row in rows if row["pending_hash"] == place.hash]
    counted = any(row["known"] or row["last_hash"] == place.hash for row in rows)
    counted = counted or any(row["pending_counted"] for row in waiting)
    decision = None
    if waiting:
        decision = Decision(_ms(waiting[0]["pending_at"]), frozenset(waiting[0]["pending_forbidden"]))
    if own is None:
        return Standing(decision=decision, counted=counted)
    return Standing(own["last_seq"], own["last_hash"], own["pending_hash"], decision, counted)


async def forbidden(
    connection: asyncpg.Connection, organisation: str, gateway: str, workspaces: Iterable[str]
) -> frozenset[str]:
    """Those of the workspaces that are none of the organisation's, or that the gateway may not serve and never might.

    One that was deleted, or taken from the gateway, goes on counting: what was served while it was there was paid for.
    """
    asked = list(workspaces)
    rows = await connection.fetch(
        "select asked.workspace from unnest($3::text[], $4::text[]) as asked (workspace, shard)"
        " where not exists (select from shard_head where organisation = $1 and shard_head.shard = asked.shard)"
        " or not exists (select from gateway where organisation = $1 and id = $2"
        " and (workspaces is null or asked.workspace = any(workspaces) or asked.workspace = any(served)))",
        organisation,
        gateway,
        asked,
        [workspace_shard(workspace) for workspace in asked],
    )
    return frozenset(row["workspace"] for row in rows)


async def decide(connection: asyncpg.Connection, place: Place, decision: Decision) -> None:
    """Note that the batch has come, and what was decided about it. The node is held, and the batch is the next one."""
    await connection.execute(
        "insert into record_stream (organisation, gateway, node, stream, pending_hash, pending_at, pending_forbidden)"
        " values ($1, $2, $3, $4, $5, $6, $7) on conflict (organisation, gateway, node, stream) do update"
        " set pending_hash = excluded.pending_hash, pending_at = excluded.pending_at,"
        " pending_forbidden = excluded.pending_forbidden, pending_counted = false",
        *place.names,
        place.hash,
        _at(decision.at_ms),
        sorted(decision.forbidden),
    )


async def hold_node(connection: asyncpg.Connection, place: Place) -> bool:
    """Nothing else of this node is counted until the transaction ends. False: the gateway was deleted."""
    held = await connection.fetchval(
        "select true from node where organisation = $1 and gateway = $2 and id = $3 for no key update",
        *place.names[:3],
    )
    return held is not None


async def advance(connection: asyncpg.Connection, place: Place) -> bool:
    """Move the stream on to this batch, and know its payload. False if it is not the next one. The node is held."""
    advanced = await connection.fetchval(
        "update record_stream set last_seq = $5, last_hash = $6, first_at = coalesce(first_at, now()), last_at = now(),"
        " pending_hash = null, pending_at = null, pending_forbidden = null, pending_counted = false"
        " where organisation = $1 and gateway = $2 and node = $3 and stream = $4 and last_seq = $5 - 1 returning true",
        *place.names,
        place.seq,
        place.hash,
    )
    if advanced is None and place.seq == 1:
        advanced = await connection.fetchval(
            "insert into record_stream (organisation, gateway, node, stream, last_seq, last_hash, first_at, last_at)"
            " values ($1, $2, $3, $4, 1, $5, now(), now())"
            " on conflict (organisation, gateway, node, stream) do nothing returning true",
            *place.names,
            place.hash,
        )
    if advanced is None:
        return False
    await connection.execute(
        "insert into record_payload (organisation, gateway, node, hash) values ($1, $2, $3, $4)"
        " on conflict (organisation, gateway, node, hash) do update set at = now()",
        *place.names[:3],
        place.hash,
    )
    return True


async def forget_payloads(connection: asyncpg.Connection) -> None:
    """Of every organisation those that came last too long ago to come again; what they came to goes on counting."""
    await connection.execute(
        "delete from record_payload where at < now() - $1::interval", timedelta(days=PAYLOAD_KNOWN_DAYS)
    )


async def count(connection: asyncpg.Connection, place: Place, rows: Rows, drops: Sequence[Drop]) -> None:
    """Add what a batch tells that is in ClickHouse. In the transaction that moves its stream on."""
    await connection.execute(
        "update record_stream set records = records + $5, refused = refused + $6, clamped = clamped + $7"
        " where organisation = $1 and gateway = $2 and node = $3 and stream = $4",
        *place.names,
        rows.records,
        sum(refusal.count for refusal in rows.refused.values()),
        rows.clamped,
    )
    await _add_days(connection, place, rows)
    await _add_refused(connection, place, rows.refused)
    await _add_drops(connection, place, drops)
    # Should it wait under another name too, it counts there already.
    await connection.execute(
        "update record_stream set pending_counted = true where organisation = $1 and gateway = $2 and node = $3"
        " and pending_hash = $4",
        *place.names[:3],
        place.hash,
    )
    if rows.records:
        await connection.execute("select pg_notify($1, $2)", CHANNEL, f"{place.organisation} {rows.received_ms}")


async def _add_days(connection: asyncpg.Connection, place: Place, rows: Rows) -> None:
    await connection.executemany(
        "insert into record_day (organisation, gateway, node, stream, day, records, cost_usd)"
        " values ($1, $2, $3, $4, $5, $6, $7) on conflict (organisation, gateway, node, stream, day)"
        " do update set records = record_day.records + excluded.records,"
        " cost_usd = record_day.cost_usd + excluded.cost_usd",
        [(*place.names, day, of.records, of.cost_usd) for day, of in rows.days.items()],
    )


async def _add_refused(connection: asyncpg.Connection, place: Place, refused: Mapping[str, Refusal]) -> None:
    await connection.executemany(
        "insert into record_refused (organisation, gateway, node, reason, count, detail)"
        " values ($1, $2, $3, $4, $5, $6) on conflict (organisation, gateway, node, reason)"
        " do update set count = record_refused.count + excluded.count, detail = excluded.detail, last_at = now()",
        [(*place.names[:3], reason, of.count, of.detail) for reason, of in refused.items()],
    )


async def _add_drops(connection: asyncpg.Connection, place: Place, drops: Sequence[Drop]) -> None:
    """A drop stands under the hour of its last loss; of times that cannot be, now is left."""
    latest: Any = await connection.fetchval("select now() + $1::interval", timedelta(milliseconds=AHEAD_MS_MAX))
    latest_ms = _ms(latest)
    told = []
    for drop in drops:
        to_ms = min(max(drop.from_ms, drop.to_ms), latest_ms)
        told.append((*place.names[:3], drop.reason, drop.count, _at(min(drop.from_ms, to_ms)), _at(to_ms)))
    await connection.executemany(
        "insert into record_drop (organisation, gateway, node, reason, count, from_at, to_at, hour)"
        " values ($1, $2, $3, $4, $5, $6, $7, date_trunc('hour', $7::timestamptz, 'UTC'))"
        " on conflict (organisation, gateway, node, reason, hour) do update set"
        " count = record_drop.count + excluded.count, from_at = least(record_drop.from_at, excluded.from_at),"
        " to_at = greatest(record_drop.to_at, excluded.to_at)",
        told,
    )


def _at(ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=ms)


def _ms(at: datetime) -> int:
    return (at - EPOCH) // timedelta(milliseconds=1)
