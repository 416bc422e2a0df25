"""Admin keys in the database. Every statement names the organisation."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import asyncpg

from control_plane.web.listing import Listing

LISTING = Listing(
    table="admin_key",
    columns="id, name, tail, scopes, created_by, created_at, expires_at, revoked_at",
    text={"name": "name"},
    exact={
        "id": "id",
        "tail": "tail",
        "created_by": "created_by",
    },
    sort={"created_at": "created_at", "name": "name"},
    time={"created_at": "created_at", "expires_at": "expires_at", "revoked_at": "revoked_at"},
    flag={"revoked": "revoked_at is not null"},
)


async def page(
    connection: asyncpg.Connection, organisation: str, query: Mapping[str, str]
) -> tuple[list[asyncpg.Record], str | None]:
    return await LISTING.page(connection, query, "organisation = $1", (organisation,))


async def insert(
    connection: asyncpg.Connection,
    organisation: str,
    id_: str,
    name: str,
    hash_: bytes,
    tail: str,
    scopes: Sequence[str],
    created_by: str,
    expires_at: datetime | None,
) -> asyncpg.Record:
    return await connection.fetchrow(
        "insert into admin_key (id, organisation, name, hash, tail, scopes, created_by, expires_at)"  # noqa: S608
        f" values ($1, $2, $3, $4, $5, $6, $7, $8) returning {LISTING.columns}",
        id_,
        organisation,
        name,
        hash_,
        tail,
        scopes,
        created_by,
        expires_at,
    )


async def expiry(connection: asyncpg.Connection, organisation: str, id_: str) -> datetime | None:
    """When the key ends; None: never."""
    found: datetime | None = await connection.fetchval(
        "select expires_at from admin_key where organisation = $1 and id = $2", organisation, id_
    )
    return found


async def revoke(connection: asyncpg.Connection, organisation: str, id_: str) -> asyncpg.Record | None:
    """The key; None if it is not there, or was revoked before."""
    return await connection.fetchrow(
        "update admin_key set revoked_at = now() where organisation = $1 and id = $2 and revoked_at is null"  # noqa: S608
        f" returning {LISTING.columns}",
        organisation,
        id_,
    )
