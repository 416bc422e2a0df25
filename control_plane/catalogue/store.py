"""The catalogue in the database: the instance's, the same for every organisation."""

from collections.abc import Sequence

import asyncpg

from control_plane.catalogue.catalogue import Entry


async def lock(connection: asyncpg.Connection) -> str | None:
    """The digest last seeded. Whoever asks holds the instance's row until the transaction ends: one seeds at a time."""
    digest: str | None = await connection.fetchval("select catalogue from instance for update")
    return digest


async def has_data_key(connection: asyncpg.Connection, owner: str) -> bool:
    found: bool = await connection.fetchval("select exists (select from data_key where organisation = $1)", owner)
    return found


async def has_shard(connection: asyncpg.Connection, shard: str) -> bool:
    found: bool = await connection.fetchval("select exists (select from shard_head where shard = $1)", shard)
    return found


async def resources(connection: asyncpg.Connection, shard: str, kind: str) -> list[asyncpg.Record]:
    """What gateways have been told of one kind."""
    rows: list[asyncpg.Record] = await connection.fetch(
        "select id, revision, schema_version, key_epoch, sealed from resource"
        " where shard = $1 and kind = $2 and not deleted",
        shard,
        kind,
    )
    return rows


async def replace(connection: asyncpg.Connection, entries: Sequence[Entry], digest: str) -> None:
    """Every row anew, in two statements; a price ends where the next one begins."""
    rows = [entry.model_dump(mode="json") for entry in entries]
    await connection.execute("delete from model")
    await connection.execute(
        "insert into model (provider, name, type, facts)"
        " select row ->> 'provider', row ->> 'name', row ->> 'type', row - '{provider,name,type,prices}'::text[]"
        " from jsonb_array_elements($1::jsonb) as row",
        rows,
    )
    await connection.execute(
        "insert into price (provider, model, valid_from, valid_to, amounts)"
        " select provider, name, valid_from, valid_to, amounts from ("
        "  select row ->> 'provider' as provider, row ->> 'name' as name, start.valid_from,"
        "   jsonb_strip_nulls(price -> 'amounts') as amounts,"
        "   lead(start.valid_from) over (partition by row ->> 'provider', row ->> 'name' order by start.valid_from)"
        "    as valid_to"
        "  from jsonb_array_elements($1::jsonb) as row, jsonb_array_elements(row -> 'prices') as price,"
        "   lateral (select (price ->> 'valid_from')::timestamp at time zone 'UTC' as valid_from) as start"
        " ) as prices where amounts <> '{}'",
        rows,
    )
    await connection.execute("update instance set catalogue = $1", digest)
