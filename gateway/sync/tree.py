"""A state as immutable pieces named by their hash, and the one record that points at them (GHS/1 8).

Values are sealed resources and the key chain; a manifest lists a shard's resources; the pointer names the manifests.
The same state makes the same pieces on every node, byte for byte, so rival writers write the same thing. Pure.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from pydantic import ValidationError

from shared.protocol import canonical
from shared.protocol.lease import Lease, SignedLease
from shared.protocol.resource import SealedResource
from shared.protocol.snapshot import Snapshot
from shared.protocol.wire import Count, Epoch, Hex256, Name, WirePart

ENTRIES_MAX = 4_096
"""Entries of one manifest; a shard with more has a manifest of manifests (GHS/1 8.4)."""


class TreeError(Exception):
    """A piece that is not what its place says. It is treated as missing."""


class Planted(msgspec.Struct, frozen=True):
    """A state in pieces."""

    pointer: bytes
    pieces: Mapping[str, bytes]
    """By name: `value:<hex>` and `manifest:<hex>`."""


class Pointer(WirePart):
    """The one mutable record of a store."""

    sequence: Count
    """Of the lease, for people who look; what counts is the signed one."""
    lease: SignedLease
    key_chain: Hex256
    shards: dict[Name, Hex256]
    """Manifest by shard."""


class Entry(WirePart):
    """One line of a manifest."""

    kind: Name
    id: Name
    revision: Count
    schema_version: Count
    key_epoch: Epoch
    hash: Hex256


class Manifest(WirePart):
    """A shard's resources, or the manifests that list them."""

    entries: list[Entry] = []
    parts: list[Hex256] = []


def value(digest: str) -> str:
    return f"value:{digest}"


def manifest(digest: str) -> str:
    return f"manifest:{digest}"


def is_intact(name: str, piece: bytes) -> bool:
    """Whether the piece is the one its name promises (GHS/1 8.2)."""
    return name.endswith(":" + hashlib.sha256(piece).hexdigest())


def plant(snapshot: Snapshot, lease: Lease) -> Planted:
    """The pieces and the pointer of a verified state."""
    pieces: dict[str, bytes] = {}
    manifests: dict[str, str] = {}
    for shard in snapshot.shards:
        pieces.update((value(resource.hash), resource.sealed) for resource in shard.resources)
        manifests[shard.shard] = _plant_manifest(shard.resources, pieces)
    pieces[value(lease.key_chain)] = snapshot.key_chain
    pointer = Pointer(sequence=lease.sequence, lease=snapshot.lease, key_chain=lease.key_chain, shards=manifests)
    return Planted(canonical.encode(pointer.model_dump(mode="json")), pieces)


def read_pointer(data: bytes) -> Pointer:
    """Raises TreeError."""
    try:
        return Pointer.model_validate(canonical.decode(data))
    except (canonical.CanonicalError, ValidationError):
        raise TreeError("not a pointer") from None


def read_manifest(data: bytes) -> Manifest:
    """Raises TreeError."""
    try:
        return Manifest.model_validate(canonical.decode(data))
    except (canonical.CanonicalError, ValidationError):
        raise TreeError("not a manifest") from None


def _plant_manifest(resources: Iterable[SealedResource], pieces: dict[str, bytes]) -> str:
    """Add the manifest of `resources` to the pieces; its hash."""
    parts = [
        _add(pieces, canonical.encode({"entries": [_entry(resource) for resource in bucket]}))
        for bucket in _buckets(tuple(resources))
    ]
    return parts[0] if len(parts) == 1 else _add(pieces, canonical.encode({"parts": list(parts)}))


def _buckets(resources: tuple[SealedResource, ...]) -> list[list[SealedResource]]:
    """One bucket, or as many (a power of two) as it takes to keep each within ENTRIES_MAX.

    A resource's bucket depends on its kind and id alone, so an edit, an addition or a removal changes one of them.
    """
    count = 1
    while True:
        buckets: list[list[SealedResource]] = [[] for _ in range(count)]
        for resource in resources:
            place = hashlib.sha256(f"{resource.kind}\t{resource.id}".encode()).digest()
            buckets[int.from_bytes(place[:4], "big") % count].append(resource)
        if all(len(bucket) <= ENTRIES_MAX for bucket in buckets):
            return buckets
        count *= 2


def _add(pieces: dict[str, bytes], piece: bytes) -> str:
    digest = hashlib.sha256(piece).hexdigest()
    pieces[manifest(digest)] = piece
    return digest


def _entry(resource: SealedResource) -> dict[str, Any]:
    return {
        "kind": resource.kind,
        "id": resource.id,
        "revision": resource.revision,
        "schema_version": resource.schema_version,
        "key_epoch": resource.key_epoch,
        "hash": resource.hash,
    }
