"""The same matrix with the application's own checks switched off: row-level security alone still leaks nothing.

The nets are taken away one by one: first the check of permissions at the API's door; then also the rooms' predicates,
by a database that holds every transaction to another organisation than the application believes it to be in; last the
whole application, every table being asked by SQL.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest
import pytest_asyncio
from aiohttp import web

from control_plane.permissions import ActorKind, Principal
from control_plane.web.api import Api
from control_plane.web.route import Route
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.tenants import Tenant, World, standing_world

pytestmark = pytest.mark.asyncio(loop_scope="module")

INSTANCE_TABLES = {"instance", "model", "price", "migration", "nonce"}
"""They belong to nobody: the catalogue, and what names no organisation."""
OF_THE_INSTANCE = "session.", "account."
"""Actions about the person who asks, whatever organisations they belong to: their transactions see all of them."""

OF_CLICKHOUSE = "analytics.", "logs."
"""Which has no second net: what these say stands in every statement, and the matrix itself tries them."""


@dataclass(frozen=True, slots=True)
class InTheNameOf:
    """Lets everybody in as one who may do everything in an organisation: the check of permissions never refuses."""

    organisation: str

    async def principal(self, request: web.Request) -> Principal:
        return Principal(ActorKind.INSTANCE, "test", self.organisation)

    def require_own_page(self, request: web.Request) -> None:
        return None


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    postgres_server: PostgresServer, _template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    async with (
        postgres_server.database("second_net", template=_template) as url,
        standing_world(url, tmp_path_factory.mktemp("second_net")) as world,
    ):
        yield world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own(world: World) -> Tenant:
    return await world.tenant("own")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def other(world: World) -> Tenant:
    return await world.tenant("other")


async def test_without_the_check_of_permissions_nobody_reaches_into_another_organisation(
    world: World, own: Tenant, other: Tenant
) -> None:
    before, wrong, tried = await other.rows(), [], 0
    async with world.behind(served(world, own.id)) as unchecked:
        for route in routes(world):
            for asked in (await other.ask(route), await own.ask(route, refers=other)):
                if asked.names(other.marks):
                    tried += 1
                    answer = await unchecked.send(asked, {})
                    wrong += [f"{asked.method} {asked.path}: {mark}" for mark in answer.told(asked, other.marks)]
                    if answer.status < 400:
                        wrong.append(f"{asked.method} {asked.path}: {answer.text}")
    assert wrong == []
    assert tried > len(routes(world)) / 2
    assert await other.rows() == before


async def test_row_level_security_alone_hides_every_row_of_another_organisation(
    world: World, own: Tenant, other: Tenant
) -> None:
    """The rooms say `organisation = other` in every statement; the database lets them see `own` and nothing else."""
    before, wrong, tried = (await own.rows(), await other.rows()), [], 0
    async with world.behind(served(world, other.id)) as believing:
        for route in routes(world):
            asked = await other.ask(route)
            async with HeldTo(world, own.id):
                answer = await believing.send(asked, {})
            tried += 1
            marks = own.marks | other.marks
            wrong += [f"{asked.method} {asked.path}: {mark}" for mark in answer.told(asked, marks)]
            if answer.status == 201:
                wrong.append(f"{asked.method} {asked.path}: {answer.text}")
    assert wrong == []
    assert tried == len(routes(world))
    assert (await own.rows(), await other.rows()) == before


async def test_the_same_requests_are_answered_where_nothing_holds_them_back(world: World, other: Tenant) -> None:
    """The control of the test above: what it asks for is there to be told."""
    silent = []
    async with world.behind(served(world, other.id)) as believing:
        for route in routes(world):
            asked = await other.ask(route, fresh=True)
            answer = await believing.send(asked, {})
            if answer.status >= 400:
                silent.append(f"{asked.method} {asked.path}: {answer.text}")
    assert silent == []


async def test_every_table_hides_the_rows_of_another_organisation(world: World, own: Tenant, other: Tenant) -> None:
    seen = []
    for table in await world.tables():
        async with world.parts.database.tenant(own.id) as connection:
            rows = await connection.fetch(f"select t::text as row from {table} t")
        seen += [f"{table}: {row['row']}" for row in rows if any(mark in row["row"].lower() for mark in other.marks)]
    assert seen == []


async def test_every_table_refuses_changes_to_the_rows_of_another_organisation(
    world: World, own: Tenant, other: Tenant
) -> None:
    before = await other.rows()
    changed = []
    for table in await owned_tables(world):
        owner = "id" if table == "organisation" else "organisation"
        async with world.parts.database.tenant(own.id) as connection:
            for statement in (
                f"update {table} set {owner} = {owner} where {owner} = $1",
                f"delete from {table} where {owner} = $1",
            ):
                tag = await connection.execute(statement, other.id)
                if not tag.endswith(" 0"):
                    changed.append(f"{table}: {tag}")
    assert changed == []
    assert await other.rows() == before


async def test_no_table_takes_a_row_for_another_organisation(world: World, own: Tenant, other: Tenant) -> None:
    """Each table is handed its own rows again in the other's name; it must be the policy that refuses them."""
    tried = 0
    for table in await owned_tables(world):
        owner = "id" if table == "organisation" else "organisation"
        async with world.parts.database.instance() as connection:
            row = await connection.fetchval(f"select to_jsonb(t) from {table} t where {owner} = $1 limit 1", own.id)
        if row is None:
            continue
        tried += 1
        again = f"insert into {table} select * from jsonb_populate_record(null::{table}, $1)"
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match=f'row-level security policy .*"{table}"'):
            async with world.parts.database.tenant(own.id) as connection:
                await connection.execute(again, {**row, owner: other.id})
    assert tried > 15


