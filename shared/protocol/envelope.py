"""GHE1, the envelope every resource travels and rests in (GHS/1 3).

    "GHE1" | suite (1) | key epoch (4, big endian) | salt (32) | commitment (32) | ciphertext and tag

A fresh salt makes a fresh key for every message, so no nonce is ever used twice under one key; the commitment ties the
bytes to that one key; the additional data ties them to their place, so a swapped or relabelled resource does not open.
"""

import hmac
import secrets
import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shared.crypto.secret import Secret
from shared.protocol import canonical

MAGIC = b"GHE1"
SALT_BYTES = 32
KEY_BYTES = 32
COMMITMENT_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
PLAINTEXT_BYTES_MAX = 1024 * 1024

_SUITE_AT = len(MAGIC)
_EPOCH_AT = _SUITE_AT + 1
_SALT_AT = _EPOCH_AT + 4
_COMMITMENT_AT = _SALT_AT + SALT_BYTES
HEADER_BYTES = _COMMITMENT_AT + COMMITMENT_BYTES
SEALED_BYTES_MAX = PLAINTEXT_BYTES_MAX + 1024
"""Header, tag, and the little by which zlib lengthens what cannot be compressed."""

Code = Literal["malformed", "key_epoch", "commitment", "tag", "too_large"]


class EnvelopeError(Exception):
    """Bytes that do not open, or may not be sealed. `code` is the clause's name for it (GHS/1 3.6)."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code: Code = code


class Suite(IntEnum):
    COMPRESSED = 1
    """zlib, then AES-256-GCM."""
    PLAIN = 2
    """AES-256-GCM only, for kinds that hold secrets: compression would show in the length what they have in common."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What an envelope holds and where it belongs: its additional authenticated data (GHS/1 3.3)."""

    organisation: str
    shard: str
    kind: str
    id: str
    revision: int
    schema_version: int
    key_epoch: int
    """Epoch of the key that seals."""


def new_key() -> Secret:
    """A fresh shard key or data-plane key (32 raw bytes)."""
    return Secret(secrets.token_bytes(KEY_BYTES))


def seal(key: Secret, subject: Subject, plaintext: bytes, suite: Suite, salt: bytes | None = None) -> bytes:
    """The envelope. `salt` is given only where bytes must repeat, in test vectors. Raises EnvelopeError(too_large)."""
    if len(plaintext) > PLAINTEXT_BYTES_MAX:
        raise EnvelopeError("too_large", f"{len(plaintext)} bytes to seal; {PLAINTEXT_BYTES_MAX} is the limit")
    salt = secrets.token_bytes(SALT_BYTES) if salt is None else salt
    message_key, commitment, nonce = _derive(key, salt)
    body = zlib.compress(plaintext) if suite is Suite.COMPRESSED else plaintext
    ciphertext = AESGCM(message_key).encrypt(nonce, body, _additional_data(suite, subject))
    return b"".join((MAGIC, bytes((suite,)), subject.key_epoch.to_bytes(4, "big"), salt, commitment, ciphertext))


def open_(key: Secret, subject: Subject, sealed: bytes) -> bytes:
    """The plaintext. Raises EnvelopeError; checks size, form, epoch, commitment and tag, in that order."""
    if len(sealed) > SEALED_BYTES_MAX:
        raise EnvelopeError("too_large", f"{len(sealed)} sealed bytes; {SEALED_BYTES_MAX} is the limit")
    if key_epoch(sealed) != subject.key_epoch:
        raise EnvelopeError("key_epoch", f"sealed under epoch {key_epoch(sealed)}, not {subject.key_epoch}")
    suite = _suite(sealed)
    message_key, commitment, nonce = _derive(key, sealed[_SALT_AT:_COMMITMENT_AT])
    if not hmac.compare_digest(commitment, sealed[_COMMITMENT_AT:HEADER_BYTES]):
        raise EnvelopeError("commitment", "sealed under another key")
    try:
        body = AESGCM(message_key).decrypt(nonce, sealed[HEADER_BYTES:], _additional_data(suite, subject))
    except InvalidTag:
        raise EnvelopeError("tag", "changed, or not what and where it says it is") from None
    return _decompress(body) if suite is Suite.COMPRESSED else _bounded(body)


def key_epoch(sealed: bytes) -> int:
    """The key epoch its header names. Raises EnvelopeError(malformed) for what is no envelope."""
    if len(sealed) < HEADER_BYTES + TAG_BYTES or not sealed.startswith(MAGIC):
        raise EnvelopeError("malformed", "not a GHE1 envelope")
    return int.from_bytes(sealed[_EPOCH_AT:_SALT_AT], "big")


def _suite(sealed: bytes) -> Suite:
    try:
        return Suite(sealed[_SUITE_AT])
    except ValueError:
        raise EnvelopeError("malformed", f"suite {sealed[_SUITE_AT]} is not known") from None


def _derive(key: Secret, salt: bytes) -> tuple[bytes, bytes, bytes]:
    length = KEY_BYTES + COMMITMENT_BYTES + NONCE_BYTES
    derived = HKDF(algorithm=SHA256(), length=length, salt=salt, info=MAGIC).derive(key.reveal())
    return derived[:KEY_BYTES], derived[KEY_BYTES:-NONCE_BYTES], derived[-NONCE_BYTES:]


def _additional_data(suite: Suite, subject: Subject) -> bytes:
    return canonical.encode(
        [
            MAGIC.decode(),
            int(suite),
            subject.organisation,
            subject.shard,
            subject.kind,
            subject.id,
            subject.revision,
            subject.schema_version,
            subject.key_epoch,
        ]
    )


def _decompress(body: bytes) -> bytes:
    stream = zlib.decompressobj()
    try:
        plaintext = stream.decompress(body, PLAINTEXT_BYTES_MAX + 1)
    except zlib.error:
        raise EnvelopeError("malformed", "what was sealed is not zlib") from None
    _bounded(plaintext)
    if not stream.eof or stream.unused_data:
        raise EnvelopeError("malformed", "what was sealed is not one whole zlib stream")
    return plaintext


def _bounded(plaintext: bytes) -> bytes:
    if len(plaintext) > PLAINTEXT_BYTES_MAX:
        raise EnvelopeError("too_large", f"opens to more than {PLAINTEXT_BYTES_MAX} bytes")
    return plaintext
