"""The one road of an edit: rows, revision, sealed resources, audit and notice, in one transaction.

A shard's counter is taken last, so revision order is commit order and there are no gaps; several shards are taken in
ascending order, so two edits never wait for each other in a circle (GHS/1 10.1).
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import orjson

from control_plane.data_keys import DataKeys, Sealed
from control_plane.db.pool import Database
from control_plane.errors import TooLarge
from control_plane.ids import Ids
from control_plane.permissions import Principal
from shared.crypto.secret import Secret
from shared.models.noun import Kind, Noun
from shared.protocol import envelope
from shared.protocol.envelope import EnvelopeError, Suite
from shared.protocol.resource import GLOBAL_SHARD, SealedResource, credential_subject

SCHEMA_VERSION = 1
CHANNEL = "gatehouse_shard"
"""`pg_notify` channel; the payload is the shard's name."""
_SECRET_ITSELF = frozenset({Kind.ORGANISATION})
"""Not compressed: what these have in common would show in the length (GHS/1 3.7)."""


@dataclass(frozen=True, slots=True)
class _Put:
    kind: Kind
    id: str
    noun: Noun | None
    """None: it is gone."""


@dataclass(frozen=True, slots=True)
class _Entry:
    action: str
    kind: str
    resource: str
    workspace: str | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    shard: str | None


