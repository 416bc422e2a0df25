"""Members on a real database: who sees whom, what ends when somebody goes, and that an owner remains."""

import asyncio

import pytest

from control_plane.errors import Forbidden
from control_plane.members.api import Members, MemberUpdate, WorkspaceMemberPut
from control_plane.permissions import GRANTABLE, TABLE, ActorKind, OrganisationRole, Principal, WorkspaceRole
from control_plane.web.route import Call
from tests.fixtures.people import PASSWORD, People

PATH = "/api/v1/members"


def bearer(key: dict[str, str]) -> dict[str, str]:
    return {"Authorization": f"Bearer {key['key']}"}


async def test_members_are_listed_filtered_and_sorted(people: People) -> None:
    owner = await people.owner()
    await people.join(owner, "guest@example.com")
    await people.join(owner, "admin@example.com", "admin")
    rows = (await owner.ok("GET", f"{PATH}?sort=email"))["data"]
    assert [(row["email"], row["role"]) for row in rows] == [
        ("admin@example.com", "admin"),
        ("guest@example.com", "member"),
        ("owner@example.com", "owner"),
    ]
    assert [row["email"] for row in (await owner.ok("GET", f"{PATH}?filter=role:admin"))["data"]] == [
        "admin@example.com"
    ]
    first = await owner.ok("GET", f"{PATH}?sort=email&limit=2")
    rest = await owner.ok("GET", f"{PATH}?sort=email&limit=2&cursor={first['next_cursor']}")
    assert [*first["data"], *rest["data"]] == rows
    assert rest["next_cursor"] is None
    one = await owner.ok("GET", f"{PATH}/{rows[1]['id']}")
    assert one == rows[1]


async def test_another_organisations_members_are_not_there(people: People) -> None:
    owner = await people.owner()
    guest = await people.join(owner, "guest@example.com")
    second = await people.organisation("Second", owner.account)
    await owner.ok("POST", "/api/v1/session/organisation", {"organisation": second})
    assert [row["email"] for row in (await owner.ok("GET", PATH))["data"]] == ["owner@example.com"]
    for method, body in (("GET", None), ("PATCH", {"role": "admin"}), ("DELETE", None)):
        assert (await owner.send(method, f"{PATH}/{guest.account}", body)).status == 404
    assert (await guest.get("/api/v1/session")).status == 200


async def test_a_new_role_counts_and_ends_the_sessions_under_the_old_one(people: People) -> None:
    owner = await people.owner()
    guest = await people.join(owner, "guest@example.com")
    before = guest.token
    changed = await owner.ok("PATCH", f"{PATH}/{guest.account}", {"role": "admin"})
    assert changed["role"] == "admin"
    assert (await guest.get("/api/v1/session")).status == 401
    await guest.ok("POST", "/api/v1/login", {"email": "guest@example.com", "password": PASSWORD})
    assert guest.token != before
    assert (await guest.get(PATH)).status == 200


async def test_the_same_role_again_changes_nothing(people: People) -> None:
    owner = await people.owner()
    await owner.ok("PATCH", f"{PATH}/{owner.account}", {"role": "owner"})
    assert (await owner.get("/api/v1/session")).status == 200
    assert (await owner.ok("GET", "/api/v1/audit-logs?filter=action:organisation_users"))["data"] == []


async def test_who_is_removed_is_out_at_once_with_all_they_handed_out(people: People) -> None:
    owner = await people.owner()
    workspace = await people.workspace(owner)
    admin = await people.join(owner, "admin@example.com", "admin", {workspace: "admin"})
    made = await admin.ok("POST", "/api/v1/admin-keys", {"name": "robot", "scopes": ["organisation.read"]})
    await admin.ok("POST", "/api/v1/invitations", {"email": "friend@example.com"})
    await owner.ok("DELETE", f"{PATH}/{admin.account}")
    assert (await admin.get("/api/v1/session")).status == 401
    program = await people.browser()
    headers = {"Authorization": f"Bearer {made['key']}"}
    assert (await program.send("GET", "/api/v1/organisation", headers=headers)).status == 401
    assert (await owner.ok("GET", "/api/v1/invitations?filter=state:open"))["data"] == []
    assert (await owner.ok("GET", f"/api/v1/workspaces/{workspace}/members"))["data"] == []
    login = await people.browser()
    assert (await login.post("/api/v1/login", {"email": "admin@example.com", "password": PASSWORD})).status == 401


