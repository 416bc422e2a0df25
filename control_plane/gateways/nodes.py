"""`/api/v1/gateways/{gateway}/nodes`: how each node is, how far it has come, and what it could not use."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import asyncpg
from pydantic import BaseModel, ConfigDict

from control_plane.db.pool import Database
from control_plane.errors import NotFound
from control_plane.gateways import store
from control_plane.gateways.api import PATH, GatewayView, found
from control_plane.gateways.records import CountedView, DropPage, DropView, record_views
from control_plane.snapshots.change import Changes
from control_plane.web.listing import Page
from control_plane.web.route import Call, Route, View

_PATH = PATH + "/{gateway}/nodes"


class Position(View):
    epoch: int
    revision: int


class ShardView(View):
    shard: str
    head: Position
    """How far the control plane is."""
    have: Position | None
    """How far the node holds it; null: not at all."""
    applied: Position | None
    """How far every worker of the node serves it; null: not at all."""
    behind: int | None
    """Revisions between `applied` and `head`; null: it serves nothing of it, or something of another epoch."""
    behind_since: datetime | None
    """When the first change was made that it does not serve; null: it serves all, or is of another epoch."""


class RefusedView(View):
    """A resource the node cannot use; its last good version, if there was one, serves on."""

    shard: str
    kind: str
    id: str
    revision: int
    code: str
    path: str


class WorkerView(View):
    worker: str
    lease: int | None
    """Sequence of the lease it serves by; null: nothing to serve yet."""


class ProtocolView(View):
    min: int
    max: int


class RecordsView(View):
    """How the node's records come along."""

    waiting: int
    """Not acknowledged yet."""
    waiting_bytes: int
    oldest_at: datetime | None
    """When the oldest of them began."""
    dropped: dict[str, int]
    """Records that were lost at the node, by reason, since its outbox was made."""


class HealthView(View):
    """What the node said in its last heartbeat."""

    build: str
    protocol: ProtocolView
    kinds: dict[str, int]
    """Kinds of resource it interprets, each with the newest schema version it knows."""
    refused: tuple[RefusedView, ...]
    refused_count: int
    """How many there are; `refused` names the first of them."""
    refusal: str | None
    """Why it took nothing of the newest state, if it did not."""
    workers: tuple[WorkerView, ...]
    stores: dict[str, bool]
    """Whether each of its stores could be used: `disk`, `redis`."""
    disk_free_bytes: int
    clock_ahead_ms: int
    """How far the node's clock was ahead of the control plane's when the heartbeat came; behind is negative."""
    records: RecordsView | None = None
    """Null: an older build, or it could not say."""


class NodeView(View):
    id: str
    gateway: str
    state: Literal["enrolled", "connected", "silent", "revoked"]
    """`enrolled`: no heartbeat yet. `silent`: none for 90 s."""
    enrolled_at: datetime
    revoked_at: datetime | None
    seen_at: datetime | None
    health: HealthView | None
    """Null before the first heartbeat."""
    shards: tuple[ShardView, ...]
    records: CountedView


class NodePage(Page[NodeView]):
    """One page of nodes."""


