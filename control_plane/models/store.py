"""Models in the database. The catalogue belongs to the instance: these rows are everybody's. What an organisation pays
for them is its own.
"""

from collections.abc import Collection, Mapping
from datetime import datetime

import asyncpg

from control_plane.web.listing import Listing
from shared.models.price import OwnPrice

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


async def own_prices(connection: asyncpg.Connection, organisation: str, providers: Collection[str]) -> list[OwnPrice]:
    """The organisation's own rows for these providers."""
    rows = await connection.fetch(
        "select id, provider, model, valid_from, amounts, multiplier from own_price"
        " where organisation = $1 and provider = any($2)",
        organisation,
        list(providers),
    )
    return [OwnPrice.model_validate(dict(row)) for row in rows]


async def now(connection: asyncpg.Connection) -> datetime:
    moment: datetime = await connection.fetchval("select now()")
    return moment
