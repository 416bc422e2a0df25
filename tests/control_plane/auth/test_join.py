"""Joining by an invitation's link: once, by the right person, into what was offered."""

import asyncio

import pytest

from control_plane.auth.attempts import AT_ACCOUNT_MAX
from tests.fixtures.people import PASSWORD, Answer, Browser, People

ACCEPT = "/api/v1/invitations/accept"


async def invite(host: Browser, email: str = "guest@example.com", role: str = "member", **more: object) -> str:
    made = await host.ok("POST", "/api/v1/invitations", {"email": email, "role": role, **more})
    assert made["path"].startswith("/invite/")
    return str(made["path"].removeprefix("/invite/"))


async def accept(people: People, token: str, password: str = PASSWORD, browser: Browser | None = None) -> Answer:
    browser = browser or await people.browser()
    return await browser.post(ACCEPT, {"token": token, "name": "Guest", "password": password})


async def test_a_new_person_gets_an_account_the_role_and_the_workspaces(people: People) -> None:
    owner = await people.owner()
    workspace = await people.workspace(owner)
    token = await invite(owner, "Guest@Example.com", "admin", workspaces=[{"workspace": workspace, "role": "manager"}])
    answer = await accept(people, token)
    assert answer.status == 201
    assert answer.body["account"] == {"id": answer.body["account"]["id"], "email": "guest@example.com", "name": "Guest"}
    assert answer.body["organisation"]["role"] == "admin"
    assert answer.body["workspaces"] == {workspace: "manager"}
    login = await people.browser()
    assert (await login.post("/api/v1/login", {"email": "guest@example.com", "password": PASSWORD})).status == 200


async def test_a_link_works_once(people: People) -> None:
    token = await invite(await people.owner())
    assert (await accept(people, token)).status == 201
    used = await accept(people, token)
    unknown = await accept(people, "unknown")
    assert (used.status, used.code) == (unknown.status, unknown.code) == (403, "invitation_refused")


@pytest.mark.parametrize("known", [True, False])
async def test_of_many_at_once_one_joins(people: People, known: bool) -> None:
    owner = await people.owner()
    if known:
        guest = await people.join(owner, "guest@example.com")
        await owner.ok("DELETE", f"/api/v1/members/{guest.account}")
    token = await invite(owner)
    answers = await asyncio.gather(*(accept(people, token) for _ in range(8)))
    statuses = sorted(answer.status for answer in answers)
    assert statuses[0] == 201
    assert set(statuses[1:]) <= {403, 429}
    assert await people.sql("select count(*) from member where role = 'member'") == 1
    assert await people.sql("select count(*) from account") == 2


async def test_who_has_an_account_gives_its_password_and_keeps_it(people: People) -> None:
    owner = await people.owner()
    second = await people.organisation("Second", owner.account)
    guest = await people.join(owner, "guest@example.com")
    await owner.ok("POST", "/api/v1/session/organisation", {"organisation": second})
    token = await invite(owner)
    refused = await accept(people, token, "a password of my own")
    assert (refused.status, refused.code, refused.body["pointer"]) == (403, "password_wrong", "/password")
    before = guest.token
    joined = await accept(people, token, browser=guest)
    assert joined.status == 201
    assert joined.body["account"]["id"] == guest.account
    assert joined.body["account"]["name"] == "guest"
    assert joined.body["organisation"]["name"] == "Second"
    assert guest.token != before
    assert await people.sql("select count(*) from session where account = $1", guest.account) == 1


async def test_a_link_is_no_way_to_guess_a_password(people: People) -> None:
    owner = await people.owner()
    guest = await people.join(owner, "guest@example.com")
    await owner.ok("DELETE", f"/api/v1/members/{guest.account}")
    token = await invite(owner)
    for _ in range(AT_ACCOUNT_MAX):
        assert (await accept(people, token, "a wrong password")).status == 403
    assert (await accept(people, token)).status == 429


@pytest.mark.parametrize("end", ["expired", "revoked", "its maker removed"])
async def test_a_link_that_is_over_lets_nobody_in(people: People, end: str) -> None:
    owner = await people.owner()
    admin = await people.join(owner, "admin@example.com", "admin")
    token = await invite(admin)
    if end == "expired":
        await people.sql("update invitation set expires_at = now() returning 1")
    elif end == "revoked":
        (made,) = (await owner.ok("GET", "/api/v1/invitations?filter=state:open"))["data"]
        await owner.ok("DELETE", f"/api/v1/invitations/{made['id']}")
    else:
        await owner.ok("DELETE", f"/api/v1/members/{admin.account}")
    assert (await accept(people, token)).code == "invitation_refused"
    assert await people.sql("select count(*) from account where email = 'guest@example.com'") == 0


async def test_a_workspace_that_is_gone_is_left_out(people: People) -> None:
    owner = await people.owner()
    kept, gone = await people.workspace(owner, "kept"), await people.workspace(owner, "gone")
    places = [{"workspace": id_, "role": "member"} for id_ in (kept, gone)]
    token = await invite(owner, workspaces=places)
    await owner.ok("DELETE", f"/api/v1/workspaces/{gone}")
    assert (await accept(people, token)).body["workspaces"] == {kept: "member"}


async def test_who_is_a_member_already_is_told_and_the_link_stays(people: People) -> None:
    owner = await people.owner()
    first, second = await invite(owner), await invite(owner)
    assert (await accept(people, first)).status == 201
    refused = await accept(people, second)
    assert (refused.status, refused.code) == (409, "already_member")
    assert (await owner.ok("GET", "/api/v1/invitations?filter=state:open"))["data"] != []
