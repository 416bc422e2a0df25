"""The cache's own keys, drawn from the one key that is born in a gateway's node and never leaves its nodes.

The control plane could open what is sealed with a data-plane key; answers are content, which it may never see.
"""

from collections.abc import Callable

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.telemetry.user_key_file import KEY_BYTES, UserKeyFile
from shared.crypto.secret import Secret


class Keys(msgspec.Struct, frozen=True):
    naming: Secret
    """Of the digests that name what is kept."""
    sealing: Secret
    """Of the envelopes in which it rests."""
    prefix: str
    """With which this gateway's names in Redis begin."""


class CacheKeys:
    """One per worker, used on its loop only."""

    __slots__ = ("_file", "_from", "_keys", "_prefix")

    def __init__(self, file: UserKeyFile, prefix: Callable[[], str | None]) -> None:
        """`prefix`: None until it is known whose node this is."""
        self._file = file
        self._prefix = prefix
        self._from: Secret | None = None
        self._keys: Keys | None = None

    def current(self) -> Keys | None:
        """None as long as the node has no key to draw them from, or is nobody's."""
        key, prefix = self._file.key(), self._prefix()
        if key is None or prefix is None:
            return None
        if key is not self._from:
            self._from = key
            self._keys = Keys(_drawn(key, b"names"), _drawn(key, b"seals"), prefix)
        return self._keys


def _drawn(key: Secret, what: bytes) -> Secret:
    return Secret(HKDF(SHA256(), KEY_BYTES, salt=None, info=b"gatehouse cache " + what).derive(key.reveal()))
