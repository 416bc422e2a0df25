"""The front by itself, as bytes on a connection: who is let in, what is too much, who waits for whom."""

import asyncio
import base64
import io
import zlib
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import ClientSession
from backports import zstd
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from embedded.clickhouse.limits import BODY_BYTES_MAX, READERS, REQUESTS_MAX, TEXT_BYTES_MAX, WRITERS
from embedded.clickhouse.login import header
from tests.fixtures.clickhouse import Clickhouse, ClickhouseServer

HANG_S = 60.0
MARKER = "marker-7c1f20"
ENDLESS = "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number)) /* {} */"


def shown(server: ClickhouseServer) -> dict[str, str]:
    return {"authorization": header(server.password)}


def url(server: ClickhouseServer, query: str = "") -> str:
    return f"http://127.0.0.1:{server.port}/{query}"


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what happens in another process and no event announces."""
    async with asyncio.timeout(HANG_S):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def runs(clickhouse: Clickhouse, marker: str) -> int:
    question = "SELECT count() FROM system.processes WHERE query LIKE {like:String} AND query NOT LIKE '%processes%'"
    answer = await clickhouse.client.query(question, parameters={"like": f"%{marker}%"})
    return int(answer.result_rows[0][0])


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "Basic",
        "Basic !!!",
        "Bearer {password}",
        "{password}",
        "Basic " + base64.b64encode(b"gatehouse:").decode(),
        "Basic " + base64.b64encode(b"gatehouse:wrong").decode(),
        "Basic {other_user}",
        "Basic {no_user}",
    ],
)
async def test_without_name_and_password_nobody_gets_in_nor_sees_what_was_sent(
    authorization: str | None, clickhouse_engine: ClickhouseServer
) -> None:
    password = clickhouse_engine.password.reveal_text()
    headers = {}
    if authorization is not None:
        headers["authorization"] = authorization.format(
            password=password,
            other_user=base64.b64encode(f"default:{password}".encode()).decode(),
            no_user=base64.b64encode(password.encode()).decode(),
        )
    async with ClientSession() as session:
        statement = f"SELECT '{MARKER}'"
        async with session.post(url(clickhouse_engine), data=statement, headers=headers) as answer:
            body = await answer.text()
    assert answer.status == 401
    assert answer.headers["x-clickhouse-exception-code"] == "516"
    assert answer.headers["www-authenticate"].startswith("Basic")
    assert MARKER not in body
    assert password not in body


async def test_the_client_names_a_refused_password(clickhouse_engine: ClickhouseServer) -> None:
    with pytest.raises(DatabaseError) as refusal:
        async with clickhouse_engine.client(password="wrong"):
            pass
    assert (refusal.value.code, refusal.value.name) == (516, "AUTHENTICATION_FAILED")


async def test_anybody_may_ping_and_nothing_else_is_there(clickhouse_engine: ClickhouseServer) -> None:
    async with ClientSession() as session:
        async with session.get(url(clickhouse_engine, "ping")) as answer:
            assert (answer.status, await answer.text()) == (200, "Ok.\n")
        async with session.get(url(clickhouse_engine, "?query=SELECT+1"), headers=shown(clickhouse_engine)) as answer:
            assert answer.status == 405
        async with session.post(url(clickhouse_engine, "elsewhere"), headers=shown(clickhouse_engine)) as answer:
            assert answer.status == 404


def test_it_listens_on_the_loopback_alone_and_its_files_are_its_owners(clickhouse_engine: ClickhouseServer) -> None:
    listening = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ours = [row[1] for row in listening if row[3] == "0A" and row[1].endswith(f":{clickhouse_engine.port:04X}")]
    assert ours == [f"0100007F:{clickhouse_engine.port:04X}"]
    files = [path for path in (clickhouse_engine.folder / "data").rglob("*") if not path.is_symlink()]
    assert files
    assert [path for path in files if path.exists() and path.stat().st_mode & 0o077] == []
    assert (clickhouse_engine.folder / "password").stat().st_mode & 0o777 == 0o600
    command = Path(f"/proc/{clickhouse_engine.pid}/cmdline").read_bytes()
    assert clickhouse_engine.password.reveal() not in command


async def test_a_body_that_is_too_large_is_refused_and_one_as_large_as_allowed_is_not(clickhouse: Clickhouse) -> None:
    await clickhouse.client.command("CREATE TABLE lines (line String) ENGINE = MergeTree ORDER BY tuple()")
    whole = f"INSERT INTO {clickhouse.database}.lines FORMAT LineAsString\n".encode().ljust(BODY_BYTES_MAX, b"x")
    async with ClientSession(headers=shown(clickhouse.server)) as session:

        async def status(body: bytes, encoding: str = "identity") -> tuple[int, bool]:
            headers = {"content-encoding": encoding}
            async with session.post(url(clickhouse.server), data=io.BytesIO(body), headers=headers) as answer:
                return answer.status, b"xxx" in await answer.read()

        assert await status(whole + b"x") == (413, False)
        assert await status(zstd.compress(whole + b"x"), "zstd") == (413, False)
        assert await status(zlib.compress(whole + b"x", wbits=31), "gzip") == (413, False)
        assert await status(zstd.compress(whole), "zstd") == (200, False)
        assert await status(b"SELECT '%b'" % (b"x" * TEXT_BYTES_MAX)) == (400, False)
    found = await clickhouse.client.query("SELECT count(), sum(length(line)) FROM lines")
    ((count, length),) = found.result_rows
    assert (count, BODY_BYTES_MAX - length < 200) == (1, True)


@pytest.mark.parametrize("encoding", ["lz4", "zstd", "gzip", "deflate"])
@pytest.mark.parametrize("body", [b"no such thing", b"\x00" * 100, None])
async def test_a_body_that_is_not_what_it_says_is_refused(
    encoding: str, body: bytes | None, clickhouse_engine: ClickhouseServer
) -> None:
    """None: cut short."""
    whole = {"zstd": zstd.compress, "gzip": lambda data: zlib.compress(data, wbits=31), "deflate": zlib.compress}
    if body is None:
        body = whole.get(encoding, lambda _: bytes.fromhex("04224d18"))(b"SELECT 1")[:-2]
    async with ClientSession(headers=shown(clickhouse_engine)) as session:
        headers = {"content-encoding": encoding}
        async with session.post(url(clickhouse_engine), data=body, headers=headers) as answer:
            assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (400, "36")


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("", {"content-encoding": "br"}, 501),
        ("?compress=1", {}, 501),
        ("?user=default&password=x", {}, 501),
        ("?query_id=a%0d%0ab", {}, 400),
        ("?default_format=a%20b", {}, 400),
        ("?a%20b=1", {}, 400),
        ("?param_a%20b=1", {}, 400),
    ],
)
async def test_what_cannot_be_done_is_refused(
    query: str, headers: dict[str, str], status: int, clickhouse_engine: ClickhouseServer
) -> None:
    async with ClientSession(headers=shown(clickhouse_engine)) as session:
        async with session.post(url(clickhouse_engine, query), data="SELECT 1", headers=headers) as answer:
            assert answer.status == status
        async with session.post(url(clickhouse_engine), data=" \n") as answer:
            assert answer.status == 400


async def test_an_answer_that_is_too_large_is_refused(clickhouse: Clickhouse) -> None:
    for question in (
        "SELECT repeat('x', 1000000) FROM numbers(100)",
        # Small for the engine, large as text.
        "SELECT repeat(toString(number), 1) FROM numbers(9000000) FORMAT JSONEachRow",
    ):
        with pytest.raises(DatabaseError) as refusal:
            await clickhouse.client.raw_query(question)
        assert (refusal.value.code, refusal.value.name) == (396, "TOO_MANY_ROWS_OR_BYTES")


async def test_a_statement_that_wants_too_much_memory_fails_and_the_next_does_not(clickhouse: Clickhouse) -> None:
    with pytest.raises(DatabaseError) as refusal:
        await clickhouse.client.query("SELECT length(groupArray(number)) FROM numbers(300000000)")
    assert (refusal.value.code, refusal.value.name) == (241, "MEMORY_LIMIT_EXCEEDED")
    assert await clickhouse.client.command("SELECT 1") == 1


async def test_limits_are_in_force(clickhouse: Clickhouse) -> None:
    client = clickhouse.client
    server = "SELECT value FROM system.server_settings WHERE name = {name:String}"
    assert await client.command(server, parameters={"name": "max_server_memory_usage"}) == 1024**3
    assert await client.command(server, parameters={"name": "mark_cache_size"}) == 64 * 1024**2
    assert await client.command("SELECT getSetting('max_threads')") == 2
    assert await client.command("SELECT getSetting('max_execution_time')") == 300
    with pytest.raises(DatabaseError) as refusal:
        await client.query(ENDLESS, settings={"max_execution_time": 0.2})
    assert refusal.value.name == "TIMEOUT_EXCEEDED"


async def test_fast_questions_are_answered_while_a_slow_one_runs(clickhouse: Clickhouse) -> None:
    slow = asyncio.create_task(clickhouse.client.query(ENDLESS.format("slow-1")))
    await until(lambda: _runs(clickhouse, "slow-1"))
    for number in range(20):
        assert await clickhouse.client.command(f"SELECT {number}") == number
    assert not slow.done()
    slow.cancel()
    await asyncio.wait([slow])


async def test_an_insert_waits_for_no_question(clickhouse: Clickhouse) -> None:
    await clickhouse.client.command("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a")
    async with clickhouse.server.client(clickhouse.database) as client:
        slow = [asyncio.create_task(client.query(ENDLESS.format("slow-2"))) for _ in range(READERS)]
        waiting = asyncio.create_task(clickhouse.client.query("SELECT 1"))
        for number in range(2 * WRITERS):
            await clickhouse.client.raw_insert("t", ["a"], f"{number}\n", fmt="TabSeparated")
        assert [task for task in slow if task.done()] == []
        for task in slow:
            task.cancel()
        # They end because their caller left, and the question behind them is answered.
        assert (await waiting).result_rows == [(1,)]
        await asyncio.wait(slow)
    assert (await clickhouse.client.query("SELECT count() FROM t")).result_rows == [(2 * WRITERS,)]


async def test_a_question_ends_when_its_caller_leaves(clickhouse: Clickhouse) -> None:
    async with ClientSession(headers=shown(clickhouse.server)) as session:
        left = asyncio.create_task(session.post(url(clickhouse.server), data=ENDLESS.format("slow-3")))
        await until(lambda: _runs(clickhouse, "slow-3"))
        left.cancel()
        await asyncio.wait([left])
    await until(lambda: _ended(clickhouse, "slow-3"))


async def _runs(clickhouse: Clickhouse, marker: str) -> bool:
    return await runs(clickhouse, marker) > 0


async def _ended(clickhouse: Clickhouse, marker: str) -> bool:
    return await runs(clickhouse, marker) == 0


async def test_a_crowd_is_told_to_come_back(clickhouse_engine: ClickhouseServer) -> None:
    login = header(clickhouse_engine.password)
    head = f"POST / HTTP/1.1\r\nhost: x\r\nauthorization: {login}\r\ncontent-length: 8\r\nexpect: 100-continue\r\n\r\n"
    async with AsyncExitStack() as open_:
        crowd = []
        for _ in range(REQUESTS_MAX):
            reader, writer = await asyncio.open_connection("127.0.0.1", clickhouse_engine.port)
            open_.callback(writer.close)
            writer.write(head.encode())
            crowd.append((reader, writer))
        for reader, _ in crowd:
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        async with ClientSession(headers=shown(clickhouse_engine)) as session:
            async with session.post(url(clickhouse_engine), data="SELECT 1") as answer:
                assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (503, "202")
            reader, writer = crowd[0]
            writer.write(b"SELECT 1")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            async with session.post(url(clickhouse_engine), data="SELECT 1") as answer:
                assert answer.status == 200


async def test_a_stop_lets_what_runs_end_and_takes_nothing_new(clickhouse: Clickhouse) -> None:
    server = clickhouse.server
    await clickhouse.client.command("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a")
    steady = "SELECT sum(sleepEachRow(0.1)) FROM numbers(10) SETTINGS max_block_size = 1 /* slow-4 */"
    answer = asyncio.create_task(clickhouse.client.query(steady))
    await until(lambda: _runs(clickhouse, "slow-4"))
    server.terminate()
    assert (await answer).result_rows == [(0,)]
    assert await asyncio.to_thread(server.wait) == 0
    await server.start()
    await clickhouse.client.insert("t", [[1]])


async def test_a_stop_does_not_wait_for_what_never_ends(clickhouse: Clickhouse) -> None:
    endless = asyncio.create_task(clickhouse.client.query(ENDLESS.format("slow-5")))
    await until(lambda: _runs(clickhouse, "slow-5"))
    clickhouse.server.terminate()
    assert await asyncio.to_thread(clickhouse.server.wait) == 0
    with pytest.raises((OperationalError, DatabaseError)):
        await endless
    await clickhouse.server.start()
    assert await clickhouse.client.command("SELECT 1") == 1


async def test_a_data_folder_is_one_processs_alone(clickhouse_engine: ClickhouseServer) -> None:
    second = ClickhouseServer(clickhouse_engine.folder)
    second.password = clickhouse_engine.password
    with pytest.raises(RuntimeError, match=r"the ClickHouse engine cannot start: .*in use by another process"):
        await second.start()
    async with clickhouse_engine.client() as client:
        assert await client.command("SELECT 1") == 1
