"""A config compiled: the tree of targets a call can take, and how each of them is called."""

from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Any

import msgspec
from msgspec.structs import force_setattr, replace

from gateway.errors import GatewayError
from gateway.providers.base import Heads, Place, Provider, ProviderKey
from gateway.upstream.tls import Trust
from shared.field_path import FieldPath
from shared.models.strategy import Objective
from shared.query import Key, Query


class Credential:
    """A provider credential that is opened at first use, and then kept in memory only."""

    __slots__ = ("_is_open", "_open", "heads", "opened", "trust")

    def __init__(self, open_: Callable[[], tuple[ProviderKey | None, Trust | None]]) -> None:
        self._open = open_
        self._is_open = False
        self.opened: ProviderKey | None = None
        """What `key` gives, once it has. A key does not print, whatever its form."""
        self.trust: Trust | None = None
        """What connections need that are made for it; known as soon as it is open."""
        self.heads = Heads()
        """It stands in them, so they go when it goes."""

    def key(self) -> ProviderKey | None:
        """As adapters take it; None: the host wants none. Raises CredentialUnavailable if it does not open."""
        if not self._is_open:
            self.opened, self.trust = self._open()
            self._is_open = True
        return self.opened


class CredentialUnavailable(Exception):
    """The credential cannot be opened; the message names the virtual key, never the value."""


class Retry(msgspec.Struct, frozen=True):
    attempts: int
    """Calls after the first."""
    on_status_codes: frozenset[int]
    heeds_retry_after: bool = False


class BreakerRules(msgspec.Struct, frozen=True):
    """When a target that fails is left out; None: not by this."""

    failures: int | None
    failure_share: float | None
    """Of the calls, at least `calls_min` of them."""
    calls_min: int
    cooldown_s: float
    status_codes: frozenset[int] | None
    """The statuses that are failures; None: 500 and above."""


class CacheRules(msgspec.Struct, frozen=True):
    """Answers are kept, and given again as long as they are no older."""

    max_age_s: int


class Handling(msgspec.Struct, frozen=True):
    """How a target is called; inherited downwards."""

    retry: Retry | None = None
    cache: CacheRules | None = None
    timeout_ms: int | None = None
    """For each attempt."""
    defaults: Mapping[str, Any] | None = None
    """Body fields for callers who give none."""
    drops: tuple[FieldPath, ...] = ()
    """Places in the body that are left out, last of all."""
    forward_headers: tuple[str, ...] = ()
    breaker: BreakerRules | None = None


AS_IT_COMES = Handling()


class Target(msgspec.Struct, frozen=True):
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
    handling: Handling = AS_IT_COMES
    breaker_key: str = ""
    """By which a worker knows its breaker, from one view to the next; none without breaker rules."""
    speed_key: str = ""
    """By which a worker knows how soon it answers, where that is asked for."""
    inline_host: bool = False
    """The caller, not the administrator, named the host."""
    own_key: bool = False
    """The credential is the caller's own, brought along in the request."""

    @property
    def is_plain(self) -> bool:
        """Nothing of a call is changed, watched or measured on its way there, as far as the target has a say."""
        return (
            self.handling is AS_IT_COMES
            and not self.overrides
            and self.models is None
            and self.place.trust is None
            and not self.breaker_key
            and not self.speed_key
        )


class Passthrough(msgspec.Struct, frozen=True):
    """A place in a config for the target that the request names."""

    path: str
    overrides: Mapping[str, Any] | None
    handling: Handling
    host: str | None
    inline: bool


class DeadEnd(msgspec.Struct, frozen=True):
    """A place in a config that leads nowhere for this request, and why."""

    path: str
    error: GatewayError


class Fallback(msgspec.Struct, frozen=True):
    """Children in order, until one answers well enough."""

    path: str
    routes: tuple["Route", ...]
    on_status_codes: frozenset[int] | None
    """The statuses that go on; None: anything but a 2xx."""


class Session(msgspec.Struct, frozen=True):
    """By what a session is known that stays at one target."""

    fields: tuple[Key, ...]
    ttl_s: int


class LoadBalance(msgspec.Struct, frozen=True):
    """One of the children, by chance."""

    path: str
    routes: tuple["Route", ...]
    weights: tuple[float, ...]
    """Some above 0."""
    session: Session | None
    cumulative: tuple[float, ...] = ()
    """Made of the weights."""
    last: int = 0
    """The last child that has a weight."""

    def __post_init__(self) -> None:
        force_setattr(self, "cumulative", tuple(accumulate(self.weights)))
        force_setattr(self, "last", max(index for index, weight in enumerate(self.weights) if weight > 0))


class Optimize(msgspec.Struct, frozen=True):
    """The child that costs least, or answers soonest."""

    path: str
    routes: tuple["Route", ...]
    objective: Objective


class Conditional(msgspec.Struct, frozen=True):
    """The child whose query holds first."""

    path: str
    routes: tuple["Route", ...]
    branches: tuple[tuple[Query, int], ...]
    """What must hold, and which child it names."""
    default: int | None


Route = Target | Passthrough | DeadEnd | Fallback | LoadBalance | Optimize | Conditional


def targets_of(route: Route) -> Iterator[Target]:
    """Every target of a route, in order."""
    if isinstance(route, Target):
        yield route
    elif not isinstance(route, Passthrough | DeadEnd):
        for child in route.routes:
            yield from targets_of(child)


def mapped(route: Route, change: Callable[[Target | Passthrough], Target | Passthrough]) -> Route:
    """The route with every leaf changed."""
    if isinstance(route, Target | Passthrough):
        return change(route)
    if isinstance(route, DeadEnd):
        return route
    return replace(route, routes=tuple(mapped(child, change) for child in route.routes))
