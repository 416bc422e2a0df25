"""The language on PostgreSQL: what a filter finds there is what it says, and no value stands in the SQL."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.errors import Invalid
from control_plane.filters import postgres
from control_plane.filters.parse import CHARS_MAX
from control_plane.filters.tree import Filter
from control_plane.web.listing import Listing
from tests.fixtures.filters import conditions, with_other_values
from tests.fixtures.postgres import PostgresServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

LISTING = Listing(
    table="thing",
    columns="id",
    text={"name": "name"},
    exact={"id": "id", "kind": "kind"},
    time={"made": "made"},
    flag={"open": "open"},
    number={"size": "size"},
    sort={"id": "id"},
    default_sort="id",
)
ROWS = [
    ("a", "Alpha Team", "x", datetime(2026, 11, 1, 9, 30, tzinfo=UTC), True, 5),
    ("b", 'beta "quoted"', "xy", datetime(2026, 11, 1, 23, 59, 59, 999_999, tzinfo=UTC), False, 50),
    ("c", "ALPHABET, soup*", None, datetime(2026, 11, 2, tzinfo=UTC), None, None),
    ("d", "", "", datetime(2026, 10, 31, 12, 0, 0, 1, tzinfo=UTC), True, 0),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def things(postgres_server: PostgresServer) -> AsyncIterator[asyncpg.Connection]:
    async with postgres_server.database("filters") as url:
        connection = await asyncpg.connect(url)
        await connection.execute(
            "create table thing (id text, name text, kind text, made timestamptz, open boolean, size bigint)"
        )
        await connection.executemany("insert into thing values ($1, $2, $3, $4, $5, $6)", ROWS)
        yield connection
        await connection.close()


async def found(connection: asyncpg.Connection, text: str) -> str:
    rows, _ = await LISTING.page(connection, {"filter": text}, "true", ())
    return "".join(row["id"] for row in rows)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", "abcd"),
        ("name:alpha", "ac"),
        ("-name:alpha", "bd"),
        ('name:"alpha team"', "a"),
        ('name:"\\"QUOTED"', "b"),
        ("name:beta*", "b"),
        ("name:eta*", ""),
        ("name=Alpha*", "a"),
        ('name="Alpha Team"', "a"),
        ("name=alpha", ""),
        ("name:soup,beta", "bc"),
        ('name:"soup*"', "c"),
        ('name=""', "d"),
        ("kind:x", "a"),
        ("kind:x*", "ab"),
        ("kind!=x", "bcd"),
        ("-kind:x", "bcd"),
        ("-kind!=x", "a"),
        ("kind:x,xy", "ab"),
        ("kind:*", "abd"),
        ("has:kind", "abd"),
        ("-has:kind", "c"),
        ("open:true", "ad"),
        ("-open:true", "bc"),
        ("open:false", "b"),
        ("size>5", "b"),
        ("size>=5", "ab"),
        ("size<5", "d"),
        ("size<=5", "ad"),
        ("-size<=5", "bc"),
        ("size:0,50", "bd"),
        ("made:2026-11-01", "ab"),
        ("made>2026-11-01", "c"),
        ("made>=2026-11-01", "abc"),
        ("made<2026-11-01", "d"),
        ("made<=2026-11-01", "abd"),
        ("made!=2026-11-01", "cd"),
        ("made:2026-11-01T09:30", "a"),
        ("made<2026-11-01T09:30:00+01:00", "d"),
        ("made:2026-11-01T23:59:59.999999Z", "b"),
        ("name:alpha -kind:x", "c"),
    ],
)
async def test_a_filter_finds_what_it_says(things: asyncpg.Connection, text: str, ids: str) -> None:
    assert await found(things, text) == ids


async def test_a_fault_is_refused_with_its_place(things: asyncpg.Connection) -> None:
    with pytest.raises(Invalid, match="at character 8: no field 'colour'") as caught:
        await found(things, "kind:x colour:red")
    assert caught.value.pointer == "filter"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.lists(conditions(LISTING.vocabulary), max_size=4).map(lambda made: Filter(tuple(made))))
async def test_no_value_stands_in_the_sql_and_every_filter_is_answered(
    things: asyncpg.Connection, filter_: Filter
) -> None:
    expressions = LISTING.expressions
    parameters: list[Any] = []
    sql = postgres.conditions(filter_, expressions, parameters)
    assert sql == postgres.conditions(with_other_values(filter_), expressions, [])
    assert all(f"${number + 1}" in " ".join(sql) for number in range(len(parameters)))
    if len(str(filter_)) <= CHARS_MAX:
        await found(things, str(filter_))
