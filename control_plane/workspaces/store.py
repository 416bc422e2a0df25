"""Workspaces in the database. Every statement names the organisation."""

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from control_plane.web.listing import Listing

LISTING = Listing(
    table="workspace",
    columns="id, slug, name, settings, created_at, updated_at",
    text={"name": "name", "slug": "slug"},
    exact={"id": "id"},
    sort={"created_at": "created_at", "updated_at": "updated_at", "name": "name", "slug": "slug"},
    time={"created_at": "created_at", "updated_at": "updated_at"},
)


async def page(
    connection: asyncpg.Connection, organisation: str, visible: Sequence[str] | None, query: Mapping[str, str]
) -> tuple[list[asyncpg.Record], str | None]:
    """`visible`: the ids the caller may see; None: all."""
    return await LISTING.page(
        connection,
        query,
        "organisation = $1 and ($2::text[] is null or id = any($2))",
        (organisation, None if visible is None else list(visible)),
    )


async def find(
    connection: asyncpg.Connection, organisation: str, id_: str, *, lock: bool = False
) -> asyncpg.Record | None:
    return await connection.fetchrow(
        f"select {LISTING.columns} from workspace where organisation = $1 and id = $2{' for update' if lock else ''}",  # noqa: S608
        organisation,
        id_,
    )


async def insert(
    connection: asyncpg.Connection, organisation: str, id_: str, slug: str, name: str, settings: Mapping[str, Any]
) -> asyncpg.Record:
    """Raises db.Conflict for a slug in use."""
    return await connection.fetchrow(
        "insert into workspace (id, organisation, slug, name, settings) values ($1, $2, $3, $4, $5)"  # noqa: S608
        f" returning {LISTING.columns}",
        id_,
        organisation,
        slug,
        name,
        settings,
    )


async def update(
    connection: asyncpg.Connection, organisation: str, id_: str, slug: str, name: str, settings: Mapping[str, Any]
) -> asyncpg.Record:
    """Raises db.Conflict for a slug in use."""
    return await connection.fetchrow(
        "update workspace set slug = $3, name = $4, settings = $5, updated_at = now()"  # noqa: S608
        f" where organisation = $1 and id = $2 returning {LISTING.columns}",
        organisation,
        id_,
        slug,
        name,
        settings,
    )


async def contents(connection: asyncpg.Connection, organisation: str, id_: str) -> str | None:
    """What is still in the workspace, in words; None if it is empty."""
    found: str | None = await connection.fetchval(
        "select count || ' ' || what from ("
        " select 'API keys' as what, count(*) from api_key where organisation = $1 and workspace = $2"
        "  and revoked_at is null"
        " union all select 'virtual keys', count(*) from virtual_key where organisation = $1 and workspace = $2"
        " union all select 'configs', count(*) from config where organisation = $1 and workspace = $2"
        ") as found where count > 0 limit 1",
        organisation,
        id_,
    )
    return found


async def delete(connection: asyncpg.Connection, organisation: str, id_: str) -> None:
    await connection.execute("delete from workspace where organisation = $1 and id = $2", organisation, id_)
