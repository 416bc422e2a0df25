"""A sealed resource, its place, and the subjects that envelopes are bound to (GHS/1 3, 4)."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from shared.protocol.envelope import Subject
from shared.protocol.wire import WHEN_READ, Base64, Count, Epoch, Name, WirePart, to_base64

GLOBAL_SHARD = "global"
"""Catalogue and provider definitions: the same bytes for every organisation."""

SHARD_KEY_KIND = "shard_key"
CREDENTIAL_KIND = "credential"


def organisation_shard(organisation: str) -> str:
    return f"org:{organisation}"


def workspace_shard(workspace: str) -> str:
    return f"ws:{workspace}"


@dataclass(frozen=True, slots=True)
class SealedResource:
    """One resource as it travels and rests. Unknown kinds are carried like any other (GHS/1 7.4)."""

    shard: str
    kind: str
    id: str
    revision: int
    """The shard's revision that wrote it."""
    schema_version: int
    key_epoch: int
    """Epoch of the shard key it is sealed under."""
    sealed: bytes = field(repr=False)
    hash: str = field(init=False)
    """Hex SHA-256 of `sealed`: the name of the value, and its part in the digest."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "hash", hashlib.sha256(self.sealed).hexdigest())

    def subject(self, organisation: str) -> Subject:
        return Subject(
            organisation=_owner(self.shard, organisation),
            shard=self.shard,
            kind=self.kind,
            id=self.id,
            revision=self.revision,
            schema_version=self.schema_version,
            key_epoch=self.key_epoch,
        )


class WireResource(WirePart):
    """A resource inside its shard's list, in a snapshot document or an answer (GHS/1 7.1, 14.3)."""

    model_config = WHEN_READ

    kind: Name
    id: Name
    revision: Count
    schema_version: Count
    key_epoch: Epoch
    sealed: Base64

    def of(self, shard: str) -> SealedResource:
        return SealedResource(
            shard, self.kind, self.id, self.revision, self.schema_version, self.key_epoch, self.sealed
        )


def to_wire(resource: SealedResource) -> dict[str, Any]:
    """What `WireResource` reads; a plain dictionary, since there may be very many."""
    return {
        "kind": resource.kind,
        "id": resource.id,
        "revision": resource.revision,
        "schema_version": resource.schema_version,
        "key_epoch": resource.key_epoch,
        "sealed": to_base64(resource.sealed),
    }


def credential_subject(organisation: str, shard: str, virtual_key: str, key_epoch: int) -> Subject:
    """The subject of the credential inside a virtual key (GHS/1 3.8).

    Its revision is always 0: an edit of the virtual key's other fields leaves the credential as it was sealed.
    """
    return Subject(
        organisation=_owner(shard, organisation),
        shard=shard,
        kind=CREDENTIAL_KIND,
        id=virtual_key,
        revision=0,
        schema_version=1,
        key_epoch=key_epoch,
    )


def shard_key_subject(organisation: str, gateway: str, shard: str, epoch: int, data_plane_epoch: int) -> Subject:
    """The subject of shard key `epoch` of `shard`, sealed for `gateway` under its data-plane key (GHS/1 5.3)."""
    return Subject(
        organisation=_owner(shard, organisation),
        shard=shard,
        kind=SHARD_KEY_KIND,
        id=gateway,
        revision=epoch,
        schema_version=1,
        key_epoch=data_plane_epoch,
    )


def _owner(shard: str, organisation: str) -> str:
    return GLOBAL_SHARD if shard == GLOBAL_SHARD else organisation
