"""Who is answered about whose records: counts are those of what the caller may see, in every question there is."""

from collections.abc import AsyncIterator, Callable, Mapping
from random import Random
from typing import Any

import pytest
import pytest_asyncio

from control_plane.analytics.portkey import GRAPHS
from control_plane.permissions import GRANTABLE
from shared.models.record import Record
from tests.fixtures.asking import House, house_in
from tests.fixtures.clickhouse import ClickhouseServer
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.tenants import Headers, Tenant
from tests.fixtures.traffic import traffic

pytestmark = pytest.mark.asyncio(loop_scope="module")

FROM_MS = 1_793_491_200_000
HOUR_MS = 3_600_000
RANGE = {"from_": "2026-11-01", "to": "2026-11-02"}
PORTKEY = {"time_of_generation_min": "2026-11-01", "time_of_generation_max": "2026-11-02"}


class Several:
    """Two organisations, the first with two workspaces and records of none and of one that is gone."""

    def __init__(self, house: House, other: Tenant, records: Mapping[str, list[Record]]) -> None:
        self.house = house
        self.own = house.tenant
        self.other = other
        self.records = records
        """By where they belong."""

    def of(self, *places: str) -> list[Record]:
        return [record for place in places for record in self.records[place]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def several(
    postgres_server: PostgresServer,
    clickhouse_engine: ClickhouseServer,
    _template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Several]:
    folder = tmp_path_factory.mktemp("several")
    async with house_in(postgres_server, _template, clickhouse_engine, folder, "several") as house:
        own, other, random = house.tenant, await house.world.tenant("other"), Random(17)
        await house.recorded.empty()
        places = {
            "first": (own, own.workspaces["first"]),
            "second": (own, own.workspaces["second"]),
            "none": (own, None),
            "gone": (own, "ws_gone"),
            "other": (other, other.workspaces["first"]),
            # The same id in another organisation is another workspace.
            "stolen": (other, own.workspaces["first"]),
        }
        records = {}
        for number, (name, (tenant, workspace)) in enumerate(places.items()):
            records[name] = traffic(random, 10 + number, FROM_MS, FROM_MS + 24 * HOUR_MS, workspaces=[workspace])
            await house.recorded.store(tenant.id, records[name])
        await own.account("nowhere", "member")
        await own.account("first member", "member", {"first": "member"})
        await own.account("both", "member", {"first": "member", "second": "admin"})
        await own.account("admin", "admin")
        yield Several(house, other, records)


async def person(several: Several, name: str) -> Headers:
    return await several.house.world.session(several.own.accounts[name], several.own.id)


async def key(several: Several, name: str) -> Headers:
    return await several.house.world.admin_key(several.own.id, GRANTABLE)


ALL = ("first", "second", "none", "gone")
WHO: Mapping[str, tuple[Callable[[Several, str], Any], tuple[str, ...]]] = {
    "nowhere": (person, ()),
    "first member": (person, ("first",)),
    "both": (person, ("first", "second")),
    "admin": (person, ALL),
    "owner": (person, ALL),
    "key": (key, ALL),
}


@pytest.mark.parametrize("name", WHO)
async def test_everybody_is_answered_about_what_they_may_see_and_nothing_else(several: Several, name: str) -> None:
    headers_of, places = WHO[name]
    house, headers = several.house, await headers_of(several, name)
    mine = several.of(*places)
    ids = {record.id for record in mine}
    for query in (
        {},
        {"step": "1h"},
        {"by": "user"},
        {"measures": "requests,users,duration_p95_us", "sort": "-duration_p95_us", "by": "model"},
        {"filter": "-model:x", "by": "workspace", "limit": "100"},
        {"filter": "workspace:*"},
        {"filter": f"workspace:{several.other.workspace},{several.own.workspace},ws_gone"},
        {"compare": "previous", "by": "api_key"},
    ):
        answer = await house.ok("/api/v1/analytics/query", headers, **RANGE, **query)
        expected = mine
        if query.get("filter") == "workspace:*":
            expected = [record for record in mine if record.workspace]
        elif "filter" in query and "by" not in query:
            expected = [record for record in mine if record.workspace in (several.own.workspace, "ws_gone")]
        assert answer["totals"]["values"]["requests"] == len(expected), query
        assert sum(row["values"]["requests"] for row in [*answer["rows"], *filter(None, [answer["other"]])]) == (
            len(expected) if "by" in query else 0
        )
    by_place = await house.ok("/api/v1/analytics/query", headers, by="workspace", **RANGE)
    assert {row["key"]["workspace"] for row in by_place["rows"]} == {record.workspace for record in mine}
    for sort in ("started_at", "-cost"):
        page = await house.ok("/api/v1/records", headers, limit="200", sort=sort)
        assert {row["id"] for row in page["data"]} == ids
    for place, records in several.records.items():
        answer = await house.get(f"/api/v1/records/{records[0].id}", headers)
        assert answer.status == (200 if place in places else 404)
    users = {record.user for record in mine} - {None}
    groups = await house.ok("/v1/analytics/groups/users", headers, **PORTKEY)
    assert {group["user"] for group in groups["data"]} == users
    assert groups["total"] == len(users)
    requests = await house.ok("/v1/analytics/graphs/requests", headers, **PORTKEY)
    assert requests["summary"] == {"total": len(mine)}
    for graph in GRAPHS:
        told = await house.ok(f"/v1/analytics/graphs/{graph.path}", headers, **PORTKEY)
        assert places or not any(told["summary"].values())


@pytest.mark.parametrize("name", WHO)
async def test_a_workspace_narrows_what_may_be_seen_and_never_widens_it(several: Several, name: str) -> None:
    headers_of, places = WHO[name]
    house, own, headers = several.house, several.own, await headers_of(several, name)
    slug = await house.world.sql("select slug from workspace where id = $1", own.workspaces["first"])
    asked = {
        own.workspaces["first"]: "first",
        slug: "first",
        own.workspaces["second"]: "second",
        several.other.workspaces["first"]: None,
        "ws_gone": None,
        "": None,
    }
    for workspace, place in asked.items():
        for path, query in (
            ("/api/v1/analytics/query", {**RANGE, "workspace": workspace}),
            ("/api/v1/records", {"limit": "200", "workspace": workspace}),
            ("/v1/analytics/graphs/requests", {**PORTKEY, "workspace_slug": workspace}),
            ("/api/v1/filter-values", {"field": "model", "workspace": workspace}),
            ("/api/v1/records/feed", {"workspace": workspace}),
        ):
            answer = await house.get(path, headers, **query)
            if place is None or place not in places:
                assert answer.status == 404, (path, workspace, answer.text)
                continue
            assert answer.status == 200, answer.text
            if path == "/api/v1/records":
                assert {row["id"] for row in answer.body["data"]} == {r.id for r in several.records[place]}
            elif path == "/api/v1/analytics/query":
                assert answer.body["totals"]["values"]["requests"] == len(several.records[place])
            elif "graphs" in path:
                assert answer.body["summary"]["total"] == len(several.records[place])


async def test_a_name_of_another_organisation_is_nobodys(several: Several) -> None:
    house, other = several.house, several.other
    slug = await house.world.sql("select slug from workspace where id = $1", other.workspace)
    for text in (f"workspace:{slug}", f"key:{other.marker}*", f"vk:{other.slugs['virtual_key']}", "gateway:gw_2"):
        answer = await house.ok("/api/v1/analytics/query", filter=text, **RANGE)
        assert answer["totals"]["values"]["requests"] == 0
    stolen = several.records["stolen"][0]
    assert (await house.get(f"/api/v1/records/{stolen.id}")).status == 404
    assert (await house.get(f"/api/v1/records/{stolen.id}", await other.owner())).status == 200
