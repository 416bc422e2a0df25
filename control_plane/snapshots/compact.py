"""Forgets tombstones and changes nobody needs any more; a gateway from before them gets a snapshot (GHS/1 10.5)."""

from datetime import timedelta

from control_plane.db.pool import Database

KEPT_FOR = timedelta(days=30)
REVISIONS_KEPT = 10_000


async def compact(database: Database, *, kept_for: timedelta = KEPT_FOR, revisions_kept: int = REVISIONS_KEPT) -> int:
    """Raise the floors past what is both old and far behind, then remove what lies below; how many tombstones went.

    Two transactions: no reader may see a floor lower than what was removed.
    """
    async with database.instance() as connection:
        await connection.execute(
            "update shard_head as head set floor = old.revision from"
            " (select change.shard, max(change.revision) as revision from change join shard_head using (shard)"
            " where change.at < now() - $1::interval and change.revision <= shard_head.revision - $2"
            " group by change.shard) old"
            " where head.shard = old.shard and old.revision > head.floor",
            kept_for,
            revisions_kept,
        )
    async with database.instance() as connection:
        await connection.execute(
            "delete from change using shard_head head where change.shard = head.shard and change.revision <= head.floor"
        )
        status: str = await connection.execute(
            "delete from resource using shard_head head where resource.shard = head.shard"
            " and resource.deleted and resource.revision <= head.floor"
        )
    return int(status.rpartition(" ")[2])
