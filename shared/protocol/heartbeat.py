"""What a node asks with: a heartbeat, or a watch (GHS/1 13, 15). What it is told is in `answer.py`."""

from typing import Annotated

from pydantic import FailFast, Field

from shared.protocol.enrolment import ProtocolRange
from shared.protocol.lease import SignedLease, VectorEntry
from shared.protocol.snapshot import SHARDS_MAX
from shared.protocol.wire import Count, Hex256, Name, WirePart

HEARTBEAT_PATH = "/sync/v1/heartbeat"
WATCH_PATH = "/sync/v1/watch"

WAIT_S_MAX = 50
REFUSED_MAX = 1_000
"""Refused resources told in one heartbeat; `refused_count` says how many there are."""
WORKERS_MAX = 256
KINDS_MAX = 200
DROP_REASONS_MAX = 100

TEXT_CHARS_MAX = 500

Text = Annotated[str, Field(max_length=TEXT_CHARS_MAX)]
Vector = Annotated[list[VectorEntry], Field(max_length=SHARDS_MAX)]


class Question(WirePart):
    """What a node holds, so that it is told only what it lacks."""

    have: Vector
    """Of the state held. Empty: nothing, or nothing it trusts; then everything is sent."""
    lease: SignedLease | None
    """The newest one held, as it came: proof of how far this control plane once was (GHS/1 10.6)."""
    key_chain: Hex256 | None
    """Hash of the key chain held."""


class Watch(Question):
    wait_s: Annotated[int, Field(ge=0, le=WAIT_S_MAX)]
    """How long to wait for news, seconds."""


class Applied(WirePart):
    """Up to where every worker of the node serves a shard."""

    shard: Name
    """Name of the shard."""
    epoch: Count
    """Which run of the shard's revisions."""
    revision: Count
    """The shard's counter."""


class RefusedResource(WirePart):
    """A resource that some worker cannot use; its last good version, if there was one, serves on (GHS/1 13.4)."""

    shard: Name
    """Where it lives."""
    kind: Name
    """Kind of the resource: `config`, `api_key`, …"""
    id: Name
    """Its id."""
    revision: Count
    """The revision that cannot be used."""
    code: Name
    """Why, as a name."""
    path: Text
    """JSON pointer into the resource, with the reason where there is one to give; empty: the whole of it."""


class WorkerHealth(WirePart):
    worker: Name
    """Name of the process: `worker-0`, …"""
    lease: Count | None
    """Sequence of the lease it serves by; None: nothing to serve yet."""


class RecordsHealth(WirePart):
    """How the records of a node come along (GHS/1 17)."""

    waiting: Count
    """In batches that are not acknowledged."""
    waiting_bytes: Count
    """Of these batches, and of what is in no batch yet."""
    oldest_ms: Count | None
    """When the oldest of them began, by the node's clock; None: none waits."""
    dropped: Annotated[dict[Name, Count], FailFast(), Field(max_length=DROP_REASONS_MAX)]
    """Records that were lost, by reason, since the node's outbox was made."""


class Heartbeat(Question):
    build: Name
    """Version of the gateway's program."""
    protocol: ProtocolRange
    """Protocol versions spoken."""
    kinds: Annotated[dict[Name, Count], FailFast(), Field(max_length=KINDS_MAX)]
    """Kinds this build interprets, each with the newest schema version it knows."""
    applied: Annotated[list[Applied], Field(max_length=SHARDS_MAX)]
    """Up to where every worker serves."""
    refused: Annotated[list[RefusedResource], Field(max_length=REFUSED_MAX)]
    """Resources that cannot be used."""
    refused_count: Count
    """How many there are of them."""
    refusal: Name | None
    """Name of the newest refusal of a whole state that still stands (GHS/1 16)."""
    workers: Annotated[list[WorkerHealth], Field(max_length=WORKERS_MAX)]
    """The processes that carry calls."""
    stores: Annotated[dict[Name, bool], FailFast(), Field(max_length=16)]
    """Whether each store could be used when last tried: `disk`, `redis`."""
    disk_free_bytes: Count
    """Of the disk that holds the node's state."""
    clock_ms: Count
    """The node's own clock."""
    records: RecordsHealth | None = None
    """None: an older build, or its outbox cannot be used just now."""
