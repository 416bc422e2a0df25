"""API keys in the database. Every statement names the organisation."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import asyncpg

from control_plane.web.listing import Listing

_STATE = "case when revoked_at is not null then 'revoked' when expires_at <= now() then 'expired' else 'active' end"

LISTING = Listing(
    table="api_key",
    columns="id, workspace, name, tail, scopes, default_config, models, inline, expires_at, revoked_at, created_by,"
    f" created_at, updated_at, {_STATE} as state",
    text={"name": "name"},
    exact={
        "id": "id",
        "tail": "tail",
        "state": _STATE,
        "default_config": "default_config",
        "created_by": "created_by",
    },
    sort={"created_at": "created_at", "updated_at": "updated_at", "name": "name"},
    time={
        "created_at": "created_at",
        "updated_at": "updated_at",
        "expires_at": "expires_at",
        "revoked_at": "revoked_at",
    },
)


async def page(
    connection: asyncpg.Connection, organisation: str, workspace: str, query: Mapping[str, str]
) -> tuple[list[asyncpg.Record], str | None]:
    return await LISTING.page(connection, query, "organisation = $1 and workspace = $2", (organisation, workspace))


async def find(
    connection: asyncpg.Connection, organisation: str, workspace: str, id_: str, *, lock: bool = False
) -> asyncpg.Record | None:
    return await connection.fetchrow(
        f"select {LISTING.columns} from api_key where organisation = $1 and workspace = $2 and id = $3"  # noqa: S608
        f"{' for update' if lock else ''}",
        organisation,
        workspace,
        id_,
    )


async def insert(
    connection: asyncpg.Connection,
    organisation: str,
    workspace: str,
    id_: str,
    fields: Mapping[str, Any],
    created_by: str,
    *,
    hash_: bytes,
    tail: str,
) -> asyncpg.Record:
    """`fields`: name, scopes, default_config, models, inline, expires_at."""
    return await connection.fetchrow(
        "insert into api_key (id, organisation, workspace, name, hash, tail, scopes, default_config, models, inline,"  # noqa: S608
        " expires_at, created_by) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
        f" returning {LISTING.columns}",
        id_,
        organisation,
        workspace,
        fields["name"],
        hash_,
        tail,
        fields["scopes"],
        fields["default_config"],
        fields["models"],
        fields["inline"],
        fields["expires_at"],
        created_by,
    )


async def update(
    connection: asyncpg.Connection, organisation: str, id_: str, fields: Mapping[str, Any]
) -> asyncpg.Record:
    """`fields`: name, scopes, default_config, models, inline, expires_at, all of them."""
    return await connection.fetchrow(
        "update api_key set name = $3, scopes = $4, default_config = $5, models = $6, inline = $7, expires_at = $8,"  # noqa: S608
        f" updated_at = now() where organisation = $1 and id = $2 returning {LISTING.columns}",
        organisation,
        id_,
        fields["name"],
        fields["scopes"],
        fields["default_config"],
        fields["models"],
        fields["inline"],
        fields["expires_at"],
    )


async def now(connection: asyncpg.Connection) -> datetime:
    moment: datetime = await connection.fetchval("select now()")
    return moment


async def hash_of(connection: asyncpg.Connection, organisation: str, id_: str) -> bytes:
    hash_: bytes = await connection.fetchval(
        "select hash from api_key where organisation = $1 and id = $2", organisation, id_
    )
    return hash_


async def revoke(connection: asyncpg.Connection, organisation: str, id_: str) -> None:
    await connection.execute(
        "update api_key set revoked_at = now(), updated_at = now() where organisation = $1 and id = $2",
        organisation,
        id_,
    )
