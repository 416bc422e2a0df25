"""Who is asking: sessions, admin keys, both, neither, and what is none of them."""

import pytest

from control_plane.permissions import GRANTABLE, PERSONAL
from control_plane.web import session_cookie
from shared.crypto.api_keys import ADMIN_KEY, new_api_key
from tests.fixtures.people import Answer, Browser, People

PATH = "/api/v1/organisation"


async def admin_key(owner: Browser, *scopes: str) -> dict[str, str]:
    made: dict[str, str] = await owner.ok("POST", "/api/v1/admin-keys", {"name": "robot", "scopes": scopes})
    return made


async def ask(people: People, authorization: str, path: str = PATH) -> Answer:
    return await (await people.browser()).send("GET", path, headers={"Authorization": authorization})


async def test_everything_but_public_routes_is_closed_to_strangers(people: People) -> None:
    await people.owner()
    stranger = await people.browser()
    guarded = [route for route in people.routes if not route.public]
    assert len(guarded) > 20
    for route in guarded:
        refused = await stranger.send(route.method, route.path.replace("{", "").replace("}", ""), {})
        assert refused.status == 401, route.path
        assert set(refused.body) == {"type", "title", "status", "detail", "code", "pointer", "request_id"}


async def test_an_admin_key_may_what_its_scopes_say(people: People) -> None:
    made = await admin_key(await people.owner(), "organisation.read")
    authorization = f"Bearer {made['key']}"
    assert (await ask(people, authorization)).status == 200
    assert (await ask(people, authorization.replace("Bearer", "bearer "))).status == 200
    assert (await ask(people, authorization, "/api/v1/members")).status == 403


async def test_no_admin_key_is_a_person(people: People) -> None:
    made = await admin_key(await people.owner(), *sorted(GRANTABLE))
    personal = [route for route in people.routes if route.action in PERSONAL]
    assert {route.action for route in personal} == PERSONAL
    program = await people.browser()
    for route in personal:
        headers = {"Authorization": f"Bearer {made['key']}"}
        assert (await program.send(route.method, route.path, {}, headers)).status == 403, route.path


async def test_scopes_that_no_permission_knows_any_more_are_nothing(people: People) -> None:
    made = await admin_key(await people.owner(), "organisation.read")
    await people.sql("update admin_key set scopes = '{session.read,gone.read}' returning 1")
    assert (await ask(people, f"Bearer {made['key']}", "/api/v1/session")).status == 403


@pytest.mark.parametrize("column", ["revoked_at = now()", "expires_at = now() - interval '1 second'"])
async def test_a_key_that_is_over_is_as_unknown_as_any(people: People, column: str) -> None:
    made = await admin_key(await people.owner(), "organisation.read")
    await people.sql(f"update admin_key set {column} returning 1")
    over = await ask(people, f"Bearer {made['key']}")
    unknown = await ask(people, f"Bearer {new_api_key(ADMIN_KEY).reveal_text()}")
    assert (over.status, over.code) == (unknown.status, unknown.code) == (401, "admin_key_unknown")


@pytest.mark.parametrize(
    "authorization",
    ["Bearer", "Bearer ", "Bearer gha_", "Bearer gh\xe4_\xff", "Bearer " + "x" * 5000, "gha_x", "Basic dTpw", "Digest"],
)
async def test_what_is_no_key_is_nobody(people: People, authorization: str) -> None:
    await people.owner()
    assert (await ask(people, authorization)).status == 401


async def test_a_session_and_a_key_at_once_are_refused(people: People) -> None:
    owner = await people.owner()
    made = await admin_key(owner, "organisation.read")
    refused = await owner.send("GET", PATH, headers={"Authorization": f"Bearer {made['key']}"})
    assert (refused.status, refused.code) == (400, "invalid")


async def test_a_proxys_own_login_does_not_disturb_a_session(people: People) -> None:
    owner = await people.owner()
    assert (await owner.send("GET", PATH, headers={"Authorization": "Basic dTpw"})).status == 200


@pytest.mark.parametrize("cookie", ["", "x", "\xff\xfe", "a" * 4000, "%00", '"quoted"'])
async def test_what_is_no_token_is_nobody(people: People, cookie: str) -> None:
    await people.owner()
    stranger = await people.browser()
    header = f"{session_cookie.NAME}={cookie}"
    assert (await stranger.send("GET", PATH, headers={"Cookie": header})).status == 401


async def test_roles_count_from_the_next_request_on(people: People) -> None:
    owner = await people.owner()
    workspace = await people.workspace(owner)
    guest = await people.join(owner, "guest@example.com")
    path = f"/api/v1/workspaces/{workspace}"
    assert (await guest.get(path)).status == 404
    await owner.ok("PUT", f"{path}/members/{guest.account}", {"role": "manager"})
    assert (await guest.get(path)).status == 200
    assert (await guest.ok("GET", "/api/v1/session"))["workspaces"] == {workspace: "manager"}


async def test_roles_of_another_organisation_do_not_count_here(people: People) -> None:
    owner = await people.owner()
    guest = await people.join(owner, "guest@example.com")
    second = await people.organisation("Second", guest.account)
    assert (await guest.get("/api/v1/members")).status == 403
    await guest.ok("POST", "/api/v1/session/organisation", {"organisation": second})
    assert [row["email"] for row in (await guest.ok("GET", "/api/v1/members"))["data"]] == ["guest@example.com"]
