"""A stored provider credential. The credential is sealed a second time inside, and opened at first use only."""

import re

from pydantic import Field

from shared.crypto.secret import Secret
from shared.models.noun import Id, Noun, Slug

_VISIBLE_ASCII = re.compile(rb"[\x21-\x7e]+")


def fits_a_header(key: Secret) -> bool:
    """Whether a provider's key can be sent: a line break in it would begin another header, or another request."""
    return _VISIBLE_ASCII.fullmatch(key.reveal()) is not None


class VirtualKey(Noun):
    workspace: Id
    slug: Slug
    name: str
    provider: Id
    credential: str = Field(repr=False)
    """Base64 of the GHE1 envelope of the credential's JSON (`{"api_key": …}`), kind `credential`."""
    base_url: str | None = None
    """Takes the place of the provider's own base URL (a private host, a proxy, a region)."""
    models: tuple[str, ...] | None = None
    """The models this credential reaches; None: what the catalogue lists for the provider."""
