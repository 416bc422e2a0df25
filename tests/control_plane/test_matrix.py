"""Every route by everybody, in their own organisation and in another's: who may, may; nobody sees what is not theirs.

The cases are made of the table of routes, so a route that is added is tried by itself; what may be expected stands here
once more, as words, and does not ask `permissions.may`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
import pytest_asyncio

from control_plane.permissions import GRANTABLE
from control_plane.web.listing import Page
from control_plane.web.route import Route
from tests.fixtures.clickhouse import ClickhouseServer
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.recorded import recorded_in
from tests.fixtures.tenants import HOUR_S, Asked, Headers, Tenant, World, standing_world

pytestmark = pytest.mark.asyncio(loop_scope="module")

LEVELS = {
    "everybody": """organisation.read workspaces.list providers.list providers.read models.list models.read
        prices.list prices.read analytics.view logs.list logs.view""",
    "people": "session.read session.update session.delete account.update",
    "there member": """workspaces.read workspace_users.list api_keys.list api_keys.read virtual_keys.list
        virtual_keys.read configs.list configs.read""",
    "there manager": """api_keys.create api_keys.update api_keys.delete virtual_keys.create virtual_keys.update
        virtual_keys.delete configs.create configs.update configs.delete""",
    "there admin": "workspaces.update workspace_users.update workspace_users.delete",
    "admin": """organisation_users.list organisation_users.read organisation_users.update organisation_users.delete
        invitations.list invitations.create invitations.delete admin_keys.list admin_keys.create admin_keys.delete
        workspaces.create workspaces.delete providers.create providers.update providers.delete gateways.list
        prices.create prices.update prices.delete gateways.read gateways.create gateways.update gateways.delete
        gateways.enrol enrolment_tokens.list nodes.list
        nodes.read nodes.delete node_drops.list audit_logs.list""",
    "owner": "organisation.update",
}
"""From which level on an action may be done."""
LEVEL_OF = {action: level for level, actions in LEVELS.items() for action in actions.split()}
MEMBER = {"everybody", "people"}
THERE_MEMBER = {*MEMBER, "there member"}
THERE_MANAGER = {*THERE_MEMBER, "there manager"}
THERE_ADMIN = {*THERE_MANAGER, "there admin"}
ADMIN = {*THERE_ADMIN, "admin"}
EVERYTHING = {*LEVELS}
HANDING_ON = {
    "organisation_users.update",
    "organisation_users.delete",
    "workspace_users.update",
    "workspace_users.delete",
    "invitations.create",
    "admin_keys.create",
}
"""What also needs to have what is handed on: a key with this scope alone may not."""
FIRST_RUN_IS_OVER = "POST /api/v1/first-run"


@dataclass(frozen=True, slots=True)
class Who:
    """Somebody of the first organisation, and what the matrix expects for them."""

    headers: Callable[[World, Tenant, Route], Awaitable[Headers]]
    levels: frozenset[str]
    """Where the levels `there …` are those in the first workspace."""
    sees_first: bool
    """Whether the first workspace is there for them at all."""
    known: bool = True
    alone: bool = False
    """Holds the route's scope and no other."""

    def may(self, route: Route) -> bool:
        return LEVEL_OF[route.action] in self.levels and not (self.alone and route.action in HANDING_ON)


def person(name: str, levels: set[str], *, sees_first: bool) -> Who:
    return Who(lambda world, own, _: world.session(own.accounts[name], own.id), frozenset(levels), sees_first)


def nobody(headers: Callable[[World, Tenant, Route], Awaitable[Headers]]) -> Who:
    return Who(headers, frozenset(), sees_first=False, known=False)


async def stranger(_world: World, _own: Tenant, _route: Route) -> Headers:
    return {}


