"""The embedded ClickHouse as a part of the stack."""

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from embedded import clickhouse_server
from embedded.state import StateFolder
from embedded.supervisor import Supervisor
from shared.crypto.secret import Secret

PASSWORD = Secret("marker/password@9f:?#%")


async def test_it_asks_for_the_password_and_keeps_its_data(
    supervisor: Supervisor, state: StateFolder, free_port: int
) -> None:
    part = clickhouse_server.part(state.clickhouse, free_port, PASSWORD)
    await supervisor.start(part)
    assert not await clickhouse_server.answers(free_port, Secret("other"))
    assert not any(PASSWORD.reveal_text() in word for word in part.command)
    assert (state.clickhouse / "password").stat().st_mode & 0o777 == 0o600
    with pytest.raises(DatabaseError, match="AUTHENTICATION_FAILED"):
        await clickhouse_connect.get_async_client(host="127.0.0.1", port=free_port)
    url = clickhouse_server.url(free_port, PASSWORD, "default").reveal_text()
    async with await clickhouse_connect.get_async_client(dsn=url) as client:
        await client.command("CREATE DATABASE gatehouse")
        await client.command("CREATE TABLE gatehouse.kept (a UInt8) ENGINE = MergeTree ORDER BY a")
        await client.insert("gatehouse.kept", [[1]])
    await supervisor.answer({"do": "hold", "part": "clickhouse"})
    assert not await clickhouse_server.answers(free_port, PASSWORD)
    await supervisor.answer({"do": "release", "part": "clickhouse"})
    url = clickhouse_server.url(free_port, PASSWORD).reveal_text()
    async with await clickhouse_connect.get_async_client(dsn=url) as client:
        assert await client.command("SELECT a FROM kept") == 1


async def test_a_folder_with_blanks_and_signs_in_its_name_will_do(
    supervisor: Supervisor, state: StateFolder, free_port: int
) -> None:
    folder = state.root / "a b & é = 100%"
    folder.mkdir()
    await supervisor.start(clickhouse_server.part(folder, free_port, PASSWORD))
    assert await clickhouse_server.answers(free_port, PASSWORD)
    assert {path.name for path in folder.iterdir()} == {"data", "password"}
