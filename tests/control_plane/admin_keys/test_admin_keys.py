"""Admin keys: shown once, for no more than their maker may, until they end."""

from datetime import UTC, datetime, timedelta

import pytest

from control_plane.permissions import GRANTABLE, TABLE, OrganisationRole
from shared.crypto.api_keys import ADMIN_KEY, well_formed
from tests.fixtures.people import Browser, People

PATH = "/api/v1/admin-keys"
LEAST = {action for action in GRANTABLE if TABLE[action].organisation == OrganisationRole.MEMBER}
"""What every member may: so much has whoever invites one."""


async def make(browser: Browser, *scopes: str, name: str = "robot") -> dict[str, str]:
    made: dict[str, str] = await browser.ok("POST", PATH, {"name": name, "scopes": scopes})
    return made


async def test_a_key_is_shown_once_and_recognised_by_its_tail(people: People) -> None:
    owner = await people.owner()
    made = await make(owner, "organisation.read", "organisation_users.list")
    assert well_formed(made["key"], ADMIN_KEY)
    (listed,) = (await owner.ok("GET", PATH))["data"]
    assert listed == {name: value for name, value in made.items() if name != "key"}
    assert made["key"].endswith(listed["tail"])
    assert len(listed["tail"]) == 4
    assert listed["scopes"] == ["organisation.read", "organisation_users.list"]


async def test_a_revoked_key_stays_in_the_list_and_works_nowhere(people: People) -> None:
    owner = await people.owner()
    made = await make(owner, "organisation.read")
    await owner.ok("DELETE", f"{PATH}/{made['id']}")
    program = await people.browser()
    headers = {"Authorization": f"Bearer {made['key']}"}
    assert (await program.send("GET", "/api/v1/organisation", headers=headers)).status == 401
    (listed,) = (await owner.ok("GET", f"{PATH}?filter=revoked:true"))["data"]
    assert listed["revoked_at"] is not None
    assert (await owner.ok("GET", f"{PATH}?filter=-revoked:true"))["data"] == []
    assert (await owner.send("DELETE", f"{PATH}/{made['id']}")).status == 404


async def test_what_was_made_with_a_revoked_key_ends_with_it(people: People) -> None:
    """Whoever had a stolen key would go on with another."""
    owner = await people.owner()
    scopes = ["admin_keys.create", "invitations.create", *sorted(LEAST)]
    key = await make(owner, *scopes)
    program = await people.browser()
    made = key
    for name in ("child", "child's"):
        headers = {"Authorization": f"Bearer {made['key']}"}
        answer = await program.send("POST", PATH, {"name": name, "scopes": scopes}, headers)
        assert answer.status == 201
        made = answer.body
    headers = {"Authorization": f"Bearer {made['key']}"}
    assert (await program.send("POST", "/api/v1/invitations", {"email": "x@example.com"}, headers)).status == 201
    other = await make(owner, "organisation.read", name="other")
    await owner.ok("DELETE", f"{PATH}/{key['id']}")
    left = (await owner.ok("GET", f"{PATH}?filter=-revoked:true"))["data"]
    assert [listed["id"] for listed in left] == [other["id"]]
    assert (await program.send("POST", PATH, {"name": "x", "scopes": scopes}, headers)).status == 401
    assert (await owner.ok("GET", "/api/v1/invitations"))["data"] == []


async def test_a_key_makes_keys_for_no_more_than_its_own_scopes(people: People) -> None:
    made = await make(await people.owner(), "admin_keys.create", "organisation.read")
    program = await people.browser()
    headers = {"Authorization": f"Bearer {made['key']}"}
    for scope in sorted(GRANTABLE):
        body = {"name": "child", "scopes": ["organisation.read", scope]}
        answer = await program.send("POST", PATH, body, headers)
        if scope in ("admin_keys.create", "organisation.read"):
            assert answer.status == 201
        else:
            assert (answer.status, answer.code) == (403, "scope_above_own")
            assert answer.body["pointer"] == "/scopes/1"


async def test_a_key_that_ends_makes_no_key_that_outlives_it(people: People) -> None:
    owner = await people.owner()
    end = datetime.now(UTC) + timedelta(days=1)
    body = {"name": "parent", "scopes": ["admin_keys.create"], "expires_at": end.isoformat()}
    headers = {"Authorization": f"Bearer {(await owner.ok('POST', PATH, body))['key']}"}
    program = await people.browser()
    for wanted, status in (
        (None, 403),
        (end + timedelta(milliseconds=1), 403),
        (end, 201),
        (end - timedelta(hours=1), 201),
    ):
        child = {"name": "child", "scopes": ["admin_keys.create"], "expires_at": wanted and wanted.isoformat()}
        answer = await program.send("POST", PATH, child, headers)
        assert answer.status == status
        if status == 403:
            assert (answer.code, answer.body["pointer"]) == ("expiry_beyond_own", "/expires_at")
            assert end.isoformat() in answer.body["detail"]
    assert (await owner.post(PATH, {"name": "by a person", "scopes": ["admin_keys.create"]})).status == 201


async def test_each_role_makes_keys_for_what_it_may(people: People) -> None:
    owner = await people.owner()
    admin, guest = await people.join(owner, "a@example.com", "admin"), await people.join(owner, "g@example.com")
    everything = {"name": "all", "scopes": sorted(GRANTABLE)}
    assert (await owner.post(PATH, everything)).status == 201
    assert (await admin.post(PATH, everything)).code == "scope_above_own"
    assert (await guest.post(PATH, {"name": "x", "scopes": ["organisation.read"]})).code == "forbidden"


@pytest.mark.parametrize("scope", ["session.read", "account.update", "configs.fly", ""])
async def test_what_no_key_can_do_is_no_scope(people: People, scope: str) -> None:
    owner = await people.owner()
    refused = await owner.post(PATH, {"name": "x", "scopes": [scope]})
    assert (refused.status, refused.body["pointer"]) == (400, "/scopes/0")


@pytest.mark.parametrize(
    "expires_at",
    [
        datetime.now(UTC) - timedelta(seconds=1),
        datetime.now(UTC) + timedelta(days=3700),
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "2030-01-01T00:00:00",
        "soon",
    ],
)
async def test_an_end_is_a_time_to_come_within_ten_years(people: People, expires_at: datetime | str) -> None:
    owner = await people.owner()
    text = expires_at if isinstance(expires_at, str) else expires_at.isoformat()
    refused = await owner.post(PATH, {"name": "x", "scopes": ["organisation.read"], "expires_at": text})
    assert (refused.status, refused.body["pointer"]) == (400, "/expires_at")


async def test_a_key_ends_when_it_was_said_to(people: People) -> None:
    owner = await people.owner()
    end = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    made = await owner.ok("POST", PATH, {"name": "x", "scopes": ["organisation.read"], "expires_at": end})
    headers = {"Authorization": f"Bearer {made['key']}"}
    program = await people.browser()
    assert (await program.send("GET", "/api/v1/organisation", headers=headers)).status == 200
    await people.sql("update admin_key set expires_at = now() returning 1")
    assert (await program.send("GET", "/api/v1/organisation", headers=headers)).status == 401


async def test_another_organisations_keys_are_not_there(people: People) -> None:
    owner = await people.owner()
    made = await make(owner, "organisation.read")
    second = await people.organisation("Second", owner.account)
    await owner.ok("POST", "/api/v1/session/organisation", {"organisation": second})
    assert (await owner.ok("GET", PATH))["data"] == []
    assert (await owner.send("DELETE", f"{PATH}/{made['id']}")).status == 404
