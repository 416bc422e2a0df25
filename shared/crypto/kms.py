"""What a key management service does for us: wrap and unwrap small keys, bound to a context."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from shared.crypto.secret import Secret

Context = Mapping[str, str]
"""Encryption context: names what a key is for. Unwrapping needs the very same; it is no secret."""


@dataclass(frozen=True, slots=True)
class Wrapped:
    key_id: str
    """Which key of the service, and which version of it where the service says so."""
    blob: bytes = field(repr=False)


class KmsError(Exception):
    """Holds no key and no blob."""


class KmsDenied(KmsError):
    """The service answered, and said no: disabled, destroyed, not permitted, or another context."""


class KmsUnreachable(KmsError):
    """The service did not answer, or could not: throttled, down, too slow. Says nothing about permission."""


class Kms(Protocol):
    async def wrap(self, key: Secret, context: Context) -> Wrapped:
        """Raises KmsDenied or KmsUnreachable."""
        ...

    async def unwrap(self, wrapped: Wrapped, context: Context) -> Secret:
        """Raises KmsDenied or KmsUnreachable."""
        ...
