"""Organisations in the database."""

import asyncpg

from control_plane.data_keys import Sealed

COLUMNS = "id, name, created_at, updated_at"


async def insert(connection: asyncpg.Connection, id_: str, name: str, hash_key: Sealed) -> asyncpg.Record:
    return await connection.fetchrow(
        "insert into organisation (id, name, hash_key_sealed, hash_key_version) values ($1, $2, $3, $4)"  # noqa: S608
        f" returning {COLUMNS}",
        id_,
        name,
        hash_key.blob,
        hash_key.version,
    )


async def find(connection: asyncpg.Connection, id_: str, *, lock: bool = False) -> asyncpg.Record | None:
    return await connection.fetchrow(
        f"select {COLUMNS} from organisation where id = $1{' for update' if lock else ''}",  # noqa: S608
        id_,
    )


async def rename(connection: asyncpg.Connection, id_: str, name: str) -> asyncpg.Record:
    """Of one that is there."""
    return await connection.fetchrow(
        f"update organisation set name = $2, updated_at = now() where id = $1 returning {COLUMNS}",  # noqa: S608
        id_,
        name,
    )


async def hash_key(connection: asyncpg.Connection, id_: str) -> Sealed:
    """The sealed key of the API keys' keyed hash."""
    row = await connection.fetchrow("select hash_key_version, hash_key_sealed from organisation where id = $1", id_)
    return Sealed(row["hash_key_version"], row["hash_key_sealed"])
