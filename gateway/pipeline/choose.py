"""Which targets a call is sent to, and in which order (pure): conditions, weights, sessions, breakers, each with why.

First `decide` answers what the request alone answers: the queries of conditions. What is left is what the call may come
to, and is checked as a whole. Then `Draw` answers the rest: which of several, by their weights or for a whole session,
and which are left out for now because they fail.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate
from operator import is_
from typing import Any

import msgspec
from msgspec.structs import replace

from gateway.errors import Code, GatewayError
from gateway.pipeline.metadata import Metadata
from gateway.providers.base import Call
from gateway.view.route import (
    Conditional,
    DeadEnd,
    Fallback,
    LoadBalance,
    Optimize,
    Passthrough,
    Route,
    Session,
    Target,
)
from shared.field_path import MISSING, find
from shared.models.record import METADATA_CHARS_MAX
from shared.models.strategy import Objective
from shared.paths import DIALECT_DOORS
from shared.query import Key, holds

_PATHNAMES: Mapping[str, str] = {door: path for path, door in DIALECT_DOORS.items()}
_HASH_BYTES = 16
EXPLORED_SHARE = 0.05
"""Of calls that would go to the fastest target, so many go to any: so one that has become faster is seen again."""


class Reason(msgspec.Struct, frozen=True):
    """Why a node of the config led where it did, for whoever explains a call."""

    path: str
    because: str
    """`condition`, `default`, `no_condition`, `weight`, `session`, `cheapest`, `fastest`, `explored`, `breaker_open`,
    `all_breakers_open`."""
    child: int | None = None
    """Which child was taken, or left out."""
    detail: Mapping[str, Any] = msgspec.field(default_factory=dict)


Why = list[Reason]


class Facts:
    """What a request says that conditions and sessions may ask for."""

    __slots__ = ("_call", "_headers", "_metadata", "_read")

    def __init__(self, call: Call, headers: Mapping[str, str], read: Callable[[], Metadata]) -> None:
        """`read` gives the metadata; it is called only where somebody asks for some."""
        self._call = call
        self._headers = headers
        self._read = read
        self._metadata: Metadata | None = None

    def value(self, key: Key) -> Any:
        """Raises GatewayError for metadata that is needed here and cannot be read."""
        if key.source == "params":
            return find(self._call.body, key.path)
        if key.source == "metadata":
            return self._told(str(key.path[0]))
        if key.source == "headers":
            return self._headers.get(str(key.path[0]), MISSING)
        passage = self._call.passage
        return _PATHNAMES.get(self._call.door, MISSING) if passage is None else passage.path

    def _told(self, name: str) -> Any:
        metadata = self._metadata
        if metadata is None:
            metadata = self._metadata = self._read()
        if metadata.fault is None and name not in metadata.unfit:
            return metadata.values.get(name, MISSING)
        fault = metadata.fault or f"{name!r} in it is no text of at most {METADATA_CHARS_MAX} characters"
        message = f"the config decides by metadata, and x-portkey-metadata is none: {fault}"
        raise GatewayError(Code.HEADER_INVALID, message, param="x-portkey-metadata")


def decide(route: Route, facts: Facts, why: Why | None = None) -> Route:
    """The route without conditions: in the place of each stands what it names. Raises GatewayError."""
    if isinstance(route, Target | DeadEnd):
        return route
    if isinstance(route, Conditional):
        return _branch(route, facts, why)
    assert not isinstance(route, Passthrough), "resolved before anything is decided"
    routes = tuple([decide(child, facts, why) for child in route.routes])
    return route if all(map(is_, routes, route.routes)) else replace(route, routes=routes)


def _branch(route: Conditional, facts: Facts, why: Why | None) -> Route:
    for index, (query, child) in enumerate(route.branches):
        if holds(query, facts):
            if why is not None:
                why.append(Reason(route.path, "condition", child, {"condition": index}))
            return decide(route.routes[child], facts, why)
    if route.default is not None:
        if why is not None:
            why.append(Reason(route.path, "default", route.default))
        return decide(route.routes[route.default], facts, why)
    if why is not None:
        why.append(Reason(route.path, "no_condition"))
    message = "Query router did not resolve to any valid target: no condition holds, and the config names no `default`"
    return DeadEnd(route.path, GatewayError(Code.TARGET_MISSING, message, param="x-portkey-config"))


class Draw(msgspec.Struct):
    """What is left to chance, to sessions and to breakers."""

    facts: Facts
    chance: Callable[[], float]
    """Numbers from 0 to below 1."""
    is_open: Callable[[Target], bool]
    """Whether its breaker leaves a target out now."""
    wall_ms: int
    picousd: Callable[[Target], int | None]
    """What the call is expected to cost there; None: unknown."""
    seconds: Callable[[Target], float | None]
    """How soon it answers; None: nobody has tried."""
    why: Why | None = None

    def plan(self, route: Route) -> Route:
        """What is tried, in order: a target, or a fallback over such."""
        if isinstance(route, Target | DeadEnd):
            return route
        if isinstance(route, LoadBalance):
            return self.plan(route.routes[self._drawn(route)])
        if isinstance(route, Optimize):
            return self.plan(route.routes[self._best(route)])
        assert isinstance(route, Fallback), "decided before anything is drawn"
        routes = [self.plan(route.routes[index]) for index in self._healthy(route.path, route.routes)]
        return routes[0] if len(routes) == 1 else replace(route, routes=tuple(routes))

    def _healthy(self, path: str, routes: Sequence[Route], among: Sequence[int] | None = None) -> Sequence[int]:
        """The children that no breaker leaves out; all of them if it were all."""
        among = range(len(routes)) if among is None else among
        healthy = [index for index in among if not self._is_out(routes[index])]
        if len(healthy) == len(among):
            return among
        if self.why is not None:
            out = [index for index in among if index not in healthy]
            because = "breaker_open" if healthy else "all_breakers_open"
            self.why.extend(Reason(path, because, index) for index in out)
        return healthy or among

    def _is_out(self, route: Route) -> bool:
        if isinstance(route, Target):
            return bool(route.breaker_key) and self.is_open(route)
        if isinstance(route, LoadBalance):
            return all(self._is_out(route.routes[index]) for index in _weighted(route))
        return isinstance(route, Fallback | Optimize) and all(map(self._is_out, route.routes))

    def _best(self, route: Optimize) -> int:
        among = self._healthy(route.path, route.routes)
        measure: Callable[[Target], float | None] = self.picousd
        because, name = "cheapest", "picousd"
        if route.objective is Objective.LATENCY:
            measure, because, name = self.seconds, "fastest", "seconds"
        known = {index: measure(leaf) for index in among if isinstance(leaf := route.routes[index], Target)}
        child = min(among, key=lambda index: _rank(known.get(index), route.objective))
        if route.objective is Objective.LATENCY and len(among) > 1 and self.chance() < EXPLORED_SHARE:
            child, because = among[int(self.chance() * len(among))], "explored"
        if self.why is not None:
            self.why.append(Reason(route.path, because, child, {name: {str(i): known.get(i) for i in among}}))
        return child

    def _drawn(self, route: LoadBalance) -> int:
        among = self._healthy(route.path, route.routes, _weighted(route))
        key = None if route.session is None else _session_key(route.path, route.session, self.facts, self.wall_ms)
        if key is not None:
            child = _at_home(key, route, among)
            if self.why is not None:
                self.why.append(Reason(route.path, "session", child))
            return child
        drawn = self.chance()
        child = _by_weight(route, among, drawn)
        if self.why is not None:
            weights = {str(index): route.weights[index] for index in among}
            self.why.append(Reason(route.path, "weight", child, {"weights": weights, "drawn": drawn}))
        return child


def _rank(measured: float | None, objective: Objective) -> tuple[bool, float]:
    """Of two that are equal the first is taken. An unknown price comes last; an unknown speed first, to be known."""
    if measured is None:
        return objective is Objective.COST, 0.0 if objective is Objective.COST else -1.0
    return False, measured


def _weighted(route: LoadBalance) -> Sequence[int]:
    """The children that are drawn at all."""
    return [index for index, weight in enumerate(route.weights) if weight > 0]


def _by_weight(route: LoadBalance, among: Sequence[int], drawn: float) -> int:
    """The child at `drawn`, a number from 0 to below 1."""
    # The bound keeps a number just below 1 that is rounded up to the sum inside.
    if len(among) == len(route.weights):
        return bisect_right(route.cumulative, drawn * route.cumulative[-1], hi=route.last)
    cumulative = list(accumulate(route.weights[index] for index in among))
    return among[bisect_right(cumulative, drawn * cumulative[-1], hi=len(among) - 1)]


def _session_key(path: str, session: Session, facts: Facts, wall_ms: int) -> bytes | None:
    """What a session is known by for as long as it is kept; None if the request names none.

    The same in every worker and after every restart: it depends on the request, the config and the time alone.
    """
    known = blake2b(path.encode(), digest_size=_HASH_BYTES)
    named = False
    for field_ in session.fields:
        value = facts.value(field_)
        if not isinstance(value, str | int | float):
            known.update(b"-")  # Nothing, or a whole list or object, which is no name.
            continue
        named = True
        text = f"{type(value).__name__} {value}".encode("utf-8", "surrogatepass")
        known.update(b"%d %b" % (len(text), text))
    if not named:
        return None
    # Not all sessions are drawn anew at the same moment: each has an hour of its own.
    offset_ms = int.from_bytes(known.digest(), "big") % (session.ttl_s * 1_000)
    known.update(b"%d" % ((wall_ms + offset_ms) // (session.ttl_s * 1_000)))
    return known.digest()


def _at_home(key: bytes, route: LoadBalance, among: Sequence[int]) -> int:
    """Where a session is at home: weighted rendezvous hashing, so that a target that goes or comes moves few others."""
    return max(among, key=lambda index: _score(key, index, route.weights[index]))


def _score(key: bytes, index: int, weight: float) -> float:
    drawn = int.from_bytes(blake2b(b"%d" % index, key=key, digest_size=8).digest(), "big") >> 12
    return -weight / math.log((drawn + 0.5) / 2**52)
