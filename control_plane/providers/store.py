"""Providers in the database. Every statement names the organisation; built-in rows come along as a parameter."""

from collections.abc import Mapping
from typing import Any

import asyncpg

from control_plane.web.listing import Listing

_COLUMNS = "id, row, created_at, updated_at"

LISTING = Listing(
    table="(select id, row, created_at, updated_at, false as built_in from provider where organisation = $1"
    " union all select key, value, null, null, true from jsonb_each($2::jsonb)) as provider",
    columns=f"{_COLUMNS}, built_in",
    text={"name": "row ->> 'name'"},
    exact={"id": "id", "dialect": "row ->> 'dialect'"},
    sort={"id": "id", "name": "row ->> 'name'"},
    time={"created_at": "created_at", "updated_at": "updated_at"},
    flag={"built_in": "built_in"},
    default_sort="id",
)


async def page(
    connection: asyncpg.Connection, organisation: str, built_in: Mapping[str, Any], query: Mapping[str, str]
) -> tuple[list[asyncpg.Record], str | None]:
    """`built_in`: rows by id, as JSON."""
    return await LISTING.page(connection, query, "true", (organisation, built_in))


async def find(
    connection: asyncpg.Connection, organisation: str, id_: str, *, lock: bool = False
) -> asyncpg.Record | None:
    return await connection.fetchrow(
        f"select {_COLUMNS}, false as built_in from provider where organisation = $1 and id = $2"  # noqa: S608
        f"{' for update' if lock else ''}",
        organisation,
        id_,
    )


async def insert(connection: asyncpg.Connection, organisation: str, id_: str, row: Mapping[str, Any]) -> asyncpg.Record:
    """Raises db.Clash for an id in use."""
    return await connection.fetchrow(
        "insert into provider (organisation, id, row) values ($1, $2, $3)"  # noqa: S608
        f" returning {_COLUMNS}, false as built_in",
        organisation,
        id_,
        row,
    )


async def update(connection: asyncpg.Connection, organisation: str, id_: str, row: Mapping[str, Any]) -> asyncpg.Record:
    return await connection.fetchrow(
        "update provider set row = $3, updated_at = now() where organisation = $1 and id = $2"  # noqa: S608
        f" returning {_COLUMNS}, false as built_in",
        organisation,
        id_,
        row,
    )


async def delete(connection: asyncpg.Connection, organisation: str, id_: str) -> None:
    await connection.execute("delete from provider where organisation = $1 and id = $2", organisation, id_)
