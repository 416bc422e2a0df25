"""An organisation's own prices: kept, told to its gateways, and refused where they could not be meant."""

import asyncio
from datetime import UTC, date, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from control_plane.db.errors import Clash
from control_plane.errors import Conflict, Invalid, NotFound
from control_plane.known_providers import KnownProviders
from control_plane.prices.api import PriceCreate, Prices, PriceUpdate
from control_plane.providers.api import ProviderCreate, Providers
from shared.models.price import Amounts, OwnPrice
from shared.models.provider import Provider
from shared.protocol.resource import organisation_shard
from tests.fixtures.control_plane import Plane

KNOWN = KnownProviders({"acme": Provider(id="acme", name="Acme", base_url="https://acme.test/v1")})
AMOUNTS = {"input_usd_per_mtok": "0.15", "output_usd_per_mtok": "0.6"}


@pytest.fixture
def prices(plane: Plane) -> Prices:
    return Prices(plane.database, plane.changes, KNOWN, plane.ids)


def body(**fields: Any) -> PriceCreate:
    return PriceCreate.model_validate({"provider": "acme", "model": "large", "amounts": AMOUNTS, **fields})


def change(**fields: Any) -> PriceUpdate:
    return PriceUpdate.model_validate(fields)


async def told(plane: Plane, id_: str) -> dict[str, Any] | None:
    return await plane.told(organisation_shard(plane.organisation), "price", id_)


async def test_a_price_travels_in_the_organisation_s_shard_as_it_was_given(prices: Prices, plane: Plane) -> None:
    made = await prices.create(plane.call(body(valid_from="2026-11-21", multiplier="0.850")))
    assert made.id.startswith("pr_")
    assert (made.provider, made.model, made.valid_from, made.multiplier) == (
        "acme",
        "large",
        date(2026, 11, 21),
        "0.850",
    )
    assert made.amounts == Amounts(**AMOUNTS)
    assert await told(plane, made.id) == OwnPrice(
        id=made.id,
        provider="acme",
        model="large",
        valid_from=date(2026, 11, 21),
        amounts=Amounts(**AMOUNTS),
        multiplier="0.850",
    ).model_dump(mode="json")
    assert await prices.read(plane.call(price=made.id)) == made


async def test_a_price_without_a_day_holds_from_today_and_without_a_model_for_the_provider(
    prices: Prices, plane: Plane
) -> None:
    before = datetime.now(UTC).date()
    made = await prices.create(plane.call(PriceCreate(provider="acme", multiplier="0.85")))
    assert before <= made.valid_from <= datetime.now(UTC).date()
    assert (made.model, made.amounts) == (None, None)
    sent = await told(plane, made.id)
    assert sent is not None
    assert (sent["model"], sent["amounts"], sent["multiplier"]) == (None, None, "0.85")


async def test_an_update_changes_what_it_names_and_null_clears(prices: Prices, plane: Plane) -> None:
    made = await prices.create(plane.call(body(multiplier="2")))
    view = await prices.update(plane.call(change(multiplier=None), price=made.id))
    assert (view.multiplier, view.amounts, view.valid_from) == (None, made.amounts, made.valid_from)
    view = await prices.update(plane.call(change(amounts=None, multiplier="3", valid_from=None), price=made.id))
    assert (view.multiplier, view.amounts, view.valid_from) == ("3", None, made.valid_from)
    view = await prices.update(plane.call(change(amounts={"input_usd_per_mtok": "7"}), price=made.id))
    assert view.amounts == Amounts(input_usd_per_mtok="7")
    sent = await told(plane, made.id)
    assert sent is not None
    assert sent["amounts"]["output_usd_per_mtok"] is None
    view = await prices.update(plane.call(change(amounts={}, valid_from="2026-01-01"), price=made.id))
    assert (view.amounts, view.valid_from) == (Amounts(), date(2026, 1, 1))


async def test_a_price_that_would_say_nothing_is_refused(prices: Prices, plane: Plane) -> None:
    made = await prices.create(plane.call(body()))
    with pytest.raises(Invalid, match="delete it"):
        await prices.update(plane.call(change(amounts=None), price=made.id))
    assert (await prices.read(plane.call(price=made.id))).amounts == made.amounts


async def test_a_deleted_price_leaves_a_tombstone(prices: Prices, plane: Plane) -> None:
    made = await prices.create(plane.call(body()))
    await prices.delete(plane.call(price=made.id))
    assert await told(plane, made.id) is None
    for attempt in (prices.read, prices.delete):
        with pytest.raises(NotFound):
            await attempt(plane.call(price=made.id))
    async with plane.database.instance() as connection:
        assert await connection.fetchval("select deleted from resource where kind = 'price' and id = $1", made.id)


async def test_every_change_stands_in_the_audit_log_with_its_revision(prices: Prices, plane: Plane) -> None:
    made = await prices.create(plane.call(body(valid_from="2026-11-21")))
    await prices.update(plane.call(change(multiplier="0.5"), price=made.id))
    await prices.delete(plane.call(price=made.id))
    entries = [entry for entry in await plane.audit() if entry["kind"] == "price"]
    assert [(entry["action"], entry["resource"]) for entry in entries] == [
        (f"prices.{verb}", made.id) for verb in ("create", "update", "delete")
    ]
    assert entries[1]["before"]["multiplier"] is None
    assert entries[1]["after"]["multiplier"] == "0.5"
    assert entries[2]["before"]["valid_from"] == "2026-11-21"
    assert entries[2]["revision"] == await plane.revision(organisation_shard(plane.organisation))


