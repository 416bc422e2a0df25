"""Invitations: made, listed, taken back. How one is accepted is tested with the ways in."""

import pytest

from tests.fixtures.people import People

PATH = "/api/v1/invitations"


async def test_a_link_is_shown_once_and_lives_seven_days(people: People) -> None:
    owner = await people.owner()
    made = await owner.ok("POST", PATH, {"email": "Guest@example.com", "role": "admin"})
    assert made["path"].startswith("/invite/")
    (listed,) = (await owner.ok("GET", PATH))["data"]
    assert listed == {name: value for name, value in made.items() if name != "path"}
    assert (listed["email"], listed["state"], listed["invited_by"]) == ("guest@example.com", "open", owner.account)
    assert await people.sql("select expires_at - created_at = interval '7 days' from invitation")


async def test_the_state_says_what_became_of_it(people: People) -> None:
    owner = await people.owner()
    await people.join(owner, "guest@example.com")
    await owner.ok("POST", PATH, {"email": "late@example.com"})
    await people.sql("update invitation set expires_at = now() where accepted_at is null returning 1")
    await owner.ok("POST", PATH, {"email": "open@example.com"})
    for state, email in (("accepted", "guest"), ("expired", "late"), ("open", "open")):
        rows = (await owner.ok("GET", f"{PATH}?filter=state:{state}"))["data"]
        assert [row["email"] for row in rows] == [f"{email}@example.com"]
        assert rows[0]["state"] == state


async def test_one_is_taken_back_once_and_an_accepted_one_never(people: People) -> None:
    owner = await people.owner()
    made = await owner.ok("POST", PATH, {"email": "guest@example.com"})
    await owner.ok("DELETE", f"{PATH}/{made['id']}")
    assert (await owner.send("DELETE", f"{PATH}/{made['id']}")).status == 404
    await people.join(owner, "guest@example.com")
    (accepted,) = (await owner.ok("GET", PATH))["data"]
    assert (await owner.send("DELETE", f"{PATH}/{accepted['id']}")).status == 404


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"email": "no address"}, 400, "/email"),
        ({"email": "two@@example.com"}, 400, "/email"),
        ({"email": "guest@example.com", "role": "king"}, 400, "/role"),
        ({"email": "owner@example.com"}, 409, "/email"),
        (
            {"email": "guest@example.com", "workspaces": [{"workspace": "ws_none", "role": "member"}]},
            400,
            "/workspaces/0",
        ),
        (
            {"email": "guest@example.com", "workspaces": [{"workspace": "ws_1", "role": "member"}] * 2},
            400,
            "/workspaces/1/workspace",
        ),
    ],
)
async def test_a_mistake_is_refused_with_its_place(
    people: People, body: dict[str, object], status: int, pointer: str
) -> None:
    owner = await people.owner()
    refused = await owner.post(PATH, body)
    assert (refused.status, refused.body["pointer"]) == (status, pointer)


async def test_no_workspace_of_another_organisation_is_offered(people: People) -> None:
    owner = await people.owner()
    workspace = await people.workspace(owner)
    second = await people.organisation("Second", owner.account)
    await owner.ok("POST", "/api/v1/session/organisation", {"organisation": second})
    body = {"email": "guest@example.com", "workspaces": [{"workspace": workspace, "role": "member"}]}
    assert (await owner.post(PATH, body)).body["pointer"] == "/workspaces/0"


async def test_another_organisations_invitations_are_not_there(people: People) -> None:
    owner = await people.owner()
    made = await owner.ok("POST", PATH, {"email": "guest@example.com"})
    second = await people.organisation("Second", owner.account)
    await owner.ok("POST", "/api/v1/session/organisation", {"organisation": second})
    assert (await owner.ok("GET", PATH))["data"] == []
    assert (await owner.send("DELETE", f"{PATH}/{made['id']}")).status == 404


async def test_a_key_invites_to_no_more_than_it_may_itself(people: People) -> None:
    owner = await people.owner()
    narrow = await owner.ok("POST", "/api/v1/admin-keys", {"name": "x", "scopes": ["invitations.create"]})
    headers = {"Authorization": f"Bearer {narrow['key']}"}
    program = await people.browser()
    for role in ("owner", "admin", "member"):
        refused = await program.send("POST", PATH, {"email": "guest@example.com", "role": role}, headers)
        assert (refused.status, refused.code) == (403, "role_above_own")
