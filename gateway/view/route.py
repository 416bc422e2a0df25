"""A config compiled: the tree of targets a call can take."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.providers.base import Place, Provider
from shared.crypto.secret import Secret


class Credential:
    """A provider credential that is opened at first use, and then kept in memory only."""

    __slots__ = ("_key", "_open")

    def __init__(self, open_: Callable[[], Secret]) -> None:
        self._open = open_
        self._key: Secret | None = None

    def key(self) -> Secret:
        """The provider's API key. Raises CredentialUnavailable if the envelope does not open."""
        if self._key is None:
            self._key = self._open()
        return self._key


class CredentialUnavailable(Exception):
    """The credential cannot be opened; the message names the virtual key, never the value."""


@dataclass(frozen=True, slots=True)
class Target:
    """One place a call can be sent to."""

    path: str
    """Where in the config it stands, as in `x-portkey-last-used-option-index`."""
    place: Place
    adapter: Provider
    credential: Credential | None
    virtual_key: str | None = None
    """Its slug."""
    virtual_key_id: str | None = None
    models: frozenset[str] | None = None
    """The models the credential reaches; None: any."""
    model: str | None = None
    """Takes the place of the caller's, where an alias or `@slug/model` named it."""
    overrides: Mapping[str, Any] | None = None
    inline_host: bool = False
    """The caller, not the administrator, named the host."""
    own_key: bool = False
    """The credential is the caller's own, brought along in the request."""


@dataclass(frozen=True, slots=True)
class Fallback:
    """Children in order, until one answers well enough."""

    routes: tuple["Route", ...]
    on_status_codes: frozenset[int] | None
    """The statuses that go on; None: anything but a 2xx."""


Route = Target | Fallback


def targets_of(route: Route) -> Iterator[Target]:
    """Every target of a route, in order."""
    if isinstance(route, Fallback):
        for child in route.routes:
            yield from targets_of(child)
    else:
        yield route
