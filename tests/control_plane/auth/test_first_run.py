"""First run: one code, one owner, and nothing for anybody else."""

import asyncio

from control_plane.auth.attempts import FROM_ADDRESS_MAX
from control_plane.auth.first_run import FirstRunRedeem
from control_plane.errors import Forbidden
from control_plane.permissions import STRANGER
from control_plane.web.route import Call, Client, SessionReply
from tests.fixtures.people import PASSWORD, People

PATH = "/api/v1/first-run"


def redeem(code: str, email: str = "owner@example.com") -> dict[str, str]:
    return {"code": code, "email": email, "password": PASSWORD, "name": "The Owner", "organisation": "Acme"}


async def new_code(people: People) -> str:
    code = await people.first_run.make_code()
    assert code is not None
    return code.reveal_text()


async def test_strangers_learn_only_whether_it_is_needed(people: People) -> None:
    browser = await people.browser()
    assert (await browser.get(PATH)).body == {"needed": False}
    await new_code(people)
    assert (await browser.get(PATH)).body == {"needed": True}
    await people.owner()
    assert (await browser.get(PATH)).body == {"needed": False}


async def test_the_code_makes_an_organisation_with_its_owner_who_is_logged_in(people: People) -> None:
    browser = await people.browser()
    answer = await browser.post(PATH, redeem(await new_code(people), "Owner@Example.com"))
    assert answer.status == 201
    assert answer.body["account"]["email"] == "owner@example.com"
    assert answer.body["organisation"]["name"] == "Acme"
    assert answer.body["organisation"]["role"] == "owner"
    assert answer.body["workspaces"] == {}
    assert (await browser.ok("GET", "/api/v1/organisation"))["id"] == answer.body["organisation"]["id"]
    assert await people.sql("select count(*) from workspace") == 0
    actions = {row["action"] for row in (await browser.ok("GET", "/api/v1/audit-logs"))["data"]}
    assert actions == {"organisation.create", "first_run.create"}


async def test_a_wrong_code_and_a_used_one_and_none_at_all_look_the_same(people: People) -> None:
    browser = await people.browser()
    never = await browser.post(PATH, redeem("wrong"))
    code = await new_code(people)
    wrong = await browser.post(PATH, redeem("wrong"))
    await browser.ok("POST", PATH, redeem(code))
    stranger = await people.browser()
    used = await stranger.post(PATH, redeem(code, "second@example.com"))
    for refused in (never, wrong, used):
        assert (refused.status, refused.code) == (403, "code_refused")
        assert refused.cookie is None
    assert len({refused.body["detail"] for refused in (never, wrong, used)}) == 1
    assert await people.sql("select count(*) from account") == 1


async def test_a_new_start_voids_the_code_before(people: People) -> None:
    browser = await people.browser()
    first, second = await new_code(people), await new_code(people)
    assert (await browser.post(PATH, redeem(first))).status == 403
    assert (await browser.post(PATH, redeem(second))).status == 201


async def test_no_code_is_made_and_none_works_once_there_is_an_account(people: People) -> None:
    code = await new_code(people)
    await people.sql(
        "insert into account (id, email, name, password_hash) values ('ac_x', 'x@example.com', 'X', 'none') returning 1"
    )
    assert await people.first_run.make_code() is None
    browser = await people.browser()
    assert (await browser.get(PATH)).body == {"needed": False}
    assert (await browser.post(PATH, redeem(code))).status == 403


async def test_of_fifty_at_once_exactly_one_wins(people: People) -> None:
    code = await new_code(people)

    async def one(number: int) -> SessionReply:
        body = FirstRunRedeem.model_validate(redeem(code, f"owner{number}@example.com"))
        # Each from an address of its own, so that no limit helps the database.
        return await people.first_run.redeem(Call("rq_race", STRANGER, {}, body, {}, Client(f"192.0.2.{number}")))

    results = await asyncio.gather(*(one(number) for number in range(50)), return_exceptions=True)
    assert len([result for result in results if isinstance(result, SessionReply)]) == 1
    assert len([result for result in results if isinstance(result, Forbidden)]) == 49
    for table in ("account", "organisation", "member", "session"):
        assert await people.sql(f"select count(*) from {table}") == 1


async def test_guessing_is_slowed_also_for_the_right_code(people: People) -> None:
    browser = await people.browser()
    code = await new_code(people)
    for _ in range(FROM_ADDRESS_MAX):
        assert (await browser.post(PATH, redeem("wrong"))).status == 403
    refused = await browser.post(PATH, redeem(code))
    assert (refused.status, refused.code) == (429, "too_many_requests")
    people.clock.advance(float(refused.headers["Retry-After"]))
    assert (await browser.post(PATH, redeem(code))).status == 201


async def test_a_short_password_is_refused_with_its_place(people: People) -> None:
    browser = await people.browser()
    refused = await browser.post(PATH, {**redeem(await new_code(people)), "password": "eleven char"})
    assert (refused.status, refused.body["pointer"]) == (400, "/password")
    assert "eleven" not in str(refused.body)
