"""What no route serves, and the description of those that are there."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fixtures.tenants import Asked, Tenant, standing_world


@pytest.fixture
async def tenant(migrated_url: str, tmp_path: Path) -> AsyncIterator[Tenant]:
    async with standing_world(migrated_url, tmp_path) as world:
        yield await world.tenant("own")


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/v1/nothing"), ("PUT", "/api/v1/workspaces")])
async def test_strangers_do_not_learn_what_there_is(tenant: Tenant, method: str, path: str) -> None:
    answer = await tenant.world.send(Asked(method, path, None, ()), {})
    assert (answer.status, answer.body["code"]) == (401, "unauthenticated")


async def test_a_path_nobody_serves_is_a_problem_like_any_other(tenant: Tenant) -> None:
    answer = await tenant.world.send(Asked("GET", "/api/v1/nothing", None, ()), await tenant.owner())
    assert (answer.status, answer.body["code"]) == (404, "not_found")
    assert "application/problem+json" in answer.text


@pytest.mark.parametrize(
    ("path", "served"), [("/api/v1/workspaces", "GET, POST"), ("/v1/analytics/graphs/latency", "GET")]
)
async def test_a_method_nobody_serves_is_a_problem_that_names_those_that_are(
    tenant: Tenant, path: str, served: str
) -> None:
    answer = await tenant.world.send(Asked("PUT", path, None, ()), await tenant.owner())
    assert (answer.status, answer.body["code"]) == (405, "method_not_allowed")
    assert answer.body["detail"] == f"no PUT here, only {served}"
    assert f"allow: {served.lower().replace(', ', ',')}\n" in answer.text.lower()


async def test_every_route_is_described_without_login(tenant: Tenant) -> None:
    world = tenant.world
    answer = await world.send(Asked("GET", "/api/openapi.json", None, ()), {})
    document = answer.body
    assert document["openapi"] == "3.1.0"
    operations = {(method.upper(), path) for path, there in document["paths"].items() for method in there}
    assert operations == {(route.method, route.path) for route in world.parts.routes}


@pytest.mark.parametrize("value", [0, 1, "true", None])
async def test_only_true_and_false_are_either(tenant: Tenant, value: object) -> None:
    body = {"slug": "team", "name": "Team", "settings": {"inline": {"keys": value}}}
    answer = await tenant.world.send(Asked("POST", "/api/v1/workspaces", body, ()), await tenant.owner())
    assert (answer.status, answer.body["pointer"]) == (400, "/settings/inline/keys")