@pytest.mark.parametrize("first_key_is", ["alive", "revoked"])
async def test_keys_and_invitations_made_with_the_keys_of_who_is_removed_end_too(
    people: People, first_key_is: str
) -> None:
    owner = await people.owner()
    admin = await people.join(owner, "admin@example.com", "admin")
    scopes = sorted(action for action, rule in TABLE.items() if action in GRANTABLE and rule.organisation != "owner")
    body = {"name": "robot", "scopes": scopes}
    first = await admin.ok("POST", "/api/v1/admin-keys", body)
    program = await people.browser()
    second = (await program.send("POST", "/api/v1/admin-keys", body, bearer(first))).body
    third = (await program.send("POST", "/api/v1/admin-keys", body, bearer(second))).body
    invited = await program.send("POST", "/api/v1/invitations", {"email": "friend@example.com"}, bearer(third))
    assert invited.status == 201
    if first_key_is == "revoked":
        await owner.ok("DELETE", f"/api/v1/admin-keys/{first['id']}")
    await owner.ok("DELETE", f"{PATH}/{admin.account}")
    for key in (first, second, third):
        assert (await program.send("GET", "/api/v1/organisation", headers=bearer(key))).status == 401
    assert (await owner.ok("GET", "/api/v1/invitations?filter=state:open"))["data"] == []


async def test_unused_enrolment_tokens_of_who_is_removed_end(people: People) -> None:
    owner = await people.owner()
    admin = await people.join(owner, "admin@example.com", "admin")
    organisation = owner.session["organisation"]["id"]
    await people.sql(
        "insert into gateway (id, organisation, name, created_by) values ('gw_1', $1, 'one', $2) returning id",
        organisation,
        owner.account,
    )
    for maker in (owner.account, admin.account):
        await people.sql(
            "insert into enrolment_token (id, organisation, gateway, hash, created_by, expires_at)"
            " values ($1, $2, 'gw_1', $3, $4, now() + interval '1 hour') returning id",
            f"et_{maker}",
            organisation,
            maker.encode(),
            maker,
        )
    await owner.ok("DELETE", f"{PATH}/{admin.account}")
    assert await people.sql("select id from enrolment_token where expires_at > now()") == f"et_{owner.account}"
    assert await people.sql("select count(*) from enrolment_token where expires_at > now()") == 1


async def test_who_is_removed_here_stays_elsewhere(people: People) -> None:
    owner = await people.owner()
    guest = await people.join(owner, "guest@example.com")
    await people.organisation("Second", guest.account)
    await owner.ok("DELETE", f"{PATH}/{guest.account}")
    session = await guest.ok("POST", "/api/v1/login", {"email": "guest@example.com", "password": PASSWORD})
    assert session["organisation"]["name"] == "Second"


@pytest.mark.parametrize(("role", "works"), [("member", 401), ("owner", 200)])
async def test_keys_of_whose_role_fell_end_and_of_whose_rose_stay(people: People, role: str, works: int) -> None:
    owner = await people.owner()
    admin = await people.join(owner, "admin@example.com", "admin")
    made = await admin.ok("POST", "/api/v1/admin-keys", {"name": "robot", "scopes": ["organisation.read"]})
    await owner.ok("PATCH", f"{PATH}/{admin.account}", {"role": role})
    headers = {"Authorization": f"Bearer {made['key']}"}
    assert (await (await people.browser()).send("GET", "/api/v1/organisation", headers=headers)).status == works


async def test_an_admin_cannot_touch_an_owner_or_become_one(people: People) -> None:
    owner = await people.owner()
    admin = await people.join(owner, "admin@example.com", "admin")
    attempts = [
        ("PATCH", f"{PATH}/{admin.account}", {"role": "owner"}),
        ("PATCH", f"{PATH}/{owner.account}", {"role": "member"}),
        ("DELETE", f"{PATH}/{owner.account}", None),
        ("POST", "/api/v1/invitations", {"email": "friend@example.com", "role": "owner"}),
        ("POST", "/api/v1/admin-keys", {"name": "x", "scopes": ["organisation.update"]}),
    ]
    for method, path, body in attempts:
        assert (await admin.send(method, path, body)).status == 403, path
    assert await people.sql("select count(*) from member where role = 'owner'") == 1


async def test_the_last_owner_cannot_go(people: People) -> None:
    owner = await people.owner()
    for method, body in (("PATCH", {"role": "admin"}), ("DELETE", None)):
        refused = await owner.send(method, f"{PATH}/{owner.account}", body)
        assert (refused.status, refused.code) == (409, "last_owner")


