"""Digests: what a shard, and the whole state, is, in 32 bytes (GHS/1 4)."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from shared.protocol.resource import SealedResource

_SHARD_HEAD = b"GHS/1 shard\n"
_STATE_HEAD = b"GHS/1 state\n"


class DigestError(ValueError):
    """A set that has no digest: something is there twice, or a name would break its line."""


@dataclass(frozen=True, slots=True)
class ShardPosition:
    """Where a shard stands: one entry of a lease's vector."""

    shard: str
    epoch: int
    revision: int
    digest: str
    """Hex."""


def shard_digest(resources: Iterable[SealedResource]) -> str:
    """Hex SHA-256 over the shard's resources in the order of kind and id (GHS/1 4.1). Raises DigestError."""
    listed = tuple(resources)
    lines = {
        (r.kind, r.id): (r.kind, r.id, str(r.revision), str(r.schema_version), str(r.key_epoch), r.hash) for r in listed
    }
    if len(lines) != len(listed):
        raise DigestError("a resource is listed twice in one shard")
    return _digest(_SHARD_HEAD, (lines[key] for key in sorted(lines)))


def state_digest(positions: Iterable[ShardPosition]) -> str:
    """Hex SHA-256 over the shards in the order of their names (GHS/1 4.2). Raises DigestError."""
    listed = tuple(positions)
    lines = {p.shard: (p.shard, str(p.epoch), str(p.revision), p.digest) for p in listed}
    if len(lines) != len(listed):
        raise DigestError("a shard is listed twice")
    return _digest(_STATE_HEAD, (lines[shard] for shard in sorted(lines)))


def _digest(head: bytes, lines: Iterable[tuple[str, ...]]) -> str:
    hasher = hashlib.sha256(head)
    for line in lines:
        if any("\t" in part or "\n" in part for part in line):
            raise DigestError("a name holds a tab or a line break")
        hasher.update("\t".join(line).encode() + b"\n")
    return hasher.hexdigest()
