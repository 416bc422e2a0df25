"""Migrations: once, in order, whole, one process at a time; and what a wrong file or an older build is told."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.db import migrate as module
from control_plane.db.errors import DatabaseUnavailable, DatabaseUnfit
from control_plane.db.migrate import Applied, Migration, MigrationError, migrate, pending, read
from embedded.postgres import SUPERUSER
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.processes import free_ports

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes migrations: `write(one="create table one ()")` is `0001_one.sql`. Adds to those written before."""

    def write(**files: str) -> Path:
        first = len(list(tmp_path.glob("*.sql"))) + 1
        for number, (name, sql) in enumerate(files.items(), start=first):
            (tmp_path / f"{number:04}_{name}.sql").write_text(sql)
        return tmp_path

    return write


async def fetch(url: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        rows: list[asyncpg.Record] = await connection.fetch(query)
        return rows
    finally:
        await connection.close()


async def test_missing_files_are_applied_in_order_and_only_once(database_url: str, write: Write) -> None:
    folder = write(one="create table one (a int)", two="insert into one values (1); insert into one values (2)")
    assert await migrate(database_url, folder) == ["0001_one", "0002_two"]
    assert await migrate(database_url, folder) == []
    write(three="insert into one select max(a) + 1 from one")
    assert await migrate(database_url, folder) == ["0003_three"]
    assert [row["a"] for row in await fetch(database_url, "select a from one order by a")] == [1, 2, 3]


async def test_several_migrators_at_once_apply_each_file_once(database_url: str, write: Write) -> None:
    folder = write(one="create table one (a int)", two="select pg_sleep(0.05); insert into one values (1)")
    applied = await asyncio.gather(*(migrate(database_url, folder) for _ in range(4)))
    assert sorted(applied) == [[], [], [], ["0001_one", "0002_two"]]
    assert len(await fetch(database_url, "select a from one")) == 1


async def test_file_that_fails_leaves_nothing_of_itself_and_names_its_line(database_url: str, write: Write) -> None:
    folder = write(one="create table one (a int)", two="create table two ();\n\nselect nothing\n  from nowhere;")
    with pytest.raises(MigrationError, match=r'^0002_two, line 4: relation "nowhere" does not exist'):
        await migrate(database_url, folder)
    assert await fetch(database_url, "select to_regclass('one') as one, to_regclass('two') as two") == [("one", None)]
    (folder / "0002_two.sql").write_text("create table two ()")
    assert await migrate(database_url, folder) == ["0002_two"]


async def test_file_and_the_word_that_it_was_applied_are_one(database_url: str, write: Write) -> None:
    folder = write(one="create table one ()", two="create table two (); drop table migration")
    with pytest.raises(MigrationError, match=r'^0002_two.*relation "migration" does not exist'):
        await migrate(database_url, folder)
    assert await fetch(database_url, "select name, to_regclass('two') from migration") == [("0001_one", None)]


async def test_applied_file_that_changed_is_refused_before_anything_new_is_applied(
    database_url: str, write: Write
) -> None:
    folder = write(one="create table one ()")
    await migrate(database_url, folder)
    (folder / "0001_one.sql").write_text("create table one (a int)")
    write(two="create table two ()")
    with pytest.raises(MigrationError, match="0001_one is not the file that was applied"):
        await migrate(database_url, folder)
    assert await fetch(database_url, "select to_regclass('two') as two") == [(None,)]


async def test_older_build_is_told_so(database_url: str, write: Write) -> None:
    folder = write(one="create table one ()", two="create table two ()")
    await migrate(database_url, folder)
    (folder / "0002_two.sql").unlink()
    with pytest.raises(MigrationError, match=r"is at 0002_two, and this build knows 1 .* older than the database"):
        await migrate(database_url, folder)


async def test_migration_of_data_reaches_every_organisations_rows(database_url: str, write: Write) -> None:
    folder = write(
        table="create table thing (organisation text, name text); insert into thing values ('a', 'x'), ('b', 'x')",
        policy="""
            alter table thing enable row level security;
            alter table thing force row level security;
            create policy tenant on thing using (current_setting('gatehouse.scope', true) = 'instance')
        """,
        data="update thing set name = 'y'",
        count="create table seen as select count(*) as rows from thing where name = 'y'",
    )
    await migrate(database_url, folder)
    assert [row["rows"] for row in await fetch(database_url, "select rows from seen")] == [2]
    assert await fetch(database_url, "select * from thing") == []


async def test_superuser_is_refused(postgres_server: PostgresServer, write: Write) -> None:
    with pytest.raises(DatabaseUnfit, match="superuser"):
        await migrate(postgres_server.superuser_url(), write(one="create table one ()"))


@pytest.mark.parametrize(
    "taken", ["alter database {name} owner to {superuser}", "alter table migration owner to {superuser}"]
)
async def test_a_role_that_does_not_own_what_it_needs_is_told_so(
    taken: str, database_url: str, postgres_server: PostgresServer, write: Write
) -> None:
    """As one that was only granted everything, and one whose tables somebody else put back."""
    name = urlsplit(database_url).path.strip("/")
    if "table" in taken:
        await migrate(database_url, write())
    connection = await asyncpg.connect(postgres_server.superuser_url(name))
    await connection.execute(taken.format(name=name, superuser=SUPERUSER))
    await connection.close()
    with pytest.raises(DatabaseUnfit, match=r"permission denied for .*: the role .* must own the database, and all"):
        await migrate(database_url, write(one="create table one ()"))


async def test_server_that_is_away_is_unavailable(write: Write) -> None:
    (port,) = free_ports(1)
    with pytest.raises(DatabaseUnavailable):
        await migrate(f"postgresql://a:b@127.0.0.1:{port}/c?sslmode=disable", write(one="create table one ()"))


async def test_own_migrations_apply_to_an_empty_database(database_url: str) -> None:
    assert await migrate(database_url) == [migration.name for migration in read(module.FOLDER)] != []


OLD = """
insert into organisation (id, name, hash_key_sealed, hash_key_version) values ('a', 'A', '', 1), ('b', 'B', '', 1);
insert into gateway (id, organisation, name, created_by) select 'gw_' || id, id, 'One', 'test' from organisation;
insert into node (id, organisation, gateway, sign, open)
    select 'nd_' || organisation, organisation, id, organisation::bytea, '' from gateway;
"""
OLD_LEDGER = """
insert into record_stream (organisation, gateway, node, stream, last_seq, last_hash, pending_hash, pending_counted)
    select organisation, gateway, id, 's', 7, '\\x01', '\\x02', organisation = 'b' from node;
"""


@pytest.mark.parametrize("number", [migration.number for migration in read(module.FOLDER)])
async def test_from_each_older_schema_what_is_there_is_kept(database_url: str, tmp_path: Path, number: int) -> None:
    for migration in read(module.FOLDER)[:number]:
        shutil.copy(module.FOLDER / f"{migration.name}.sql", tmp_path)
    await migrate(database_url, tmp_path)
    connection = await asyncpg.connect(database_url)
    await connection.execute("select set_config('gatehouse.scope', 'instance', false)")
    await connection.execute(OLD + (OLD_LEDGER if number >= 3 else ""))
    assert await migrate(database_url) == [migration.name for migration in read(module.FOLDER)[number:]]
    assert [row["id"] for row in await connection.fetch("select id from node order by id")] == ["nd_a", "nd_b"]
    known = await connection.fetch("select node, hash from record_payload order by node, hash")
    # What is counted is known again; only then is it there to be told apart from what is not.
    expected = [("nd_a", b"\1"), ("nd_b", b"\1"), ("nd_b", b"\2")] if number in (3, 4) else []
    assert [tuple(row) for row in known] == expected
    await connection.close()


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["0001_a", "0003_c"], "0003_c.sql: number 0002 is to come here"),
        (["0001_a", "0001_b"], "0001_b.sql: number 0002 is to come here"),
        (["0002_b"], "0002_b.sql: number 0001 is to come here"),
        (["1_a"], "1_a.sql: a migration is called"),
        (["0001_a", "second"], "second.sql: a migration is called"),
        (["0001_A"], "0001_A.sql: a migration is called"),
    ],
)
def test_folder_with_a_gap_a_repetition_or_another_name_is_refused(
    tmp_path: Path, names: list[str], complaint: str
) -> None:
    for name in names:
        (tmp_path / f"{name}.sql").touch()
    with pytest.raises(MigrationError, match=complaint):
        read(tmp_path)


