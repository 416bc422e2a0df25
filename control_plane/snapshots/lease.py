"""Answers to nodes: a signed lease over one instant, and what the node lacks of it (GHS/1 6, 14).

Sequence and content are of one transaction that holds the gateway's row, so of two leases the later one is never the
poorer one, whichever process made them.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

import asyncpg

from control_plane.db.pool import Database, retrying
from control_plane.snapshots.change import CHANNEL
from control_plane.snapshots.gateway_keys import GatewayKeys
from control_plane.snapshots.read import Head, ShardReader
from shared.clock import Clock
from shared.crypto import sign
from shared.crypto.secret import Secret
from shared.protocol import lease as leases
from shared.protocol.answer import Answer
from shared.protocol.digest import ShardPosition, state_digest
from shared.protocol.heartbeat import Question
from shared.protocol.lease import Lease, LeaseError, SignedLease, VectorEntry, sign_lease
from shared.protocol.version import PROTOCOL

LEASE_MS = 15 * 60 * 1000


class GatewayGone(Exception):
    """The gateway was deleted while one of its nodes asked."""


@dataclass(frozen=True, slots=True)
class _Cut:
    """Where everything a gateway may know stands at one instant."""

    organisation: str
    heads: list[Head]
    positions: list[ShardPosition]
    key_chain: bytes | None = field(repr=False)
    """As last sealed, if it is still for the right recipients."""


class LeaseIssuer:
    def __init__(
        self, database: Database, reader: ShardReader, keys: GatewayKeys, signing_key: Secret, clock: Clock
    ) -> None:
        self._database = database
        self._reader = reader
        self._keys = keys
        self._signing_key = signing_key
        self._fingerprint = sign.fingerprint(sign.public_key(signing_key))
        self._clock = clock
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def has_news(self, gateway: str, question: Question) -> bool:
        """Whether an answer now would bring anything but a fresh lease. Raises GatewayGone."""
        async with self._database.snapshot(None) as connection:
            row = await connection.fetchrow(_FIND, gateway)
            cut = await self._cut(connection, gateway, row)
        if cut.key_chain is None or _hash(cut.key_chain) != question.key_chain:
            return True
        return set(cut.positions) != {entry.position for entry in question.have}

    async def answer(self, gateway: str, question: Question, next_ms: int) -> Answer:
        """The next lease of the gateway and what `question` lacks. Raises GatewayGone, Unavailable."""
        # Nodes of one gateway take turns here, so that only other processes are rivals in the database.
        turn = self._turns.setdefault(gateway, asyncio.Lock())
        async with turn:
            return await retrying(lambda: self._issue(gateway, question, next_ms))

    async def _issue(self, gateway: str, question: Question, next_ms: int) -> Answer:
        promised = self._promised(gateway, question.lease)
        async with self._database.snapshot(None, readonly=False) as connection:
            row = await connection.fetchrow(_ADVANCE, gateway, 0 if promised is None else promised.sequence)
            cut = await self._cut(connection, gateway, row)
            if promised is not None and await _overtake(connection, cut.heads, promised.vector):
                cut = await self._cut(connection, gateway, row)
            key_chain = cut.key_chain or await self._seal_key_chain(connection, gateway, cut)
            have = {entry.shard: entry.position for entry in question.have}
            parts = [
                await self._reader.part(connection, head, position, have.get(head.shard))
                for head, position in zip(cut.heads, cut.positions, strict=True)
            ]
        now_ms = self._clock.wall_ms()
        lease = self._sign(gateway, cut, row["lease_sequence"], _hash(key_chain), now_ms)
        told = None if _hash(key_chain) == question.key_chain else key_chain
        return Answer(lease, told, tuple(parts), next_ms, now_ms)

    async def _cut(self, connection: asyncpg.Connection, gateway: str, row: Mapping[str, object] | None) -> _Cut:
        if row is None:
            raise GatewayGone(gateway)
        organisation, workspaces = row["organisation"], row["workspaces"]
        assert isinstance(organisation, str)
        assert workspaces is None or isinstance(workspaces, list)
        heads = await self._reader.heads(connection, organisation, workspaces)
        positions = await self._reader.positions(connection, heads)
        shards = [head.shard for head in heads]
        recipients = await self._keys.recipients(connection, organisation, gateway, shards)
        key_chain = row["key_chain"] if row["key_chain_for"] == recipients.digest else None
        assert key_chain is None or isinstance(key_chain, bytes)
        return _Cut(organisation, heads, positions, key_chain)

    async def _seal_key_chain(self, connection: asyncpg.Connection, gateway: str, cut: _Cut) -> bytes:
        shards = [head.shard for head in cut.heads]
        recipients = await self._keys.recipients(connection, cut.organisation, gateway, shards)
        key_chain = await self._keys.seal(connection, cut.organisation, gateway, recipients)
        await connection.execute(
            "update gateway set key_chain = $3, key_chain_for = $4 where organisation = $1 and id = $2",
            cut.organisation,
            gateway,
            key_chain,
            recipients.digest,
        )
        return key_chain

    def _promised(self, gateway: str, signed: SignedLease | None) -> Lease | None:
        """The lease a node holds, if it is one of ours for this gateway; whatever else is no proof of anything."""
        if signed is None or signed.fingerprint != self._fingerprint or not signed.is_genuine():
            return None
        try:
            lease = leases.parse(signed.payload)
        except LeaseError:
            return None
        return lease if lease.gateway == gateway else None

    def _sign(self, gateway: str, cut: _Cut, sequence: int, key_chain: str, now_ms: int) -> SignedLease:
        vector = [
            VectorEntry(shard=p.shard, epoch=p.epoch, revision=p.revision, digest=p.digest) for p in cut.positions
        ]
        lease = Lease(
            protocol=PROTOCOL,
            organisation=cut.organisation,
            gateway=gateway,
            sequence=sequence,
            issued_at_ms=now_ms,
            expires_at_ms=now_ms + LEASE_MS,
            vector=vector,
            digest=state_digest(cut.positions),
            key_chain=key_chain,
        )
        return sign_lease(self._signing_key, lease)


_FIND = "select organisation, workspaces, key_chain, key_chain_for from gateway where id = $1"
_ADVANCE = (
    "update gateway set lease_sequence = greatest(lease_sequence, $2) + 1 where id = $1"
    " returning organisation, workspaces, key_chain, key_chain_for, lease_sequence"
)


async def _overtake(connection: asyncpg.Connection, heads: Iterable[Head], promised: Iterable[VectorEntry]) -> bool:
    """Start a new epoch of each shard that was further on when the lease was signed; whether there was one.

    The database has lost commits, and would use their revisions again for something else (GHS/1 10.6).
    """
    places = {entry.shard: (entry.epoch, entry.revision) for entry in promised}
    lost = [head for head in heads if places.get(head.shard, head.place) > head.place]
    for head in lost:
        await connection.execute(
            "update shard_head set epoch = $2 where shard = $1", head.shard, max(head.epoch, places[head.shard][0]) + 1
        )
        await connection.execute("select pg_notify($1, $2)", CHANNEL, head.shard)
    return bool(lost)


def _hash(key_chain: bytes) -> str:
    return hashlib.sha256(key_chain).hexdigest()
