"""Passwords: hashed with argon2id, off the loop, and checked in the same work whether or not there is an account."""

import asyncio
import secrets
import unicodedata
from typing import Protocol

from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import SecretStr

AT_ONCE_MAX = 4
"""Each hash takes tens of megabytes and a core; more callers than this wait for their turn."""


class Hasher(Protocol):
    """As `argon2.PasswordHasher`, whose parameters stand in each hash it makes."""

    def hash(self, password: str) -> str: ...

    def verify(self, hash: str, password: str) -> bool:  # noqa: A002 - the library's own name
        """Raises VerificationError or InvalidHashError for a wrong password."""
        ...


class Passwords:
    def __init__(self, hasher: Hasher) -> None:
        self._hasher = hasher
        self._nobodys = hasher.hash(secrets.token_urlsafe())
        self._turns = asyncio.Semaphore(AT_ONCE_MAX)

    async def hash(self, password: SecretStr) -> str:
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, _text(password))

    async def right(self, password: SecretStr, stored: str | None) -> bool:
        """Whether `password` is the one of the hash `stored`. None, no account: never, after the same work."""
        async with self._turns:
            return await asyncio.to_thread(self._verify, self._nobodys if stored is None else stored, password)

    def _verify(self, stored: str, password: SecretStr) -> bool:
        try:
            return self._hasher.verify(stored, _text(password))
        except (VerificationError, InvalidHashError):
            return False


def _text(password: SecretStr) -> str:
    # Keyboards differ in how they compose an accent; the password is the same (RFC 8265 4.2).
    return unicodedata.normalize("NFC", password.get_secret_value())
