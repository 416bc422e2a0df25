"""A held state and an answer make the state that the answer's lease names (GHS/1 14). Pure.

What comes out is trusted no more than a document from a file: it goes to `trust.accept`.
"""

import hashlib

from gateway.sync.trust import Refused, Verified
from shared.protocol.answer import Answer, Delta, Gone, Part, Unchanged, Whole
from shared.protocol.digest import DigestError
from shared.protocol.heartbeat import Question
from shared.protocol.lease import Lease
from shared.protocol.resource import SealedResource
from shared.protocol.snapshot import ShardState, Snapshot


def question(held: Verified | None, *, everything: bool) -> Question:
    """What to ask with. `everything`: what is held is not to be built upon (GHS/1 13.2)."""
    if held is None:
        return Question(have=[], lease=None, key_chain=None)
    have = [] if everything else held.lease.vector
    return Question(have=have, lease=held.snapshot.lease, key_chain=None if everything else held.lease.key_chain)


def merge(answer: Answer, lease: Lease, base: Verified | None) -> Snapshot:
    """`lease` is the answer's, verified; `base` is what the question was about. Raises Refused(delta_mismatch)."""
    places = {entry.shard: (entry.epoch, entry.revision) for entry in lease.vector}
    held = {} if base is None else {shard.shard: shard for shard in base.snapshot.shards}
    parts = {part.shard: part for part in answer.parts}
    if parts.keys() != places.keys() or len(parts) != len(answer.parts):
        raise Refused("delta_mismatch", "the answer's shards are not the lease's")
    try:
        shards = tuple(_shard(parts[shard], *places[shard], held.get(shard)) for shard in sorted(parts))
    except DigestError as error:
        raise Refused("delta_mismatch", str(error)) from None
    return Snapshot(answer.lease, _key_chain(answer, lease, base), shards)


def _shard(part: Part, epoch: int, revision: int, held: ShardState | None) -> ShardState:
    if isinstance(part, Whole):
        return ShardState(part.shard, epoch, revision, part.resources)
    if held is None:
        raise Refused("delta_mismatch", f"nothing is held of {part.shard}, and the answer builds upon it")
    if isinstance(part, Unchanged):
        # The same object where nothing moved, so whoever compiles it can see that at a glance.
        same = (held.epoch, held.revision) == (epoch, revision)
        return held if same else ShardState(part.shard, epoch, revision, held.resources)
    if held.revision != part.base:
        raise Refused("delta_mismatch", f"{part.shard} is held at {held.revision}, and the delta is from {part.base}")
    return ShardState(part.shard, epoch, revision, _changed(held, part))


def _changed(held: ShardState, delta: Delta) -> tuple[SealedResource, ...]:
    resources = {(resource.kind, resource.id): resource for resource in held.resources}
    for change in delta.changes:
        if isinstance(change, Gone):
            resources.pop((change.kind, change.id), None)
        else:
            resources[change.kind, change.id] = change
    return tuple(resources.values())


def _key_chain(answer: Answer, lease: Lease, base: Verified | None) -> bytes:
    if answer.key_chain is not None:
        return answer.key_chain
    if base is None or hashlib.sha256(base.snapshot.key_chain).hexdigest() != lease.key_chain:
        raise Refused("delta_mismatch", "the answer brings no key chain, and the one held is not the lease's")
    return base.snapshot.key_chain
