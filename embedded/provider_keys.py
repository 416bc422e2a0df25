"""Provider keys found in the environment. Which names mean what is data: `provider_keys.toml`."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.crypto.api_keys import API_KEY
from shared.crypto.secret import Secret

TABLE = Path(__file__).with_name("provider_keys.toml")


@dataclass(frozen=True, slots=True)
class ProviderKey:
    variable: str
    provider: str
    """The provider's id, and the slug of the virtual key made of it."""
    key: Secret
    smoke_model: str


@dataclass(frozen=True, slots=True)
class Found:
    keys: Sequence[ProviderKey]
    notes: Sequence[str]
    """One line for each variable that is set: what became of it, never its value."""


NOTHING = Found((), ())


def find(environment: Mapping[str, str]) -> Found:
    """What of `environment` is a provider's key, and what is said of it."""
    keys, notes = [], []
    for variable, row in _table().items():
        value = environment.get(variable, "").strip()
        if not value:
            continue
        if value.startswith(f"{API_KEY}_"):
            notes.append(f"{variable} found: a key of Gatehouse, not of the provider, left alone")
        elif not (value.isascii() and value.isprintable() and " " not in value):
            notes.append(f"{variable} found: not the form of a key (it has spaces or odd characters), left alone")
        else:
            keys.append(ProviderKey(variable, row["provider"], Secret(value), row["smoke_model"]))
            notes.append(f'{variable} found: virtual key "{row["provider"]}" made of it')
    return Found(keys, notes)


def _table() -> dict[str, dict[str, str]]:
    return tomllib.loads(TABLE.read_text())
