"""Key delivery: HPKE base mode (RFC 9180), X25519, HKDF-SHA256, AES-256-GCM, one message a context (GHS/1 5)."""

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from shared.crypto.secret import Secret

KEY_BYTES = 32
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class HpkeError(Exception):
    """What came cannot be opened: cut, changed, or sealed to another key or another purpose."""


def new_key() -> Secret:
    """A fresh opening (private) key, 32 raw bytes."""
    return Secret(secrets.token_bytes(KEY_BYTES))


def public_key(key: Secret) -> bytes:
    """The raw 32-byte public key. Raises ValueError if `key` is not 32 bytes."""
    return _private(key).public_key().public_bytes_raw()


def seal(public: bytes, info: bytes, plaintext: Secret) -> bytes:
    """Encapsulated key (32 bytes), ciphertext, tag. `info` names the purpose. Raises HpkeError on a bad public key."""
    try:
        return _SUITE.encrypt(plaintext.reveal(), X25519PublicKey.from_public_bytes(public), info)
    except ValueError as error:
        raise HpkeError("not an X25519 public key") from error


def open_(key: Secret, info: bytes, sealed: bytes) -> Secret:
    """What `seal` was given. Raises HpkeError."""
    try:
        return Secret(_SUITE.decrypt(sealed, _private(key), info))
    except (InvalidTag, ValueError) as error:
        raise HpkeError("sealed to another key or another purpose, or changed on the way") from error


def _private(key: Secret) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(key.reveal())
