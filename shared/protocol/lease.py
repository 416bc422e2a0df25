"""The lease: what the whole state is, for whom, from when to when; signed by the control plane (GHS/1 6)."""

from typing import Literal

from pydantic import ValidationError

from shared.crypto.secret import Secret
from shared.protocol import canonical
from shared.protocol.digest import ShardPosition
from shared.protocol.signed import SignedDocument, sign_document
from shared.protocol.version import PROTOCOL
from shared.protocol.wire import Count, Hex256, Name, WirePart


class VectorEntry(WirePart):
    shard: Name
    """Name of the shard: `global`, `org:…`, `ws:…`."""
    epoch: Count
    """Which run of the shard's revisions."""
    revision: Count
    """The shard's counter."""
    digest: Hex256
    """Of the shard's sealed resources."""

    @property
    def position(self) -> ShardPosition:
        return ShardPosition(self.shard, self.epoch, self.revision, self.digest)


class Lease(WirePart):
    protocol: str
    organisation: Name
    gateway: Name
    sequence: Count
    """Grows with every lease of a gateway; the one thing that orders two leases."""
    issued_at_ms: Count
    expires_at_ms: Count
    vector: list[VectorEntry]
    digest: Hex256
    """State digest over the vector."""
    key_chain: Hex256
    """SHA-256 of the canonical key chain."""

    def encode(self) -> bytes:
        """The payload: the bytes that are signed, behind a head that no other signature of ours has."""
        return canonical.encode(self.model_dump(mode="json"))


class SignedLease(SignedDocument):
    """The lease on its way (GHS/1 6.3)."""

    head = b"GHS/1 lease\n"


class LeaseError(Exception):
    """A payload that is no lease."""

    def __init__(self, code: Literal["protocol", "malformed"], detail: str) -> None:
        super().__init__(detail)
        self.code: Literal["protocol", "malformed"] = code


def sign_lease(key: Secret, lease: Lease) -> SignedLease:
    return sign_document(SignedLease, key, lease.encode())


def parse(payload: bytes) -> Lease:
    """Read a payload whose signature has been checked. Raises LeaseError."""
    try:
        value = canonical.decode(payload)
        if isinstance(value, dict) and value.get("protocol") != PROTOCOL:
            raise LeaseError(
                "protocol", f"the lease is of protocol {value.get('protocol')!r}; this build speaks {PROTOCOL}"
            )
        return Lease.model_validate(value)
    except (canonical.CanonicalError, ValidationError) as error:
        raise LeaseError("malformed", f"malformed lease: {error}") from None
