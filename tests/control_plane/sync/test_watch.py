"""Watches: an edit wakes those it concerns at once, nothing wakes nobody, and no notice that is lost is missed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest

from control_plane.snapshots.read import ShardReader
from control_plane.sync.notices import Notices
from shared.crypto.secret import Secret
from shared.protocol.answer import Answer
from shared.protocol.heartbeat import WATCH_PATH
from tests.fixtures.sync import Mirror, SyncNode, SyncPlane

HANG_S = 40
"""A guard against hanging: a watch that nothing wakes takes as long as it was asked to."""


@pytest.fixture
async def mirror(sync_plane: SyncPlane) -> Mirror:
    mirror = Mirror(await sync_plane.new_node())
    await mirror.beat()
    return mirror


async def watching(mirror: Mirror) -> "asyncio.Task[Answer]":
    """A watch that is under way; it takes what it is told."""

    async def watch() -> Answer:
        base = mirror.held
        answer = await mirror.node.watch(mirror.question, HANG_S)
        mirror.take(answer, base)
        return answer

    task = asyncio.create_task(watch())
    while mirror.node.house.plane.organisation not in mirror.node.house.notices.waiting_for:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    return task


async def test_one_edit_wakes_it(mirror: Mirror) -> None:
    """GHS/1 15.2."""
    task = await watching(mirror)
    await mirror.node.house.put("a", 1)
    async with asyncio.timeout(HANG_S / 2):
        assert mirror.form(await task) == "Delta"
    assert set(mirror.configs) == {"pc_a"}


async def test_what_it_does_not_know_yet_is_answered_at_once(mirror: Mirror) -> None:
    """GHS/1 15.2: the edit was before the watch."""
    await mirror.node.house.put("a", 1)
    base = mirror.held
    async with asyncio.timeout(HANG_S / 2):
        mirror.take(await mirror.node.watch(mirror.question, HANG_S), base)
    assert set(mirror.configs) == {"pc_a"}


async def test_an_edit_between_the_look_and_the_wait_wakes_it(mirror: Mirror) -> None:
    """GHS/1 15.2: edits keep coming while watches begin; every one ends early."""
    house = mirror.node.house
    async with asyncio.timeout(HANG_S / 2):
        for number in range(20):
            base = mirror.held
            answer, _ = await asyncio.gather(mirror.node.watch(mirror.question, HANG_S), house.put("a", number))
            mirror.take(answer, base)


async def test_a_new_workspace_wakes_a_gateway_that_has_all(mirror: Mirror) -> None:
    """GHS/1 15.2: the set of its shards."""
    task = await watching(mirror)
    second = await mirror.node.house.plane.in_another_workspace("second")
    async with asyncio.timeout(HANG_S / 2):
        await task
    assert mirror.held is not None
    assert f"ws:{second.workspace}" in {entry.shard for entry in mirror.held.lease.vector}


async def test_a_new_node_wakes_the_others(mirror: Mirror) -> None:
    """GHS/1 15.2: the key chain."""
    task = await watching(mirror)
    await mirror.node.house.new_node()
    async with asyncio.timeout(HANG_S / 2):
        assert mirror.form(await task) == "Unchanged"


async def test_when_the_wait_is_over_there_is_a_fresh_lease(mirror: Mirror) -> None:
    """GHS/1 15.2."""
    before = mirror.held
    mirror.take(await mirror.node.watch(mirror.question, 0), before)
    assert before is not None
    assert mirror.held is not None
    assert mirror.held.lease.sequence > before.lease.sequence
    assert mirror.held.lease.vector == before.lease.vector


async def test_somebody_elses_edit_does_not_end_it(mirror: Mirror) -> None:
    house = mirror.node.house
    foreign = await house.plane.in_another_organisation()
    narrow = Mirror(await house.new_node(await house.new_gateway([])))
    await narrow.beat()
    task = await watching(narrow)
    await house.put("a", 1)  # Of the same organisation, and of a workspace this gateway does not serve.
    await foreign.in_another_workspace("second")
    await house.rows("update shard_head set revision = revision + 1 where shard = 'global' returning shard")
    await house.rows("select pg_notify('gatehouse_shard', 'global')")
    async with asyncio.timeout(HANG_S / 2):
        await task
    assert narrow.held is not None
    shards = {entry.shard for entry in narrow.held.lease.vector}
    assert shards == {"global", f"org:{house.plane.organisation}"}


async def test_a_lost_notice_is_made_good(sync_plane: SyncPlane) -> None:
    """GHS/1 15.3: the shard moves and nobody says so."""
    notices = Notices(sync_plane.url_of_database, sync_plane.plane.database, sync_plane.reader, poll_s=0.05)
    listening = asyncio.create_task(notices.run())
    await notices.require_ready()
    with notices.waiting(sync_plane.plane.organisation) as event:
        await sync_plane.rows(
            "update shard_head set revision = revision + 1 where shard = $1 returning shard", sync_plane.shard
        )
        async with asyncio.timeout(HANG_S):
            await event.wait()
    listening.cancel()
    await asyncio.wait([listening])


async def test_a_listener_that_lost_its_connection_comes_back(mirror: Mirror) -> None:
    """GHS/1 15.3."""
    house = mirror.node.house
    task = await watching(mirror)
    await house.lose_listener()
    await house.put("a", 1)
    async with asyncio.timeout(HANG_S / 2):
        assert mirror.form(await task) == "Delta"


class Way:
    """To the database, by somebody who can forget connections without a word to either side."""

    def __init__(self) -> None:
        self.port = 0
        self.taken = 0
        self._forgotten = 0
        """So many of the first."""

    @asynccontextmanager
    async def open(self, port: int) -> AsyncIterator[None]:
        self._to = port
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()

    def forget(self) -> None:
        self._forgotten = self.taken

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.taken += 1
        number = self.taken
        there, thence = await asyncio.open_connection("127.0.0.1", self._to)

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                if number > self._forgotten:
                    target.write(data)
            target.close()

        with suppress(OSError):
            await asyncio.gather(pump(reader, thence), pump(there, writer))


class Heard(asyncio.Event):
    def heard(self, _: str) -> None:
        self.set()

    def back(self) -> None:
        return None


async def test_a_listener_whose_connection_was_dropped_in_silence_listens_again(
    sync_plane: SyncPlane, migrated_url: str
) -> None:
    """As by a firewall, for having been idle: else each edit would take as long as the next look, for good."""
    parts, way, heard = urlsplit(migrated_url), Way(), Heard()
    database = sync_plane.plane.database
    assert parts.port is not None
    async with asyncio.timeout(HANG_S), way.open(parts.port):
        url = migrated_url.replace(f":{parts.port}/", f":{way.port}/")
        notices = Notices(Secret(url), database, ShardReader(), others={"test": heard}, poll_s=0.01, answer_s_max=0.5)
        task = asyncio.create_task(notices.run())
        await notices.require_ready()
        way.forget()
        before = way.taken
        while way.taken == before:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)
        while not heard.is_set():
            await sync_plane.rows("select pg_notify('test', '')")
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait({task})


async def test_whoever_waits_is_let_go_at_the_end(mirror: Mirror) -> None:
    """A control plane that is stopped keeps nobody waiting: a fresh lease, and goodbye."""
    task = await watching(mirror)
    await mirror.node.house.stop_listening()
    async with asyncio.timeout(HANG_S / 2):
        assert mirror.form(await task) == "Unchanged"


async def test_a_wait_has_its_limit(sync_plane: SyncPlane) -> None:
    """GHS/1 15.1."""
    node: SyncNode = await sync_plane.new_node()
    status, told = await node.post(WATCH_PATH, {"have": [], "lease": None, "key_chain": None, "wait_s": 51})
    assert (status, told["pointer"]) == (400, "/wait_s")


async def test_a_gateway_that_is_deleted_while_its_node_waits_is_said_to_be_gone(mirror: Mirror) -> None:
    """GHS/1 16.2."""
    house = mirror.node.house
    message = {**mirror.question.model_dump(mode="json"), "wait_s": HANG_S}
    task = asyncio.create_task(mirror.node.post(WATCH_PATH, message))
    while house.plane.organisation not in house.notices.waiting_for:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    await house.rows("delete from gateway where id = $1 returning id", house.gateway)
    await house.put("a", 1)
    async with asyncio.timeout(HANG_S / 2):
        status, told = await task
    assert (status, told["code"]) == (401, "gateway_unknown")
