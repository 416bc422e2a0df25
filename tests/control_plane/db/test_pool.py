"""Transactions: row-level security binds them, they roll back, and their errors come renamed."""

import asyncio
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from control_plane.db import pool
from control_plane.db.errors import Clash, Contended, DatabaseUnavailable, DatabaseUnfit
from control_plane.db.pool import Database, retrying
from control_plane.errors import Conflict, Unavailable
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.processes import free_ports

HANG_S = 60.0

SCHEMA = """
create table thing (
    id            text constraint thing_id primary key,
    organisation  text not null,
    part_of       text constraint thing_part_of references thing,
    facts         jsonb not null default '{}'
);
alter table thing enable row level security;
alter table thing force row level security;
create policy tenant on thing using (
    organisation = current_setting('gatehouse.organisation', true)
    or current_setting('gatehouse.scope', true) = 'instance'
);
"""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Two organisations, `a` with the thing `a1`, `b` with `b1`."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(SCHEMA)
    await connection.close()
    database = await Database.connect(database_url, connections_max=4)
    for organisation in ("a", "b"):
        async with database.tenant(organisation) as transaction:
            await transaction.execute(
                "insert into thing (id, organisation) values ($1, $2)", f"{organisation}1", organisation
            )
    yield database
    await database.close()


async def ids(connection: asyncpg.Connection) -> list[str]:
    # No predicate: only the policy stands between.
    return [row["id"] for row in await connection.fetch("select id from thing order by id")]


async def test_tenant_sees_its_own_rows_and_the_instance_all(database: Database) -> None:
    async with database.tenant("a") as transaction:
        assert await ids(transaction) == ["a1"]
    async with database.tenant("b") as transaction:
        assert await ids(transaction) == ["b1"]
    async with database.tenant("c") as transaction:
        assert await ids(transaction) == []
    async with database.instance() as transaction:
        assert await ids(transaction) == ["a1", "b1"]


async def test_tenant_changes_no_other_organisations_rows(database: Database) -> None:
    async with database.tenant("a") as transaction:
        assert await transaction.execute("update thing set facts = '[]'") == "UPDATE 1"
        assert await transaction.execute("delete from thing where id = 'b1'") == "DELETE 0"
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with database.tenant("a") as transaction:
            await transaction.execute("insert into thing (id, organisation) values ('b2', 'b')")
    async with database.instance() as transaction:
        assert await ids(transaction) == ["a1", "b1"]


async def test_what_a_transaction_may_see_ends_with_it(database_url: str, database: Database) -> None:
    one = await Database.connect(database_url, connections_max=1)
    try:
        async with one.instance() as transaction:
            server = transaction.get_server_pid()
        async with one.tenant("a") as transaction:
            assert transaction.get_server_pid() == server
            assert await ids(transaction) == ["a1"]
        async with one.tenant("b") as transaction:
            assert await ids(transaction) == ["b1"]
    finally:
        await one.close()
    connection = await asyncpg.connect(database_url)
    assert await ids(connection) == []
    await connection.close()


