"""The door of analytics: what an answer holds, and how each mistake in a question is told."""

import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from random import Random

import pytest
import pytest_asyncio

from control_plane.analytics.dimensions import DIMENSIONS
from control_plane.analytics.measures import MEASURES
from control_plane.errors import Invalid
from control_plane.filters.clickhouse import Parameters
from control_plane.filters.records import FIELDS
from shared.models.record import Record
from tests.fixtures.asking import House, house_in
from tests.fixtures.clickhouse import ClickhouseServer
from tests.fixtures.measured import measure
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.tenants import standing_world
from tests.fixtures.traffic import traffic

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUERY = "/api/v1/analytics/query"
FROM_MS = 1_793_491_200_000
"""2026-11-01."""
HOUR_MS = 3_600_000
EVERYTHING = {"measures": ",".join(MEASURES), "step": "1m", "last": "20h"}
RANGE = {"from_": "2026-11-01", "to": "2026-11-02"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    postgres_server: PostgresServer,
    clickhouse_engine: ClickhouseServer,
    _template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("asking")
    async with house_in(postgres_server, _template, clickhouse_engine, folder, "asking") as house:
        await house.recorded.store(house.tenant.id, records(house), gateway=house.tenant.standing["gateway"])
        yield house


def records(house: House) -> list[Record]:
    """Of two days, in the first workspace: half of them with its key."""
    place, key = house.tenant.workspace, house.tenant.standing["api_key"]
    made = traffic(Random(3), 200, FROM_MS - 24 * HOUR_MS, FROM_MS + 24 * HOUR_MS, workspaces=[place])
    return [record._replace(api_key=key if number % 2 else "ak_gone") for number, record in enumerate(made)]


def inside(house: House, start_ms: int = FROM_MS, end_ms: int = FROM_MS + 24 * HOUR_MS) -> list[Record]:
    return [record for record in records(house) if start_ms <= record.started_at_ms < end_ms]


async def test_without_anything_said_the_last_day_is_summed_up(house: House) -> None:
    answer = await house.ok(QUERY)
    assert answer["measures"] == ["requests", "errors", "tokens", "cost_usd"]
    assert answer["totals"] == {
        "values": {"requests": 0, "errors": 0, "tokens": 0, "cost_usd": "0"},
        "points": None,
        "previous": None,
        "previous_points": None,
    }
    assert (answer["rows"], answer["other"], answer["at"]) == ([], None, [])
    assert datetime.fromisoformat(answer["end"]) - datetime.fromisoformat(answer["start"]) == timedelta(days=1)


async def test_every_measure_can_be_asked_for_at_once(house: House) -> None:
    answer = await house.ok(QUERY, measures=",".join(MEASURES), **RANGE)
    values = answer["totals"]["values"]
    assert values.keys() == MEASURES.keys()
    for name in ("requests", "errors", "cost_usd", "cost_unknown", "tokens", "users", "rescued", "last_seen"):
        assert values[name] == measure(name, inside(house)), name


async def test_ids_come_with_the_names_of_what_is_still_there(house: House) -> None:
    key = house.tenant.standing["api_key"]
    answer = await house.ok(QUERY, by="api_key,gateway", measures="requests", sort="-requests", **RANGE)
    rows = {row["key"]["api_key"]: row for row in answer["rows"]}
    assert rows[key]["names"] == {
        "api_key": f"{house.tenant.marker}-api-key",
        "gateway": f"{house.tenant.marker}-gateway",
    }
    assert rows["ak_gone"]["names"] == {"gateway": f"{house.tenant.marker}-gateway"}


async def test_names_filter_in_any_case_and_one_that_nobody_has_finds_nothing(house: House) -> None:
    name, key = f"{house.tenant.marker}-API-key", house.tenant.standing["api_key"]
    mine = sum(record.api_key == key for record in inside(house))
    for text in (f"key:{name}", f"key:{key}", f"key:{name[:-3]}*", f"api_key={name},nobody", "-key:ak_gone"):
        answer = await house.ok(QUERY, filter=text, measures="requests", **RANGE)
        assert answer["totals"]["values"] == {"requests": mine}, text
    for text in ("key:nobody", "vk:nobody", "config:nobody*", "gateway:nobody", "workspace:nobody"):
        answer = await house.ok(QUERY, filter=text, measures="requests", **RANGE)
        assert answer["totals"]["values"] == {"requests": 0}, text
    slug = house.tenant.slugs["config"]
    answer = await house.ok(QUERY, filter=f"-config:{slug}", measures="requests", **RANGE)
    assert answer["totals"]["values"] == {"requests": len(inside(house))}


async def test_a_filter_is_told_as_it_was_understood(house: House) -> None:
    answer = await house.ok(QUERY, filter=' latency>1.5m   key:"ci" ', **RANGE)
    assert answer["filter"] == "duration>90s api_key:ci"


async def test_steps_and_the_time_before_stand_side_by_side(house: House) -> None:
    answer = await house.ok(QUERY, by="provider", measures="requests", step="6h", compare="previous", **RANGE)
    assert answer["at"] == [f"2026-11-01T{hour}:00:00Z" for hour in ("00", "06", "12", "18")]
    totals = answer["totals"]
    quarters = [inside(house, FROM_MS + n * 6 * HOUR_MS, FROM_MS + (n + 1) * 6 * HOUR_MS) for n in range(-4, 4)]
    assert totals["previous_points"]["requests"] + totals["points"]["requests"] == [len(part) for part in quarters]
    assert totals["previous"] == {"requests": sum(map(len, quarters[:4]))}
    assert sum(row["values"]["requests"] for row in answer["rows"]) == totals["values"]["requests"]
    assert {row["key"]["provider"] for row in answer["rows"]} == {"openai", "acme", None}


async def test_keys_are_what_they_are(house: House) -> None:
    answer = await house.ok(QUERY, by="status,stream", measures="requests", limit="100", **RANGE)
    assert {type(row["key"]["stream"]) for row in answer["rows"]} == {bool}
    assert {type(row["key"]["status"]) for row in answer["rows"]} == {int, type(None)}
    by_team = await house.ok(QUERY, by='meta."the place"', measures="requests", **RANGE)
    assert None in {row["key"]['meta."the place"'] for row in by_team["rows"]}


async def test_what_is_not_shown_is_summed_up(house: House) -> None:
    answer = await house.ok(QUERY, by="model,provider", limit="2", **RANGE)
    assert len(answer["rows"]) == 2
    shown = sum(row["values"]["requests"] for row in answer["rows"])
    assert shown + answer["other"]["values"]["requests"] == len(inside(house))
    fewest = await house.ok(QUERY, by="model,provider", limit="1", sort="requests", **RANGE)
    assert fewest["rows"][0]["values"]["requests"] <= min(row["values"]["requests"] for row in answer["rows"])


@pytest.mark.parametrize(
    ("query", "pointer", "told"),
    [
        ({"measures": "speed"}, "measures", "there are requests"),
        ({"by": "colour"}, "by", "there are workspace"),
        ({"by": "model,provider,door,cache"}, "by", "at most 3"),
        ({"by": f"meta.{'k' * 129}"}, "by", "128 characters"),
        ({"sort": "speed"}, "sort", "no measure"),
        ({"limit": "0"}, "limit", "from 1 to 100"),
        ({"limit": "101"}, "limit", "from 1 to 100"),
        ({"limit": "１"}, "limit", "from 1 to 100"),  # noqa: RUF001
        ({"limit": "0000999"}, "limit", "from 1 to 100"),
        ({"limit": "000001" + "0" * 5_000}, "limit", "from 1 to 100"),
        ({"step": "7h"}, "step", "a step is one of"),
        ({"step": "1m", "last": "3d"}, "step", "more than 1500"),
        ({"last": "forever"}, "last", "such as `30d`"),
        ({"time_zone": "Moon"}, "time_zone", "Europe/Berlin"),
        ({"to": "1971-01-02", "last": "1100d", "step": "1d"}, "to", "2026-11-01"),
        ({"compare": "last year"}, "compare", "previous"),
        ({"filter": "status>=x"}, "filter", "a status"),
        ({"colour": "red"}, "colour", "no query parameter"),
        (
            {"measures": ",".join(MEASURES), "by": "user", "limit": "100", "step": "1m", "last": "20h"},
            "measures",
            "values",
        ),
    ],
)
async def test_a_mistake_is_told_with_its_place(house: House, query: dict[str, str], pointer: str, told: str) -> None:
    problem = await house.refused(QUERY, **query)
    assert (problem["status"], problem["pointer"]) == (400, pointer)
    assert told in problem["detail"]


async def test_the_first_time_that_can_be_asked_for_is_answered_beside_the_time_before(house: House) -> None:
    first = {"last": "1100d", "to": "1980-01-01", "step": "1mo", "time_zone": "Pacific/Kiritimati"}
    answer = await house.ok(QUERY, measures="requests", compare="previous", **first)
    assert answer["totals"]["values"] == answer["totals"]["previous"] == {"requests": None}
    assert answer["kept_since"] == answer["end"]


async def test_a_fault_in_a_filter_has_a_position(house: House) -> None:
    problem = await house.refused(QUERY, filter="model:x status>=x")
    assert (problem["code"], problem["position"]) == ("filter_invalid", 16)


async def test_a_question_that_is_too_large_is_refused_and_the_next_one_is_answered(house: House) -> None:
    table = "numbers(1000000000000)"
    engine = house.recorded.engine
    with pytest.raises(Invalid, match="more memory than there is"):
        await engine.rows("org", f"select groupArray(number) as n from {table}", Parameters())
    with pytest.raises(Invalid):
        await engine.rows("org", "select number from numbers(300000)", Parameters())
    assert (await house.ok(QUERY, **RANGE))["totals"]["values"]["requests"] == len(inside(house))


async def test_without_a_clickhouse_everything_else_is_served(
    migrated_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with standing_world(migrated_url, tmp_path_factory.mktemp("bare")) as world:
        tenant = await world.tenant("bare")
        for route in world.parts.routes:
            if route.action not in ("analytics.view", "logs.list", "logs.view", "workspaces.list"):
                continue
            answer = await world.send(await tenant.ask(route), await tenant.owner())
            if route.action == "workspaces.list" or route.path == "/api/v1/filter-fields":
                assert answer.status == 200, answer.text
            else:
                assert answer.status == 503, answer.text
                assert "analytics_unavailable" in answer.text


async def test_the_fields_to_filter_by_are_told_with_what_can_be_said_of_them(house: House) -> None:
    fields = {field["name"]: field for field in (await house.ok("/api/v1/filter-fields"))["fields"]}
    assert fields.keys() == {field.name for field in FIELDS} | {"meta.<key>"}
    assert fields["cost"]["operators"] == [":", "=", "!=", ">", ">=", "<", "<="]
    assert fields["api_key"]["aliases"] == ["key"]
    assert "hit" in fields["cache"]["values"]
    assert {name for name, field in fields.items() if field["suggests"]} <= {*DIMENSIONS, "meta.<key>"}


async def test_values_are_suggested_from_what_there_was_lately(house: House) -> None:
    tenant, key = house.tenant, house.tenant.standing["api_key"]
    lately = [
        record._replace(started_at_ms=time.time_ns() // 1_000_000)
        for record in traffic(Random(5), 40, 0, 1, workspaces=[tenant.workspace])
    ]
    await house.recorded.store(tenant.id, [record._replace(api_key=key) for record in lately])

    async def values(field: str, text: str = "") -> dict[str, str | None]:
        told = await house.ok("/api/v1/filter-values", field=field, text=text)
        return {value["value"]: value["name"] for value in told["data"]}

    assert await values("model") == dict.fromkeys(["gpt-4o", "gpt-4o-mini", "large"])
    assert await values("model", "gpt") == dict.fromkeys(["gpt-4o", "gpt-4o-mini"])
    assert await values("key") == {key: f"{tenant.marker}-api-key"}
    assert await values("key", tenant.marker) == {key: f"{tenant.marker}-api-key"}
    assert await values("key", "x") == {}
    assert (await values("status")).keys() <= {"200", "400", "401", "429", "500", "504"}
    assert await values("meta") == dict.fromkeys(["team", "the place"])
    assert await values("meta", "te") == {"team": None}
    assert "search" in await values("meta.team")
    for field in ("cost", "status_class", ""):
        assert (await house.refused("/api/v1/filter-values", field=field))["pointer"] == "field"
