"""`/readyz`: ready is who reaches the database; whether ClickHouse can be asked is told beside it, and fails nobody."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from control_plane.app import application, plane
from control_plane.settings import Settings
from tests.fixtures.clickhouse import Clickhouse
from tests.fixtures.processes import free_ports


def settings(folder: Path, url: str, **more: Any) -> Settings:
    return Settings(postgres_url=SecretStr(url), state_dir=folder, **more)


@pytest.mark.parametrize("is_set", [False, True])
async def test_without_clickhouse_the_control_plane_is_ready(migrated_url: str, tmp_path: Path, is_set: bool) -> None:
    (port,) = free_ports(1)
    more = {"clickhouse_url": SecretStr(f"http://user:secret@127.0.0.1:{port}/gatehouse")} if is_set else {}
    async with (
        plane(settings(tmp_path, migrated_url, **more)) as parts,
        TestClient(TestServer(application(parts))) as client,
    ):
        answer = await client.get("/readyz")
        assert answer.status == 200
        assert await answer.json() == {"status": "ready", "analytics": "away" if is_set else "unset"}
        assert (await client.get("/api/openapi.json")).status == 200


async def test_with_clickhouse_its_tables_are_there_when_it_is_ready(
    migrated_url: str, tmp_path: Path, clickhouse: Clickhouse
) -> None:
    async with (
        plane(settings(tmp_path, migrated_url, clickhouse_url=SecretStr(clickhouse.url))) as parts,
        TestClient(TestServer(application(parts))) as client,
    ):
        assert (await (await client.get("/readyz")).json())["analytics"] == "away"
        async with asyncio.timeout(120):
            await parts.telemetry.schema.bring_up()
        assert (await (await client.get("/readyz")).json())["analytics"] == "ready"
        assert (await clickhouse.client.query("select count() from record_hour")).result_rows == [(0,)]
