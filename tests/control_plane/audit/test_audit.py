"""The audit log: each change has its row, readable, filtered, in pages, and only one's own."""

from tests.fixtures.people import People

PATH = "/api/v1/audit-logs"


async def test_a_change_is_told_with_who_what_and_which_request(people: People) -> None:
    owner = await people.owner()
    changed = await owner.send(
        "PATCH", "/api/v1/organisation", {"name": "New"}, {"x-gatehouse-csrf": owner.session["csrf_token"]}
    )
    row = (await owner.ok("GET", PATH))["data"][0]
    assert (row["action"], row["kind"]) == ("organisation.update", "organisation")
    assert (row["actor"], row["actor_kind"], row["actor_name"]) == (owner.account, "account", "owner@example.com")
    assert (row["before"], row["after"]) == ({"name": "Acme"}, {"name": "New"})
    assert row["request_id"] == changed.headers["x-gatehouse-request-id"]
    assert row["revision"] == 2


async def test_what_a_key_does_is_told_with_the_keys_name(people: People) -> None:
    owner = await people.owner()
    made = await owner.ok("POST", "/api/v1/admin-keys", {"name": "robot", "scopes": ["organisation.update"]})
    headers = {"Authorization": f"Bearer {made['key']}"}
    await (await people.browser()).send("PATCH", "/api/v1/organisation", {"name": "New"}, headers)
    (row,) = (await owner.ok("GET", f"{PATH}?filter=actor:{made['id']}"))["data"]
    assert (row["actor_kind"], row["actor_name"], row["action"]) == ("admin_key", "robot", "organisation.update")


async def test_a_refused_change_leaves_no_row(people: People) -> None:
    owner = await people.owner()
    before = await people.sql("select count(*) from audit")
    assert (await owner.send("DELETE", f"/api/v1/members/{owner.account}")).status == 409
    assert await people.sql("select count(*) from audit") == before


async def test_it_is_filtered_and_read_in_pages_in_every_order(people: People) -> None:
    owner = await people.owner()
    workspace = await people.workspace(owner)
    for number in range(5):
        await owner.ok("PATCH", f"/api/v1/workspaces/{workspace}", {"name": f"name {number}"})
    everything = (await owner.ok("GET", PATH))["data"]
    for field in ("at", "action", "actor", "kind", "resource", "workspace"):
        for sign in ("", "-"):
            rows, cursor = [], ""
            while True:
                page = await owner.ok("GET", f"{PATH}?sort={sign}{field}&limit=3{cursor}")
                rows += page["data"]
                if page["next_cursor"] is None:
                    break
                cursor = f"&cursor={page['next_cursor']}"
            values = [row[field] or "" for row in rows]
            assert values == sorted(values, reverse=sign == "-")
            assert sorted(row["id"] for row in rows) == sorted(row["id"] for row in everything)
    for text in (
        "action:workspaces.update",
        f"workspace:{workspace} -action:create",
        f"resource:{workspace} kind:workspace -action:create",
    ):
        assert len((await owner.ok("GET", f"{PATH}?filter={text}"))["data"]) == 5


async def test_only_who_may_sees_it_and_only_their_own_organisations(people: People) -> None:
    owner = await people.owner()
    guest = await people.join(owner, "guest@example.com")
    assert (await guest.get(PATH)).status == 403
    await people.organisation("Second", guest.account)
    session = await guest.ok("GET", "/api/v1/session")
    second = next(o["id"] for o in session["organisations"] if o["name"] == "Second")
    await guest.ok("POST", "/api/v1/session/organisation", {"organisation": second})
    rows = (await guest.ok("GET", PATH))["data"]
    assert [(row["action"], row["actor_kind"]) for row in rows] == [
        ("session.update", "account"),
        ("organisation.create", "instance"),
    ]
