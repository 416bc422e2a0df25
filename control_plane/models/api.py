"""`/api/v1/models`: which models there are, what they can do, and what they cost now."""

from datetime import date, datetime

import asyncpg

from control_plane.db.pool import Database
from control_plane.errors import NotFound
from control_plane.models import store
from control_plane.web.listing import Page
from control_plane.web.route import Call, Route, View
from shared.models.price import Amounts

_PATH = "/api/v1/models"


class PriceView(View):
    valid_from: datetime
    valid_to: datetime | None
    """None: until further notice."""
    amounts: Amounts


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
    price: PriceView | None
    """None: not known, which is not 0."""


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
        async with self._database.tenant(call.principal.organisation) as connection:
            rows, cursor = await store.page(connection, call.query)
        return ModelPage(data=tuple(_view(row) for row in rows), next_cursor=cursor)

    async def read(self, call: Call) -> ModelView:
        async with self._database.tenant(call.principal.organisation) as connection:
            row = await store.find(connection, call.path["model"])
        if row is None:
            raise NotFound(f"no model {call.path['model']!r} in the catalogue")
        return _view(row)


def _view(row: asyncpg.Record) -> ModelView:
    price = None
    if row["amounts"] is not None:
        price = PriceView(valid_from=row["valid_from"], valid_to=row["valid_to"], amounts=Amounts(**row["amounts"]))
    return ModelView(
        id=f"{row['provider']}/{row['name']}",
        provider=row["provider"],
        name=row["name"],
        type=row["type"],
        **row["facts"],
        price=price,
    )
