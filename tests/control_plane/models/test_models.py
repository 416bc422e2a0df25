"""The catalogue as people read it."""

from datetime import UTC, date, datetime

import pytest

from control_plane.catalogue.catalogue import Catalogue, Entry
from control_plane.catalogue.seed import seed
from control_plane.errors import NotFound
from control_plane.known_providers import KnownProviders
from control_plane.models.api import Models
from control_plane.prices.api import PriceAmounts, PriceCreate, Prices
from shared.models.price import Amounts, Price
from shared.models.provider import Provider
from tests.fixtures.control_plane import Plane

PAST = Price(valid_from=date(2020, 1, 1), amounts=Amounts(input_usd_per_mtok="9"))
NOW = Price(valid_from=date(2021, 1, 1), amounts=Amounts(input_usd_per_mtok="0.25", output_usd_per_mtok="1"))
FUTURE = Price(valid_from=date(2999, 1, 1), amounts=Amounts(input_usd_per_mtok="7"))
ENTRIES = (
    Entry(
        provider="acme",
        name="team/large",
        type="chat",
        context_tokens=8_000,
        abilities=("tools", "vision"),
        retires_on=date(2030, 1, 1),
        prices=(PAST, NOW, FUTURE),
    ),
    Entry(provider="acme", name="small", type="embedding"),
    Entry(provider="zeta", name="large", type="chat", abilities=("tools",), prices=(FUTURE,)),
)


@pytest.fixture
async def models(plane: Plane) -> Models:
    await seed(plane.changes, plane.data_keys, plane.shard_keys, Catalogue(ENTRIES, {}, "x"))
    return Models(plane.database)


def own_prices(plane: Plane) -> Prices:
    acme = Provider(id="acme", name="Acme", base_url="https://acme.test")
    return Prices(plane.database, plane.changes, KnownProviders({"acme": acme}), plane.ids)


async def ids(models: Models, plane: Plane, **query: str) -> list[str]:
    return [model.id for model in (await models.list(plane.call(query=query))).data]


async def test_a_model_is_read_by_id_with_its_facts_and_the_price_of_now(models: Models, plane: Plane) -> None:
    view = await models.read(plane.call(model="acme/team/large"))
    assert view.model_dump(exclude={"price", "effective_price"}) == {
        "id": "acme/team/large",
        "provider": "acme",
        "name": "team/large",
        "type": "chat",
        "context_tokens": 8_000,
        "output_tokens_max": None,
        "abilities": ("tools", "vision"),
        "retires_on": date(2030, 1, 1),
    }
    assert view.price is not None
    assert view.price.amounts == NOW.amounts
    assert (view.price.valid_from, view.price.valid_to) == (
        datetime(2021, 1, 1, tzinfo=UTC),
        datetime(2999, 1, 1, tzinfo=UTC),
    )
    assert view.price.id == "acme/team/large@2021-01-01"


async def test_without_prices_of_one_s_own_the_catalogue_s_is_what_is_charged(models: Models, plane: Plane) -> None:
    view = await models.read(plane.call(model="acme/team/large"))
    assert view.effective_price is not None
    assert view.effective_price.model_dump() == {
        "price": "acme/team/large@2021-01-01",
        "adjustment": None,
        "valid_from": date(2021, 1, 1),
        "multiplier": None,
        "amounts": {"input_usd_per_mtok": "0.25", "output_usd_per_mtok": "1"},
    }


async def test_own_prices_show_beside_the_catalogue_s(models: Models, plane: Plane) -> None:
    made = {
        body["model"]: (await own_prices(plane).create(plane.call(PriceCreate.model_validate(body)))).id
        for body in (
            {"provider": "acme", "model": None, "valid_from": "2026-01-01", "multiplier": "0.85"},
            {"provider": "acme", "model": "small", "valid_from": "2026-01-02", "amounts": {"input_usd_per_mtok": "3"}},
            {"provider": "acme", "model": "team/large", "valid_from": "2199-12-31", "multiplier": "9"},
        )
    }
    found = {view.id: view for view in (await models.list(plane.call())).data}
    large, small, zeta = found["acme/team/large"], found["acme/small"], found["zeta/large"]
    assert large.price is not None
    assert large.price.amounts == NOW.amounts
    assert large.effective_price is not None
    assert large.effective_price.model_dump() == {
        "price": "acme/team/large@2021-01-01",
        "adjustment": made[None],
        "valid_from": date(2026, 1, 1),
        "multiplier": "0.85",
        "amounts": {"input_usd_per_mtok": "0.2125", "output_usd_per_mtok": "0.85"},
    }
    assert (small.price, zeta.price, zeta.effective_price) == (None, None, None)
    assert small.effective_price is not None
    assert (small.effective_price.price, small.effective_price.adjustment) == (made["small"], None)
    assert small.effective_price.amounts == {"input_usd_per_mtok": "3"}
    assert (await models.read(plane.call(model="acme/small"))).effective_price == small.effective_price


async def test_another_organisation_s_own_prices_do_not_show(models: Models, plane: Plane) -> None:
    body = PriceCreate(provider="acme", model="small", amounts=PriceAmounts(input_usd_per_mtok="3"))
    await own_prices(plane).create(plane.call(body))
    other = await plane.in_another_organisation()
    assert (await models.read(other.call(model="acme/small"))).effective_price is None


async def test_an_unknown_price_is_null(models: Models, plane: Plane) -> None:
    for id_ in ("acme/small", "zeta/large"):
        assert (await models.read(plane.call(model=id_))).price is None


async def test_models_are_listed_and_filtered(models: Models, plane: Plane) -> None:
    assert await ids(models, plane) == ["acme/small", "acme/team/large", "zeta/large"]
    assert await ids(models, plane, filter="provider:acme type:chat") == ["acme/team/large"]
    assert await ids(models, plane, filter="ability:vision") == ["acme/team/large"]
    assert await ids(models, plane, filter="name:LARGE -provider:acme") == ["zeta/large"]
    assert await ids(models, plane, sort="-type") == ["acme/small", "zeta/large", "acme/team/large"]


async def test_pages_follow_each_other(models: Models, plane: Plane) -> None:
    first = await models.list(plane.call(query={"limit": "2"}))
    assert first.next_cursor is not None
    second = await models.list(plane.call(query={"limit": "2", "cursor": first.next_cursor}))
    assert [model.id for model in (*first.data, *second.data)] == ["acme/small", "acme/team/large", "zeta/large"]
    assert second.next_cursor is None


async def test_an_unknown_model_is_not_found(models: Models, plane: Plane) -> None:
    with pytest.raises(NotFound, match="acme/none"):
        await models.read(plane.call(model="acme/none"))
