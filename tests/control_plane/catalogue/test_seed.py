"""Seeding: once for each catalogue, in one edit, telling gateways only what changed."""

import asyncio
import hashlib
from datetime import UTC, date, datetime
from typing import Any

import pytest

from control_plane.catalogue.catalogue import Catalogue, Entry
from control_plane.catalogue.seed import seed
from control_plane.db.errors import Clash
from shared.models.model import Model
from shared.models.price import Amounts, Price
from shared.models.provider import Provider
from shared.protocol.resource import GLOBAL_SHARD
from tests.fixtures.control_plane import Plane

ACME = Provider(id="acme", name="Acme", base_url="https://acme.test")
OLD = Price(valid_from=date(2026, 1, 1), amounts=Amounts(input_usd_per_mtok="1"))
NEW = Price(valid_from=date(2026, 3, 1), amounts=Amounts(input_usd_per_mtok="2", output_usd_per_mtok="4.5"))
UNKNOWN = Price(valid_from=date(2026, 5, 1), amounts=Amounts())


def catalogue(*entries: Entry) -> Catalogue:
    return Catalogue(entries, {"acme": ACME}, hashlib.sha256(repr(entries).encode()).hexdigest())


def entry(name: str, type_: str = "chat", prices: tuple[Price, ...] = ()) -> Entry:
    return Entry(provider="acme", name=name, type=type_, abilities=("tools",), prices=prices)


async def sown(plane: Plane, catalogue: Catalogue) -> bool:
    return await seed(plane.changes, plane.data_keys, plane.shard_keys, catalogue)


async def rows(plane: Plane, statement: str) -> list[dict[str, Any]]:
    async with plane.database.instance() as connection:
        return [dict(row) for row in await connection.fetch(statement)]


async def test_the_first_start_makes_the_global_shard_and_tells_of_every_model(bare_plane: Plane) -> None:
    assert await sown(bare_plane, catalogue(entry("one"), entry("two", "embedding"), entry("three", "rerank")))
    assert await bare_plane.told(GLOBAL_SHARD, "model", "acme/one") == Model(
        id="acme/one", provider="acme", name="one"
    ).model_dump(mode="json")
    assert (await bare_plane.told(GLOBAL_SHARD, "model", "acme/two") or {})["type"] == "embedding"
    assert await bare_plane.told(GLOBAL_SHARD, "model", "acme/three") is None
    assert await bare_plane.revision() == 1
    assert len(await rows(bare_plane, "select * from model")) == 3


async def test_the_same_catalogue_again_moves_nothing(bare_plane: Plane) -> None:
    same = catalogue(entry("one"))
    assert await sown(bare_plane, same)
    assert not await sown(bare_plane, same)
    assert await bare_plane.revision() == 1


async def test_only_what_changed_is_told(bare_plane: Plane) -> None:
    await sown(bare_plane, catalogue(entry("stays"), entry("turns"), entry("goes")))
    assert await sown(bare_plane, catalogue(entry("stays"), entry("turns", "embedding"), entry("comes")))
    changed = await rows(bare_plane, "select id from change where revision = 2 order by id")
    assert [row["id"] for row in changed] == ["acme/comes", "acme/goes", "acme/turns"]
    assert await bare_plane.told(GLOBAL_SHARD, "model", "acme/goes") is None


async def test_a_change_of_prices_alone_replaces_rows_and_reaches_gateways(bare_plane: Plane) -> None:
    await sown(bare_plane, catalogue(entry("one", prices=(OLD,)), entry("two", prices=(OLD,))))
    assert await sown(bare_plane, catalogue(entry("one", prices=(OLD, NEW)), entry("two", prices=(OLD,))))
    assert await bare_plane.revision() == 2
    moved = await rows(bare_plane, "select id from change where shard = 'global' and revision = 2")
    assert [row["id"].rpartition("/")[2] for row in moved] == ["one"]
    assert len(await rows(bare_plane, "select * from price")) == 3


async def test_a_price_ends_where_the_next_begins_and_unknown_has_no_row(bare_plane: Plane) -> None:
    await sown(bare_plane, catalogue(entry("one", prices=(OLD, NEW, UNKNOWN)), entry("two", prices=(OLD,))))
    found = await rows(bare_plane, "select model, valid_from, valid_to, amounts from price order by model, valid_from")
    january, march, may = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 3, 5))
    assert found == [
        {"model": "one", "valid_from": january, "valid_to": march, "amounts": {"input_usd_per_mtok": "1"}},
        {
            "model": "one",
            "valid_from": march,
            "valid_to": may,
            "amounts": {"input_usd_per_mtok": "2", "output_usd_per_mtok": "4.5"},
        },
        {"model": "two", "valid_from": january, "valid_to": None, "amounts": {"input_usd_per_mtok": "1"}},
    ]


async def test_of_several_that_start_at_once_one_seeds(bare_plane: Plane) -> None:
    same = catalogue(entry("one"))
    results = await asyncio.gather(*(sown(bare_plane, same) for _ in range(4)))
    assert sorted(results) == [False, False, False, True]
    assert await bare_plane.revision() == 1


async def test_a_seed_that_fails_leaves_nothing(bare_plane: Plane) -> None:
    twice = Catalogue((entry("one"), entry("one")), {"acme": ACME}, "x")
    with pytest.raises(Clash):
        await sown(bare_plane, twice)
    assert await rows(bare_plane, "select * from model") == []
    assert await rows(bare_plane, "select * from shard_head") == []
