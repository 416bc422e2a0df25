"""API keys: their form, their checksum, and the keyed hash that stands for them everywhere (GHS/1 9).

`gh_` + 43 random base62 characters (256 bits) + 6 base62 characters of the CRC-32 of all that stands before them.
The checksum finds typing faults and lets scanners recognise a leaked key offline; it protects nothing.
"""

import hashlib
import hmac
import secrets
import zlib

from shared.crypto.secret import Secret

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RANDOM_CHARS = 43
CHECKSUM_CHARS = 6

API_KEY = "gh"
"""The prefix of a caller's API key. Enrolment tokens (`ghe`) have the same form."""
ADMIN_KEY = "gha"
"""The prefix of an admin key, for the control plane's API."""


def new_api_key(prefix: str = API_KEY) -> Secret:
    """A fresh key as text in a Secret: `reveal_text()` shows it, once, to its owner."""
    head = f"{prefix}_" + "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARS))
    return Secret(head + _checksum(head))


def well_formed(text: str, prefix: str = API_KEY) -> bool:
    """Whether `text` can be a key at all: prefix, length, alphabet, checksum. Cheap, and needs no secret."""
    start = len(prefix) + 1
    if len(text) != start + RANDOM_CHARS + CHECKSUM_CHARS or not text.startswith(f"{prefix}_"):
        return False
    if not (text.isascii() and text[start:].isalnum()):
        return False
    return _checksum(text[:-CHECKSUM_CHARS]) == text[-CHECKSUM_CHARS:]


def keyed_hash(hash_key: Secret, text: str) -> bytes:
    """HMAC-SHA256 of the key's text (32 bytes): what is stored and looked up instead of the key."""
    return hmac.digest(hash_key.reveal(), text.encode(), hashlib.sha256)


class KeyedHash:
    """`keyed_hash` under one key, with the key's own blocks hashed once: less than half the cost for each text."""

    __slots__ = ("_begun",)

    def __init__(self, hash_key: Secret) -> None:
        self._begun = hmac.new(hash_key.reveal(), digestmod=hashlib.sha256)

    def __call__(self, text: str) -> bytes:
        begun = self._begun.copy()
        begun.update(text.encode("utf-8", "surrogateescape"))
        return begun.digest()


def _checksum(head: str) -> str:
    rest = zlib.crc32(head.encode())
    digits = ""
    for _ in range(CHECKSUM_CHARS):
        rest, digit = divmod(rest, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits
