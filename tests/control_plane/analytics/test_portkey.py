"""The original's analytics: its paths, filters and shapes, over our own records."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
import pytest_asyncio

from control_plane.permissions import GRANTABLE
from control_plane.telemetry.retention import Retention
from shared.models.record import Record
from shared.paths import Server, who_serves
from tests.fixtures.asking import House, house_in
from tests.fixtures.clickhouse import ClickhouseServer
from tests.fixtures.measured import failed, measure, rescued
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.traffic import traffic

pytestmark = pytest.mark.asyncio(loop_scope="module")

FROM_MS = 1_793_491_200_000
HOUR_MS = 3_600_000
ROOT = "/v1/analytics"
RANGE = {"time_of_generation_min": "2026-11-01T00:00:00Z", "time_of_generation_max": "2026-11-01T12:00:00Z"}
POINTS = 12 * 12
"""In twelve hours, steps of five minutes."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    postgres_server: PostgresServer,
    clickhouse_engine: ClickhouseServer,
    _template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("portkey")
    async with house_in(postgres_server, _template, clickhouse_engine, folder, "portkey") as house:
        await house.recorded.store(house.tenant.id, records(house))
        yield house


def records(house: House) -> list[Record]:
    tenant = house.tenant
    made = traffic(Random(23), 150, FROM_MS, FROM_MS + 12 * HOUR_MS, workspaces=[tenant.workspace])
    key, config, vk = (tenant.standing[kind] for kind in ("api_key", "config", "virtual_key"))
    return [r._replace(api_key=key, config=config, virtual_key=vk) if n % 3 else r for n, r in enumerate(made)]


async def test_the_control_plane_serves_all_of_it() -> None:
    assert who_serves(f"{ROOT}/graphs/requests") is Server.CONTROL_PLANE


@pytest.mark.parametrize(("path", "name"), [("requests", "requests"), ("errors", "errors"), ("users", "users")])
async def test_counts_are_totals_and_points_of_them(house: House, path: str, name: str) -> None:
    answer = await house.ok(f"{ROOT}/graphs/{path}", **RANGE)
    assert answer["summary"] == {"total": measure(name, records(house))}
    assert answer["object"] == "analytics-graph"
    assert len(answer["data_points"]) == POINTS
    assert answer["data_points"][0].keys() == {"timestamp", "total"}
    assert answer["data_points"][0]["timestamp"] == "2026-11-01T00:00:00Z"
    if name != "users":
        assert sum(point["total"] for point in answer["data_points"]) == answer["summary"]["total"]


async def test_cost_is_told_in_cents(house: House) -> None:
    answer = await house.ok(f"{ROOT}/graphs/cost", **RANGE)
    cents = float(measure("cost_usd", records(house))) * 100
    priced = sum(record.cost_picousd is not None for record in records(house))
    assert answer["summary"] == pytest.approx({"total": cents, "avg": cents / priced})
    assert sum(point["total"] or 0 for point in answer["data_points"]) == pytest.approx(cents)


async def test_what_is_unknown_is_null(house: House) -> None:
    answer = await house.ok(f"{ROOT}/graphs/cost", **RANGE, cost_min="0", trace_id="nobody")
    assert answer["summary"] == {"total": 0, "avg": None}
    latency = await house.ok(f"{ROOT}/graphs/latency", **RANGE, trace_id="nobody")
    assert latency["summary"] == {"avg": None, "p50": None, "p90": None, "p99": None}


NULLS: Mapping[str, Mapping[str, None]] = {
    "graphs/requests": {"total": None},
    "graphs/errors": {"total": None},
    "graphs/users": {"total": None},
    "graphs/cost": {"total": None, "avg": None},
    "graphs/tokens": {"total": None, "avg": None},
    "graphs/latency": {"avg": None, "p50": None, "p90": None, "p99": None},
    "graphs/users/requests": {"total": None, "unique": None, "avg": None},
    "graphs/errors/rate": {"rate": None},
    "graphs/errors/stacks": {"total": None},
    "graphs/errors/status-codes": {"total_errors": None, "unique_error_codes": None},
    "graphs/requests/rescued": {"retry": None, "fallback": None},
    "graphs/cache/hit-rate": {"total": None, "rate": None},
    "graphs/cache/latency": {"avg": None},
    "summary/cache": {"hits": None, "avg_latency": None, "total_requests": None, "cache_speedup": None},
}