def history(count: int) -> list[Migration]:
    return [Migration(number, f"{number:04}_m", f"select {number}") for number in range(1, count + 1)]


def rows(migrations: list[Migration]) -> list[Applied]:
    return [Applied(migration.number, migration.name, migration.checksum) for migration in migrations]


@given(st.integers(0, 20), st.integers(0, 20))
def test_what_is_pending_is_what_follows_the_applied(known: int, done: int) -> None:
    migrations = history(max(known, done))
    if done > known:
        with pytest.raises(MigrationError, match="older than the database"):
            pending(migrations[:known], rows(migrations[:done]))
    else:
        assert list(pending(migrations[:known], rows(migrations[:done]))) == migrations[done:known]


@given(st.integers(1, 20), st.data())
def test_any_change_of_history_is_refused(count: int, data: st.DataObject) -> None:
    migrations = history(count)
    done = rows(migrations)
    index = data.draw(st.integers(0, count - 1))
    row = done[index]
    done[index] = data.draw(
        st.sampled_from(
            [
                Applied(row.number, "0000_other", row.checksum),
                Applied(row.number, row.name, "0" * 64),
                Applied(row.number + 1, row.name, row.checksum),
            ]
        )
    )
    with pytest.raises(MigrationError):
        pending(migrations, done)
