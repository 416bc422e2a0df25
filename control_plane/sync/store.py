"""Nodes, tokens and nonces in the database. Sync sees every organisation; what it finds says which one it is about."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import asyncpg

from shared.protocol.enrolment import REPEAT_LIFE_S
from shared.protocol.node import NodePublic
from shared.protocol.request import NONCE_KEPT_MS


async def find_node(connection: asyncpg.Connection, node: str) -> asyncpg.Record | None:
    return await connection.fetchrow(
        "select id, organisation, gateway, sign, revoked_at is not null as revoked from node where id = $1", node
    )


async def count_nodes(connection: asyncpg.Connection) -> int:
    """Those that are enrolled and not revoked."""
    count: int = await connection.fetchval("select count(*) from node where revoked_at is null")
    return count


async def take_nonce(connection: asyncpg.Connection, node: str, nonce: bytes) -> bool:
    """Whether the node never used it before."""
    taken = await connection.fetchval(
        "insert into nonce (node, nonce) values ($1, $2) on conflict do nothing returning true", node, nonce
    )
    return taken is not None


async def forget_nonces(connection: asyncpg.Connection) -> None:
    await connection.execute("delete from nonce where at < now() - $1::interval", timedelta(milliseconds=NONCE_KEPT_MS))


async def use_token(connection: asyncpg.Connection, hash_: bytes, sign: bytes) -> asyncpg.Record | None:
    """Consume a token for the node with this signing key, in one statement; None if it is not for it to use.

    `first`: it was not used before; else the node asks again for the answer it had.
    """
    return await connection.fetchrow(
        "update enrolment_token set used_at = coalesce(used_at, now()), used_by = $2 where hash = $1"
        " and (used_at is null and expires_at > now() or used_by = $2 and used_at > now() - $3::interval)"
        " returning id, organisation, gateway, used_at = now() as first",
        hash_,
        sign,
        timedelta(seconds=REPEAT_LIFE_S),
    )


async def find_token(connection: asyncpg.Connection, hash_: bytes) -> asyncpg.Record | None:
    return await connection.fetchrow(
        "select id, organisation, gateway, used_by from enrolment_token where hash = $1", hash_
    )


async def mark_used_again(connection: asyncpg.Connection, organisation: str, token: str) -> None:
    await connection.execute(
        "update enrolment_token set used_again_at = coalesce(used_again_at, now()) where organisation = $1 and id = $2",
        organisation,
        token,
    )


async def is_revoked(connection: asyncpg.Connection, node: str) -> bool:
    """Holds the node's row, so that nobody revokes it until the transaction ends."""
    revoked: bool | None = await connection.fetchval(
        "select revoked_at is not null from node where id = $1 for update", node
    )
    return bool(revoked)


async def enrol_node(connection: asyncpg.Connection, organisation: str, gateway: str, node: NodePublic) -> bool:
    """Make the node one of the gateway's, also one that was revoked; False if it is another gateway's."""
    enrolled = await connection.fetchval(
        "insert into node (id, organisation, gateway, sign, open) values ($1, $2, $3, $4, $5)"
        " on conflict (id) do update set open = excluded.open, enrolled_at = now(), revoked_at = null"
        " where node.organisation = excluded.organisation and node.gateway = excluded.gateway returning true",
        node.node,
        organisation,
        gateway,
        node.sign,
        node.open,
    )
    return enrolled is not None


async def save_heartbeat(
    connection: asyncpg.Connection, organisation: str, node: str, heartbeat: Mapping[str, Any]
) -> None:
    await connection.execute(
        "update node set seen_at = now(), heartbeat = $3 where organisation = $1 and id = $2",
        organisation,
        node,
        heartbeat,
    )