@pytest.mark.parametrize("path", NULLS)
async def test_what_is_kept_no_more_is_null_and_not_0(house: House, path: str) -> None:
    range_ = {"time_of_generation_min": "2020-11-01T00:00:00Z", "time_of_generation_max": "2020-11-02T00:00:00Z"}
    answer = await house.ok(f"{ROOT}/{path}", **range_)
    assert answer["summary"] == NULLS[path]
    assert answer["kept_since"] is not None
    for point in answer.get("data_points", ()):
        told = {name: value for name, value in point.items() if name != "timestamp"}
        assert all(value in (None, [None] * 5) for value in told.values()), point


async def test_groups_of_what_is_kept_no_more_are_unknown(house: House) -> None:
    range_ = {"time_of_generation_min": "2020-11-01T00:00:00Z", "time_of_generation_max": "2020-11-02T00:00:00Z"}
    for path in ("users", "ai-models", "metadata/team"):
        answer = await house.ok(f"{ROOT}/groups/{path}", **range_)
        assert (answer["total"], answer["data"]) == (None, [])
        assert answer["kept_since"] is not None


async def test_steps_before_what_is_kept_are_null_and_those_after_are_counted(house: House) -> None:
    now = datetime.now(UTC)
    since = now - timedelta(days=Retention().hour_days)
    range_ = {
        "time_of_generation_min": (since - timedelta(days=10)).isoformat(),
        "time_of_generation_max": (since + timedelta(days=10)).isoformat(),
    }
    for path in ("requests", "errors"):
        answer = await house.ok(f"{ROOT}/graphs/{path}", **range_)
        assert answer["summary"] == {"total": 0}
        assert timedelta(0) <= datetime.fromisoformat(answer["kept_since"]) - since <= timedelta(hours=2)
        for point in answer["data_points"]:
            kept = point["timestamp"] >= answer["kept_since"]
            assert (point["total"] is not None) == kept, point
    assert (await house.ok(f"{ROOT}/graphs/requests", **RANGE))["kept_since"] is None


async def test_latency_is_told_in_milliseconds(house: House) -> None:
    answer = await house.ok(f"{ROOT}/graphs/latency", **RANGE)
    for name in ("avg", "p50", "p90", "p99"):
        expected = measure(f"duration_{name}_us", records(house)) / 1000
        assert answer["summary"][name] == pytest.approx(expected, rel=0.0225)
    assert answer["data_points"][0].keys() == {"timestamp", "avg", "p50", "p90", "p99"}


async def test_tokens_and_rates(house: House) -> None:
    made = records(house)
    tokens = await house.ok(f"{ROOT}/graphs/tokens", **RANGE)
    total = measure("tokens", made)
    known = sum(record.usage != "unknown" for record in made)
    assert tokens["summary"] == pytest.approx({"total": total, "avg": total / known})
    rate = await house.ok(f"{ROOT}/graphs/errors/rate", **RANGE)
    assert rate["summary"]["rate"] == pytest.approx(100 * sum(map(failed, made)) / len(made))
    of_users = [record for record in made if record.user]
    users = await house.ok(f"{ROOT}/graphs/users/requests", **RANGE)
    unique = measure("users", made)
    assert users["summary"] == {"total": len(of_users), "unique": unique, "avg": len(of_users) / unique}
    assert users["data_points"][0].keys() == {"timestamp", "avg"}


async def test_errors_by_status(house: House) -> None:
    wrong = [record for record in records(house) if failed(record)]
    by_status = {status: sum(r.status == status for r in wrong) for status in {r.status for r in wrong}}
    codes = await house.ok(f"{ROOT}/graphs/errors/status-codes", **RANGE)
    assert codes["summary"] == {"total_errors": len(wrong), "unique_error_codes": len(by_status)}
    assert {point["status_code"]: point["count"] for point in codes["data_points"]} == by_status
    stacks = await house.ok(f"{ROOT}/graphs/errors/stacks", **RANGE)
    assert stacks["summary"] == {"total": len(wrong)}
    counted = [stat for point in stacks["data_points"] for stat in point["stats"]]
    assert {s: sum(c["count"] for c in counted if c["status"] == s) for s in by_status} == by_status


