"""The keys of a gateway: its data-plane keys at rest, and the key chain that brings them to its nodes (GHS/1 5)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from control_plane.data_keys import DataKeys, Sealed
from control_plane.snapshots.change import ShardKeys
from shared.crypto.secret import Secret
from shared.protocol import canonical, envelope
from shared.protocol.key_chain import KeyChain, seal_data_plane_key, seal_shard_key

_COLUMN = "data_plane_key.key"


@dataclass(frozen=True, slots=True)
class _Node:
    id: str
    open: bytes


@dataclass(frozen=True, slots=True)
class Recipients:
    """What a key chain is made for: the same recipients, the same chain."""

    data_plane_epoch: int
    nodes: tuple[_Node, ...]
    shard_keys: tuple[tuple[str, int], ...]
    """Shard and key epoch."""

    @property
    def digest(self) -> str:
        nodes = tuple((node.id, node.open.hex()) for node in self.nodes)
        return hashlib.sha256(canonical.encode((self.data_plane_epoch, nodes, self.shard_keys))).hexdigest()


class GatewayKeys:
    def __init__(self, data_keys: DataKeys, shard_keys: ShardKeys) -> None:
        self._data_keys = data_keys
        self._shard_keys = shard_keys

    async def make(self, connection: asyncpg.Connection, organisation: str, gateway: str) -> None:
        """The first data-plane key of a new gateway. Raises Unavailable."""
        id_ = _row_id(gateway, 1)
        sealed = await self._data_keys.seal(connection, organisation, _COLUMN, id_, envelope.new_key())
        await connection.execute(
            "insert into data_plane_key (organisation, gateway, epoch, key_sealed, key_version)"
            " values ($1, $2, 1, $3, $4)",
            organisation,
            gateway,
            sealed.blob,
            sealed.version,
        )

    async def recipients(
        self, connection: asyncpg.Connection, organisation: str, gateway: str, shards: Sequence[str]
    ) -> Recipients:
        """Every node that is not revoked, and every key of the shards."""
        epoch = await connection.fetchval(
            "select max(epoch) from data_plane_key where organisation = $1 and gateway = $2", organisation, gateway
        )
        if epoch is None:
            raise LookupError(f"gateway {gateway} has no data-plane key")
        nodes = await connection.fetch(
            "select id, open from node where organisation = $1 and gateway = $2 and revoked_at is null order by id",
            organisation,
            gateway,
        )
        keys = await connection.fetch(
            "select shard, epoch from shard_key where shard = any($1) order by shard, epoch", shards
        )
        return Recipients(epoch, tuple(_Node(**node) for node in nodes), tuple(map(tuple, keys)))

    async def seal(
        self, connection: asyncpg.Connection, organisation: str, gateway: str, recipients: Recipients
    ) -> bytes:
        """The canonical key chain, sealed anew: other bytes each time. Raises Unavailable."""
        epoch = recipients.data_plane_epoch
        key = await self._data_plane_key(connection, organisation, gateway, epoch)
        shards = dict.fromkeys(shard for shard, _ in recipients.shard_keys)
        chain = KeyChain(
            data_plane_keys=[
                seal_data_plane_key(
                    key, organisation=organisation, gateway=gateway, node=node.id, epoch=epoch, opening_key=node.open
                )
                for node in recipients.nodes
            ],
            shard_keys=[
                seal_shard_key(
                    shard_key,
                    organisation=organisation,
                    gateway=gateway,
                    shard=shard,
                    epoch=shard_epoch,
                    data_plane_key=key,
                    data_plane_epoch=epoch,
                )
                for shard in shards
                for shard_epoch, shard_key in (await self._shard_keys.all(connection, shard)).items()
            ],
        )
        return chain.encode()

    async def _data_plane_key(
        self, connection: asyncpg.Connection, organisation: str, gateway: str, epoch: int
    ) -> Secret:
        row = await connection.fetchrow(
            "select key_version, key_sealed from data_plane_key"
            " where organisation = $1 and gateway = $2 and epoch = $3",
            organisation,
            gateway,
            epoch,
        )
        return await self._data_keys.open(connection, organisation, _COLUMN, _row_id(gateway, epoch), Sealed(*row))


def _row_id(gateway: str, epoch: int) -> str:
    return f"{gateway}#{epoch}"