async def test_owners_who_demote_each_other_at_once_leave_one(people: People) -> None:
    owner = await people.owner()
    others = [await people.join(owner, f"owner{number}@example.com", "owner") for number in range(3)]
    accounts = [owner.account, *(other.account for other in others)]
    members = Members(people.database, people.changes)
    organisation = owner.session["organisation"]["id"]

    async def demote(actor: str, target: str) -> None:
        principal = Principal(ActorKind.ACCOUNT, actor, organisation, OrganisationRole.OWNER)
        body = MemberUpdate(role=OrganisationRole.MEMBER)
        await members.update(Call("rq_race", principal, {"member": target}, body, {}))

    pairs = [(actor, target) for actor in accounts for target in accounts]
    await asyncio.gather(*(demote(*pair) for pair in pairs), return_exceptions=True)
    assert await people.sql("select count(*) from member where role = 'owner'") == 1


async def test_rights_lost_while_a_request_was_on_its_way_are_lost(people: People) -> None:
    owner = await people.owner()
    admin = await people.join(owner, "admin@example.com", "admin")
    guest = await people.join(owner, "guest@example.com")
    stale = Principal(ActorKind.ACCOUNT, admin.account, owner.session["organisation"]["id"], OrganisationRole.ADMIN)
    await owner.ok("PATCH", f"{PATH}/{admin.account}", {"role": "member"})
    members = Members(people.database, people.changes)
    call = Call("rq_late", stale, {"member": guest.account}, MemberUpdate(role=OrganisationRole.ADMIN), {})
    with pytest.raises(Exception, match="changed just now"):
        await members.update(call)
    assert await people.sql("select role from member where account = $1", guest.account) == "member"


async def test_a_role_in_a_workspace_lost_while_a_request_was_on_its_way_gives_and_takes_no_more(
    people: People,
) -> None:
    owner = await people.owner()
    workspace = await people.workspace(owner)
    admin = await people.join(owner, "admin@example.com", workspaces={workspace: "admin"})
    guest = await people.join(owner, "guest@example.com", workspaces={workspace: "member"})
    organisation, admins = owner.session["organisation"]["id"], {workspace: WorkspaceRole.ADMIN}
    stale = Principal(ActorKind.ACCOUNT, admin.account, organisation, OrganisationRole.MEMBER, admins)
    await owner.ok("DELETE", f"/api/v1/workspaces/{workspace}/members/{admin.account}")
    members, body = Members(people.database, people.changes), WorkspaceMemberPut(role=WorkspaceRole.ADMIN)
    with pytest.raises(Forbidden, match="changed just now"):
        await members.put_there(Call("rq_late", stale, {"workspace": workspace, "member": admin.account}, body, {}))
    with pytest.raises(Forbidden, match="changed just now"):
        await members.remove_there(Call("rq_late", stale, {"workspace": workspace, "member": guest.account}, None, {}))
    rows = (await owner.ok("GET", f"/api/v1/workspaces/{workspace}/members"))["data"]
    assert [(row["id"], row["role"]) for row in rows] == [(guest.account, "member")]


async def test_roles_in_a_workspace_are_put_listed_and_taken(people: People) -> None:
    owner = await people.owner()
    workspace = await people.workspace(owner)
    guest = await people.join(owner, "guest@example.com")
    path = f"/api/v1/workspaces/{workspace}/members"
    for role in ("member", "admin"):
        put = await owner.ok("PUT", f"{path}/{guest.account}", {"role": role})
        assert (put["id"], put["role"]) == (guest.account, role)
    assert [row["role"] for row in (await guest.ok("GET", path))["data"]] == ["admin"]
    await guest.ok("DELETE", f"{path}/{guest.account}")
    assert (await guest.get(path)).status == 404
    assert (await owner.send("DELETE", f"{path}/{guest.account}")).status == 404
    rows = (await owner.ok("GET", f"/api/v1/audit-logs?filter=workspace:{workspace}&sort=at"))["data"]
    assert [(row["action"], row["before"], row["after"]) for row in rows if row["kind"] == "workspace_member"] == [
        ("workspace_users.update", None, {"role": "member"}),
        ("workspace_users.update", {"role": "member"}, {"role": "admin"}),
        ("workspace_users.delete", {"role": "admin"}, None),
    ]


async def test_nobody_is_put_where_one_of_the_two_is_not_there(people: People) -> None:
    owner = await people.owner()
    workspace = await people.workspace(owner)
    second = await people.organisation("Second", owner.account)
    for path in (f"{workspace}/members/ac_none", f"ws_none/members/{owner.account}"):
        assert (await owner.send("PUT", f"/api/v1/workspaces/{path}", {"role": "member"})).status == 404
    assert (await owner.get("/api/v1/workspaces/ws_none/members")).status == 404
    await owner.ok("POST", "/api/v1/session/organisation", {"organisation": second})
    there = f"/api/v1/workspaces/{workspace}/members"
    assert (await owner.send("PUT", f"{there}/{owner.account}", {"role": "member"})).status == 404
    assert (await owner.get(there)).status == 404
