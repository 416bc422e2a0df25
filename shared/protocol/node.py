"""A node's public half: what it hands over so that keys can be sealed to it (GHS/1 5.1)."""

from shared.crypto import sign
from shared.protocol.wire import Base64, Name, WirePart


class NodePublic(WirePart):
    """The content of `node.public.json`."""

    node: Name
    """`nd_…`"""
    sign: Base64
    """Raw Ed25519 public key."""
    open: Base64
    """Raw X25519 public key."""


def node_id(signing_public: bytes) -> str:
    """`nd_` and 20 hex digits of the fingerprint of the node's signing key (GHS/1 5.1)."""
    return "nd_" + sign.fingerprint(signing_public).removeprefix("sha256:")[:20]
