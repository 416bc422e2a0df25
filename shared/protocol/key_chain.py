"""The key chain: a node's key opens the data-plane key, that opens shard keys, those open resources (GHS/1 5)."""

from pydantic import ValidationError

from shared.crypto import hpke
from shared.crypto.secret import Secret
from shared.protocol import canonical, envelope
from shared.protocol.resource import shard_key_subject
from shared.protocol.wire import Base64, Epoch, Name, WirePart


class DataPlaneKey(WirePart):
    """The gateway's data-plane key of one epoch, sealed to one node's opening key."""

    epoch: Epoch
    node: Name
    sealed: Base64


class ShardKey(WirePart):
    """One shard's key of one epoch, sealed under the gateway's data-plane key."""

    shard: Name
    epoch: Epoch
    data_plane_epoch: Epoch
    sealed: Base64


class KeyChain(WirePart):
    data_plane_keys: list[DataPlaneKey]
    shard_keys: list[ShardKey]

    def encode(self) -> bytes:
        """The canonical bytes a lease names by their hash."""
        return canonical.encode(self.model_dump(mode="json"))


class KeyChainError(Exception):
    """A key chain that is malformed, or holds no key for this node."""


def parse(data: bytes) -> KeyChain:
    """Read canonical bytes. Raises KeyChainError."""
    try:
        return KeyChain.model_validate(canonical.decode(data))
    except (canonical.CanonicalError, ValidationError) as error:
        raise KeyChainError(f"malformed key chain: {error}") from None


def seal_data_plane_key(
    key: Secret, *, organisation: str, gateway: str, node: str, epoch: int, opening_key: bytes
) -> DataPlaneKey:
    """`opening_key` is the node's raw X25519 public key. Raises hpke.HpkeError if it is not one."""
    sealed = hpke.seal(opening_key, _info(organisation, gateway, node, epoch), key)
    return DataPlaneKey(epoch=epoch, node=node, sealed=sealed)


def open_data_plane_key(entry: DataPlaneKey, *, organisation: str, gateway: str, opening_key: Secret) -> Secret:
    """Raises hpke.HpkeError if it was sealed to another node, gateway, organisation or epoch."""
    return hpke.open_(opening_key, _info(organisation, gateway, entry.node, entry.epoch), entry.sealed)


def seal_shard_key(
    key: Secret,
    *,
    organisation: str,
    gateway: str,
    shard: str,
    epoch: int,
    data_plane_key: Secret,
    data_plane_epoch: int,
) -> ShardKey:
    subject = shard_key_subject(organisation, gateway, shard, epoch, data_plane_epoch)
    sealed = envelope.seal(data_plane_key, subject, key.reveal(), envelope.Suite.PLAIN)
    return ShardKey(shard=shard, epoch=epoch, data_plane_epoch=data_plane_epoch, sealed=sealed)


def open_shard_key(entry: ShardKey, *, organisation: str, gateway: str, data_plane_key: Secret) -> Secret:
    """Raises envelope.EnvelopeError."""
    subject = shard_key_subject(organisation, gateway, entry.shard, entry.epoch, entry.data_plane_epoch)
    return Secret(envelope.open_(data_plane_key, subject, entry.sealed))


def _info(organisation: str, gateway: str, node: str, epoch: int) -> bytes:
    return canonical.encode(["GHS/1 data-plane key", organisation, gateway, node, epoch])
