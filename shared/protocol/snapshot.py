"""The snapshot document: a whole state, its keys and its lease, in one piece (GHS/1 7)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from pydantic import ValidationError

from shared.protocol import canonical
from shared.protocol.digest import ShardPosition, shard_digest
from shared.protocol.lease import SignedLease
from shared.protocol.resource import SealedResource, WireResource, to_wire
from shared.protocol.version import PROTOCOL
from shared.protocol.wire import WHEN_READ, Count, Name, WirePart

DOCUMENT_BYTES_MAX = 256 * 1024 * 1024
SHARDS_MAX = 10_000
RESOURCES_MAX = 500_000


@dataclass(frozen=True, slots=True)
class ShardState:
    """One shard, whole. Raises DigestError for a resource that is there twice."""

    shard: str
    epoch: int
    revision: int
    resources: tuple[SealedResource, ...]
    """In the order of kind and id."""
    digest: str = field(init=False)
    """Hex; computed from `resources`, never taken on trust."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "resources", tuple(sorted(self.resources, key=lambda r: (r.kind, r.id))))
        object.__setattr__(self, "digest", shard_digest(self.resources))

    @property
    def position(self) -> ShardPosition:
        return ShardPosition(self.shard, self.epoch, self.revision, self.digest)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state as received or built. Nothing in it is trusted before `gateway/sync/trust.py` has said so."""

    lease: SignedLease
    key_chain: bytes = field(repr=False)
    """Canonical bytes, kept whole, so that a field this build does not know stays in the hash."""
    shards: tuple[ShardState, ...]


class SnapshotError(Exception):
    """A document that cannot be read (GHS/1 7.3)."""

    def __init__(self, code: Literal["too_large", "malformed", "protocol"], detail: str) -> None:
        super().__init__(detail)
        self.code: Literal["too_large", "malformed", "protocol"] = code


class _Shard(WirePart):
    model_config = WHEN_READ

    shard: Name
    epoch: Count
    revision: Count
    resources: list[WireResource]


class _Document(WirePart):
    model_config = WHEN_READ

    lease: SignedLease
    key_chain: dict[str, Any]
    shards: list[_Shard]


def encode(snapshot: Snapshot) -> bytes:
    """The document's bytes."""
    return orjson.dumps(
        {
            "protocol": PROTOCOL,
            "lease": snapshot.lease.model_dump(mode="json"),
            "key_chain": canonical.decode(snapshot.key_chain),
            "shards": [
                {
                    "shard": shard.shard,
                    "epoch": shard.epoch,
                    "revision": shard.revision,
                    "resources": [to_wire(resource) for resource in shard.resources],
                }
                for shard in snapshot.shards
            ],
        }
    )


def parse(data: bytes) -> Snapshot:
    """Read a document. Raises SnapshotError. A resource too large to open is carried, and refused alone later."""
    if len(data) > DOCUMENT_BYTES_MAX:
        raise SnapshotError("too_large", f"more than {DOCUMENT_BYTES_MAX} bytes")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise SnapshotError("malformed", "not JSON") from None
    if not isinstance(value, dict):
        raise SnapshotError("malformed", "not a JSON object")
    if value.get("protocol") != PROTOCOL:
        raise SnapshotError("protocol", f"not a {PROTOCOL} snapshot")
    try:
        document = _Document.model_validate(value)
        _bound(document.shards)
        return Snapshot(document.lease, canonical.encode(document.key_chain), tuple(map(_shard, document.shards)))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SnapshotError("malformed", f"{where}: {first['msg']}") from None
    except ValueError as error:
        raise SnapshotError("malformed", str(error)) from None


def _bound(shards: Iterable[_Shard]) -> None:
    counts = [len(shard.resources) for shard in shards]
    if len(counts) > SHARDS_MAX or sum(counts) > RESOURCES_MAX:
        raise SnapshotError("too_large", f"more than {SHARDS_MAX} shards or {RESOURCES_MAX} resources")


def _shard(shard: _Shard) -> ShardState:
    return ShardState(shard.shard, shard.epoch, shard.revision, tuple(r.of(shard.shard) for r in shard.resources))