class _Stored(BaseModel):
    """What of a stored heartbeat places the node."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _At(_Stored):
    shard: str
    epoch: int
    revision: int


class _Places(_Stored):
    have: tuple[_At, ...] = ()
    applied: tuple[_At, ...] = ()


class Nodes:
    def __init__(self, database: Database, changes: Changes) -> None:
        self._database = database
        self._changes = changes

    def routes(self) -> list[Route]:
        one = _PATH + "/{node}"
        return [
            Route(
                "GET",
                _PATH,
                "nodes.list",
                self.list,
                "List a gateway's nodes",
                answer=NodePage,
                query=store.NODES.query,
            ),
            Route("GET", one, "nodes.read", self.read, "Read a node", answer=NodeView),
            Route(
                "GET",
                one + "/drops",
                "node_drops.list",
                self.list_drops,
                "List what a node lost of its records, hour by hour",
                answer=DropPage,
                query=store.DROPS.query,
            ),
            Route("DELETE", one, "nodes.delete", self.revoke, "Revoke a node: it is told nothing any more"),
        ]

    async def list(self, call: Call) -> NodePage:
        organisation = call.principal.organisation
        async with self._database.snapshot(organisation) as connection:
            gateway = await found(connection, call)
            rows, cursor = await store.node_page(connection, organisation, gateway.id, call.query)
            views = await _views(connection, organisation, gateway, rows)
        return NodePage(data=views, next_cursor=cursor)

    async def read(self, call: Call) -> NodeView:
        organisation = call.principal.organisation
        async with self._database.snapshot(organisation) as connection:
            gateway = await found(connection, call)
            row = await _found_node(connection, call)
            (view,) = await _views(connection, organisation, gateway, [row])
        return view

    async def list_drops(self, call: Call) -> DropPage:
        organisation = call.principal.organisation
        async with self._database.tenant(organisation) as connection:
            gateway = await found(connection, call)
            node = await _found_node(connection, call)
            rows, cursor = await store.drop_page(connection, organisation, gateway.id, node["id"], call.query)
        return DropPage(data=tuple(DropView(**row) for row in rows), next_cursor=cursor)

    async def revoke(self, call: Call) -> None:
        """It comes back only with a new token. Revoking again is no change."""
        async with self._changes.open(call.principal, call.request_id) as change:
            row = await _found_node(change.connection, call, lock=True)
            if row["revoked_at"] is not None:
                return
            await store.revoke_node(change.connection, call.principal.organisation, row["id"])
            await store.notify(change.connection, call.principal.organisation)
            change.record("nodes.delete", "node", row["id"], before={"gateway": row["gateway"]})


async def _found_node(connection: asyncpg.Connection, call: Call, *, lock: bool = False) -> asyncpg.Record:
    row = await store.find_node(
        connection, call.principal.organisation, call.path["gateway"], call.path["node"], lock=lock
    )
    if row is None:
        raise NotFound(f"no node {call.path['node']!r} of this gateway")
    return row


async def _views(
    connection: asyncpg.Connection,
    organisation: str,
    gateway: GatewayView,
    rows: Sequence[asyncpg.Record],
) -> tuple[NodeView, ...]:
    heads = await store.heads(connection, organisation, gateway.workspaces)
    places = {row["id"]: _Places.model_validate(row["heartbeat"] or {}) for row in rows}
    applied = {(node, at.shard): at for node, place in places.items() for at in place.applied}
    positions = []
    for node in places:
        for shard, epoch, revision in heads:
            at = applied.get((node, shard)) or _At(shard=shard, epoch=epoch, revision=0)
            if at.epoch == epoch and at.revision < revision:
                positions.append((node, shard, at.revision))
    since = await store.behind_since(connection, organisation, positions)
    records = await record_views(connection, organisation, gateway.id, list(places))
    return tuple(_view(row, places[row["id"]], heads, since, records[row["id"]]) for row in rows)


def _view(
    row: asyncpg.Record,
    places: _Places,
    heads: Sequence[asyncpg.Record],
    since: Mapping[tuple[str, str], datetime],
    records: CountedView,
) -> NodeView:
    have = {at.shard: Position(epoch=at.epoch, revision=at.revision) for at in places.have}
    applied = {at.shard: Position(epoch=at.epoch, revision=at.revision) for at in places.applied}
    return NodeView(
        id=row["id"],
        gateway=row["gateway"],
        state=row["state"],
        enrolled_at=row["enrolled_at"],
        revoked_at=row["revoked_at"],
        seen_at=row["seen_at"],
        health=None if row["heartbeat"] is None else _health(row["heartbeat"], row["seen_at"]),
        shards=tuple(
            _shard(
                Position(epoch=head["epoch"], revision=head["revision"]),
                head["shard"],
                have.get(head["shard"]),
                applied.get(head["shard"]),
                since.get((row["id"], head["shard"])),
            )
            for head in heads
        ),
        records=records,
    )


def _shard(
    head: Position, shard: str, have: Position | None, applied: Position | None, since: datetime | None
) -> ShardView:
    comparable = applied is not None and applied.epoch == head.epoch
    return ShardView(
        shard=shard,
        head=head,
        have=have,
        applied=applied,
        behind=max(head.revision - applied.revision, 0) if applied is not None and comparable else None,
        behind_since=since,
    )


def _health(heartbeat: Mapping[str, Any], seen_at: datetime) -> HealthView:
    ahead_ms = heartbeat["clock_ms"] - round(seen_at.timestamp() * 1000)
    records = heartbeat.get("records")
    if records is not None:
        oldest_ms = records["oldest_ms"]
        oldest_at = None if oldest_ms is None else _moment(oldest_ms - ahead_ms, seen_at)
        records = {**records, "oldest_at": oldest_at}
    return HealthView.model_validate({**heartbeat, "clock_ahead_ms": ahead_ms, "records": records})


def _moment(ms: int, heard_at: datetime) -> datetime:
    """By a node's clock; of what no calendar has, the time it was told is left."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC)
    except (OverflowError, ValueError):
        return heard_at
