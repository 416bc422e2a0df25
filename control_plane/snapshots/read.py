"""Reads what gateways are told: where shards stand, and what a gateway lacks of them, all of one instant.

Every method takes a connection inside `Database.snapshot`, so what it returns fits together. Digests are kept in memory
by shard and brought forward by what changed; what is kept is never behind or ahead of what is told (GHS/1 10, 14).
"""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import asyncpg

from shared.protocol.answer import DELTA_BYTES_MAX, DELTA_CHANGES_MAX, Delta, Gone, Part, Unchanged, Whole
from shared.protocol.digest import ShardPosition, digest_of_lines, resource_line
from shared.protocol.resource import GLOBAL_SHARD, SealedResource, organisation_shard, workspace_shard

LINES_KEPT_MAX = 2_000_000
"""Resources whose digest lines are kept, over all shards; about 300 bytes each."""


@dataclass(frozen=True, slots=True)
class Head:
    """A shard's counter."""

    shard: str
    epoch: int
    revision: int
    floor: int
    """What changed at or below it may have left no trace."""

    @property
    def place(self) -> tuple[int, int]:
        return self.epoch, self.revision


@dataclass(slots=True)
class _Kept:
    place: tuple[int, int]
    digest: str
    lines: dict[tuple[str, str], bytes] = field(repr=False)


class ShardReader:
    """One per process."""

    def __init__(self, *, lines_kept_max: int = LINES_KEPT_MAX) -> None:
        self._lines_kept_max = lines_kept_max
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def forget(self) -> None:
        """Whatever is kept may be of a database that lost commits."""
        self._kept.clear()

    async def heads(
        self, connection: asyncpg.Connection, organisation: str, workspaces: Sequence[str] | None
    ) -> list[Head]:
        """Of the shards a gateway may have: global, its organisation's, its workspaces' (None: every one there is)."""
        rows = await connection.fetch(
            "select id from workspace where organisation = $1 and ($2::text[] is null or id = any($2))",
            organisation,
            workspaces,
        )
        shards = [GLOBAL_SHARD, organisation_shard(organisation), *(workspace_shard(row["id"]) for row in rows)]
        heads = await connection.fetch(
            "select shard, epoch, revision, floor from shard_head where shard = any($1) order by shard", shards
        )
        return [Head(**head) for head in heads]

    async def positions(self, connection: asyncpg.Connection, heads: Iterable[Head]) -> list[ShardPosition]:
        """The same with their digests."""
        return [
            ShardPosition(head.shard, head.epoch, head.revision, await self._digest(connection, head)) for head in heads
        ]

    async def part(
        self, connection: asyncpg.Connection, head: Head, position: ShardPosition, have: ShardPosition | None
    ) -> Part:
        """What a gateway that has `have` of the shard needs, to have it at `position` (GHS/1 14.3 to 14.5)."""
        if have is not None and have.digest == position.digest:
            return Unchanged(head.shard)
        if have is not None and have.epoch == head.epoch and head.floor <= have.revision < head.revision:
            count, size = await connection.fetchrow(
                "select count(*), coalesce(sum(length(sealed)), 0) from resource where shard = $1 and revision > $2",
                head.shard,
                have.revision,
            )
            if count <= DELTA_CHANGES_MAX and size <= DELTA_BYTES_MAX:
                return await _delta(connection, head.shard, have.revision)
        rows = await connection.fetch(
            "select kind, id, revision, schema_version, key_epoch, sealed from resource"
            " where shard = $1 and not deleted",
            head.shard,
        )
        # Tens of thousands of hashes are too long for the loop.
        return await asyncio.to_thread(_whole, head.shard, rows)

    async def _digest(self, connection: asyncpg.Connection, head: Head) -> str:
        kept = self._kept.get(head.shard)
        if kept is not None and kept.place == head.place:
            return kept.digest
        async with self._locks[head.shard]:
            kept = self._kept.get(head.shard)
            if kept is not None and kept.place > head.place:
                # Somebody with a later instant was here first: what is kept cannot be taken back to ours.
                _, digest = await _load(connection, head.shard)
                return digest
            if kept is None or kept.place[0] != head.epoch or kept.place[1] < head.floor:
                lines, digest = await _load(connection, head.shard)
                kept = self._kept[head.shard] = _Kept(head.place, digest, lines)
            elif kept.place != head.place:
                await _bring_forward(connection, head, kept)
            self._forget(head.shard)
        return kept.digest

    def _forget(self, used: str) -> None:
        self._kept.move_to_end(used)
        while len(self._kept) > 1 and sum(len(kept.lines) for kept in self._kept.values()) > self._lines_kept_max:
            shard, _ = self._kept.popitem(last=False)
            if not self._locks[shard].locked():
                del self._locks[shard]


def _whole(shard: str, rows: Iterable[asyncpg.Record]) -> Whole:
    return Whole(shard, tuple(SealedResource(shard, *row) for row in rows))


async def _load(connection: asyncpg.Connection, shard: str) -> tuple[dict[tuple[str, str], bytes], str]:
    rows = await connection.fetch(
        "select kind, id, revision, schema_version, key_epoch, hash from resource where shard = $1 and not deleted",
        shard,
    )
    return await asyncio.to_thread(_lines_and_digest, rows)


def _lines_and_digest(rows: Sequence[asyncpg.Record]) -> tuple[dict[tuple[str, str], bytes], str]:
    lines = {(row["kind"], row["id"]): resource_line(*row) for row in rows}
    return lines, digest_of_lines(lines)


async def _bring_forward(connection: asyncpg.Connection, head: Head, kept: _Kept) -> None:
    rows = await connection.fetch(
        "select kind, id, revision, schema_version, key_epoch, hash, deleted from resource"
        " where shard = $1 and revision > $2",
        head.shard,
        kept.place[1],
    )
    lines = dict(kept.lines)
    for kind, id_, revision, schema_version, key_epoch, hash_, deleted in rows:
        lines.pop((kind, id_), None)
        if not deleted:
            lines[kind, id_] = resource_line(kind, id_, revision, schema_version, key_epoch, hash_)
    kept.digest = await asyncio.to_thread(digest_of_lines, lines)
    kept.lines, kept.place = lines, head.place


async def _delta(connection: asyncpg.Connection, shard: str, base: int) -> Delta:
    """Of each resource that changed since `base` its newest version, or that it is gone; in the order of revisions."""
    rows = await connection.fetch(
        "select kind, id, revision, schema_version, key_epoch, sealed, deleted from resource"
        " where shard = $1 and revision > $2 order by revision, kind, id",
        shard,
        base,
    )
    changes = (
        Gone(kind, id_, revision)
        if deleted
        else SealedResource(shard, kind, id_, revision, schema_version, key_epoch, sealed)
        for kind, id_, revision, schema_version, key_epoch, sealed, deleted in rows
    )
    return Delta(shard, base, tuple(changes))
