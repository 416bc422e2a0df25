"""Any text comes back as it was: bound as a parameter, inserted as a value, in a name, in a setting."""

from collections.abc import AsyncIterator

import orjson
import pytest
import pytest_asyncio
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import DatabaseError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fixtures.clickhouse import ClickhouseServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

AWKWARD = "'\"`\\ \t\r\n\0;,(){}[]%:#-/*$\b\f\v\x1b\u2028é🦉"
TEXT = st.text(st.one_of(st.sampled_from(AWKWARD), st.characters(codec="utf-8")), max_size=200)
AROUND = settings(deadline=None, max_examples=60)


def awkward(test: object) -> object:
    for text in (AWKWARD, "\n\nSELECT 1", "'; DROP TABLE t; --", "\\N", "\\'", "{x:String}", "/*", "--", "#", "\\\n"):
        test = example(text=text)(test)  # type: ignore[type-var]
    return test


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(clickhouse_engine: ClickhouseServer) -> AsyncIterator[str]:
    async with clickhouse_engine.database() as name:
        async with clickhouse_engine.client(name) as client:
            await client.command("CREATE TABLE t (text String, texts Array(String)) ENGINE = Memory")
        yield name


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(clickhouse_engine: ClickhouseServer, database: str) -> AsyncIterator[AsyncClient]:
    async with clickhouse_engine.client(database) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def form_client(clickhouse_engine: ClickhouseServer, database: str) -> AsyncIterator[AsyncClient]:
    async with clickhouse_engine.client(database, form_encode_query_params=True) as client:
        yield client


@AROUND
@awkward
@given(text=TEXT)
async def test_as_a_parameter(client: AsyncClient, text: str) -> None:
    question = "SELECT {text:String}, {texts:Array(String)}, {none:Nullable(String)}"
    parameters = {"text": text, "texts": [text, ""], "none": None}
    assert (await client.query(question, parameters=parameters)).result_rows == [(text, [text, ""], None)]


@AROUND
@awkward
@given(text=TEXT)
async def test_as_a_parameter_in_a_form(form_client: AsyncClient, text: str) -> None:
    assert (await form_client.query("SELECT {text:String}", parameters={"text": text})).result_rows == [(text,)]


@AROUND
@awkward
@given(text=TEXT)
async def test_as_a_value_inserted(client: AsyncClient, text: str) -> None:
    await client.command("TRUNCATE TABLE t")
    await client.insert("t", [[text, [text]]], column_names=["text", "texts"])
    for body in (orjson.dumps([text, [text]]), b"\n" + orjson.dumps([text, [text]]) + b"\n\n"):
        await client.raw_insert("t", ["text", "texts"], body, fmt="JSONCompactEachRow")
    await client.raw_insert("t", None, orjson.dumps({"text": text, "texts": [text]}), fmt="JSONEachRow")
    assert (await client.query("SELECT text, texts FROM t")).result_rows == [(text, [text])] * 4


@AROUND
@awkward
@given(text=TEXT)
async def test_as_a_value_of_a_setting(client: AsyncClient, text: str) -> None:
    found = await client.query("SELECT getSetting('log_comment')", settings={"log_comment": text})
    assert found.result_rows == [(text,)]


@AROUND
@given(text=TEXT.filter(lambda text: text not in ("", "default", "system")))
async def test_as_the_name_of_a_database_that_is_not_there(client: AsyncClient, text: str) -> None:
    """It stands in SQL, and is told to be none."""
    with pytest.raises(DatabaseError) as refusal:
        await client.raw_query("SELECT 1", settings={"database": text}, use_database=False)
    assert refusal.value.name == "UNKNOWN_DATABASE"
