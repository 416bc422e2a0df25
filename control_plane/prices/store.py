"""An organisation's own prices in the database. Every statement names the organisation."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import asyncpg

from control_plane.web.listing import Listing

_VALID_FROM = "valid_from::timestamp at time zone 'UTC'"

LISTING = Listing(
    table="own_price",
    columns="id, provider, model, valid_from, amounts, multiplier, created_by, created_at, updated_at",
    text={"model": "model"},
    exact={"id": "id", "provider": "provider", "created_by": "created_by"},
    sort={
        "valid_from": _VALID_FROM,
        "provider": "provider",
        "model": "coalesce(model, '')",
        "created_at": "created_at",
        "updated_at": "updated_at",
    },
    time={"valid_from": _VALID_FROM, "created_at": "created_at", "updated_at": "updated_at"},
)


async def today(connection: asyncpg.Connection) -> date:
    """In UTC, where a price's days begin."""
    day: date = await connection.fetchval("select (now() at time zone 'UTC')::date")
    return day


async def page(
    connection: asyncpg.Connection, organisation: str, query: Mapping[str, str]
) -> tuple[list[asyncpg.Record], str | None]:
    return await LISTING.page(connection, query, "organisation = $1", (organisation,))


async def find(
    connection: asyncpg.Connection, organisation: str, id_: str, *, lock: bool = False
) -> asyncpg.Record | None:
    return await connection.fetchrow(
        f"select {LISTING.columns} from own_price where organisation = $1 and id = $2"  # noqa: S608
        f"{' for update' if lock else ''}",
        organisation,
        id_,
    )


async def insert(
    connection: asyncpg.Connection, organisation: str, id_: str, fields: Mapping[str, Any], created_by: str
) -> asyncpg.Record:
    """`fields`: provider, model, valid_from, amounts, multiplier. Raises db.Clash for a day that is taken."""
    return await connection.fetchrow(
        "insert into own_price (id, organisation, provider, model, valid_from, amounts, multiplier, created_by)"  # noqa: S608
        f" values ($1, $2, $3, $4, $5, $6, $7, $8) returning {LISTING.columns}",
        id_,
        organisation,
        fields["provider"],
        fields["model"],
        fields["valid_from"],
        fields["amounts"],
        fields["multiplier"],
        created_by,
    )


async def update(
    connection: asyncpg.Connection, organisation: str, id_: str, fields: Mapping[str, Any]
) -> asyncpg.Record:
    """`fields`: valid_from, amounts, multiplier, all of them. Raises db.Clash for a day that is taken."""
    return await connection.fetchrow(
        "update own_price set valid_from = $3, amounts = $4, multiplier = $5, updated_at = now()"  # noqa: S608
        f" where organisation = $1 and id = $2 returning {LISTING.columns}",
        organisation,
        id_,
        fields["valid_from"],
        fields["amounts"],
        fields["multiplier"],
    )


async def delete(connection: asyncpg.Connection, organisation: str, id_: str) -> None:
    await connection.execute("delete from own_price where organisation = $1 and id = $2", organisation, id_)
