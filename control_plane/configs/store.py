"""Configs in the database. Every statement names the organisation."""

from collections.abc import Mapping
from typing import Any

import asyncpg

from control_plane.web.listing import Listing

LISTING = Listing(
    table="config",
    columns="id, workspace, slug, name, body, created_by, created_at, updated_at",
    text={"name": "name", "slug": "slug"},
    exact={"id": "id", "created_by": "created_by"},
    sort={"created_at": "created_at", "updated_at": "updated_at", "name": "name", "slug": "slug"},
    time={"created_at": "created_at", "updated_at": "updated_at"},
)


async def page(
    connection: asyncpg.Connection, organisation: str, workspace: str, query: Mapping[str, str]
) -> tuple[list[asyncpg.Record], str | None]:
    return await LISTING.page(connection, query, "organisation = $1 and workspace = $2", (organisation, workspace))


async def find(
    connection: asyncpg.Connection, organisation: str, workspace: str, id_: str, *, lock: bool = False
) -> asyncpg.Record | None:
    """By id or slug."""
    return await connection.fetchrow(
        f"select {LISTING.columns} from config where organisation = $1 and workspace = $2 and (id = $3 or slug = $3)"  # noqa: S608
        f" order by id = $3 desc limit 1{' for update' if lock else ''}",
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
) -> asyncpg.Record:
    """`fields`: slug, name, body. Raises db.Conflict for a slug in use."""
    return await connection.fetchrow(
        "insert into config (id, organisation, workspace, slug, name, body, created_by)"  # noqa: S608
        f" values ($1, $2, $3, $4, $5, $6, $7) returning {LISTING.columns}",
        id_,
        organisation,
        workspace,
        fields["slug"],
        fields["name"],
        fields["body"],
        created_by,
    )


async def update(
    connection: asyncpg.Connection, organisation: str, id_: str, fields: Mapping[str, Any]
) -> asyncpg.Record:
    """`fields`: slug, name, body, all of them. Raises db.Conflict for a slug in use."""
    return await connection.fetchrow(
        "update config set slug = $3, name = $4, body = $5, updated_at = now() where organisation = $1 and id = $2"  # noqa: S608
        f" returning {LISTING.columns}",
        organisation,
        id_,
        fields["slug"],
        fields["name"],
        fields["body"],
    )


async def delete(connection: asyncpg.Connection, organisation: str, id_: str) -> None:
    await connection.execute("delete from config where organisation = $1 and id = $2", organisation, id_)