async def test_block_that_raises_leaves_nothing(database: Database) -> None:
    async def insert_and_fail() -> None:
        async with database.tenant("a") as transaction:
            await transaction.execute("insert into thing (id, organisation) values ('a2', 'a')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await insert_and_fail()
    async with database.tenant("a") as transaction:
        assert await ids(transaction) == ["a1"]


async def test_snapshot_sees_one_instant_and_writes_nothing(database: Database) -> None:
    async with database.snapshot("a") as before, database.snapshot(None) as all_before:
        assert await ids(before) == ["a1"]
        assert await ids(all_before) == ["a1", "b1"]
        async with database.tenant("a") as transaction:
            await transaction.execute("insert into thing (id, organisation) values ('a2', 'a')")
        assert await ids(before) == ["a1"]
        assert await ids(all_before) == ["a1", "b1"]
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with database.snapshot("a") as transaction:
            await transaction.execute("delete from thing")
    async with database.snapshot("a") as after:
        assert await ids(after) == ["a1", "a2"]


async def test_json_columns_are_python_values(database: Database) -> None:
    facts = {"naïve": [1, None, "\u2028"]}
    async with database.tenant("a") as transaction:
        await transaction.execute("update thing set facts = $1", facts)
        assert await transaction.fetchval("select facts from thing") == facts
        assert await transaction.fetchval("select facts::json from thing") == facts


async def test_clash_names_the_constraint_and_no_value(database: Database) -> None:
    with pytest.raises(Clash) as clash:
        async with database.tenant("a") as transaction:
            # The row it clashes with belongs to `b`: nothing about it may be told.
            await transaction.execute("insert into thing (id, organisation) values ('b1', 'a')")
    assert clash.value.constraint == "thing_id"
    assert "b1" not in clash.value.detail
    assert isinstance(clash.value, Conflict)
    with pytest.raises(Clash) as clash:
        async with database.tenant("a") as transaction:
            await transaction.execute("insert into thing (id, organisation, part_of) values ('a2', 'a', 'a9')")
    assert clash.value.constraint == "thing_part_of"


async def test_of_two_that_block_each_other_one_is_told_and_both_succeed_when_retrying(database: Database) -> None:
    async with database.tenant("a") as transaction:
        await transaction.execute("insert into thing (id, organisation) values ('a2', 'a')")
    arrived = asyncio.Barrier(2)
    calls: list[str] = []

    async def move(*order: str) -> None:
        async with database.tenant("a") as transaction:
            first_time = order[0] not in calls
            calls.append(order[0])
            for id_ in order:
                await transaction.execute("update thing set facts = facts || '[1]' where id = $1", id_)
                if first_time and id_ == order[0]:
                    await arrived.wait()

    async with asyncio.timeout(HANG_S):
        await asyncio.gather(retrying(lambda: move("a1", "a2")), retrying(lambda: move("a2", "a1")))
    assert len(calls) == 3
    async with database.tenant("a") as transaction:
        assert [len(row["facts"]) for row in await transaction.fetch("select facts from thing")] == [3, 3]


async def test_change_of_what_a_snapshot_saw_is_contended(database: Database) -> None:
    async def change_what_changed_meanwhile() -> None:
        async with database._transaction("a", isolation="repeatable_read") as transaction:
            await ids(transaction)
            async with database.tenant("a") as other:
                await other.execute("update thing set facts = '[]'")
            await transaction.execute("update thing set facts = '[]'")

    with pytest.raises(Contended):
        await change_what_changed_meanwhile()


async def test_retrying_gives_up_with_the_last_reason() -> None:
    calls = 0
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async def act() -> None:
        nonlocal calls
        calls += 1
        raise Contended(str(calls))

    with pytest.raises(Contended, match=str(pool.ATTEMPTS_MAX)):
        await retrying(act, pause=pause)
    assert pauses == [pool.PAUSE_S * factor for factor in (1, 2, 4, 8)]


async def test_what_is_not_contended_is_not_tried_again() -> None:
    calls = 0

    async def act() -> None:
        nonlocal calls
        calls += 1
        raise DatabaseUnavailable("away")

    with pytest.raises(DatabaseUnavailable):
        await retrying(act)
    assert calls == 1


@pytest.mark.parametrize("setting", ["statement_timeout", "lock_timeout"])
async def test_statement_over_its_time_is_unavailable_and_the_next_one_works(database: Database, setting: str) -> None:
    async def wait_for_a_lock() -> None:
        async with database.tenant("a") as transaction:
            await transaction.execute(f"set local {setting} = '10ms'")
            await transaction.execute("update thing set facts = '[]'")

    async with database.tenant("a") as holder:
        await holder.execute("select from thing for update")
        with pytest.raises(DatabaseUnavailable):
            await wait_for_a_lock()
    async with database.tenant("a") as transaction:
        assert await ids(transaction) == ["a1"]


async def test_time_limits_are_set_in_every_transaction(database: Database) -> None:
    async with database.instance() as transaction:
        rows = await transaction.fetch(
            "select name, setting::int from pg_settings where name in "
            "('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout')"
        )
    assert dict(rows) == {
        "statement_timeout": pool.STATEMENT_MS_MAX,
        "lock_timeout": pool.LOCK_WAIT_MS_MAX,
        "idle_in_transaction_session_timeout": pool.IDLE_IN_TRANSACTION_MS_MAX,
    }


async def test_lost_connection_is_unavailable_and_the_next_transaction_has_a_new_one(
    database: Database, postgres_server: PostgresServer
) -> None:
    async def lose_the_connection() -> None:
        async with database.tenant("a") as transaction:
            await transaction.execute("insert into thing (id, organisation) values ('a2', 'a')")
            await postgres_server.execute(f"select pg_terminate_backend({transaction.get_server_pid()}, 10000)")
            await transaction.execute("insert into thing (id, organisation) values ('a3', 'a')")

    with pytest.raises(DatabaseUnavailable) as lost:
        await lose_the_connection()
    assert isinstance(lost.value, Unavailable)
    async with database.tenant("a") as transaction:
        assert await ids(transaction) == ["a1"]


async def test_killed_server_is_unavailable_until_it_is_back_with_what_was_committed(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path)

    async def change_and_lose_the_server(database: Database) -> None:
        async with database.instance() as transaction:
            await transaction.execute("update kept set value = 2")
            server.kill()
            await transaction.fetchval("select pg_sleep(600)")

    try:
        await server.start()
        database = await Database.connect(server.url(), connections_max=2)
        async with database.instance() as transaction:
            await transaction.execute("create table kept as select 1 as value")
        with pytest.raises(DatabaseUnavailable):
            await change_and_lose_the_server(database)
        with pytest.raises(DatabaseUnavailable):
            async with database.instance():
                pytest.fail("there is no server")
        await server.start()
        async with database.instance() as transaction:
            assert await transaction.fetchval("select value from kept") == 1
        await database.close()
    finally:
        server.stop()


async def test_a_server_that_takes_no_changes_is_unavailable_and_not_kept(
    database_url: str, database: Database, postgres_server: PostgresServer
) -> None:
    """As after a failover, while the database's name still leads to the server that was left behind."""
    name = urlsplit(database_url).path.strip("/")
    await postgres_server.execute(f"alter database {name} set default_transaction_read_only = on")
    behind = await Database.connect(database_url, connections_max=1)
    await postgres_server.execute(f"alter database {name} reset default_transaction_read_only")
    try:
        async with behind.instance() as transaction:
            assert await ids(transaction) == ["a1", "b1"]
        with pytest.raises(DatabaseUnavailable, match="takes no changes"):
            async with behind.instance() as transaction:
                await transaction.execute("update thing set facts = '[]'")
        async with behind.instance() as transaction:
            assert await transaction.execute("update thing set facts = '[]'") == "UPDATE 2"
    finally:
        await behind.close()


async def test_a_password_that_was_changed_is_unavailable_until_it_is_the_old_one_again(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path)
    try:
        await server.start()
        role, password = urlsplit(server.url()).username, urlsplit(server.url()).password
        database = await Database.connect(server.url(), connections_max=1)
        await server.execute(f"alter role {role} password 'another'")
        await server.execute(f"select pg_terminate_backend(pid, 10000) from pg_stat_activity where usename = '{role}'")
        for _ in range(2):
            with pytest.raises(DatabaseUnavailable) as refusal:
                async with database.instance():
                    pytest.fail("the password is another")
            assert str(role) not in refusal.value.detail
        await server.execute(f"alter role {role} password '{password}'")
        async with database.instance() as transaction:
            assert await transaction.fetchval("select 1") == 1
        await database.close()
    finally:
        server.stop()


async def test_full_pool_is_unavailable(database_url: str) -> None:
    database = await Database.connect(database_url, connections_max=1, acquire_s_max=2.0)
    async with database.instance():
        with pytest.raises(DatabaseUnavailable):
            async with database.instance():
                pytest.fail("there is one connection")
    await database.close()


async def test_cancelled_transaction_rolls_back_and_gives_its_connection_back(database_url: str) -> None:
    database = await Database.connect(database_url, connections_max=1)
    inside = asyncio.Event()

    async def wait_inside() -> None:
        async with database.instance() as transaction:
            await transaction.execute("create table never ()")
            inside.set()
            await transaction.execute("select pg_sleep(600)")

    async with asyncio.timeout(HANG_S):
        task = asyncio.create_task(wait_inside())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with database.instance() as transaction:
            assert await transaction.fetchval("select to_regclass('never')") is None
        await database.close()


async def test_error_of_the_block_that_is_not_the_databases_stays_what_it_is(database: Database) -> None:
    for error in (FileNotFoundError("a file"), ConnectionResetError("another socket")):
        with pytest.raises(type(error), match=str(error)):
            async with database.tenant("a"):
                raise error


async def test_superuser_is_refused(postgres_server: PostgresServer) -> None:
    with pytest.raises(DatabaseUnfit, match="superuser"):
        await Database.connect(postgres_server.superuser_url(), connections_max=1)


async def test_wrong_address_is_told_without_its_password(database_url: str) -> None:
    (port,) = free_ports(1)
    password = str(urlsplit(database_url).password)
    for address, error in (
        (database_url.replace(password, "marker-9f"), DatabaseUnfit),
        (f"postgresql://gatehouse:{password}@127.0.0.1:{port}/x?sslmode=disable", DatabaseUnavailable),
        (database_url.replace("/test_", "/other_"), DatabaseUnfit),
        (f"postgresql://gatehouse:{password}@127.0.0.1:marker-9f/x", DatabaseUnfit),
        (f"mysql://gatehouse:{password}@127.0.0.1/x", DatabaseUnfit),
    ):
        with pytest.raises(error) as refusal:
            await Database.connect(address, connections_max=1)
        said = "".join(traceback.format_exception(refusal.value))
        assert password not in said
        assert "marker-9f" not in said


async def test_database_prints_no_password(database: Database, database_url: str) -> None:
    assert str(urlsplit(database_url).password) not in repr(database)
