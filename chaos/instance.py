"""Edits that no route makes: of the catalogue, as a newer build brings it, and of very many resources at once."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from chaos.stack import Stack
from control_plane.data_keys import DataKeys
from control_plane.db.pool import Database
from control_plane.ids import Ids
from control_plane.kms.local import LocalKms
from control_plane.permissions import ActorKind, Principal
from control_plane.snapshots.change import Changes, ShardKeys
from shared.clock import SystemClock
from shared.models.noun import Kind, Noun


class InstanceEdits:
    """The road of every edit, walked beside the control plane in its own database and with its own keys."""

    def __init__(self, stack: Stack, changes: Changes) -> None:
        self._stack = stack
        self._changes = changes

    async def put(self, organisation: str, shard: str, kind: Kind, nouns: Iterable[Noun]) -> int:
        """All of them in one edit. The shard's revision with it."""
        principal = Principal(ActorKind.INSTANCE, "chaos", organisation)
        async with self._changes.open_instance(principal, organisation, "chaos") as change:
            for noun in nouns:
                change.put(shard, kind, noun)
        (row,) = await self._stack.sql("select revision from shard_head where shard = $1", shard)
        return int(row["revision"])


@asynccontextmanager
async def instance_edits(stack: Stack) -> AsyncIterator[InstanceEdits]:
    database = await Database.connect(stack.postgres_url.reveal_text(), connections_max=2)
    try:
        clock = SystemClock()
        data_keys = DataKeys(LocalKms(stack.folder / "control_plane" / "kms.json"), clock)
        yield InstanceEdits(stack, Changes(database, ShardKeys(data_keys), Ids(clock)))
    finally:
        await database.close()
