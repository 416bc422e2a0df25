"""Many writers, gateways that poll, any history: nothing is lost, nothing is out of order, all end at one digest."""

import asyncio
from datetime import timedelta
from random import Random

import orjson
import pytest

from control_plane.snapshots.compact import compact
from control_plane.snapshots.read import ShardReader
from gateway.sync.opener import unlock
from gateway.sync.trust import Refused
from shared.protocol.answer import Answer
from tests.fixtures.sync import NOTHING, Mirror, SyncPlane

WRITERS = 16
EDITS = 12
"""Of each writer; `scripts/chaos` has the long form."""
HANG_S = 120
OLD = timedelta(seconds=-1)


async def test_writers_and_pollers_lose_nothing(sync_plane: SyncPlane) -> None:
    """GHS/1 10.1, 10.3, 10.4: two shards, three gateways, every edit by its own transaction."""
    house = sync_plane
    second = (await house.plane.in_another_workspace("second")).workspace
    workspaces = [house.plane.workspace, second]
    mirrors = [Mirror(await house.new_node(await house.new_gateway())) for _ in range(3)]
    done = asyncio.Event()

    async def write(writer: int) -> None:
        for number in range(EDITS):
            await house.put(f"w{writer}", number, workspaces[writer % 2])

    async def poll(mirror: Mirror) -> None:
        """Every answer must be one that the gateway's rules take: no shard goes back, every digest fits."""
        while not done.is_set():
            await mirror.beat()

    async with asyncio.timeout(HANG_S):
        polling = [asyncio.create_task(poll(mirror)) for mirror in mirrors]
        await asyncio.gather(*(write(writer) for writer in range(WRITERS)))
        done.set()
        await asyncio.gather(*polling)
    whole = [(await mirror.beat(), mirror.held)[1] for mirror in mirrors]
    assert len({held.lease.digest for held in whole if held is not None}) == 1
    for workspace in workspaces:
        rows = await house.rows("select revision from change where shard = $1 order by revision", f"ws:{workspace}")
        revisions = [row["revision"] for row in rows]
        assert revisions == list(range(1, len(revisions) + 1))
    for mirror in mirrors:
        assert mirror.held is not None
        opener = unlock(mirror.held.snapshot.key_chain, mirror.held.lease, mirror.node.keys)
        bodies = [
            orjson.loads(opener.open(r)) for s in mirror.held.snapshot.shards for r in s.resources if r.kind == "config"
        ]
        seeds = {body["slug"]: body["body"]["override_params"]["seed"] for body in bodies}
        assert seeds == {f"w{writer}": EDITS - 1 for writer in range(WRITERS)}


@pytest.mark.parametrize("seed", range(4))
async def test_any_history_converges_on_a_real_database(sync_plane: SyncPlane, seed: int) -> None:
    """GHS/1 10.5, 10.6, 14.3 to 14.7: edits, deletions, compactions, lost and old answers, restarts, new epochs."""
    house, chance = sync_plane, Random(seed)
    mirrors = [Mirror(await house.new_node()) for _ in range(2)]
    configs: set[str] = set()
    sent: dict[Mirror, list[Answer]] = {mirror: [] for mirror in mirrors}
    steps = ["put"] * 6 + ["remove"] * 4 + ["beat"] * 6 + ["lost"] * 2 + ["replay", "compact", "restart", "epoch"]
    for step in chance.choices(steps, k=60):
        mirror = chance.choice(mirrors)
        slug = chance.choice("abcdef")
        match step:
            case "put":
                await house.put(slug, chance.randrange(9))
                configs.add(f"pc_{slug}")
            case "remove":
                await house.remove(slug)
                configs.discard(f"pc_{slug}")
            case "beat":
                sent[mirror].append(await mirror.beat())
            case "lost":
                await mirror.node.beat(mirror.question)
            case "replay" if len(sent[mirror]) > 1:
                held = mirror.held
                with pytest.raises(Refused):
                    mirror.take(chance.choice(sent[mirror][:-1]), held)
                assert mirror.held is held
            case "compact":
                await compact(house.plane.database, kept_for=OLD, revisions_kept=chance.randrange(4))
            case "restart":
                house.reader.forget()
            case "epoch":
                await house.rows("update shard_head set timeline = timeline + 1 returning shard")
                await house.restart_listener()
    stranger = Mirror(await house.new_node())
    for mirror in (*mirrors, stranger):
        await mirror.beat()
        assert set(mirror.configs) == configs
    await asyncio.gather(*(mirror.beat() for mirror in mirrors))
    vectors = [mirror.held.lease.vector for mirror in (*mirrors, stranger) if mirror.held is not None]
    assert vectors[0] == vectors[1] == vectors[2]
    async with house.plane.database.snapshot(None) as connection:
        fresh = ShardReader()
        heads = await fresh.heads(connection, house.plane.organisation, None)
        assert await fresh.positions(connection, heads) == [entry.position for entry in vectors[0]]


async def test_an_answer_to_nobody_in_particular_is_whole(sync_plane: SyncPlane) -> None:
    """GHS/1 13.2: who names nothing gets everything, each time."""
    mirror = Mirror(await sync_plane.new_node())
    await sync_plane.put("a", 1)
    await mirror.beat()
    assert mirror.form(await mirror.node.beat(NOTHING)) == "Whole"
