"""Signatures: Ed25519 over raw 32-byte keys, and the fingerprint by which a key is pinned (GHS/1 6)."""

import hashlib
import secrets

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.crypto.secret import Secret

KEY_BYTES = 32


def new_key() -> Secret:
    """A fresh private key (32 raw bytes)."""
    return Secret(secrets.token_bytes(KEY_BYTES))


def public_key(key: Secret) -> bytes:
    """The raw 32-byte public key. Raises ValueError if `key` is not 32 bytes."""
    return _private(key).public_key().public_bytes_raw()


def sign(key: Secret, message: bytes) -> bytes:
    """64 bytes."""
    return _private(key).sign(message)


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is by the owner of `public`. False, never an error, for a malformed key or signature."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def fingerprint(public: bytes) -> str:
    """`sha256:` and the hex SHA-256 of the raw public key: what a gateway pins."""
    return "sha256:" + hashlib.sha256(public).hexdigest()


def _private(key: Secret) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(key.reveal())
