"""Login, the session, and every way it ends."""

import asyncio
import secrets
import threading

import pytest

from control_plane.auth.attempts import AT_ACCOUNT_MAX, FROM_ADDRESS_MAX, Attempts
from control_plane.auth.join import InvitationAccept, Joining
from control_plane.auth.login import Login, Logins, OrganisationSwitch
from control_plane.auth.passwords import Hasher, Passwords
from control_plane.auth.sessions import AGE_S_MAX, IDLE_S_MAX
from control_plane.data_keys import digest
from control_plane.errors import Problem, Unauthenticated
from control_plane.permissions import STRANGER, ActorKind, OrganisationRole, Principal
from control_plane.web import session_cookie
from control_plane.web.route import Call, Client
from shared.crypto.secret import Secret
from tests.fixtures.people import PASSWORD, Browser, People

LOGIN, LOGOUT, SESSION = "/api/v1/login", "/api/v1/logout", "/api/v1/session"
GOOD = {"email": "owner@example.com", "password": PASSWORD}


async def login(people: People, **body: str) -> Browser:
    browser = await people.browser()
    await browser.ok("POST", LOGIN, {**GOOD, **body})
    return browser


async def test_the_right_password_gives_a_session(people: People) -> None:
    owner = await people.owner()
    browser = await people.browser()
    answer = await browser.post(LOGIN, {"email": " OWNER@example.com ", "password": PASSWORD})
    assert answer.status == 200
    assert answer.body["account"]["id"] == owner.account
    assert await browser.ok("GET", SESSION) == answer.body
    cookie = answer.cookie
    assert cookie is not None
    assert cookie["httponly"] is True
    assert (cookie["samesite"], cookie["path"], cookie["max-age"]) == ("Lax", "/", str(int(AGE_S_MAX)))
    assert cookie["secure"] == ""


async def test_every_failure_looks_the_same_and_takes_the_same_steps(people: People) -> None:
    owner = await people.owner()
    elsewhere = await people.organisation("Elsewhere", owner.account)
    await people.sql("delete from member where organisation = $1 returning 1", elsewhere)
    failures = [
        {**GOOD, "password": "wrong"},
        {"email": "nobody@example.com", "password": PASSWORD},
        {**GOOD, "organisation": elsewhere},
        {**GOOD, "organisation": "org_none"},
    ]
    seen = []
    for body in failures:
        browser = await people.browser()
        people.hasher.asked.clear()
        answer = await browser.post(LOGIN, body)
        told = {name: value for name, value in answer.body.items() if name != "request_id"}
        seen.append((answer.status, told, people.hasher.asked[:], answer.cookie))
    assert seen == [seen[0]] * len(failures)
    assert seen[0][0] == 401
    assert seen[0][2] == ["verify"]


async def test_who_belongs_nowhere_any_more_is_told_as_everybody(people: People) -> None:
    await people.owner()
    await people.sql("delete from member returning 1")
    browser = await people.browser()
    refused = await browser.post(LOGIN, GOOD)
    assert (refused.status, refused.code) == (401, "login_failed")


@pytest.mark.parametrize("email", ["owner@example.com", "nobody@example.com"])
async def test_guessing_at_one_address_is_slowed_whether_or_not_it_exists(people: People, email: str) -> None:
    await people.owner()
    browser = await people.browser()
    for _ in range(AT_ACCOUNT_MAX):
        assert (await browser.post(LOGIN, {"email": email, "password": "wrong"})).status == 401
    people.hasher.asked.clear()
    refused = await browser.post(LOGIN, {"email": email, "password": PASSWORD})
    assert refused.status == 429
    assert people.hasher.asked == []


async def test_guessing_at_many_addresses_is_slowed(people: People) -> None:
    await people.owner()
    browser = await people.browser()
    guesses = [{"email": f"a{number}@example.com", "password": "wrong"} for number in range(FROM_ADDRESS_MAX + 15)]
    answers = await asyncio.gather(*(browser.post(LOGIN, guess) for guess in guesses))
    assert sorted(answer.status for answer in answers) == [401] * FROM_ADDRESS_MAX + [429] * 15
    people.clock.advance(1000)
    assert (await browser.post(LOGIN, GOOD)).status == 200


async def test_a_login_takes_a_new_token_whatever_the_browser_came_with(people: People) -> None:
    await people.owner()
    attacker = await login(people)
    planted = attacker.token
    victim = await people.browser()
    victim.http.cookie_jar.update_cookies({session_cookie.NAME: planted})
    answer = await victim.post(LOGIN, GOOD)
    assert answer.status == 200
    assert answer.cookie is not None
    assert answer.cookie.value != planted
    assert (await attacker.get(SESSION)).code == "session_ended"
    assert (await victim.get(SESSION)).status == 200


