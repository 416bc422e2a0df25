"""Digests: what a shard, and the whole state, is, in 32 bytes (GHS/1 4)."""

import hashlib
from collections.abc import Iterable, Mapping
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
        (r.kind, r.id): resource_line(r.kind, r.id, r.revision, r.schema_version, r.key_epoch, r.hash) for r in listed
    }
    if len(lines) != len(listed):
        raise DigestError("a resource is listed twice in one shard")
    return digest_of_lines(lines)


def resource_line(kind: str, id_: str, revision: int, schema_version: int, key_epoch: int, hash_: str) -> bytes:
    """A resource's line in the digest of its shard. Raises DigestError."""
    return _line((kind, id_, str(revision), str(schema_version), str(key_epoch), hash_))


def digest_of_lines(lines: Mapping[tuple[str, str], bytes]) -> str:
    """As `shard_digest`, from lines by kind and id: for whoever keeps lines and changes few of them."""
    return hashlib.sha256(b"".join((_SHARD_HEAD, *(lines[key] for key in sorted(lines))))).hexdigest()


def state_digest(positions: Iterable[ShardPosition]) -> str:
    """Hex SHA-256 over the shards in the order of their names (GHS/1 4.2). Raises DigestError."""
    listed = tuple(positions)
    lines = {p.shard: (p.shard, str(p.epoch), str(p.revision), p.digest) for p in listed}
    if len(lines) != len(listed):
        raise DigestError("a shard is listed twice")
    return hashlib.sha256(b"".join((_STATE_HEAD, *(_line(lines[shard]) for shard in sorted(lines))))).hexdigest()


def _line(parts: tuple[str, ...]) -> bytes:
    if any("\t" in part or "\n" in part for part in parts):
        raise DigestError("a name holds a tab or a line break")
    return "\t".join(parts).encode() + b"\n"
