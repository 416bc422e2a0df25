"""Records one by one and in lists: every field, every order, page by page."""

from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest
import pytest_asyncio

from control_plane.records.store import SORTS
from shared.models.record import FIELDS, Record
from tests.fixtures.asking import House, house_in
from tests.fixtures.clickhouse import ClickhouseServer
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.records import a_record
from tests.fixtures.traffic import traffic

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/api/v1/records"
FROM_MS = 1_793_491_200_000
HOUR_MS = 3_600_000
_OF_SORT = {"duration": "duration_us", "first_byte": "first_byte_us", "overhead": "overhead_us"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    postgres_server: PostgresServer,
    clickhouse_engine: ClickhouseServer,
    _template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("records")
    async with house_in(postgres_server, _template, clickhouse_engine, folder, "records") as house:
        await house.recorded.store(house.tenant.id, made(house))
        yield house


def made(house: House) -> list[Record]:
    """Some of them begun in the same millisecond, and many as long as others."""
    random = Random(31)
    records = traffic(random, 60, FROM_MS, FROM_MS + 40, workspaces=[house.tenant.workspace])
    return [record._replace(duration_us=record.duration_us and random.randrange(5)) for record in records]


def value(record: Record, sort: str) -> Any:
    if sort == "started_at":
        return record.started_at_ms
    if sort == "cost":
        return record.cost_picousd
    if sort == "tokens":
        known = [count for count in (record.input_tokens, record.output_tokens) if count is not None]
        return sum(known) if known else None
    return getattr(record, _OF_SORT.get(sort, sort))


@pytest.mark.parametrize("sort", [sign + name for name in SORTS for sign in ("", "-")])
async def test_pages_in_every_order_hold_every_record_once(house: House, sort: str) -> None:
    rows: list[dict[str, Any]] = []
    query = {"sort": sort, "limit": "7"}
    while True:
        page = await house.ok(PATH, **query)
        rows += page["data"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    descending, name = sort.startswith("-"), sort.removeprefix("-")
    known = [record for record in made(house) if value(record, name) is not None]
    unknown = [record for record in made(house) if value(record, name) is None]
    ordered = sorted(known, key=lambda record: (value(record, name), record.id), reverse=descending)
    ordered += sorted(unknown, key=lambda record: record.id, reverse=descending)
    assert [row["id"] for row in rows] == [record.id for record in ordered]


async def test_a_record_is_told_field_by_field(house: House) -> None:
    tenant = house.tenant
    record = a_record(
        7,
        started_at_ms=FROM_MS + HOUR_MS,
        workspace=tenant.workspace,
        api_key=tenant.standing["api_key"],
        virtual_key=tenant.standing["virtual_key"],
        config=tenant.standing["config"],
        attempts=[
            ("config.targets[0]", "openai", "gpt-4o", None, 500, "timeout", 10, 20),
            ("config.targets[1]", "acme", None, "vk_2", None, None, 30, 40),
        ],
        metadata={"team": "Größe, \"x\"\t'y'"},
        user="a" * 32,
    )
    await house.recorded.store(tenant.id, [record], gateway=tenant.standing["gateway"], node="nd_7")
    told = await house.ok(f"{PATH}/{record.id}")
    assert told == (await house.ok(PATH, filter=f"id:{record.id}"))["data"][0]
    assert (told["gateway"], told["node"]) == (tenant.standing["gateway"], "nd_7")
    assert told["started_at"] == told["received_at"] == "2026-11-01T01:00:00Z"
    marker = tenant.marker
    assert told["names"] == {
        "workspace": await house.world.sql("select name from workspace where id = $1", tenant.workspace),
        "api_key": f"{marker}-api-key",
        "virtual_key": f"{marker}-virtual-key",
        "config": f"{marker}-config",
        "gateway": f"{marker}-gateway",
    }
    first, second = told["attempts"]
    assert first == {
        "target": "config.targets[0]",
        "provider": "openai",
        "model": "gpt-4o",
        "virtual_key": None,
        "status": 500,
        "error": "timeout",
        "began_us": 10,
        "took_us": 20,
    }
    assert (second["model"], second["virtual_key"], second["status"], second["error"]) == (None, "vk_2", None, None)
    assert told["decision"] == [{"path": "config", "because": "weight", "child": 0}]
    assert (told["cost_usd"], told["cost_cache_write_usd"]) == ("0.000213", "0")
    for field in FIELDS:
        if field in ("started_at_ms", "attempts", "decision") or field.endswith("_picousd"):
            continue
        assert told[field] == getattr(record, field), field
    assert await house.world.sql("select 1") == 1
    await house.recorded.client.command("delete from record where id = {id:String}", parameters={"id": record.id})


async def test_a_record_that_is_not_there_is_not_found(house: House) -> None:
    for id_ in ("lg_" + "f" * 32, "x", "%00", "'; drop table record"):
        answer = await house.get(f"{PATH}/{id_}")
        assert answer.status in (400, 404), answer.text
    assert len((await house.ok(PATH, limit="200"))["data"]) == len(made(house))


async def test_a_list_is_filtered_by_the_language_and_by_time(house: House) -> None:
    page = await house.ok(PATH, filter="model:gpt-4o* -status:200", limit="200")
    expected = [r for r in made(house) if (r.model or "").startswith("gpt-4o") and r.status != 200]
    assert {row["id"] for row in page["data"]} == {record.id for record in expected}
    page = await house.ok(PATH, from_="2026-11-01T00:00:00.010Z", to="2026-11-01T00:00:00.030Z", limit="200")
    expected = [r for r in made(house) if 10 <= r.started_at_ms - FROM_MS < 30]
    assert {row["id"] for row in page["data"]} == {record.id for record in expected}
    assert (await house.ok(PATH, last="1h"))["data"] == []


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"sort": "colour"}, "sort"),
        ({"limit": "201"}, "limit"),
        ({"limit": "0000201"}, "limit"),
        ({"limit": "000001" + "0" * 5_000}, "limit"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "WyJjb3N0IiwiMC4wMSIsImxnXzEiXQ"}, "cursor"),
        ({"cursor": "WyJzdGFydGVkX2F0IiwieCIsImxnXzEiXQ"}, "cursor"),
        ({"cursor": "WyJzdGFydGVkX2F0Iiw5OTk5OTk5OTk5OTk5OTk5OTk5OTk5LCJ4Il0"}, "cursor"),
        ({"filter": "colour:red"}, "filter"),
        ({"last": "1d", "from_": "2026-11-01"}, "last"),
    ],
)
async def test_a_mistake_is_told_with_its_place(house: House, query: dict[str, str], pointer: str) -> None:
    problem = await house.refused(PATH, **query)
    assert (problem["status"], problem["pointer"]) == (400, pointer)