WHO = {
    "owner": person("owner", EVERYTHING, sees_first=True),
    "admin": person("admin", ADMIN, sees_first=True),
    "member": person("member", MEMBER, sees_first=False),
    "workspace admin": person("first admin", THERE_ADMIN, sees_first=True),
    "workspace manager": person("first manager", THERE_MANAGER, sees_first=True),
    "workspace member": person("first member", THERE_MEMBER, sees_first=True),
    "admin of another workspace": person("second admin", MEMBER, sees_first=False),
    "manager of another workspace": person("second manager", MEMBER, sees_first=False),
    "member of another workspace": person("second member", MEMBER, sees_first=False),
    "key with every scope": Who(
        lambda world, own, _: world.admin_key(own.id, GRANTABLE), frozenset(EVERYTHING - {"people"}), sees_first=True
    ),
    "key with the scope alone": Who(
        lambda world, own, route: world.admin_key(own.id, {route.action}),
        frozenset(EVERYTHING - {"people"}),
        sees_first=True,
        alone=True,
    ),
    "key with every other scope": Who(
        lambda world, own, route: world.admin_key(own.id, GRANTABLE - {route.action}), frozenset(), sees_first=True
    ),
    "stranger": nobody(stranger),
    "session that ended": nobody(lambda world, own, _: world.session(own.accounts["owner"], own.id, age_s=-HOUR_S)),
    "key that expired": nobody(lambda world, own, _: world.admin_key(own.id, GRANTABLE, life_s=-HOUR_S)),
    "key that was revoked": nobody(lambda world, own, _: world.admin_key(own.id, GRANTABLE, revoked=True)),
}


@dataclass(frozen=True, slots=True)
class Two:
    world: World
    own: Tenant
    other: Tenant

    @property
    def routes(self) -> list[Route]:
        return [route for route in self.world.parts.routes if not route.public]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def two(
    postgres_server: PostgresServer,
    clickhouse_engine: ClickhouseServer,
    _template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Two]:
    async with (
        recorded_in(clickhouse_engine) as recorded,
        postgres_server.database("matrix", template=_template) as url,
        standing_world(url, tmp_path_factory.mktemp("matrix"), recorded) as world,
    ):
        own, other = await world.tenant("own"), await world.tenant("other")
        await own.account("admin", "admin")
        await own.account("member", "member")
        for place in ("first", "second"):
            for role in ("admin", "manager", "member"):
                await own.account(f"{place} {role}", "member", {place: role})
        yield Two(world, own, other)


async def test_every_action_is_expected_from_somebody(two: Two) -> None:
    assert {route.action for route in two.routes} <= LEVEL_OF.keys()
    assert LEVEL_OF.keys() >= GRANTABLE


@pytest.mark.parametrize("name", WHO)
async def test_everybody_may_what_they_may_in_their_own_organisation(two: Two, name: str) -> None:
    who, wrong = WHO[name], []
    for route in two.routes:
        asked = await two.own.ask(route, fresh=who.known and who.may(route))
        answer = await two.world.send(asked, await who.headers(two.world, two.own, route))
        if answer.status != expected(who, route, asked):
            wrong.append(f"{asked.method} {asked.path}: {expected(who, route, asked)} expected, {answer.text}")
        wrong += [f"{asked.method} {asked.path}: {mark}" for mark in answer.told(asked, two.other.marks)]
    assert wrong == []


@pytest.mark.parametrize("name", WHO)
async def test_nobody_reaches_into_another_organisation(two: Two, name: str) -> None:
    who, wrong, tried = WHO[name], [], 0
    before = await two.other.rows()
    for route in two.routes:
        for asked in (await two.other.ask(route), await two.own.ask(route, refers=two.other)):
            if not asked.names(two.other.marks):
                continue
            tried += 1
            answer = await two.world.send(asked, await who.headers(two.world, two.own, route))
            if answer.status not in refusals(who, route, asked, two):
                wrong.append(f"{asked.method} {asked.path}: {answer.text}")
            wrong += [f"{asked.method} {asked.path}: {mark}" for mark in answer.told(asked, two.other.marks)]
    assert wrong == []
    assert tried > len(two.routes) / 2
    assert await two.other.rows() == before


