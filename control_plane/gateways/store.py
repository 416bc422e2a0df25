"""Gateways, enrolment tokens and nodes in the database. Every statement names the organisation.

`control_plane/sync` uses tokens up, makes nodes and writes their heartbeats.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from control_plane.snapshots.change import CHANNEL
from control_plane.web.listing import Listing
from shared.protocol.resource import GLOBAL_SHARD, organisation_shard, workspace_shard

SILENT_AFTER_S = 90
"""Three heartbeats: a node not heard of for longer is silent."""

_CONNECTED = f"seen_at > now() - interval '{SILENT_AFTER_S} seconds'"

GATEWAYS = Listing(
    table="gateway left join lateral (select count(*) as nodes,"  # noqa: S608
    f" count(*) filter (where {_CONNECTED}) as nodes_connected, max(seen_at) as seen_at from node"
    " where node.organisation = gateway.organisation and node.gateway = gateway.id and node.revoked_at is null)"
    " as fleet on true",
    columns="gateway.id, gateway.name, gateway.workspaces, gateway.url, gateway.created_by, gateway.created_at,"
    " gateway.updated_at, fleet.nodes, fleet.nodes_connected, fleet.seen_at",
    text={"name": "gateway.name"},
    exact={"id": "gateway.id", "created_by": "gateway.created_by"},
    sort={"created_at": "gateway.created_at", "updated_at": "gateway.updated_at", "name": "gateway.name"},
    time={"created_at": "gateway.created_at", "updated_at": "gateway.updated_at", "seen_at": "fleet.seen_at"},
    number={"nodes": "fleet.nodes", "nodes_connected": "fleet.nodes_connected"},
    id="gateway.id",
)

_USE = (
    "case when used_again_at is not null then 'used_again' when used_at is not null then 'used'"
    " when expires_at <= now() then 'expired' else 'unused' end"
)

TOKENS = Listing(
    table="enrolment_token",
    columns=f"id, gateway, {_USE} as state, created_by, created_at, expires_at, used_at, used_by, used_again_at",
    text={},
    exact={"id": "id", "state": _USE, "created_by": "created_by"},
    sort={"created_at": "created_at"},
    time={"created_at": "created_at", "expires_at": "expires_at", "used_at": "used_at"},
)

_NODE_STATE = (
    "case when revoked_at is not null then 'revoked' when seen_at is null then 'enrolled'"
    f" when {_CONNECTED} then 'connected' else 'silent' end"
)

NODES = Listing(
    table="node",
    columns=f"id, gateway, {_NODE_STATE} as state, enrolled_at, revoked_at, seen_at, heartbeat",
    text={"build": "heartbeat ->> 'build'"},
    exact={"id": "id", "state": _NODE_STATE},
    sort={"enrolled_at": "enrolled_at", "id": "id"},
    time={"enrolled_at": "enrolled_at", "revoked_at": "revoked_at", "seen_at": "seen_at"},
    default_sort="-enrolled_at",
)


DROPS = Listing(
    table="record_drop",
    columns="reason, count, from_at, to_at, hour",
    text={},
    exact={"reason": "reason"},
    sort={"hour": "hour"},
    time={"hour": "hour", "from_at": "from_at", "to_at": "to_at"},
    id="reason",
    default_sort="-hour",
)
REASONS_MAX = 50
"""Of a node, told at once: the words are the node's own."""


async def page(
    connection: asyncpg.Connection, organisation: str, query: Mapping[str, str]
) -> tuple[list[asyncpg.Record], str | None]:
    return await GATEWAYS.page(connection, query, "gateway.organisation = $1", (organisation,))


async def find(
    connection: asyncpg.Connection, organisation: str, id_: str, *, lock: bool = False
) -> asyncpg.Record | None:
    return await connection.fetchrow(
        f"select {GATEWAYS.columns} from {GATEWAYS.table} where gateway.organisation = $1 and gateway.id = $2"  # noqa: S608
        f"{' for update of gateway' if lock else ''}",
        organisation,
        id_,
    )


async def insert(
    connection: asyncpg.Connection, organisation: str, id_: str, fields: Mapping[str, Any], created_by: str
) -> asyncpg.Record:
    """`fields`: name, workspaces, url."""
    await connection.execute(
        "insert into gateway (id, organisation, name, workspaces, url, created_by) values ($1, $2, $3, $4, $5, $6)",
        id_,
        organisation,
        fields["name"],
        fields["workspaces"],
        fields["url"],
        created_by,
    )
    return await find(connection, organisation, id_)


async def update(
    connection: asyncpg.Connection, organisation: str, id_: str, fields: Mapping[str, Any]
) -> asyncpg.Record:
    """`fields`: name, workspaces, url, all of them. What it might serve until now is remembered: records may come."""
    await connection.execute(
        "update gateway set name = $3, workspaces = $4, url = $5, updated_at = now(), served = array("
        "select unnest(served) union select unnest(workspaces)"
        " union select id from workspace where organisation = $1 and workspaces is null)"
        " where organisation = $1 and id = $2",
        organisation,
        id_,
        fields["name"],
        fields["workspaces"],
        fields["url"],
    )
    return await find(connection, organisation, id_)


async def notify(connection: asyncpg.Connection, organisation: str) -> None:
    """Wake the organisation's nodes that wait for news, when this transaction ends."""
    await connection.execute("select pg_notify($1, $2)", CHANNEL, organisation_shard(organisation))


async def delete(connection: asyncpg.Connection, organisation: str, id_: str) -> None:
    """Its keys, tokens and nodes go with it."""
    await connection.execute("delete from gateway where organisation = $1 and id = $2", organisation, id_)


