"""The feed: new records as they come, how many where they are too many, from where one was, for as long as one may."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from aiohttp import ClientResponse, web

from control_plane.records.feed import FEEDS_MAX, RECORDS_MAX
from control_plane.web.api import Api
from tests.fixtures.asking import House, house_in
from tests.fixtures.clickhouse import ClickhouseServer
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.records import a_record
from tests.fixtures.tenants import Headers, World

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/api/v1/records/feed"
GUARD_S = 60
"""A hang guard."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    postgres_server: PostgresServer,
    clickhouse_engine: ClickhouseServer,
    _template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("feed")
    async with house_in(postgres_server, _template, clickhouse_engine, folder, "feed") as house:
        yield house


@dataclass(frozen=True, slots=True)
class Event:
    name: str
    id: str | None
    data: Any


class Stream:
    def __init__(self, response: ClientResponse) -> None:
        self._response = response

    async def block(self) -> dict[str, str]:
        """Lines up to an empty one; of a comment its text under an empty name."""
        async with asyncio.timeout(GUARD_S):
            raw = await self._response.content.readuntil(b"\n\n")
        return dict(line.split(": ", 1) for line in raw.decode().strip().splitlines())

    async def event(self) -> Event:
        while "event" not in (block := await self.block()):
            pass
        return Event(block["event"], block.get("id"), json.loads(block["data"]))

    async def ended(self) -> bool:
        async with asyncio.timeout(GUARD_S):
            await self._response.content.read()
        return self._response.content.at_eof()


@asynccontextmanager
async def following(
    world: World, headers: Headers, last_event: str | None = None, **query: str
) -> AsyncIterator[Stream]:
    more = {} if last_event is None else {"last-event-id": last_event}
    async with world.http.get(f"{world.url}{PATH}?{urlencode(query)}", headers={**headers, **more}) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        stream = Stream(response)
        assert await stream.block() == {"retry": "2000"}
        yield stream


async def come(house: House, *numbers: int, ago_s: float = 0, **fields: Any) -> int:
    """Records arrive, and it is said so; when, ms since 1970."""
    now = time.time_ns() // 1_000_000 - round(ago_s * 1000)
    made = [a_record(number, workspace=house.tenant.workspace, **fields) for number in numbers]
    await house.recorded.store(house.tenant.id, made, received_at_ms=now)
    house.world.parts.telemetry.arrivals.heard(house.tenant.id)
    return now


def number(event: Event) -> int:
    return int(event.data["id"].removeprefix("lg_"), 16)


async def test_records_that_match_come_as_they_arrive_and_no_others(house: House) -> None:
    await come(house, 1)
    async with following(house.world, house.owner, filter="model:gpt-4o") as stream:
        await come(house, 2, model="gpt-4o")
        await come(house, 3, model="other")
        await come(house, 4, model="gpt-4o")
        first, second = await stream.event(), await stream.event()
        assert (first.name, number(first), number(second)) == ("record", 2, 4)
        assert first.data["names"]["workspace"]
        assert first.data == await house.ok(f"/api/v1/records/{first.data['id']}")


async def test_a_record_that_came_before_and_shows_later_is_told_too_and_none_twice(house: House) -> None:
    async with following(house.world, house.owner) as stream:
        await come(house, 10)
        assert number(await stream.event()) == 10
        await come(house, 11, ago_s=2)
        assert number(await stream.event()) == 11
        await come(house, 12)
        assert number(await stream.event()) == 12


async def test_what_counted_long_after_it_came_is_told_once(house: House) -> None:
    """ClickHouse was away when its batch came first, so its node delivered it again."""
    arrivals, organisation = house.world.parts.telemetry.arrivals, house.tenant.id
    async with following(house.world, house.owner, filter="model:late") as stream:
        await come(house, 30, model="late")
        assert number(await stream.event()) == 30
        came_ms = await come(house, 31, 32, ago_s=240, model="late")
        arrivals.heard(f"{organisation} {came_ms}")
        assert sorted([number(await stream.event()), number(await stream.event())]) == [31, 32]
        arrivals.heard(f"{organisation} {came_ms}")
        await come(house, 33, model="late")
        assert number(await stream.event()) == 33


async def test_whoever_comes_again_goes_on_from_where_they_were(house: House) -> None:
    async with following(house.world, house.owner) as stream:
        await come(house, 20)
        last = await stream.event()
    await come(house, 21)
    async with following(house.world, house.owner, last.id) as stream:
        assert number(await stream.event()) == 21


async def test_of_too_many_at_once_only_their_number_is_told(house: House) -> None:
    async with following(house.world, house.owner) as stream:
        await come(house, *range(100, 101 + RECORDS_MAX))
        event = await stream.event()
        assert (event.name, event.data["count"], event.data["at_least"]) == ("arrivals", RECORDS_MAX + 1, False)
        await come(house, 99)
        assert number(await stream.event()) == 99


async def test_nobody_has_more_feeds_than_are_allowed_and_one_that_left_makes_room(house: House) -> None:
    headers = await house.world.admin_key(house.tenant.id, {"logs.list"})
    url = f"{house.world.url}{PATH}"
    opened = [await house.world.http.get(url, headers=headers) for _ in range(FEEDS_MAX)]
    assert [response.status for response in opened] == [200] * FEEDS_MAX
    async with house.world.http.get(url, headers=headers) as response:
        assert (response.status, response.headers["retry-after"]) == (429, "5")
    opened[0].close()
    async with asyncio.timeout(GUARD_S):
        while True:
            async with house.world.http.get(url, headers=headers) as response:
                if response.status == 200:
                    break
    for response in opened:
        response.close()


async def test_an_id_of_no_event_is_refused(house: House) -> None:
    for text in ("x", "1.", "-1.lg_1", "9" * 20 + ".lg_1"):
        answer = await house.get(PATH, {**house.owner, "last-event-id": text})
        if text != "1.":
            assert (answer.status, answer.body["pointer"]) == (400, "last-event-id")


@asynccontextmanager
async def beating(house: House) -> AsyncIterator[tuple[World, web.Application]]:
    """The same server, whose heart beats fast."""
    server = web.Application()
    parts = house.world.parts
    Api(parts.authenticator, parts.ids, heartbeat_s=0.05).add(server, parts.routes)
    async with house.world.behind(server) as world:
        yield world, server


async def test_a_quiet_feed_says_that_it_is_there(house: House) -> None:
    async with beating(house) as (world, _), following(world, house.owner) as stream:
        assert await stream.block() == {"": "still here"}


async def test_a_feed_ends_when_the_key_is_revoked_or_the_session_ends(house: House) -> None:
    key = await house.world.admin_key(house.tenant.id, {"logs.list"})
    session = await house.tenant.owner()
    async with beating(house) as (world, _):
        async with following(world, key) as stream:
            await house.world.sql("update admin_key set revoked_at = now() where scopes = array['logs.list']")
            assert await stream.ended()
        async with following(world, session) as stream:
            await house.world.sql("delete from session where account = $1", house.tenant.accounts["owner"])
            assert await stream.ended()


async def test_a_feed_ends_with_its_server(house: House) -> None:
    owner = await house.tenant.owner()
    async with beating(house) as (world, server), following(world, owner) as stream:
        await server.shutdown()
        assert await stream.ended()