@dataclass(slots=True)
class Change:
    """An edit under way: a room writes rows through `connection` and says what gateways and the audit must know."""

    connection: asyncpg.Connection
    organisation: str
    principal: Principal
    request_id: str
    _keys: "ShardKeys"
    puts: dict[str, list[_Put]] = field(default_factory=dict)
    entries: list[_Entry] = field(default_factory=list)

    def put(self, shard: str, kind: Kind, noun: Noun) -> None:
        """Gateways get `noun` as the new version of this resource."""
        self.puts.setdefault(shard, []).append(_Put(kind, noun.id, noun))

    def remove(self, shard: str, kind: Kind, id_: str) -> None:
        """Gateways lose this resource; a tombstone stays."""
        self.puts.setdefault(shard, []).append(_Put(kind, id_, None))

    def record(
        self,
        action: str,
        kind: str,
        resource: str,
        *,
        workspace: str | None = None,
        shard: str | None = None,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """One audit row. `before` and `after` hold no secret. `shard`: the one whose revision belongs to it."""
        self.entries.append(_Entry(action, kind, resource, workspace, before, after, shard))

    async def seal_credential(self, shard: str, virtual_key: str, credential: Secret) -> bytes:
        """A credential as it stands inside its virtual key's resource: an envelope of its own (GHS/1 3.8)."""
        epoch, key = await self._keys.newest(self.connection, shard)
        subject = credential_subject(self.organisation, shard, virtual_key, epoch)
        return envelope.seal(key, subject, credential.reveal(), Suite.PLAIN)


class ShardKeys:
    """The keys resources are sealed under, kept sealed in their table under the owner's data key."""

    def __init__(self, data_keys: DataKeys) -> None:
        self._data_keys = data_keys

    async def make_shard(self, connection: asyncpg.Connection, shard: str, organisation: str) -> None:
        """A new shard with its counter and its first key."""
        # On the timeline of the others: one of its own would look like a failover (GHS/1 10.6).
        await connection.execute(
            "insert into shard_head (shard, organisation, timeline)"
            " values ($1, $2, coalesce((select max(timeline) from shard_head), 1))",
            shard,
            organisation,
        )
        sealed = await self._data_keys.seal(connection, organisation, "shard_key", f"{shard}#1", envelope.new_key())
        await connection.execute(
            "insert into shard_key (shard, organisation, epoch, key_sealed, key_version) values ($1, $2, 1, $3, $4)",
            shard,
            organisation,
            sealed.blob,
            sealed.version,
        )

    async def newest(self, connection: asyncpg.Connection, shard: str) -> tuple[int, Secret]:
        """Epoch and key that seal what is written now."""
        row = await connection.fetchrow(
            "select organisation, epoch, key_sealed, key_version from shard_key where shard = $1"
            " order by epoch desc limit 1",
            shard,
        )
        if row is None:
            raise LookupError(f"no key for shard {shard}")
        return row["epoch"], await self._open(connection, shard, row)

    async def all(self, connection: asyncpg.Connection, shard: str) -> dict[int, Secret]:
        """Every key that a stored resource may be sealed under, by epoch."""
        rows = await connection.fetch(
            "select organisation, epoch, key_sealed, key_version from shard_key where shard = $1 order by epoch", shard
        )
        return {row["epoch"]: await self._open(connection, shard, row) for row in rows}

    async def _open(self, connection: asyncpg.Connection, shard: str, row: asyncpg.Record) -> Secret:
        sealed = Sealed(row["key_version"], row["key_sealed"])
        return await self._data_keys.open(
            connection, row["organisation"], "shard_key", f"{shard}#{row['epoch']}", sealed
        )


class Changes:
    """Opens edits."""

    def __init__(self, database: Database, keys: ShardKeys, ids: Ids) -> None:
        self._database = database
        self._keys = keys
        self._ids = ids

    @asynccontextmanager
    async def open(self, principal: Principal, request_id: str) -> AsyncIterator[Change]:
        """An edit in the principal's organisation: committed whole when the block ends, else nothing of it happened."""
        async with self._database.tenant(principal.organisation) as connection:
            change = Change(connection, principal.organisation, principal, request_id, self._keys)
            yield change
            await self.publish(change)

    @asynccontextmanager
    async def open_instance(self, principal: Principal, organisation: str, request_id: str) -> AsyncIterator[Change]:
        """An edit above organisations: a new organisation, the catalogue."""
        async with self._database.instance() as connection:
            change = Change(connection, organisation, principal, request_id, self._keys)
            yield change
            await self.publish(change)

    async def publish(self, change: Change) -> None:
        """The last act of the transaction; rooms do not call it. Raises TooLarge."""
        revisions = {shard: await self._advance(change, shard) for shard in sorted(change.puts)}
        await self._audit(change, revisions)

    async def _advance(self, change: Change, shard: str) -> int:
        connection = change.connection
        puts = {(put.kind, put.id): put for put in change.puts[shard]}  # Of two in one edit the last counts.
        epoch, key = await self._keys.newest(connection, shard)
        owner = "instance" if shard == GLOBAL_SHARD else change.organisation
        revision: int | None = await connection.fetchval(
            "update shard_head set revision = revision + 1 where shard = $1 returning revision", shard
        )
        if revision is None:
            raise LookupError(f"no shard {shard}")
        rows = [_row(put, shard, owner, change.organisation, revision, epoch, key) for put in puts.values()]
        await connection.executemany(
            "insert into resource (shard, organisation, kind, id, revision, deleted, schema_version, key_epoch, sealed,"
            " hash) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict (shard, kind, id) do update set"
            " revision = excluded.revision, deleted = excluded.deleted, schema_version = excluded.schema_version,"
            " key_epoch = excluded.key_epoch, sealed = excluded.sealed, hash = excluded.hash",
            rows,
        )
        await connection.executemany(
            "insert into change (shard, organisation, revision, kind, id) values ($1, $2, $3, $4, $5)",
            [(shard, owner, revision, put.kind.value, put.id) for put in puts.values()],
        )
        await connection.execute("select pg_notify($1, $2)", CHANNEL, shard)
        return revision

    async def _audit(self, change: Change, revisions: Mapping[str, int]) -> None:
        principal = change.principal
        await change.connection.executemany(
            "insert into audit (id, organisation, workspace, actor, actor_kind, action, kind, resource, revision,"
            " before, after, request_id) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            [
                (
                    self._ids.new("au"),
                    change.organisation,
                    entry.workspace,
                    principal.id,
                    principal.kind.value,
                    entry.action,
                    entry.kind,
                    entry.resource,
                    None if entry.shard is None else revisions.get(entry.shard),
                    entry.before,
                    entry.after,
                    change.request_id,
                )
                for entry in change.entries
            ],
        )


def _row(
    put: _Put, shard: str, owner: str, organisation: str, revision: int, epoch: int, key: Secret
) -> tuple[Any, ...]:
    head = (shard, owner, put.kind.value, put.id, revision)
    if put.noun is None:
        return (*head, True, SCHEMA_VERSION, epoch, None, None)
    unsealed = SealedResource(shard, put.kind.value, put.id, revision, SCHEMA_VERSION, epoch, sealed=b"")
    plaintext = orjson.dumps(put.noun.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)
    suite = Suite.PLAIN if put.kind in _SECRET_ITSELF else Suite.COMPRESSED
    try:
        sealed = envelope.seal(key, unsealed.subject(organisation), plaintext, suite)
    except EnvelopeError:  # What was sent may be shorter: a `1e15` travels as sixteen digits.
        bytes_max = envelope.PLAINTEXT_BYTES_MAX
        raise TooLarge(f"this {put.kind.value} takes more than {bytes_max} bytes on its way to gateways") from None
    resource = SealedResource(shard, put.kind.value, put.id, revision, SCHEMA_VERSION, epoch, sealed)
    return (*head, False, SCHEMA_VERSION, epoch, sealed, resource.hash)
