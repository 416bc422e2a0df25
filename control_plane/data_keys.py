"""Sealing of columns: each organisation has data keys, wrapped by the KMS; a sealed column names its key's version."""

import asyncio
import hashlib
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TypeVar

import asyncpg

from control_plane.errors import Unavailable
from shared.clock import Clock
from shared.crypto.kms import Context, Kms, KmsError, Wrapped
from shared.crypto.secret import Secret
from shared.protocol import envelope
from shared.protocol.envelope import Subject, Suite

T = TypeVar("T")

INSTANCE = "instance"
"""The owner of what belongs to no organisation."""
CACHE_S = 300.0
"""How long an unwrapped key is kept; a key that the KMS denies is gone from memory after that."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What goes into a `…_sealed` column and the version column beside it."""

    version: int
    blob: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Cached:
    key: Secret = field(repr=False)
    until_s: float


class DataKeys:
    def __init__(self, kms: Kms, clock: Clock) -> None:
        self._kms = kms
        self._clock = clock
        self._cache: dict[tuple[str, int], _Cached] = {}
        self._lock = asyncio.Lock()

    async def make(self, connection: asyncpg.Connection, organisation: str) -> None:
        """The first data key of a new organisation. Raises Unavailable."""
        wrapped = await self._ask(self._kms.wrap(envelope.new_key(), _context(organisation, 1)))
        await connection.execute(
            "insert into data_key (organisation, version, wrapped, kms_key) values ($1, 1, $2, $3)",
            organisation,
            wrapped.blob,
            wrapped.key_id,
        )

    async def seal(
        self, connection: asyncpg.Connection, organisation: str, column: str, id_: str, plaintext: Secret
    ) -> Sealed:
        """Seal for `column` ("virtual_key.credential") of the row `id_`, under the newest key. Raises Unavailable."""
        version, key = await self._newest(connection, organisation)
        blob = envelope.seal(key, _subject(organisation, column, id_, version), plaintext.reveal(), Suite.PLAIN)
        return Sealed(version, blob)

    async def open(
        self, connection: asyncpg.Connection, organisation: str, column: str, id_: str, sealed: Sealed
    ) -> Secret:
        """Raises Unavailable; envelope.EnvelopeError if the column was moved or changed."""
        key = await self._key(connection, organisation, sealed.version)
        return Secret(envelope.open_(key, _subject(organisation, column, id_, sealed.version), sealed.blob))

    async def require(self, connection: asyncpg.Connection, organisation: str) -> None:
        """Raises Unavailable if the KMS does not give the newest key: it may be another one than made it."""
        await self._newest(connection, organisation)

    async def _newest(self, connection: asyncpg.Connection, organisation: str) -> tuple[int, Secret]:
        version: int = await connection.fetchval(
            "select max(version) from data_key where organisation = $1", organisation
        )
        return version, await self._key(connection, organisation, version)

    async def _key(self, connection: asyncpg.Connection, organisation: str, version: int) -> Secret:
        kept = self._kept(organisation, version)
        if kept is not None:
            return kept
        row = await connection.fetchrow(
            "select wrapped, kms_key from data_key where organisation = $1 and version = $2", organisation, version
        )
        if row is None:
            raise Unavailable(f"data key {version} of this organisation is not there")
        # One at a time: a KMS is not asked twice for what two requests need at once.
        async with self._lock:
            kept = self._kept(organisation, version)
            if kept is not None:
                return kept
            wrapped = Wrapped(row["kms_key"], row["wrapped"])
            key = await self._ask(self._kms.unwrap(wrapped, _context(organisation, version)))
            self._cache[organisation, version] = _Cached(key, self._clock.monotonic_s() + CACHE_S)
        return key

    def _kept(self, organisation: str, version: int) -> Secret | None:
        """What is too old is dropped here, also if the KMS does not give it again."""
        cached = self._cache.get((organisation, version))
        if cached is None:
            return None
        if self._clock.monotonic_s() < cached.until_s:
            return cached.key
        del self._cache[organisation, version]
        return None

    async def _ask(self, answer: Awaitable[T]) -> T:
        try:
            return await answer
        except KmsError as error:
            raise Unavailable(f"the KMS does not give the key ({error})", code="kms_unavailable") from error


def digest(token: str) -> bytes:
    """SHA-256 of a token that has 256 random bits of its own: nothing slower is needed against guessing."""
    return hashlib.sha256(token.encode()).digest()


def _context(organisation: str, version: int) -> Context:
    return {"application": "gatehouse", "organisation": organisation, "purpose": "data_key", "version": str(version)}


def _subject(organisation: str, column: str, id_: str, version: int) -> Subject:
    return Subject(organisation, "at_rest", column, id_, revision=0, schema_version=1, key_epoch=version)