async def test_rescued_requests_by_what_rescued_them(house: House) -> None:
    saved = [record for record in records(house) if rescued(record)]
    by_fallback = [record for record in saved if record.fallback_count]
    answer = await house.ok(f"{ROOT}/graphs/requests/rescued", **RANGE)
    assert answer["summary"] == {"retry": len(saved) - len(by_fallback), "fallback": len(by_fallback)}
    by_retries = [sum(point["retry"][n] for point in answer["data_points"]) for n in range(5)]
    assert by_retries == [sum(r.retry_count == n and not r.fallback_count for r in saved) for n in range(1, 6)]
    assert sum(point["fallback"] for point in answer["data_points"]) == len(by_fallback)


async def test_what_the_cache_did(house: House) -> None:
    made = records(house)
    hits = [record for record in made if record.cache in ("hit", "semantic_hit")]
    rate = await house.ok(f"{ROOT}/graphs/cache/hit-rate", **RANGE)
    assert rate["summary"]["total"] == len(hits)
    assert rate["summary"]["rate"] == pytest.approx(100 * measure("cache_hit_rate", made))
    assert sum(point["simple_hits"] for point in rate["data_points"]) == sum(r.cache == "hit" for r in made)
    assert sum(point["semantic_hits"] for point in rate["data_points"]) == sum(r.cache == "semantic_hit" for r in made)
    fast = measure("duration_avg_us", hits)
    slow = measure("duration_avg_us", [record for record in made if record not in hits])
    latency = await house.ok(f"{ROOT}/graphs/cache/latency", **RANGE)
    assert latency["data_points"][0].keys() == {"timestamp", "avg"}
    summary = await house.ok(f"{ROOT}/summary/cache", **RANGE)
    assert summary["object"] == "analytics-summary"
    assert summary["summary"] == pytest.approx(
        {"hits": len(hits), "avg_latency": fast / 1000, "total_requests": len(made), "cache_speedup": slow / fast},
        rel=1e-4,
    )


async def test_groups_are_paged_through(house: House) -> None:
    made = records(house)
    models = {model: sum(r.model == model for r in made) for model in {r.model for r in made} - {None}}
    found = []
    for page in range(3):
        answer = await house.ok(f"{ROOT}/groups/ai-models", **RANGE, current_page=str(page), page_size="2")
        assert (answer["object"], answer["total"]) == ("list", len(models))
        found += answer["data"]
    assert {group["ai_model"]: group["requests"] for group in found} == models
    assert [group["requests"] for group in found] == sorted(models.values(), reverse=True)
    assert {group["object"] for group in found} == {"analytics-group"}
    users = (await house.ok(f"{ROOT}/groups/users", **RANGE))["data"]
    for group in users:
        mine = [record for record in made if record.user == group["user"]]
        assert group["requests"] == len(mine)
        assert group["cost"] == pytest.approx(float(measure("cost_usd", mine)) * 100)


async def test_values_of_a_metadata_key(house: House) -> None:
    made = records(house)
    answer = await house.ok(f"{ROOT}/groups/metadata/the%20place", **RANGE)
    values = {record.metadata.get("the place", "") for record in made} - {""}
    assert {group["metadata_value"] for group in answer["data"]} == values
    for group in answer["data"]:
        mine = [record for record in made if record.metadata.get("the place") == group["metadata_value"]]
        assert group["requests"] == len(mine)
        assert group["last_seen"] == measure("last_seen", mine)
        assert group["avg_tokens"] == pytest.approx(measure("tokens", mine) / sum(r.usage != "unknown" for r in mine))
        assert (group["avg_weighted_feedback"], group["requests_with_feedback"]) == (None, 0)