@pytest.mark.parametrize("name", WHO)
async def test_filters_and_cursors_of_another_organisation_find_nothing(two: Two, name: str) -> None:
    wrong = []
    for route in two.routes:
        if route.answer is None or not issubclass(route.answer, Page):
            continue
        theirs = await two.world.send(await two.other.ask(route, query={"limit": "1"}), await two.other.owner())
        cursors = [{"cursor": theirs.body["next_cursor"]}] if theirs.body["next_cursor"] else []
        filters = [{"filter": f"{field}:{two.other.marker}"} for field in ("name", "slug", "email")]
        first = (theirs.body["data"] or [{}])[0]
        for query in (*cursors, *filters, {"filter": f"id:{first.get('id', 'x')}"}):
            asked = await two.own.ask(route, query=query)
            answer = await two.world.send(asked, await WHO[name].headers(two.world, two.own, route))
            wrong += [f"{asked.method} {asked.path}: {mark}" for mark in answer.told(asked, two.other.marks)]
    assert wrong == []


@pytest.mark.parametrize("name", [name for name, who in WHO.items() if not who.sees_first])
async def test_a_workspace_is_not_told_of_to_those_outside_it(two: Two, name: str) -> None:
    inside = {two.own.workspace, *(two.own.standing[kind] for kind in ("virtual_key", "config", "api_key"))}
    inside |= {f"{two.own.marker}-{what}" for what in ("virtual-key", "config", "api-key", "body", "alias", "first")}
    wrong = []
    for route in two.routes:
        asked = await two.own.ask(route)
        answer = await two.world.send(asked, await WHO[name].headers(two.world, two.own, route))
        wrong += [f"{asked.method} {asked.path}: {mark}" for mark in answer.told(asked, inside)]
    assert wrong == []


async def test_the_marks_that_nobody_else_may_see_are_seen_by_the_owner(two: Two) -> None:
    """The control of the tests above: where nothing can be seen, nothing can leak."""
    unmarked = []
    for route in two.routes:
        if route.method != "GET" or route.action.startswith("models.") or tells_no_names(route):
            continue
        asked = await two.other.ask(route)
        answer = await two.world.send(asked, await two.other.owner())
        if answer.status != 200 or two.other.marker not in answer.text:
            unmarked.append(f"{asked.path}: {answer.text}")
    bare = ("enrolment-tokens", "config-schema")
    assert [told for told in unmarked if not any(path in told for path in bare)] == []


async def test_public_routes_tell_strangers_of_nobody(two: Two) -> None:
    public = [route for route in two.world.parts.routes if route.public]
    assert {f"{route.method} {route.path}" for route in public} == {
        "GET /api/v1/first-run",
        "POST /api/v1/first-run",
        "POST /api/v1/login",
        "POST /api/v1/invitations/accept",
    }
    for route in public:
        asked = await two.own.ask(route)
        answer = await two.world.send(asked, {})
        over = f"{route.method} {route.path}" == FIRST_RUN_IS_OVER
        assert answer.status == (403 if over else route.status), answer.text
        assert answer.told(asked, two.other.marks) == []


async def test_nobody_logs_in_to_an_organisation_that_is_not_theirs(two: Two) -> None:
    login = next(route for route in two.world.parts.routes if route.path == "/api/v1/login")
    asked = await two.own.ask(login, refers=two.other)
    answer = await two.world.send(asked, {})
    assert answer.status == 401
    assert answer.told(asked, two.other.marks) == []


def tells_no_names(route: Route) -> bool:
    """Numbers, pseudonyms, what there is to ask for, and what comes from now on."""
    bare = ("/graphs/", "/summary/", "/groups/users", "/filter-fields")
    return bool(route.events) or any(part in route.path for part in bare)


def expected(who: Who, route: Route, asked: Asked) -> int:
    if not who.known:
        return 401
    if who.may(route):
        if "{record}" in route.path and not who.sees_first:
            return 404
        return 204 if route.answer is None and not route.events else route.status
    return 403 if who.sees_first or "{workspace}" not in route.path else 404


def refusals(who: Who, route: Route, asked: Asked, two: Two) -> set[int]:
    """A thing of another organisation is not there. Where a body names it, it is the body that is wrong."""
    if not who.known:
        return {401}
    if not who.may(route):
        return {403, 404}
    return {404} if any(mark in asked.path for mark in two.other.marks) or "session" in route.path else {400}
