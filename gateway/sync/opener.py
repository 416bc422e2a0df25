"""Opens what is sealed: node key, data-plane key, shard keys, resources, credentials (GHS/1 5)."""

from collections.abc import Mapping

from gateway.sync.node_keys import NodeKeys
from gateway.sync.trust import Refused
from shared.crypto.hpke import HpkeError
from shared.crypto.secret import Secret
from shared.protocol import envelope, key_chain
from shared.protocol.envelope import EnvelopeError, Subject
from shared.protocol.lease import Lease
from shared.protocol.resource import SealedResource, credential_subject
from shared.protocol.wire import from_base64


class Opener:
    """Holds the shard keys of one state. Opening is 30 µs of CPU a resource: open what changed, when it is needed."""

    __slots__ = ("_organisation", "_shard_keys")

    def __init__(self, organisation: str, shard_keys: Mapping[tuple[str, int], Secret]) -> None:
        """`shard_keys` by shard and key epoch."""
        self._organisation = organisation
        self._shard_keys = shard_keys

    def open(self, resource: SealedResource) -> bytes:
        """The resource's JSON. Raises EnvelopeError, whose code is the reason to refuse this one resource."""
        return self._open(resource.shard, resource.subject(self._organisation), resource.sealed)

    def open_credential(self, virtual_key: SealedResource, credential: str) -> Secret:
        """The JSON inside a virtual key's `credential` (base64 of an envelope). Raises EnvelopeError."""
        subject = credential_subject(self._organisation, virtual_key.shard, virtual_key.id, virtual_key.key_epoch)
        try:
            sealed = from_base64(credential)
        except ValueError:
            raise EnvelopeError("malformed", "the credential is not base64") from None
        return Secret(self._open(virtual_key.shard, subject, sealed))

    def _open(self, shard: str, subject: Subject, sealed: bytes) -> bytes:
        key = self._shard_keys.get((shard, subject.key_epoch))
        if key is None:
            raise EnvelopeError("key_epoch", f"no key of epoch {subject.key_epoch} for {shard}")
        return envelope.open_(key, subject, sealed)


def unlock(chain: bytes, lease: Lease, node_keys: NodeKeys) -> Opener:
    """The opener of a verified state. Raises Refused(key_chain_unopened) if nothing in it is for this node."""
    try:
        keys = key_chain.parse(chain)
        data_plane_keys = {
            entry.epoch: key_chain.open_data_plane_key(
                entry, organisation=lease.organisation, gateway=lease.gateway, opening_key=node_keys.opening
            )
            for entry in keys.data_plane_keys
            if entry.node == node_keys.node
        }
        if not data_plane_keys:
            raise Refused("key_chain_unopened", f"no key in it is for node {node_keys.node}")
        shard_keys = {
            (entry.shard, entry.epoch): key_chain.open_shard_key(
                entry,
                organisation=lease.organisation,
                gateway=lease.gateway,
                data_plane_key=data_plane_keys[entry.data_plane_epoch],
            )
            for entry in keys.shard_keys
            if entry.data_plane_epoch in data_plane_keys
        }
    except (key_chain.KeyChainError, HpkeError, EnvelopeError) as error:
        raise Refused("key_chain_unopened", str(error)) from None
    return Opener(lease.organisation, shard_keys)
