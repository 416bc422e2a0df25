"""Two who edit the same at once: the second is told, and nothing of the first's is lost without a word."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from control_plane.app import description
from control_plane.errors import Changed, Invalid
from control_plane.web.versions import require_unchanged
from tests.fixtures.tenants import Asked, Tenant, standing_world

AT = datetime(2026, 11, 21, 9, 30, 0, 1, UTC)
TAG = '"2026-11-21T09:30:00.000001Z"'
OTHER = '"2026-11-21T09:30:00Z"'
EDITS = sorted(
    path
    for path, there in description()["paths"].items()
    for method in ("patch", "put")
    if any(parameter["name"] == "if-match" for parameter in there.get(method, {}).get("parameters", ()))
)


@pytest.fixture
async def tenant(migrated_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Tenant]:
    async with standing_world(migrated_url, tmp_path_factory.mktemp("versions")) as world:
        yield await world.tenant("own")


async def test_every_edit_of_a_thing_with_versions_holds_the_one_it_was_made_from(tenant: Tenant) -> None:
    """A workspace's settings are replaced whole: of two administrators the first's went, and nobody was told."""
    world = tenant.world
    owner = await tenant.owner()
    routes = {route.path: route for route in world.parts.routes if route.versioned}
    assert sorted(routes) == EDITS
    for path, route in routes.items():
        asked = await tenant.ask(route, fresh=path != "/api/v1/organisation")
        read = await world.send(Asked("GET", asked.path, None, ()), owner)
        tag = f'"{read.body["updated_at"]}"'
        assert f"Etag: {tag}" in read.text, path
        edited = await world.send(asked, {**owner, "if-match": tag})
        assert edited.status == 200, (path, edited.text)
        assert f'Etag: "{edited.body["updated_at"]}"' in edited.text
        late = await world.send(asked, {**owner, "if-match": tag})
        assert (late.status, late.body["code"]) == (412, "changed_meanwhile"), path
        assert edited.body["updated_at"] in late.body["detail"]
        assert (await world.send(Asked("GET", asked.path, None, ()), owner)).body == edited.body
        several = {"if-match": f'"x", "{edited.body["updated_at"]}"'}
        for also in (several, {"if-match": "*"}, {}):
            assert (await world.send(asked, {**owner, **also})).status == 200, path


async def test_every_edit_has_versions(tenant: Tenant) -> None:
    """Of a noun whose rows have none the second of two who edit would never be told."""
    edits = [route for route in tenant.world.parts.routes if route.method in ("PATCH", "PUT")]
    assert [route.path for route in edits if not route.versioned] == []


async def test_who_was_taken_out_meanwhile_does_not_come_back_by_an_edit(tenant: Tenant) -> None:
    owner, send = await tenant.owner(), tenant.world.send
    path = f"/api/v1/workspaces/{tenant.workspace}/members/{await tenant.fresh('workspace_member')}"
    read = (await send(Asked("GET", path, None, ()), owner)).body
    await send(Asked("DELETE", path, None, ()), owner)
    edit = Asked("PUT", path, {"role": "admin"}, ())
    for if_match in (f'"{read["updated_at"]}"', "*"):
        late = await send(edit, {**owner, "if-match": if_match})
        assert (late.status, late.body["code"]) == (412, "changed_meanwhile")
    assert (await send(Asked("GET", path, None, ()), owner)).status == 404
    assert (await send(edit, owner)).status == 200


async def test_who_is_added_is_not_changed_by_it(tenant: Tenant) -> None:
    """`If-None-Match: *`: somebody else made them an administrator meanwhile."""
    owner, send = await tenant.owner(), tenant.world.send
    path = f"/api/v1/workspaces/{tenant.workspace}/members/{await tenant.fresh('member')}"
    add = Asked("PUT", path, {"role": "admin"}, ())
    assert (await send(add, {**owner, "if-none-match": "*"})).status == 200
    again = await send(Asked("PUT", path, {"role": "member"}, ()), {**owner, "if-none-match": "*"})
    assert (again.status, again.body["code"]) == (412, "changed_meanwhile")
    assert (await send(Asked("GET", path, None, ()), owner)).body["role"] == "admin"
    odd = await send(add, {**owner, "if-none-match": '"x"'})
    assert (odd.status, odd.body["pointer"]) == (400, "if-none-match")


async def test_a_tag_that_is_none_is_said_to_be(tenant: Tenant) -> None:
    asked = Asked("PATCH", f"/api/v1/workspaces/{tenant.workspace}", {"name": "X"}, ())
    answer = await tenant.world.send(asked, {**await tenant.owner(), "if-match": "2026-11-21"})
    assert (answer.status, answer.body["pointer"]) == (400, "if-match")


@pytest.mark.parametrize("sent", [None, "*", " * ", TAG, f"{OTHER}, {TAG}", f'W/"x" ,{TAG}'])
def test_an_edit_from_this_version_is_made(sent: str | None) -> None:
    require_unchanged(sent, AT)


@pytest.mark.parametrize("sent", [OTHER, f"W/{TAG}", '""'])
def test_an_edit_from_another_version_is_not(sent: str) -> None:
    with pytest.raises(Changed, match=r"2026-11-21T09:30:00\.000001Z"):
        require_unchanged(sent, AT)


@pytest.mark.parametrize("sent", ["x", '"x', '"x" "y"', f"{TAG},", '"a b"', '"x",' * 400 + '"x"'])
def test_what_is_no_tag_is_refused(sent: str) -> None:
    with pytest.raises(Invalid, match="in quotes"):
        require_unchanged(sent, AT)
