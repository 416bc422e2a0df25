"""Models in the database. The catalogue belongs to the instance: these rows are everybody's."""

from collections.abc import Mapping

import asyncpg

from control_plane.web.listing import Listing

LISTING = Listing(
    table="model left join price on price.provider = model.provider and price.model = model.name"
    " and price.valid_from <= now() and (price.valid_to is null or price.valid_to > now())",
    columns="model.provider, model.name, model.type, model.facts, price.valid_from, price.valid_to, price.amounts",
    text={"name": "model.name", "ability": "model.facts ->> 'abilities'"},
    exact={"id": "model.provider || '/' || model.name", "provider": "model.provider", "type": "model.type"},
    sort={"id": "model.provider || '/' || model.name", "name": "model.name", "type": "model.type"},
    id="model.provider || '/' || model.name",
    time={"valid_from": "price.valid_from", "valid_to": "price.valid_to"},
    default_sort="id",
)


async def page(connection: asyncpg.Connection, query: Mapping[str, str]) -> tuple[list[asyncpg.Record], str | None]:
    return await LISTING.page(connection, query, "true", ())


async def find(connection: asyncpg.Connection, id_: str) -> asyncpg.Record | None:
    return await connection.fetchrow(
        f"select {LISTING.columns} from {LISTING.table} where {LISTING.id} = $1",  # noqa: S608
        id_,
    )
