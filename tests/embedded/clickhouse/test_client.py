"""The unmodified client against the engine's front: whatever the front says it speaks."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import lz4.frame
import orjson
import pytest
from backports import zstd
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import DatabaseError
from clickhouse_connect.driver.external import ExternalData
from clickhouse_connect.driver.summary import QuerySummary

from tests.fixtures.clickhouse import Clickhouse, ClickhouseServer

EVERY_KIND = """(id UInt64, name String, of LowCardinality(String), metadata Map(String, String), cost Decimal(18, 12),
    at DateTime64(3, 'UTC'), attempts Array(Tuple(String, Nullable(UInt16))), note Nullable(String))"""
ROW = [
    7,
    "tab\tline\nquote'back\\slash\0",
    "x",
    {"team": "search", "": "empty"},
    Decimal("123456.000000000001"),
    datetime(2026, 10, 29, 12, 0, 0, 123_000, tzinfo=UTC),
    [("config", None), ("config.targets[1]", 503)],
    None,
]


@pytest.fixture
async def client(clickhouse: Clickhouse) -> AsyncClient:
    await clickhouse.client.command(f"CREATE TABLE t {EVERY_KIND} ENGINE = MergeTree ORDER BY id")
    await clickhouse.client.command("CREATE TABLE words (a UInt64, word String) ENGINE = MergeTree ORDER BY a")
    return clickhouse.client


async def only_row(client: AsyncClient, question: str, parameters: dict[str, Any] | None = None) -> list[Any]:
    ((*values,),) = (await client.query(question, parameters=parameters, tz_mode="aware")).result_rows
    return values


async def failure(act: Any) -> tuple[int | None, str | None]:
    """Code and name."""
    with pytest.raises(DatabaseError) as raised:
        await act
    return raised.value.code, raised.value.name


async def test_a_database_other_than_the_default_one_is_made(clickhouse_engine: ClickhouseServer) -> None:
    with pytest.raises(DatabaseError) as refusal:
        async with clickhouse_engine.client("not_there_yet"):
            pass
    assert (refusal.value.code, refusal.value.name) == (81, "UNKNOWN_DATABASE")
    async with clickhouse_engine.client() as client:
        for _ in range(2):
            await client.command("CREATE DATABASE IF NOT EXISTS not_there_yet")
        async with clickhouse_engine.client("not_there_yet") as there:
            assert await there.command("SELECT currentDatabase()") == "not_there_yet"
        await client.command("DROP DATABASE not_there_yet SYNC")


@pytest.mark.parametrize("compress", [False, "lz4", "zstd", "gzip", True])
async def test_native_inserts_come_back_exact_however_they_are_compressed(
    compress: bool | str, clickhouse: Clickhouse, client: AsyncClient
) -> None:
    async with clickhouse.server.client(clickhouse.database, compress=compress) as inserting:
        summary = await inserting.insert("t", [ROW, [8, *ROW[1:]]])
    assert summary.written_rows == 2
    assert await only_row(client, "SELECT * FROM t WHERE id = 7") == ROW


async def test_many_native_blocks_in_one_insert_come_back_whole(clickhouse: Clickhouse, client: AsyncClient) -> None:
    rows = [[number, "word" * 25] for number in range(60_000)]
    for compress in (False, "lz4", "zstd"):
        async with clickhouse.server.client(clickhouse.database, compress=compress) as inserting:
            await inserting.insert("words", rows)
    assert await only_row(client, "SELECT count(), uniqExact(a), sum(length(word)) FROM words") == [
        180_000,
        60_000,
        18_000_000,
    ]


@pytest.mark.parametrize("columns", [9, 10, 11, 12, 13, 32, 59])
async def test_native_data_that_begin_like_blank_space_are_data(columns: int, clickhouse: Clickhouse) -> None:
    """A block begins with the number of its columns."""
    names = [f"c{number}" for number in range(columns)]
    await clickhouse.client.command(
        f"CREATE TABLE wide ({', '.join(f'{name} String' for name in names)}) ENGINE = MergeTree ORDER BY c0"
    )
    await clickhouse.client.insert("wide", [["\n\n; SELECT 1 /* --"] * columns])
    assert await only_row(clickhouse.client, "SELECT * FROM wide") == ["\n\n; SELECT 1 /* --"] * columns


@pytest.mark.parametrize("compression", [None, "lz4", "zstd", "gzip"])
@pytest.mark.parametrize(("fmt", "shape"), [("JSONCompactEachRow", list), ("JSONEachRow", dict)])
async def test_rows_of_json_are_inserted_blank_lines_and_all(
    fmt: str, shape: Any, compression: str | None, client: AsyncClient
) -> None:
    words = ["plain", "two\n\nlines; SELECT 1", "INSERT INTO words FORMAT JSONEachRow\n{}", "", "ö 🦉 '\""]
    rows = [[number, word] for number, word in enumerate(words)]
    lines = [orjson.dumps(row if shape is list else dict(zip(("a", "word"), row, strict=True))) for row in rows]
    block = b"\n\n".join(lines)
    if compression is not None:
        block = compressed(block, compression)
    summary = await client.raw_insert("words", ["a", "word"], block, fmt=fmt, compression=compression)
    assert summary.written_rows == len(rows)
    found = await client.query("SELECT word FROM words ORDER BY a")
    assert [word for (word,) in found.result_rows] == words


def compressed(data: bytes, name: str) -> bytes:
    done: bytes = {"lz4": lz4.frame.compress, "zstd": zstd.compress, "gzip": gzip.compress}[name](data)
    return done


async def test_statements_with_their_values_inside_are_done(client: AsyncClient) -> None:
    await client.command("INSERT INTO words VALUES (1, 'a;\n\nb'), (2, 'c')")
    await client.command("INSERT INTO words SELECT a + 10, word FROM words")
    await client.command("INSERT INTO words VALUES ({a:UInt64}, {word:String})", parameters={"a": 5, "word": "'\n\n;"})
    found = await client.query("SELECT a, word FROM words ORDER BY a")
    assert found.result_rows == [(1, "a;\n\nb"), (2, "c"), (5, "'\n\n;"), (11, "a;\n\nb"), (12, "c")]


async def test_data_apart_from_their_statement_and_a_parameter_in_it(client: AsyncClient) -> None:
    await client.command(
        "INSERT INTO {t:Identifier} FORMAT TabSeparated", parameters={"t": "words"}, data="3\tx\n4\ty\n"
    )
    assert await only_row(client, "SELECT count(), sum(a) FROM words") == [2, 7]


@pytest.mark.parametrize("in_a_form", [False, True])
async def test_parameters_are_bound_also_such_as_fit_in_no_address(in_a_form: bool, clickhouse: Clickhouse) -> None:
    async with clickhouse.server.client(clickhouse.database, form_encode_query_params=in_a_form) as client:
        for word in ("short", "long'\n" * 50_000):
            parameters = {"word": word, "n": 5, "some": ["a'b", "c\\d"], "nothing": None, "at": ROW[5]}
            question = """SELECT {word:String}, {n:UInt64}, {some:Array(String)}, {nothing:Nullable(String)},
                {at:DateTime64(3, 'UTC')}"""
            assert await only_row(client, question, parameters) == list(parameters.values())
            raw = await client.raw_query("SELECT {word:String} AS w", parameters={"word": word}, fmt="JSONEachRow")
            assert orjson.loads(raw) == {"w": word}


async def test_a_setting_is_in_force_for_its_statement_alone(client: AsyncClient) -> None:
    question = "SELECT value FROM system.settings WHERE name = 'max_block_size'"
    usual = await client.command(question)
    assert await client.command(question, settings={"max_block_size": 1234}) == 1234
    assert [await client.command(question) for _ in range(10)] == [usual] * 10


async def test_what_a_statement_sets_does_not_outlive_it(clickhouse: Clickhouse, client: AsyncClient) -> None:
    await client.command("SET max_block_size = 77")
    await client.command("USE system")
    await client.command("CREATE TEMPORARY TABLE passing (a UInt8)")
    for _ in range(10):
        assert await client.command("SELECT value FROM system.settings WHERE name = 'max_block_size'") != 77
        assert await client.command("SELECT currentDatabase()") == clickhouse.database
        assert await client.command("EXISTS TEMPORARY TABLE passing") == 0


async def test_errors_have_their_code_and_name(client: AsyncClient) -> None:
    assert await failure(client.query("SELECT * FROM nowhere")) == (60, "UNKNOWN_TABLE")
    assert await failure(client.query("SELECT nobody")) == (47, "UNKNOWN_IDENTIFIER")
    assert await failure(client.query("SELEC")) == (62, "SYNTAX_ERROR")
    assert await failure(client.query("garbage here")) == (62, "SYNTAX_ERROR")
    assert await failure(client.command("SELECT 1; DROP TABLE words")) == (62, "SYNTAX_ERROR")
    assert await failure(client.query("SELECT throwIf(1, 'said')")) == (395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO")
    assert await failure(client.command("SELECT {missing:String}")) == (456, "UNKNOWN_QUERY_PARAMETER")
    assert await only_row(client, "SELECT count() FROM words") == [0]


async def test_an_insert_that_could_not_be_written_is_an_error(client: AsyncClient) -> None:
    """Not only one that cannot be read."""
    await client.command("CREATE TABLE strict (a UInt8, CONSTRAINT small CHECK a < 5) ENGINE = MergeTree ORDER BY a")
    assert await failure(client.insert("strict", [[1], [9]])) == (469, "VIOLATED_CONSTRAINT")
    code, _ = await failure(client.raw_insert("strict", ["a"], b'["x"]', fmt="JSONCompactEachRow"))
    assert code is not None
    rows = [[number, "x" * 100] for number in range(50_000)]
    small = {"max_memory_usage": 1_000_000}
    assert await failure(client.insert("words", rows, settings=small)) == (241, "MEMORY_LIMIT_EXCEEDED")
    assert await only_row(client, "SELECT count() FROM words") == [0]
    assert await only_row(client, "SELECT count() FROM strict") == [0]
    await client.insert("strict", [[1]])
    assert await only_row(client, "SELECT count() FROM strict") == [1]


async def test_names_of_settings_are_identifiers_and_nothing_else(clickhouse: Clickhouse) -> None:
    client = clickhouse.client
    for name in ("max_threads = 1, max_block_size", "a b", "a;b", "1a", "é", "a'b", "a\nb", "`a`"):
        with pytest.raises(DatabaseError) as refusal:
            await client.raw_query("SELECT 1", settings={name: "1"})
        assert (refusal.value.code, refusal.value.name) == (115, "UNKNOWN_SETTING"), name
    assert await failure(client.raw_query("SELECT 1", settings={"no_such_setting": "1"})) == (115, "UNKNOWN_SETTING")
    quoted = "x', max_block_size = '77"
    found = await client.query("SELECT getSetting('log_comment')", settings={"log_comment": quoted})
    assert found.result_rows == [(quoted,)]


async def test_files_of_this_machine_are_neither_read_nor_written_by_a_statements_clause(client: AsyncClient) -> None:
    for statement in (
        "INSERT INTO words FROM INFILE '/etc/hostname' FORMAT TabSeparated",
        "SELECT 1 INTO OUTFILE '/tmp/never-written'",
        "WITH 1 AS x SELECT x INTO OUTFILE '/tmp/never-written'",
        "(SELECT 1) INTO OUTFILE '/tmp/never-written'",
    ):
        code, _ = await failure(client.command(statement))
        assert code in (48, 62), statement


async def test_what_is_not_spoken_is_refused_by_name(client: AsyncClient) -> None:
    data = ExternalData(file_name="x.csv", data=b"1\n", fmt="CSV", structure=["a UInt8"])
    assert await failure(client.query("SELECT * FROM x", external_data=data)) == (48, "NOT_IMPLEMENTED")
    assert await failure(client.raw_query("SELECT 1", settings={"role": "admin"})) == (48, "NOT_IMPLEMENTED")


async def test_raw_answers_come_in_the_format_asked_for(client: AsyncClient) -> None:
    answer = orjson.loads(await client.raw_query("SELECT 1 AS a, 'x' AS b", fmt="JSON"))
    assert answer["data"] == [{"a": 1, "b": "x"}]
    assert await client.raw_query("SELECT 1, 'x' FORMAT CSV") == b'1,"x"\n'
    assert await client.raw_query("SELECT 1, 'x'") == b"1\tx\n"


async def test_columns_without_rows_are_told(client: AsyncClient) -> None:
    assert (await client.query("SELECT * FROM t LIMIT 0")).column_names[:2] == ("id", "name")
    for question in ("SELECT a, word FROM words", "WITH 1 AS x SELECT a, word FROM words WHERE a = {x:UInt8} -- none"):
        empty = await client.query(question, parameters={"x": 1})
        assert (empty.column_names, empty.result_rows) == (("a", "word"), [])
        assert [kind.name for kind in empty.column_types] == ["UInt64", "String"]
    assert (await client.query("SHOW TABLES LIKE 'nothing'")).result_rows == []


async def test_a_command_tells_no_result_from_an_empty_one(client: AsyncClient) -> None:
    assert isinstance(await client.command("OPTIMIZE TABLE words"), QuerySummary)
    assert not isinstance(await client.command("SELECT word FROM words"), QuerySummary)
    assert not isinstance(await client.command("SHOW TABLES LIKE 'nothing'"), QuerySummary)


async def test_streams_of_rows_and_of_bytes_come_to_their_end(client: AsyncClient) -> None:
    counted = 0
    async with await client.query_rows_stream("SELECT number, toString(number) FROM numbers(200000)") as rows:
        async for number, text in rows:
            assert text == str(number)
            counted += 1
    assert counted == 200_000
    lines = 0
    async with await client.raw_stream("SELECT number FROM numbers(100000)", fmt="TSV") as pieces:
        async for piece in pieces:
            lines += piece.count(b"\n")
    assert lines == 100_000


async def test_it_pings_and_tells_its_version_and_zone(client: AsyncClient) -> None:
    assert await client.ping()
    version, zone = await only_row(client, "SELECT version(), timezone()")
    assert client.server_version == version
    assert zone == "UTC"


@pytest.fixture
async def many(clickhouse: Clickhouse) -> AsyncIterator[AsyncClient]:
    async with clickhouse.server.client(clickhouse.database, connector_limit_per_host=100) as client:
        yield client


async def test_a_hundred_questions_at_once_are_answered_each_with_its_own(many: AsyncClient) -> None:
    asked = [only_row(many, "SELECT {n:UInt64} + 1", {"n": number}) for number in range(100)]
    assert await asyncio.gather(*asked) == [[number + 1] for number in range(100)]
