"""`/api/v1/prices`: the organisation's own prices, instead of the catalogue's or as a multiple of them."""

import re
from datetime import date, datetime
from typing import Annotated, Any

import asyncpg
from pydantic import AfterValidator, BeforeValidator, ConfigDict, StringConstraints, field_validator, model_validator

from control_plane.db.pool import Database
from control_plane.errors import Invalid, NotFound
from control_plane.ids import Ids
from control_plane.known_providers import KnownProviders
from control_plane.prices import store
from control_plane.snapshots.change import Changes
from control_plane.web.listing import Page
from control_plane.web.route import Body, Call, Route, View
from shared.models.noun import Id, Kind
from shared.models.price import Amounts, Multiplier, OwnPrice
from shared.protocol.resource import organisation_shard

_PATH = "/api/v1/prices"
_YEAR_MAX = 2200


def _written_out(value: object) -> object:
    """Numbers and times of day could be taken for a day too, and would not be the one that was meant."""
    if value is not None and not (isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value)):
        raise ValueError("a day is wanted here, such as `2026-11-21`")
    return value


def _is_amount(value: object) -> object:
    if value is not None and not isinstance(value, str):
        raise ValueError('US dollars as a decimal number in quotes are wanted here, such as "0.15"')
    return value


def _is_multiplier(value: object) -> object:
    if value is not None and not isinstance(value, str):
        raise ValueError('a decimal number in quotes is wanted here, such as "0.85", below 10,000')
    return value


def _in_range(value: date) -> date:
    if not 2000 <= value.year < _YEAR_MAX:
        raise ValueError(f"a day from 2000 to before {_YEAR_MAX} is wanted here")
    return value


Day = Annotated[date, BeforeValidator(_written_out), AfterValidator(_in_range)]
Factor = Annotated[Multiplier, BeforeValidator(_is_multiplier)]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=300)]