async def test_every_filter_of_it_is_one_of_ours(house: House) -> None:
    tenant, made = house.tenant, records(house)

    async def count(**query: str) -> int:
        return int((await house.ok(f"{ROOT}/graphs/requests", **RANGE, **query))["summary"]["total"])

    def known(field: str, least: int, most: int) -> int:
        return sum((value := getattr(r, field)) is not None and least <= value <= most for r in made)

    assert await count(prompt_token_min="1000", prompt_token_max="3000") == known("input_tokens", 1000, 3000)
    assert await count(completion_token_max="1000") == known("output_tokens", 0, 1000)
    totals = [
        (r.input_tokens or 0) + (r.output_tokens or 0)
        for r in made
        if (r.input_tokens, r.output_tokens) != (None, None)
    ]
    assert await count(total_units_min="2500") == sum(total >= 2500 for total in totals)
    assert await count(cost_min="0.1", cost_max="0.2") == known("cost_picousd", 10**9, 2 * 10**9)
    assert await count(status_code="429, 500") == sum(r.status in (429, 500) for r in made)
    assert await count(virtual_keys=tenant.slugs["virtual_key"]) == sum(
        r.virtual_key == tenant.standing["virtual_key"] for r in made
    )
    assert await count(configs=f"{tenant.slugs['config']},cf_2") == sum(
        r.config in (tenant.standing["config"], "cf_2") for r in made
    )
    assert await count(api_key_ids=tenant.standing["api_key"]) == sum(
        r.api_key == tenant.standing["api_key"] for r in made
    )
    assert await count(ai_org_model="openai__gpt-4o,acme__large") == sum(
        (r.provider, r.model) in (("openai", "gpt-4o"), ("acme", "large")) for r in made
    )
    assert await count(metadata='{"team": "search"}') == sum(r.metadata.get("team") == "search" for r in made)
    assert await count(trace_id="t-1", span_id="s-1") == sum((r.trace_id, r.span_id) == ("t-1", "s-1") for r in made)
    assert await count(workspace_slug=tenant.workspace) == len(made)


@pytest.mark.parametrize(
    ("query", "param", "told"),
    [
        ({"weighted_feedback_min": "1"}, "weighted_feedback_min", "no query parameter"),
        ({"prompt_slug": "x"}, "prompt_slug", "no query parameter"),
        ({"time_of_generation_min": ""}, "time_of_generation_min", "required"),
        ({"time_of_generation_max": "tomorrow"}, "time_of_generation_max", "a time such as"),
        ({"time_of_generation_max": "2020-01-01"}, "time_of_generation_min", "begins before it ends"),
        ({"cost_min": "much"}, "cost_min", "a number"),
        ({"total_units_max": "-1"}, "total_units_max", "not negative"),
        ({"prompt_token_min": "NaN"}, "prompt_token_min", "a number"),
        ({"status_code": "4xx"}, "status_code", "429"),
        ({"metadata": "team"}, "metadata", "JSON object"),
        ({"metadata": '{"team": 1}'}, "metadata", "JSON object"),
        ({"trace_id": "a\0"}, "trace_id", "NUL"),
        ({"api_key_ids": ",".join("x" * 101)}, "api_key_ids", "at most 100"),
    ],
)
async def test_refusals_have_the_shapes_that_its_clients_read(
    house: House, query: dict[str, str], param: str, told: str
) -> None:
    answer = await house.get(f"{ROOT}/graphs/requests", **{**RANGE, **query})
    assert answer.status == 400
    body = answer.body
    assert body["success"] is False
    assert body["data"] == {"message": body["error"]["message"], "errorCode": "AB01"}
    assert body["error"]["param"] == param
    assert told in body["error"]["message"]


async def test_pages_are_bounded(house: House) -> None:
    for query in (
        {"page_size": "0"},
        {"page_size": "101"},
        {"page_size": "0000101"},
        {"page_size": "000001" + "0" * 5_000},
        {"current_page": "-1"},
        {"current_page": "101", "page_size": "100"},
    ):
        body = await house.refused(f"{ROOT}/groups/users", **RANGE, **query)
        assert body["error"]["param"] in ("page_size", "current_page")


async def test_an_admin_key_comes_in_the_original_header_too(house: House) -> None:
    bearer = (await house.world.admin_key(house.tenant.id, GRANTABLE))["authorization"]
    key = bearer.removeprefix("Bearer ")
    path = f"{ROOT}/graphs/requests"
    assert (await house.ok(path, {"x-portkey-api-key": key}, **RANGE))["summary"] == {"total": len(records(house))}
    assert (await house.get(path, {"x-portkey-api-key": key[:-1]}, **RANGE)).status == 401
    twice = await house.get(path, {"x-portkey-api-key": key, "authorization": bearer}, **RANGE)
    assert twice.status == 400
    elsewhere = await house.get("/api/v1/analytics/query", {"x-portkey-api-key": key})
    assert elsewhere.status == 401
    unknown = await house.get(f"{ROOT}/graphs/feedbacks", {"x-portkey-api-key": key})
    assert unknown.status == 404


async def test_a_key_without_the_scope_may_not(house: House) -> None:
    headers = await house.world.admin_key(house.tenant.id, {"logs.list"})
    answer = await house.get(f"{ROOT}/graphs/requests", headers, **RANGE)
    assert (answer.status, answer.body["data"]["errorCode"]) == (403, "AB03")
