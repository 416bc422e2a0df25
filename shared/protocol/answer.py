"""What a node is told: a lease, and of each shard what it lacks (GHS/1 14). Pure.

Nothing in an answer is trusted before `gateway/sync/trust.py` has judged what comes out of it.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field, ValidationError

from shared.protocol import canonical
from shared.protocol.lease import SignedLease
from shared.protocol.resource import SealedResource, WireResource, to_wire
from shared.protocol.snapshot import DOCUMENT_BYTES_MAX, SHARDS_MAX, SnapshotError
from shared.protocol.version import PROTOCOL
from shared.protocol.wire import Count, Name, WirePart

DELTA_CHANGES_MAX = 5_000
DELTA_BYTES_MAX = 4 * 1024 * 1024
"""Of sealed bytes. What would be more is sent as a snapshot of the shard."""


@dataclass(frozen=True, slots=True)
class Gone:
    """A resource that was deleted."""

    kind: str
    id: str
    revision: int


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The shard's resources are those that were named; its position may be another."""

    shard: str


@dataclass(frozen=True, slots=True)
class Delta:
    """What to do to the shard as it was at `base` to have it as the lease names it."""

    shard: str
    base: int
    changes: tuple[SealedResource | Gone, ...]


@dataclass(frozen=True, slots=True)
class Whole:
    shard: str
    resources: tuple[SealedResource, ...]


Part = Unchanged | Delta | Whole


@dataclass(frozen=True, slots=True)
class Answer:
    lease: SignedLease
    key_chain: bytes | None = field(repr=False)
    """Canonical bytes; None: the one that was named."""
    parts: tuple[Part, ...]
    """One for each shard of the lease."""
    next_ms: int
    """When to send the next heartbeat."""
    server_time_ms: int


class _Gone(WirePart):
    kind: Name
    id: Name
    revision: Count
    gone: Literal[True]


class _Unchanged(WirePart):
    shard: Name
    form: Literal["unchanged"]


class _Delta(WirePart):
    shard: Name
    form: Literal["delta"]
    base: Count
    changes: Annotated[list[WireResource | _Gone], Field(max_length=DELTA_CHANGES_MAX)]


class _Whole(WirePart):
    shard: Name
    form: Literal["snapshot"]
    resources: list[WireResource]


class _Answer(WirePart):
    lease: SignedLease
    key_chain: dict[str, Any] | None
    shards: Annotated[
        list[Annotated[_Unchanged | _Delta | _Whole, Field(discriminator="form")]], Field(max_length=SHARDS_MAX)
    ]
    next_ms: Count
    server_time_ms: Count


def encode(answer: Answer) -> bytes:
    return orjson.dumps(
        {
            "protocol": PROTOCOL,
            "lease": answer.lease.model_dump(mode="json"),
            "key_chain": None if answer.key_chain is None else canonical.decode(answer.key_chain),
            "shards": [_plain(part) for part in answer.parts],
            "next_ms": answer.next_ms,
            "server_time_ms": answer.server_time_ms,
        }
    )


def parse(data: bytes) -> Answer:
    """Raises SnapshotError: `too_large`, `malformed` or `protocol`, as for a document (GHS/1 14.6)."""
    if len(data) > DOCUMENT_BYTES_MAX:
        raise SnapshotError("too_large", f"more than {DOCUMENT_BYTES_MAX} bytes")
    try:
        value = orjson.loads(data)
        if not isinstance(value, dict):
            raise SnapshotError("malformed", "not a JSON object")
        if value.get("protocol") != PROTOCOL:
            raise SnapshotError("protocol", f"not a {PROTOCOL} answer")
        answer = _Answer.model_validate(value)
        key_chain = None if answer.key_chain is None else canonical.encode(answer.key_chain)
    except orjson.JSONDecodeError:
        raise SnapshotError("malformed", "not JSON") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SnapshotError("malformed", f"{where}: {first['msg']}") from None
    except ValueError as error:
        raise SnapshotError("malformed", str(error)) from None
    return Answer(answer.lease, key_chain, tuple(map(_part, answer.shards)), answer.next_ms, answer.server_time_ms)


def _part(part: _Unchanged | _Delta | _Whole) -> Part:
    if isinstance(part, _Unchanged):
        return Unchanged(part.shard)
    if isinstance(part, _Whole):
        return Whole(part.shard, tuple(resource.of(part.shard) for resource in part.resources))
    changes = (
        Gone(change.kind, change.id, change.revision) if isinstance(change, _Gone) else change.of(part.shard)
        for change in part.changes
    )
    return Delta(part.shard, part.base, tuple(changes))


def _plain(part: Part) -> dict[str, Any]:
    if isinstance(part, Unchanged):
        return {"shard": part.shard, "form": "unchanged"}
    if isinstance(part, Whole):
        return {"shard": part.shard, "form": "snapshot", "resources": [to_wire(r) for r in part.resources]}
    return {"shard": part.shard, "form": "delta", "base": part.base, "changes": [_change(c) for c in part.changes]}


def _change(change: SealedResource | Gone) -> dict[str, Any]:
    if isinstance(change, SealedResource):
        return to_wire(change)
    return {"kind": change.kind, "id": change.id, "revision": change.revision, "gone": True}