async def test_every_table_that_names_an_organisation_is_behind_the_net(world: World) -> None:
    async with world.parts.database.instance() as connection:
        rows = await connection.fetch(
            "select relname from pg_class where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace"
            " and not (relrowsecurity and relforcerowsecurity)"
        )
    assert {row["relname"] for row in rows} <= INSTANCE_TABLES


class HeldTo:
    """Inside, every transaction of a tenant sees this organisation, whichever it was opened for."""

    def __init__(self, world: World, organisation: str) -> None:
        self._world = world
        self._organisation = organisation

    async def __aenter__(self) -> None:
        await self._say(f"'{self._organisation}'")

    async def __aexit__(self, *_: object) -> None:
        await self._say("current_setting('gatehouse.organisation', true)")

    async def _say(self, organisation: str) -> None:
        async with self._world.parts.database.instance() as connection:
            await connection.execute(
                "create or replace function in_scope(owner text) returns boolean language sql stable parallel safe"
                f" return owner = {organisation} or current_setting('gatehouse.scope', true) = 'instance'"
            )


def served(world: World, organisation: str) -> web.Application:
    """Every route that is about an organisation, for callers who may do everything in this one."""
    application = web.Application()
    Api(InTheNameOf(organisation), world.parts.ids).add(application, routes(world))
    return application


def routes(world: World) -> list[Route]:
    others = (*OF_THE_INSTANCE, *OF_CLICKHOUSE)
    return [route for route in world.parts.routes if not route.public and not route.action.startswith(others)]


async def owned_tables(world: World) -> list[str]:
    async with world.parts.database.instance() as connection:
        rows = await connection.fetch(
            "select distinct table_name from information_schema.columns where table_schema = 'public'"
            " and (column_name = 'organisation' or table_name = 'organisation') order by table_name"
        )
    return [row["table_name"] for row in rows]


async def test_who_did_something_and_was_removed_is_still_named_in_the_audit_log(world: World, own: Tenant) -> None:
    leaver = await own.account("leaver", "admin")
    email = await world.sql("select email from account where id = $1", leaver)
    find = {route.action: route for route in routes(world)}
    made = await world.send(await own.ask(find["workspaces.create"]), await world.session(leaver, own.id))
    await world.sql("delete from member where organisation = $1 and account = $2", own.id, leaver)
    asked = await own.ask(find["audit_logs.list"], query={"filter": f"actor:{leaver}"})
    listed = await world.send(asked, await own.owner())
    assert made.status == 201
    assert {row["actor_name"] for row in listed.body["data"]} == {email}
