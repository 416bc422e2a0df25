"""What a gateway believes, and why not: every rule by which a state is taken or refused (GHS/1 6, 7, 8).

Pure: bytes and the state held so far go in, a verified state or a refusal by name comes out. The rules, in their order:

* The lease is signed by the pinned key and made for this gateway. Nothing else of a document is read before that.
* A lease is newer than the one held, or the very same. An older one, and another one of the same sequence, is refused.
* An expired lease brings nothing new. It never stops what is served: a stored state is taken with its lease expired.
* No shard goes back.
* The digests that the lease names are those of the resources that came, computed here.
* The key chain that came is the one the lease names.

Left out, and where it is done instead: whether a resource opens and can be used is found out per resource, in `view/`,
since one bad resource harms only itself. A shard whose content changed under one revision is not refused: a control
plane may send another variant of it to a newer build.
"""

import hashlib
from collections.abc import Mapping
from typing import Literal

import msgspec

from shared.protocol import lease as leases
from shared.protocol import snapshot as snapshots
from shared.protocol.digest import DigestError, state_digest
from shared.protocol.lease import Lease, LeaseError, SignedLease
from shared.protocol.snapshot import Snapshot, SnapshotError

Code = Literal[
    "too_large",
    "malformed",
    "protocol",
    "lease_key",
    "lease_signature",
    "audience",
    "lease_sequence",
    "lease_conflict",
    "lease_expired",
    "shard_rollback",
    "digest_mismatch",
    "key_chain_mismatch",
    "delta_mismatch",
    "key_chain_unopened",
    "incomplete",
    "unreadable",
]


class Refused(Exception):
    """A document or a stored state that is not taken. What was held before stays. `detail` holds no secret."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code: Code = code
        self.detail = detail


class Verified(msgspec.Struct, frozen=True):
    """A whole state that passed every rule."""

    lease: Lease
    snapshot: Snapshot


def read(data: bytes) -> Snapshot:
    """Read a snapshot document; nothing in it is trusted yet (GHS/1 7.3). Raises Refused."""
    try:
        return snapshots.parse(data)
    except SnapshotError as error:
        raise Refused(error.code, str(error)) from None


def accept(
    snapshot: Snapshot, *, pinned_fingerprint: str, gateway: str, have: Verified | None, now_ms: int
) -> Verified:
    """A state that may take the place of `have`; `have` itself if the same came again. Raises Refused (GHS/1 6, 7)."""
    lease = verify_lease(snapshot.lease, pinned_fingerprint=pinned_fingerprint, gateway=gateway)
    newer = is_newer(lease, snapshot.lease, have)
    if newer and is_expired(lease, now_ms):
        raise Refused("lease_expired", f"expired {(now_ms - lease.expires_at_ms) // 1000} s ago")
    return _accept_state(lease, snapshot, have if not newer else None, have)


def accept_stored(snapshot: Snapshot, *, pinned_fingerprint: str, gateway: str, have: Verified | None) -> Verified:
    """As `accept`, for what was accepted once and kept: its lease may have expired (GHS/1 6.8)."""
    lease = verify_lease(snapshot.lease, pinned_fingerprint=pinned_fingerprint, gateway=gateway)
    newer = is_newer(lease, snapshot.lease, have)
    return _accept_state(lease, snapshot, have if not newer else None, have)


def verify_lease(signed: SignedLease, *, pinned_fingerprint: str, gateway: str) -> Lease:
    """The lease, if the pinned key signed it for this gateway (GHS/1 6.4 to 6.6). Raises Refused."""
    if signed.fingerprint != pinned_fingerprint:
        raise Refused("lease_key", f"signed by {signed.fingerprint}; pinned is {pinned_fingerprint}")
    if not signed.is_genuine():
        raise Refused("lease_signature", "the signature does not fit the payload")
    try:
        lease = leases.parse(signed.payload)
    except LeaseError as error:
        raise Refused(error.code, str(error)) from None
    if lease.gateway != gateway:
        raise Refused("audience", f"made for gateway {lease.gateway}; this is {gateway}")
    return lease


def is_newer(lease: Lease, signed: SignedLease, have: Verified | None) -> bool:
    """True if `lease` may follow the one held, False if it is the very same (GHS/1 6.7). Raises Refused."""
    if have is None or lease.sequence > have.lease.sequence:
        return True
    if lease.sequence < have.lease.sequence:
        raise Refused("lease_sequence", f"sequence {lease.sequence} is older than {have.lease.sequence}, which is held")
    if signed.payload != have.snapshot.lease.payload:
        raise Refused("lease_conflict", f"sequence {lease.sequence} is held with another content")
    return False


def is_expired(lease: Lease, now_ms: int) -> bool:
    return lease.expires_at_ms <= now_ms


def _accept_state(lease: Lease, snapshot: Snapshot, same: Verified | None, have: Verified | None) -> Verified:
    """The second half of the rules. Also a lease held already is checked against what came with it this time."""
    _check_rollback(lease, have)
    _check_digests(lease, snapshot)
    if hashlib.sha256(snapshot.key_chain).hexdigest() != lease.key_chain:
        raise Refused("key_chain_mismatch", "the key chain is not the one the lease names")
    return same or Verified(lease, snapshot)


def _check_rollback(lease: Lease, have: Verified | None) -> None:
    """GHS/1 6.9: a shard that is in both leases stands where it stood or further on."""
    held: Mapping[str, tuple[int, int]] = (
        {} if have is None else {entry.shard: (entry.epoch, entry.revision) for entry in have.lease.vector}
    )
    for entry in lease.vector:
        before = held.get(entry.shard)
        if before is not None and (entry.epoch, entry.revision) < before:
            epoch, revision = before
            detail = f"{entry.shard} goes back from {epoch}.{revision} to {entry.epoch}.{entry.revision}"
            raise Refused("shard_rollback", detail)


def _check_digests(lease: Lease, snapshot: Snapshot) -> None:
    """GHS/1 4.4: what came is what the lease names, no shard more, no shard less."""
    named = {entry.shard: entry.position for entry in lease.vector}
    came = {shard.shard: shard.position for shard in snapshot.shards}
    for shard in sorted(named.keys() | came.keys()):
        if named.get(shard) != came.get(shard):
            raise Refused("digest_mismatch", f"{shard} is not as the lease names it")
    try:
        digest = state_digest(entry.position for entry in lease.vector)
    except DigestError as error:
        raise Refused("digest_mismatch", str(error)) from None
    if digest != lease.digest or len(came) != len(snapshot.shards):
        raise Refused("digest_mismatch", "the whole state is not what the lease names")