@pytest.mark.parametrize("model", ["large", None])
async def test_a_day_is_taken_once_for_a_model_and_once_for_its_provider(
    prices: Prices, plane: Plane, model: str | None
) -> None:
    await prices.create(plane.call(body(model=model, valid_from="2026-11-21")))
    with pytest.raises(Clash) as clash:
        await prices.create(plane.call(body(model=model, valid_from="2026-11-21")))
    assert clash.value.constraint == "own_price_day_key"
    other = await prices.create(plane.call(body(model=model, valid_from="2026-11-22")))
    with pytest.raises(Clash):
        await prices.update(plane.call(change(valid_from="2026-11-21"), price=other.id))
    await prices.create(plane.call(body(model="another", valid_from="2026-11-21")))


async def test_a_provider_nobody_knows_has_no_price(prices: Prices, plane: Plane) -> None:
    with pytest.raises(Invalid) as refused:
        await prices.create(plane.call(body(provider="nobody")))
    assert (refused.value.code, refused.value.pointer) == ("provider_unknown", "/provider")


async def test_an_own_provider_has_prices_and_stays_while_it_has(prices: Prices, plane: Plane) -> None:
    providers = Providers(plane.database, plane.changes, KNOWN)
    await providers.create(plane.call(ProviderCreate(id="own", name="Own", base_url="https://own.test")))
    made = await prices.create(plane.call(body(provider="own", model="mine")))
    with pytest.raises(Conflict, match=made.id) as refused:
        await providers.delete(plane.call(provider="own"))
    assert refused.value.code == "in_use"
    await prices.delete(plane.call(price=made.id))
    await providers.delete(plane.call(provider="own"))


async def test_of_a_provider_s_deletion_and_a_price_for_it_at_the_same_time_one_wins(
    prices: Prices, plane: Plane
) -> None:
    providers = Providers(plane.database, plane.changes, KNOWN)
    for _ in range(5):
        await providers.create(plane.call(ProviderCreate(id="own", name="Own", base_url="https://own.test")))
        results = await asyncio.gather(
            providers.delete(plane.call(provider="own")),
            prices.create(plane.call(body(provider="own"))),
            return_exceptions=True,
        )
        refused = [result for result in results if isinstance(result, Exception)]
        assert [type(error) for error in refused] in ([Conflict], [Invalid])
        if isinstance(refused[0], Conflict):
            (view,) = (await prices.list(plane.call())).data
            await prices.delete(plane.call(price=view.id))
            await providers.delete(plane.call(provider="own"))


async def test_prices_are_listed_filtered_sorted_and_paged(prices: Prices, plane: Plane) -> None:
    for model, day in (("large", "2026-11-21"), ("large", "2026-11-22"), (None, "2026-11-20")):
        await prices.create(plane.call(body(model=model, valid_from=day)))

    async def days(**query: str) -> list[int]:
        return [view.valid_from.day for view in (await prices.list(plane.call(query=query))).data]

    assert await days() == [20, 22, 21]
    assert await days(sort="valid_from") == [20, 21, 22]
    assert (await days(sort="-model"))[2] == 20
    assert await days(filter="model:LARG", sort="valid_from") == [21, 22]
    assert await days(filter="provider:acme valid_from>2026-11-21", sort="valid_from") == [22]
    assert await days(filter="provider:other") == []
    first = await prices.list(plane.call(query={"sort": "valid_from", "limit": "2"}))
    assert first.next_cursor is not None
    assert await days(sort="valid_from", limit="2", cursor=first.next_cursor) == [22]


async def test_another_organisation_does_not_see_it(prices: Prices, plane: Plane) -> None:
    made = await prices.create(plane.call(body(valid_from="2026-11-21")))
    other = await plane.in_another_organisation()
    assert (await prices.list(other.call())).data == ()
    for attempt in (
        prices.read(other.call(price=made.id)),
        prices.update(other.call(change(multiplier="9"), price=made.id)),
        prices.delete(other.call(price=made.id)),
    ):
        with pytest.raises(NotFound):
            await attempt
    await prices.create(other.call(body(valid_from="2026-11-21")))
    assert await prices.read(plane.call(price=made.id)) == made


BAD: list[dict[str, Any]] = [
    {"amounts": None},
    {"amounts": {"input_usd_per_mtok": 0.15}},
    {"amounts": {"input_usd_per_mtok": "-1"}},
    {"amounts": {"input_usd_per_mtok": "1e-7"}},
    {"amounts": {"input_usd_per_mtok": ".5"}},
    {"amounts": {"input_usd_per_mtok": "1,5"}},
    {"amounts": {"input_usd_per_mtok": "1234567890"}},
    {"amounts": {"input_usd_per_token": "1"}},
    {"amounts": []},
    {"multiplier": 0.85},
    {"multiplier": "-1"},
    {"multiplier": "85%"},
    {"multiplier": "10000"},
    {"multiplier": "1." + "1" * 13},
    {"valid_from": "tomorrow"},
    {"valid_from": "2026-02-30"},
    {"valid_from": "2026-11-21T12:00:00Z"},
    {"valid_from": 1795219200},
    {"valid_from": "1999-12-31"},
    {"valid_from": "2200-01-01"},
    {"model": ""},
    {"model": "m" * 301},
    {"provider": "no such id"},
    {"currency": "EUR"},
]


@pytest.mark.parametrize("fields", BAD, ids=str)
def test_what_cannot_be_meant_is_refused_at_the_door(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        body(**fields)
    if fields.keys() <= PriceUpdate.model_fields.keys() and fields != {"amounts": None}:
        with pytest.raises(ValidationError):
            change(**fields)


def test_a_multiplier_may_be_nothing_or_a_thousandfold() -> None:
    for multiplier in ("0", "1", "9999", "0.000000000001"):
        assert body(multiplier=multiplier).multiplier == multiplier