async def token_page(
    connection: asyncpg.Connection, organisation: str, gateway: str, query: Mapping[str, str]
) -> tuple[list[asyncpg.Record], str | None]:
    return await TOKENS.page(connection, query, "organisation = $1 and gateway = $2", (organisation, gateway))


async def insert_token(
    connection: asyncpg.Connection,
    organisation: str,
    gateway: str,
    id_: str,
    created_by: str,
    *,
    hash_: bytes,
    life_s: int,
) -> asyncpg.Record:
    return await connection.fetchrow(
        "insert into enrolment_token (id, organisation, gateway, hash, created_by, expires_at)"  # noqa: S608
        f" values ($1, $2, $3, $4, $5, now() + make_interval(secs => $6)) returning {TOKENS.columns}",
        id_,
        organisation,
        gateway,
        hash_,
        created_by,
        life_s,
    )


async def node_page(
    connection: asyncpg.Connection, organisation: str, gateway: str, query: Mapping[str, str]
) -> tuple[list[asyncpg.Record], str | None]:
    return await NODES.page(connection, query, "organisation = $1 and gateway = $2", (organisation, gateway))


async def find_node(
    connection: asyncpg.Connection, organisation: str, gateway: str, id_: str, *, lock: bool = False
) -> asyncpg.Record | None:
    return await connection.fetchrow(
        f"select {NODES.columns} from node where organisation = $1 and gateway = $2 and id = $3"  # noqa: S608
        f"{' for update' if lock else ''}",
        organisation,
        gateway,
        id_,
    )


async def revoke_node(connection: asyncpg.Connection, organisation: str, id_: str) -> None:
    await connection.execute(
        "update node set revoked_at = now() where organisation = $1 and id = $2", organisation, id_
    )


async def heads(
    connection: asyncpg.Connection, organisation: str, workspaces: Sequence[str] | None
) -> list[asyncpg.Record]:
    """How far each shard of a gateway has come. `workspaces`: the ids it may serve; None: all.

    Not that of a workspace which was deleted: it stays, and no gateway is told of it.
    """
    served = await connection.fetch(
        "select id from workspace where organisation = $1 and ($2::text[] is null or id = any($2))",
        organisation,
        workspaces,
    )
    shards = [GLOBAL_SHARD, organisation_shard(organisation), *(workspace_shard(row["id"]) for row in served)]
    rows: list[asyncpg.Record] = await connection.fetch(
        "select shard, epoch, revision from shard_head where organisation = any($1) and shard = any($2) order by shard",
        [organisation, "instance"],
        shards,
    )
    return rows


async def behind_since(
    connection: asyncpg.Connection, organisation: str, positions: Sequence[tuple[str, str, int]]
) -> dict[tuple[str, str], Any]:
    """When the first change was made that a node has not applied: by node and shard, from (node, shard, revision)."""
    nodes, shards, revisions = zip(*positions, strict=True) if positions else ((), (), ())
    rows = await connection.fetch(
        "select at.node, at.shard, min(change.at) as since"
        " from unnest($2::text[], $3::text[], $4::bigint[]) as at (node, shard, revision)"
        " join change on change.shard = at.shard and change.revision > at.revision"
        " where change.organisation = any($1) group by at.node, at.shard",
        [organisation, "instance"],
        nodes,
        shards,
        revisions,
    )
    return {(row["node"], row["shard"]): row["since"] for row in rows}


async def record_streams(
    connection: asyncpg.Connection, organisation: str, gateway: str, nodes: Sequence[str]
) -> list[asyncpg.Record]:
    rows: list[asyncpg.Record] = await connection.fetch(
        "select node, sum(records)::bigint as counted, sum(clamped)::bigint as clamped, max(last_at) as received_at,"
        " count(*) as streams, count(*) filter (where pending_hash is not null and not pending_counted)"
        " as streams_waiting from record_stream"
        " where organisation = $1 and gateway = $2 and node = any($3) group by node",
        organisation,
        gateway,
        nodes,
    )
    return rows


async def record_refused(
    connection: asyncpg.Connection, organisation: str, gateway: str, nodes: Sequence[str]
) -> list[asyncpg.Record]:
    rows: list[asyncpg.Record] = await connection.fetch(
        "select node, reason, count, detail, last_at from record_refused"
        " where organisation = $1 and gateway = $2 and node = any($3) order by node, reason",
        organisation,
        gateway,
        nodes,
    )
    return rows


async def record_dropped(
    connection: asyncpg.Connection, organisation: str, gateway: str, nodes: Sequence[str]
) -> list[asyncpg.Record]:
    """Of each node the REASONS_MAX that took most."""
    rows: list[asyncpg.Record] = await connection.fetch(
        "select node, reason, count, from_at, to_at from (select node, reason, sum(count) as count,"
        " min(from_at) as from_at, max(to_at) as to_at,"
        " row_number() over (partition by node order by sum(count) desc, reason) as place from record_drop"
        " where organisation = $1 and gateway = $2 and node = any($3) group by node, reason) as dropped"
        " where place <= $4 order by node, reason",
        organisation,
        gateway,
        nodes,
        REASONS_MAX,
    )
    return rows


async def drop_page(
    connection: asyncpg.Connection, organisation: str, gateway: str, node: str, query: Mapping[str, str]
) -> tuple[list[asyncpg.Record], str | None]:
    where = "organisation = $1 and gateway = $2 and node = $3"
    return await DROPS.page(connection, query, where, (organisation, gateway, node))