async def test_a_made_up_token_never_becomes_a_session(people: People) -> None:
    await people.owner()
    browser = await people.browser()
    browser.http.cookie_jar.update_cookies({session_cookie.NAME: "chosen-by-the-attacker"})
    answer = await browser.post(LOGIN, GOOD)
    assert answer.cookie is not None
    assert answer.cookie.value != "chosen-by-the-attacker"
    other = await people.browser()
    other.http.cookie_jar.update_cookies({session_cookie.NAME: "chosen-by-the-attacker"})
    assert (await other.get(SESSION)).status == 401


async def test_logout_ends_this_session_and_its_cookie_and_no_other(people: People) -> None:
    owner = await people.owner()
    browser = await login(people)
    token = browser.token
    answer = await browser.post(LOGOUT)
    assert answer.status == 204
    assert answer.cookie is not None
    assert (answer.cookie.value, answer.cookie["max-age"]) == ("", "0")
    browser.http.cookie_jar.update_cookies({session_cookie.NAME: token})
    assert (await browser.get(SESSION)).status == 401
    assert (await owner.get(SESSION)).status == 200


@pytest.mark.parametrize(
    ("column", "age_s", "over"),
    [
        ("seen_at", IDLE_S_MAX - 60, False),
        ("seen_at", IDLE_S_MAX + 1, True),
        ("expires_at", -60, False),
        ("expires_at", 1, True),
    ],
)
async def test_a_session_ends_when_it_is_idle_and_when_it_is_old(
    people: People, column: str, age_s: float, over: bool
) -> None:
    owner = await people.owner()
    await people.sql(f"update session set {column} = now() - make_interval(secs => $1) returning 1", age_s)
    assert (await owner.get(SESSION)).status == (401 if over else 200)


async def test_a_session_in_use_does_not_become_idle_and_grows_old_all_the_same(people: People) -> None:
    owner = await people.owner()
    expires = await people.sql("select expires_at from session")
    await people.sql("update session set seen_at = now() - make_interval(secs => $1) returning 1", IDLE_S_MAX - 60)
    await owner.ok("GET", SESSION)
    assert await people.sql("select now() - seen_at < interval '1 minute' from session")
    assert await people.sql("select expires_at from session") == expires
    assert await people.sql("select expires_at - created_at = make_interval(secs => $1) from session", AGE_S_MAX)


async def test_sessions_that_are_over_are_swept_at_the_next_login(people: People) -> None:
    await people.owner()
    await people.sql("update session set seen_at = now() - interval '13 hours' returning 1")
    await login(people)
    assert await people.sql("select count(*) from session") == 1


async def test_a_new_password_ends_every_session_and_works(people: People) -> None:
    owner, other = await people.owner(), await login(people)
    second = await people.organisation("Second", owner.account)
    third = await login(people, organisation=second)
    before = owner.token
    change = {"current_password": PASSWORD, "new_password": "another horse battery"}
    answer = await owner.post("/api/v1/account/password", change)
    assert answer.status == 200
    assert owner.token != before
    assert (await owner.get(SESSION)).status == 200
    assert [(await browser.get(SESSION)).status for browser in (other, third)] == [401, 401]
    stranger = await people.browser()
    assert (await stranger.post(LOGIN, GOOD)).status == 401
    assert (await stranger.post(LOGIN, {**GOOD, "password": "another horse battery"})).status == 200


class Paused:
    """The real hasher, which is asked about a password and does not answer before it is told to."""

    def __init__(self, real: Hasher) -> None:
        self._real = real
        self.asked, self.told = threading.Event(), threading.Event()

    def hash(self, password: str) -> str:
        return self._real.hash(password)

    def verify(self, hash: str, password: str) -> bool:  # noqa: A002 - the library's own name
        self.asked.set()
        self.told.wait()
        return self._real.verify(hash, password)


@pytest.mark.parametrize("way", ["login", "invitation"])
async def test_a_new_password_also_ends_what_was_begun_with_the_one_before(people: People, way: str) -> None:
    owner = await people.owner()
    second = await people.organisation("Second", owner.account)
    await people.sql("delete from member where organisation = $1 returning 1", second)
    hasher, link = Paused(people.hasher), secrets.token_urlsafe()
    passwords, attempts, client = Passwords(hasher), Attempts(people.clock), Client("127.0.0.1")
    if way == "login":
        room = Logins(people.database, people.changes, passwords, attempts)
        begun = room.login(Call("rq_early", STRANGER, {}, Login.model_validate(GOOD), {}, client))
    else:
        await people.sql(
            "insert into invitation (id, organisation, token_hash, email, role, invited_by, expires_at)"
            " values ('in_1', $1, $2, $3, 'member', 'test', now() + interval '1 hour') returning 1",
            second,
            digest(link),
            GOOD["email"],
        )
        body = InvitationAccept.model_validate({"token": link, "name": "Owner", "password": PASSWORD})
        joining = Joining(people.database, people.changes, passwords, attempts, people.ids)
        begun = joining.accept(Call("rq_early", STRANGER, {}, body, {}, client))
    early = asyncio.create_task(begun)
    await asyncio.to_thread(hasher.asked.wait)
    change = {"current_password": PASSWORD, "new_password": "another horse battery"}
    await owner.ok("POST", "/api/v1/account/password", change)
    hasher.told.set()
    with pytest.raises(Problem) as refused:
        await early
    assert refused.value.code == ("login_failed" if way == "login" else "password_wrong")
    assert await people.sql("select count(*) from session") == 1


