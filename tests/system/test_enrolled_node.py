"""A node as a process, enrolled by the real road: what it is told, what it tells, and that it needs nobody to go on."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.sync import identity
from shared.models.noun import Kind
from shared.models.virtual_key import VirtualKey
from shared.protocol.enrolment import EnrolmentToken
from tests.fixtures.processes import Process, free_ports
from tests.fixtures.sync import SyncPlane
from tests.fixtures.wire import HANG_S, Broken, Reply, look

WORKERS = 2


class Node:
    def __init__(self, house: SyncPlane, folder: Path, token: EnrolmentToken) -> None:
        self.house = house
        self.folder = folder
        self.state_dir = folder / "gateway"
        self.token = token
        (self.port,) = free_ports(1)
        self.process: Process | None = None

    def start(self, **settings: object) -> None:
        environment = {
            "state_dir": self.state_dir,
            "port": self.port,
            "workers": WORKERS,
            "control_plane_url": self.house.url,
            "enrolment_token": self.token.text.reveal_text(),
            **settings,
        }
        self.process = Process(
            [sys.executable, "-m", "gateway"],
            {f"GATEHOUSE_{name.upper()}": str(value) for name, value in environment.items()},
            self.folder / "gateway.log",
        )

    async def stop(self) -> None:
        if self.process is not None and self.process.running:
            self.process.terminate()
            await asyncio.to_thread(self.process.wait)

    async def ready(self) -> Reply | None:
        try:
            return await look(self.port, "/readyz")
        except (Broken, OSError):
            return None

    async def is_ready(self) -> bool:
        reply = await self.ready()
        return reply is not None and reply.status == 200

    async def heartbeat(self) -> dict[str, Any]:
        """The last one, as the control plane keeps it."""
        rows = await self.house.rows("select heartbeat from node where heartbeat is not null")
        return rows[0]["heartbeat"] if rows else {}

    async def applies(self, revision: int) -> bool:
        """Whether every worker says that it serves the workspace at this revision, or later."""
        told = await self.heartbeat()
        applied = {entry["shard"]: entry["revision"] for entry in told.get("applied", [])}
        return len(told.get("workers", [])) == WORKERS and applied.get(self.house.shard, -1) >= revision


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(HANG_S):
        while not await holds():  # noqa: ASYNC110 - a process tells nobody
            await asyncio.sleep(0.05)


@pytest.fixture
async def node(sync_plane: SyncPlane, tmp_path: Path) -> AsyncIterator[Node]:
    clock = sync_plane.plane.clock
    clock.advance(time.time() - clock.wall_ms() / 1000)  # The node's process has a real clock.
    node = Node(sync_plane, tmp_path, await sync_plane.new_token())
    yield node
    await node.stop()


async def test_a_node_enrols_and_follows_every_edit(node: Node) -> None:
    """GHS/1 11.3, 13.1, 15.2: every worker of it."""
    node.start()
    await until(node.is_ready)
    for number in range(3):
        revision = await node.house.put("a", number)
        await until(lambda wanted=revision: node.applies(wanted))  # type: ignore[misc]
    told = await node.heartbeat()
    assert told["refused"] == []
    assert told["stores"] == {"disk": True}


async def test_a_resource_it_cannot_use_is_told_and_harms_nothing_else(node: Node) -> None:
    """GHS/1 13.4."""
    node.start()
    await until(node.is_ready)
    house = node.house
    bad = VirtualKey(
        id="vk_bad", workspace=house.plane.workspace, slug="bad", name="bad", provider="nobody", credential="AAAA"
    )
    async with house.plane.changes.open(house.plane.owner, "rq_test") as change:
        change.put(house.shard, Kind.VIRTUAL_KEY, bad)
    good = await house.put("good", 1)
    await until(lambda: node.applies(good))

    async def told() -> bool:
        return bool((await node.heartbeat())["refused"])

    await until(told)
    (refused,) = (await node.heartbeat())["refused"]
    assert (refused["kind"], refused["id"], refused["code"]) == ("virtual_key", "vk_bad", "provider_unknown")
    assert await node.is_ready()


async def test_it_starts_and_serves_without_the_control_plane(node: Node) -> None:
    """GHS/1 11.7: by what it learnt and kept; also without its token."""
    node.start()
    revision = await node.house.put("a", 1)
    await until(lambda: node.applies(revision))
    await node.stop()
    await node.house.server.close()
    node.start(enrolment_token="")
    await until(node.is_ready)
    reply = await node.ready()
    assert reply is not None
    assert reply.json()["refusal"] is None


async def test_a_node_that_a_restored_database_does_not_know_serves_on_and_is_enrolled_anew(node: Node) -> None:
    """As `docs/operations.md` says: its keys and the records that wait stay, only whose it is goes."""
    node.start()
    await until(node.is_ready)
    (before,) = await node.house.rows("delete from node returning id")
    await node.stop()
    node.start()
    await until(node.is_ready)

    async def refused() -> bool:
        return "to enrol it anew" in (node.folder / "gateway.log").read_text()

    await until(refused)
    await node.stop()
    (node.state_dir / identity.FILE).unlink()
    node.token = await node.house.new_token()
    node.start()
    revision = await node.house.put("a", 1)
    await until(lambda: node.applies(revision))
    assert await node.house.rows("select id from node") == [before]


async def test_until_it_is_enrolled_it_is_alive_and_not_ready(node: Node) -> None:
    """GHS/1 12.5: its token is not known (yet); nothing else is wrong."""
    await node.house.rows("update enrolment_token set expires_at = now() - interval '1 s' returning id")
    node.start()

    async def alive() -> bool:
        return await node.ready() is not None

    await until(alive)
    reply = await node.ready()
    assert reply is not None
    assert (reply.status, reply.json()["code"]) == (503, "not_enrolled")
    assert (await look(node.port, "/livez")).status == 200
    await node.house.rows("update enrolment_token set expires_at = now() + interval '1 h' returning id")
    await until(node.is_ready)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"enrolment_token": "ghe_wrong"}, "enrolment token"),
        ({"enrolment_token": ""}, "GATEHOUSE_ENROLMENT_TOKEN"),
    ],
)
async def test_what_it_lacks_is_said_in_one_line(node: Node, settings: dict[str, str], said: str) -> None:
    node.start(**settings)
    assert node.process is not None
    assert await asyncio.to_thread(node.process.wait) == 1
    (line,) = (node.folder / "gateway.log").read_text().splitlines()
    assert line.startswith("the gateway cannot start")
    assert said in line


async def test_nothing_it_keeps_shows_its_token(node: Node) -> None:
    node.start()
    await until(node.is_ready)
    await node.stop()
    secret = node.token.secret.reveal()
    files = [path for path in node.folder.rglob("*") if path.is_file()]
    assert len(files) > 3
    assert [path for path in files if secret in path.read_bytes()] == []
    assert [path for path in files if path.name == "identity.json" and path.stat().st_mode & 0o077] == []
