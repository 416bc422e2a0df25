"""Virtual keys in the database. Every statement names the organisation; what is listed and found has no credential."""

from collections.abc import Mapping
from typing import Any

import asyncpg

from control_plane.data_keys import Sealed
from control_plane.web.listing import Listing

LISTING = Listing(
    table="virtual_key",
    columns="id, workspace, slug, name, provider, base_url, models, created_by, created_at, updated_at",
    text={"name": "name", "slug": "slug"},
    exact={"id": "id", "provider": "provider", "created_by": "created_by"},
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
        f"select {LISTING.columns} from virtual_key"  # noqa: S608
        " where organisation = $1 and workspace = $2 and (id = $3 or slug = $3)"
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
    *,
    credential: Sealed,
    travelling: bytes,
) -> asyncpg.Record:
    """`fields`: slug, name, provider, base_url, models. Raises db.Clash for a slug in use."""
    return await connection.fetchrow(
        "insert into virtual_key (id, organisation, workspace, slug, name, provider, base_url, models, created_by,"  # noqa: S608
        " credential_sealed, credential_key_version, credential_travelling)"
        f" values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) returning {LISTING.columns}",
        id_,
        organisation,
        workspace,
        fields["slug"],
        fields["name"],
        fields["provider"],
        fields["base_url"],
        fields["models"],
        created_by,
        credential.blob,
        credential.version,
        travelling,
    )


async def update(
    connection: asyncpg.Connection, organisation: str, id_: str, fields: Mapping[str, Any]
) -> asyncpg.Record:
    """`fields`: slug, name, base_url, models, all of them. Raises db.Clash for a slug in use."""
    return await connection.fetchrow(
        "update virtual_key set slug = $3, name = $4, base_url = $5, models = $6, updated_at = now()"  # noqa: S608
        f" where organisation = $1 and id = $2 returning {LISTING.columns}",
        organisation,
        id_,
        fields["slug"],
        fields["name"],
        fields["base_url"],
        fields["models"],
    )


async def replace_credential(
    connection: asyncpg.Connection, organisation: str, id_: str, *, credential: Sealed, travelling: bytes
) -> None:
    await connection.execute(
        "update virtual_key set credential_sealed = $3, credential_key_version = $4, credential_travelling = $5"
        " where organisation = $1 and id = $2",
        organisation,
        id_,
        credential.blob,
        credential.version,
        travelling,
    )


async def travelling(connection: asyncpg.Connection, organisation: str, id_: str) -> bytes:
    """The credential as it stands in the resource."""
    sealed: bytes = await connection.fetchval(
        "select credential_travelling from virtual_key where organisation = $1 and id = $2", organisation, id_
    )
    return sealed


async def delete(connection: asyncpg.Connection, organisation: str, id_: str) -> None:
    await connection.execute("delete from virtual_key where organisation = $1 and id = $2", organisation, id_)
