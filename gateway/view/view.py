"""The configuration as a request sees it: dictionaries, compiled once, never edited. A change is a new view."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from gateway.providers.base import Place, Provider
from gateway.view.route import Credential, Route
from shared.crypto.api_keys import KeyedHash
from shared.crypto.secret import Secret
from shared.models.config import ConfigBody
from shared.models.credential import CredentialForm
from shared.models.workspace import InlineRules, ModelAlias
from shared.pricing import PriceTable


class VirtualKeyView(msgspec.Struct, frozen=True):
    id: str
    slug: str
    place: Place
    adapter: Provider
    credential: Credential
    models: frozenset[str] | None


class ConfigEntry(msgspec.Struct, frozen=True):
    """A stored config: its checked body, and its route where it names targets of its own."""

    id: str
    revision: int
    slug: str
    body: ConfigBody
    route: Route | None

    @property
    def owner(self) -> str:
        """As whose its targets' breakers are known; ids are unique in a gateway."""
        return self.id


class ProviderView(msgspec.Struct, frozen=True):
    place: Place
    adapter: Provider
    models: tuple[str, ...] = ()
    """What it is listed with, beside the catalogue's models."""
    credential_form: CredentialForm = "api_key"


class WorkspaceView(msgspec.Struct, frozen=True):
    id: str
    slug: str
    default_config: str | None
    allowed_providers: frozenset[str] | None
    inline: InlineRules
    aliases: Mapping[str, ModelAlias]
    configs: Mapping[str, ConfigEntry]
    virtual_keys: Mapping[str, VirtualKeyView]
    providers: Mapping[str, ProviderView]
    listing: Mapping[str, tuple[str, ...]]
    """Model name → slugs of the virtual keys that reach it, sorted."""
    metadata_keys: frozenset[str]
    """Names of request metadata that records may tell."""
    anonymous: bool
    """Its records are anonymous."""


class Caller(msgspec.Struct, frozen=True, weakref=True):
    """An API key, compiled."""

    id: str
    workspace: WorkspaceView
    scopes: frozenset[str]
    default_config: str | None
    models: tuple[str, ...] | None
    inline_keys: bool
    inline_configs: bool
    inline_hosts: bool
    expires_at_ms: int | None
    revoked: bool

    def may_use(self, model: str) -> bool:
        """`*` at a pattern's end matches any rest."""
        if self.models is None:
            return True
        return any(
            model.startswith(pattern[:-1]) if pattern.endswith("*") else model == pattern for pattern in self.models
        )


@dataclass(frozen=True, slots=True)
class ConfigView:
    """Everything a request may need, at one signed state."""

    sequence: int
    hash_key: Secret
    callers: Mapping[bytes, Caller]
    """Keyed hash of an API key → its caller."""
    prices: PriceTable
    revision: str = field(init=False)
    """The sequence as a header says it."""
    keyed_hash: KeyedHash = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "revision", str(self.sequence))
        object.__setattr__(self, "keyed_hash", KeyedHash(self.hash_key))

    def caller(self, api_key: str) -> Caller | None:
        """The caller of a key's text; None if there is none."""
        return self.callers.get(self.keyed_hash(api_key))