async def test_a_session_that_ended_while_it_was_to_switch_begins_no_other(people: People) -> None:
    owner, other = await people.owner(), await login(people)
    organisation = owner.session["organisation"]["id"]
    second = await people.organisation("Second", owner.account)
    let_in = Principal(ActorKind.ACCOUNT, owner.account, organisation, OrganisationRole.OWNER)
    change = {"current_password": PASSWORD, "new_password": "another horse battery"}
    await owner.ok("POST", "/api/v1/account/password", change)
    room = Logins(people.database, people.changes, people.passwords, Attempts(people.clock))
    body, client = OrganisationSwitch(organisation=second), Client("127.0.0.1", Secret(other.token))
    with pytest.raises(Unauthenticated, match="has ended"):
        await room.switch(Call("rq_late", let_in, {}, body, {}, client))
    assert await people.sql("select count(*) from session") == 1


async def test_a_new_password_needs_the_one_before_and_guessing_it_is_slowed(people: People) -> None:
    owner = await people.owner()
    change = {"current_password": "wrong", "new_password": "another horse battery"}
    for _ in range(AT_ACCOUNT_MAX):
        refused = await owner.post("/api/v1/account/password", change)
        assert (refused.status, refused.body["pointer"]) == (403, "/current_password")
    assert (await owner.post("/api/v1/account/password", {**change, "current_password": PASSWORD})).status == 429
    assert (await (await people.browser()).post(LOGIN, GOOD)).status == 200


async def test_of_two_new_passwords_at_once_one_wins(people: People) -> None:
    owner, other = await people.owner(), await login(people)
    changes = [{"current_password": PASSWORD, "new_password": f"another horse {n}"} for n in range(2)]
    answers = await asyncio.gather(
        *(b.post("/api/v1/account/password", c) for b, c in zip((owner, other), changes, strict=True))
    )
    won = [answer.status == 200 for answer in answers]
    assert sum(won) == 1, answers
    right = [
        (await (await people.browser()).post(LOGIN, {**GOOD, "password": c["new_password"]})).status for c in changes
    ]
    assert right == [200 if winner else 401 for winner in won]


async def test_switching_goes_on_in_the_other_organisation_under_a_new_token(people: People) -> None:
    owner = await people.owner()
    second = await people.organisation("Second", owner.account)
    before = owner.token
    answer = await owner.post(f"{SESSION}/organisation", {"organisation": second})
    assert answer.status == 200
    assert answer.body["organisation"]["name"] == "Second"
    assert [o["name"] for o in answer.body["organisations"]] == ["Acme", "Second"]
    assert owner.token != before
    assert (await owner.ok("GET", "/api/v1/organisation"))["name"] == "Second"
    stale = await people.browser()
    stale.http.cookie_jar.update_cookies({session_cookie.NAME: before})
    assert (await stale.get(SESSION)).status == 401


async def test_nobody_switches_to_where_they_do_not_belong(people: People) -> None:
    owner = await people.owner()
    guest = await people.join(owner, "guest@example.com")
    second = await people.organisation("Second", owner.account)
    refused = await guest.post(f"{SESSION}/organisation", {"organisation": second})
    assert (refused.status, refused.body["pointer"]) == (404, "/organisation")
    assert (await guest.ok("GET", SESSION))["organisation"]["name"] == "Acme"


async def test_login_may_name_the_organisation(people: People) -> None:
    owner = await people.owner()
    second = await people.organisation("Second", owner.account)
    assert (await login(people)).session["organisation"]["name"] == "Acme"
    assert (await login(people, organisation=second)).session["organisation"]["name"] == "Second"


async def test_logins_are_on_the_record_without_a_secret(people: People) -> None:
    owner = await people.owner()
    await (await login(people)).post(LOGOUT)
    rows = (await owner.ok("GET", "/api/v1/audit-logs?filter=kind:account"))["data"]
    assert [(row["action"], row["actor_name"]) for row in rows] == [
        ("session.delete", "owner@example.com"),
        ("session.create", "owner@example.com"),
    ]