class PriceAmounts(Amounts):
    """US dollars, decimal numbers in quotes. What is left out is not known; docs/money.md has what is charged then."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    _amounts = field_validator("*", mode="before")(_is_amount)


class PriceCreate(Body):
    provider: Id
    model: ModelName | None = None
    """As the provider calls it; null: every model of the provider that has no row of its own."""
    valid_from: Day | None = None
    """From midnight UTC; null: today."""
    amounts: PriceAmounts | None = None
    """In place of the catalogue's, all of them; null: the catalogue's go on."""
    multiplier: Factor | None = None
    """Of whichever amounts hold: `0.85` is 15 % off."""

    @model_validator(mode="after")
    def _says_something(self) -> "PriceCreate":
        if self.amounts is None and self.multiplier is None:
            raise ValueError("a price has amounts, a multiplier, or both")
        return self


class PriceUpdate(Body):
    """What is left out stays as it is; null clears `amounts` or `multiplier`. For another model, make another price."""

    valid_from: Day | None = None
    amounts: PriceAmounts | None = None
    multiplier: Factor | None = None


class PriceView(View):
    id: str
    """As records name it."""
    provider: str
    model: str | None
    valid_from: date
    amounts: Amounts | None
    multiplier: str | None
    created_by: str
    created_at: datetime
    updated_at: datetime


class PricePage(Page[PriceView]):
    """One page of prices."""


class Prices:
    def __init__(self, database: Database, changes: Changes, known: KnownProviders, ids: Ids) -> None:
        self._database = database
        self._changes = changes
        self._known = known
        self._ids = ids

    def routes(self) -> list[Route]:
        one = _PATH + "/{price}"
        return [
            Route("GET", _PATH, "prices.list", self.list, "List prices", answer=PricePage, query=store.LISTING.query),
            Route("POST", _PATH, "prices.create", self.create, "Add a price", PriceCreate, PriceView, 201),
            Route("GET", one, "prices.read", self.read, "Read a price", answer=PriceView),
            Route("PATCH", one, "prices.update", self.update, "Change a price", PriceUpdate, PriceView),
            Route("DELETE", one, "prices.delete", self.delete, "Delete a price"),
        ]

    async def list(self, call: Call) -> PricePage:
        organisation = call.principal.organisation
        async with self._database.tenant(organisation) as connection:
            rows, cursor = await store.page(connection, organisation, call.query)
        return PricePage(data=tuple(_view(row) for row in rows), next_cursor=cursor)

    async def read(self, call: Call) -> PriceView:
        async with self._database.tenant(call.principal.organisation) as connection:
            return await _found(connection, call)

    async def create(self, call: Call) -> PriceView:
        body = call.parsed(PriceCreate)
        organisation = call.principal.organisation
        async with self._changes.open(call.principal, call.request_id) as change:
            connection = change.connection
            if await self._known.find(connection, organisation, body.provider) is None:
                raise Invalid(f"no provider {body.provider!r}", code="provider_unknown", pointer="/provider")
            fields = body.model_dump(exclude_none=True)
            fields = {"model": None, "amounts": None, "multiplier": None, **fields}
            fields["valid_from"] = body.valid_from or await store.today(connection)
            row = await store.insert(connection, organisation, self._ids.new("pr"), fields, call.principal.id)
            view = _view(row)
            shard = organisation_shard(organisation)
            change.put(shard, Kind.PRICE, _noun(view))
            change.record("prices.create", "price", view.id, shard=shard, after=_told(view))
        return view

    async def update(self, call: Call) -> PriceView:
        given = call.parsed(PriceUpdate).model_dump(exclude_unset=True)
        if given.get("amounts"):
            given["amounts"] = {name: amount for name, amount in given["amounts"].items() if amount is not None}
        if given.get("valid_from") is None:
            given.pop("valid_from", None)
        organisation = call.principal.organisation
        async with self._changes.open(call.principal, call.request_id) as change:
            before = await _found(change.connection, call, lock=True)
            call.require_unchanged(before.updated_at)
            fields = {**_stored(before), **given}
            if fields["amounts"] is None and fields["multiplier"] is None:
                raise Invalid("a price has amounts, a multiplier, or both; to be rid of it, delete it", pointer="")
            view = _view(await store.update(change.connection, organisation, before.id, fields))
            shard = organisation_shard(organisation)
            change.put(shard, Kind.PRICE, _noun(view))
            change.record("prices.update", "price", view.id, shard=shard, before=_told(before), after=_told(view))
        return view

    async def delete(self, call: Call) -> None:
        organisation = call.principal.organisation
        async with self._changes.open(call.principal, call.request_id) as change:
            before = await _found(change.connection, call, lock=True)
            await store.delete(change.connection, organisation, before.id)
            shard = organisation_shard(organisation)
            change.remove(shard, Kind.PRICE, before.id)
            change.record("prices.delete", "price", before.id, shard=shard, before=_told(before))


async def _found(connection: asyncpg.Connection, call: Call, *, lock: bool = False) -> PriceView:
    row = await store.find(connection, call.principal.organisation, call.path["price"], lock=lock)
    if row is None:
        raise NotFound(f"no price {call.path['price']!r}")
    return _view(row)


def _view(row: asyncpg.Record) -> PriceView:
    fields = {name: value for name, value in row.items() if not name.startswith("sort_")}
    return PriceView(**fields)


def _noun(view: PriceView) -> OwnPrice:
    return OwnPrice.model_validate(view.model_dump(include=set(OwnPrice.model_fields)))


def _stored(view: PriceView) -> dict[str, Any]:
    amounts = None if view.amounts is None else view.amounts.model_dump(exclude_none=True)
    return {"valid_from": view.valid_from, "amounts": amounts, "multiplier": view.multiplier}


def _told(view: PriceView) -> dict[str, Any]:
    return view.model_dump(mode="json", include={"provider", "model", "valid_from", "amounts", "multiplier"})
