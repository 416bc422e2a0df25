"""`/api/v1/models`: which models there are, what they can do, and what they cost now."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

import asyncpg

from control_plane.db.pool import Database
from control_plane.errors import NotFound
from control_plane.models import store
from control_plane.web.listing import Page
from control_plane.web.route import Call, Route, View
from shared.models.price import Amounts, OwnPrice, Price
from shared.pricing import Held, PriceTable, multiplied, price_id

_PATH = "/api/v1/models"


class CataloguePriceView(View):
    id: str
    """As records name it."""
    valid_from: datetime
    valid_to: datetime | None
    """None: until further notice."""
    amounts: Amounts


class EffectivePriceView(View):
    """What a call that begins now is charged by."""

    price: str
    """Id of the row that the amounts are from: the catalogue's, or one of the organisation's own."""
    adjustment: str | None
    """Id of the organisation's row whose multiplier applies."""
    valid_from: date
    multiplier: str | None
    amounts: dict[str, str]
    """By name, as in the catalogue's; the multiplier is in them already."""


class ModelView(View):
    id: str
    """`provider/name`"""
    provider: str
    name: str
    type: str
    context_tokens: int | None
    output_tokens_max: int | None
    abilities: tuple[str, ...]
    retires_on: date | None
    price: CataloguePriceView | None
    """The catalogue's. None: not known, which is not 0."""
    effective_price: EffectivePriceView | None
    """With the organisation's own prices. None: calls are charged nothing known."""


class ModelPage(Page[ModelView]):
    """One page of models."""


class Models:
    def __init__(self, database: Database) -> None:
        self._database = database

    def routes(self) -> list[Route]:
        one = _PATH + "/{model}"
        return [
            Route(
                "GET",
                _PATH,
                "models.list",
                self.list,
                "List models and prices",
                answer=ModelPage,
                query=store.LISTING.query,
            ),
            Route("GET", one, "models.read", self.read, "Read a model; its id percent-encoded", answer=ModelView),
        ]

    async def list(self, call: Call) -> ModelPage:
        organisation = call.principal.organisation
        async with self._database.tenant(organisation) as connection:
            rows, cursor = await store.page(connection, call.query)
            own = await store.own_prices(connection, organisation, {row["provider"] for row in rows})
            now = await store.now(connection)
        return ModelPage(data=_views(rows, own, now), next_cursor=cursor)

    async def read(self, call: Call) -> ModelView:
        organisation = call.principal.organisation
        async with self._database.tenant(organisation) as connection:
            row = await store.find(connection, call.path["model"])
            if row is None:
                raise NotFound(f"no model {call.path['model']!r} in the catalogue")
            own = await store.own_prices(connection, organisation, {row["provider"]})
            now = await store.now(connection)
        return _views([row], own, now)[0]


def _views(rows: Sequence[asyncpg.Record], own: Sequence[OwnPrice], now: datetime) -> tuple[ModelView, ...]:
    catalogue = {(row["provider"], row["name"]): _prices(row) for row in rows}
    table, now_ms = PriceTable(catalogue, own), round(now.timestamp() * 1000)
    return tuple(_view(row, table.held(row["provider"], row["name"], now_ms)) for row in rows)


def _prices(row: asyncpg.Record) -> tuple[Price, ...]:
    """The one that holds now, if one does."""
    if row["amounts"] is None:
        return ()
    return (Price(valid_from=row["valid_from"].astimezone(UTC).date(), amounts=Amounts(**row["amounts"])),)


def _view(row: asyncpg.Record, held: Held | None) -> ModelView:
    prices = _prices(row)
    return ModelView(
        id=f"{row['provider']}/{row['name']}",
        provider=row["provider"],
        name=row["name"],
        type=row["type"],
        **row["facts"],
        price=None
        if not prices
        else CataloguePriceView(
            id=price_id(row["provider"], row["name"], prices[0].valid_from),
            valid_from=row["valid_from"],
            valid_to=row["valid_to"],
            amounts=prices[0].amounts,
        ),
        effective_price=None
        if held is None
        else EffectivePriceView(
            price=held.price,
            adjustment=held.adjustment,
            valid_from=held.valid_from,
            multiplier=held.multiplier,
            amounts=multiplied(held.amounts, held.multiplier),
        ),
    )
