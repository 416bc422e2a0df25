"""The organisation: the customer. One gateway serves one organisation."""

from pydantic import Field

from shared.models.noun import Noun


class Organisation(Noun):
    name: str
    api_key_hash_key: str = Field(pattern=r"^[A-Za-z0-9+/]{43}=$", repr=False)
    """Base64 of the 32-byte key of the API keys' keyed hash. A secret: it travels only inside a sealed resource."""
