"""From a checked config to a route (pure). The same code compiles stored configs and those a caller brings along."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from gateway.errors import Code, Fault, GatewayError
from gateway.providers.base import NO_QUIRKS, Door, Place, Quirks
from gateway.upstream.messages import Origin, parse_origin
from gateway.upstream.tls import trust
from gateway.view.route import (
    AS_IT_COMES,
    BreakerRules,
    CacheRules,
    Conditional,
    Credential,
    Fallback,
    Handling,
    LoadBalance,
    Optimize,
    Passthrough,
    Retry,
    Route,
    Session,
    Target,
)
from gateway.view.view import ProviderView, VirtualKeyView
from shared import base_url
from shared.base_url import TEMPLATE_FIELD
from shared.crypto.secret import Secret
from shared.field_path import parse_path
from shared.models import strategy
from shared.models.config import ConfigBody, slug_in
from shared.models.provider import Provider as ProviderRow
from shared.models.strategy import RETRIES_MAX, Mode
from shared.query import parse_key, parse_query

Path = tuple[str | int, ...]

CALLS_MIN = 10
"""Calls before a share of failures means anything, where the config does not say."""


class Names(msgspec.Struct, frozen=True):
    """What a config may refer to, and whether the caller brought it along."""

    virtual_keys: Mapping[str, VirtualKeyView]
    providers: Mapping[str, ProviderView]
    inline: bool
    owner: str = ""
    """Whose config it is: breakers of different owners know nothing of each other."""


class _Inherited(msgspec.Struct, frozen=True):
    """What a node has from those above it."""

    overrides: Mapping[str, Any]
    host: str | None
    handling: Handling
    by_condition: bool = False
    """A condition names it, so no breaker leaves it out."""


def compile_route(body: ConfigBody, names: Names) -> Route:
    """The route of a config that names targets. Raises GatewayError naming what it refers to and does not find."""
    return _compile(body, names, "config", (), _Inherited({}, None, AS_IT_COMES))


def _compile(body: ConfigBody, names: Names, name: str, path: Path, above: _Inherited) -> Route:
    overrides = {**above.overrides, **(body.override_params or {})}
    inherited = _Inherited(overrides, body.custom_host or above.host, handled(body, above.handling), above.by_condition)
    if body.targets is None:
        return _leaf(body, names, name, path, inherited)

    mode = Mode.SINGLE if body.strategy is None else body.strategy.mode
    below = replace(inherited, by_condition=mode is Mode.CONDITIONAL)
    routes = tuple(
        _compile(target, names, f"{name}.targets[{index}]", (*path, "targets", index), below)
        for index, target in enumerate(body.targets)
    )
    if mode is Mode.SINGLE or body.strategy is None:
        return routes[0]
    if mode is Mode.FALLBACK:
        codes = body.fallback_codes
        return Fallback(name, routes, None if codes is None else frozenset(codes))
    if mode is Mode.LOADBALANCE:
        weights = tuple(1.0 if target.weight is None else target.weight for target in body.targets)
        return LoadBalance(name, routes, weights, _session(body.strategy))
    if mode is Mode.OPTIMIZE:
        assert body.strategy.objective is not None, "checked with the config"
        return Optimize(name, tuple(map(_measured, routes)), body.strategy.objective)
    return _conditional(body.strategy, body.targets, name, routes)


def _leaf(body: ConfigBody, names: Names, name: str, path: Path, inherited: _Inherited) -> Target | Passthrough:
    overrides = inherited.overrides or None
    handling = replace(inherited.handling, breaker=None) if inherited.by_condition else inherited.handling
    if body.passthrough:
        return Passthrough(name, overrides, handling, inherited.host, names.inline)
    target = _target(body, names, path, inherited.overrides.get("model"))
    target = handled_so(replace(target, path=name, overrides=overrides), handling, names.owner)
    return target if inherited.host is None else at_host(target, inherited.host, inline=names.inline)


def _measured(route: Route) -> Route:
    """How soon a place answers is known whatever config leads there."""
    return replace(route, speed_key=_reached(route)) if isinstance(route, Target) else route


def _reached(target: Target) -> str:
    return target.virtual_key_id or f"{target.place.provider} {target.place.origin.authority}"


def _conditional(
    chosen: strategy.Strategy, targets: tuple[ConfigBody, ...], name: str, routes: tuple[Route, ...]
) -> Route:
    places = {target.name: index for index, target in enumerate(targets)}
    branches = tuple((parse_query(condition.query), places[condition.then]) for condition in chosen.conditions or ())
    return Conditional(name, routes, branches, None if chosen.default is None else places[chosen.default])


def _session(chosen: strategy.Strategy) -> Session | None:
    sticky = chosen.session
    if sticky is None:
        return None
    return Session(tuple(parse_key(field, headers=True) for field in sticky.hash_fields), sticky.ttl)


def handled(body: ConfigBody, above: Handling) -> Handling:
    """How a node handles calls: its own word, else that of the node above."""
    given: dict[str, Any] = {}
    if body.retry is not None:
        attempts = min(body.retry.attempts, RETRIES_MAX)
        codes = frozenset(body.retry.on_status_codes)
        given["retry"] = Retry(attempts, codes, body.retry.heeds_retry_after) if attempts else None
    if body.cache is not None:
        given["cache"] = CacheRules(body.cache.max_age)
    if body.request_timeout is not None:
        given["timeout_ms"] = body.request_timeout
    if body.default_params is not None:
        given["defaults"] = {**(above.defaults or {}), **body.default_params}
    if body.drop_params is not None:
        given["drops"] = tuple(map(parse_path, body.drop_params))
    if body.forward_headers is not None:
        given["forward_headers"] = body.forward_headers
    own = body.strategy.cb_config if body.strategy is not None else None
    breaker = own or body.cb_config
    if breaker is not None:
        given["breaker"] = _breaker(breaker)
    return replace(above, **given) if given else above


def handled_so(target: Target, handling: Handling, owner: str) -> Target:
    """The target with this handling, and its breaker's name where it has one."""
    if handling.breaker is None:
        return replace(target, handling=handling, breaker_key="")
    return replace(target, handling=handling, breaker_key=f"{owner} {target.path} {_reached(target)}")


def _breaker(rules: strategy.CircuitBreaker) -> BreakerRules:
    percentage, codes = rules.failure_threshold_percentage, rules.failure_status_codes
    return BreakerRules(
        failures=rules.failure_threshold,
        failure_share=None if percentage is None else percentage / 100,
        calls_min=rules.minimum_requests or CALLS_MIN,
        cooldown_s=rules.cooldown_interval / 1_000,
        status_codes=None if codes is None else frozenset(codes),
    )


def _target(body: ConfigBody, names: Names, path: Path, model: Any) -> Target:
    if body.virtual_key is not None:
        return target_of(known_virtual_key(body.virtual_key, names.virtual_keys, (*path, "virtual_key")))
    if body.provider is None:
        if slug := slug_in(model):
            return target_of(known_virtual_key(slug, names.virtual_keys, (*path, "override_params", "model")))
        message = "name a `provider` or a `virtual_key` here, or `passthrough` for the one that the request names"
        raise GatewayError(Code.TARGET_MISSING, message, faults=(Fault(path, message),))
    if body.provider.startswith("@"):
        return target_of(known_virtual_key(body.provider[1:], names.virtual_keys, (*path, "provider")))
    provider = known_provider(body.provider, names.providers, (*path, "provider"))
    if body.api_key is None:
        return Target("config", provider.place, provider.adapter, None)
    return Target("config", provider.place, provider.adapter, known(body.api_key), own_key=names.inline)


def target_of(virtual_key: VirtualKeyView) -> Target:
    return Target(
        "config",
        virtual_key.place,
        virtual_key.adapter,
        virtual_key.credential,
        virtual_key.slug,
        virtual_key.id,
        virtual_key.models,
    )


def known(key: Secret) -> Credential:
    """A credential that was brought along in the clear."""
    return Credential(lambda: (key, None))


def known_virtual_key(slug: str, virtual_keys: Mapping[str, VirtualKeyView], path: Path = ()) -> VirtualKeyView:
    """Raises GatewayError 400 naming the slug."""
    virtual_key = virtual_keys.get(slug)
    if virtual_key is None:
        message = f"no virtual key {f'@{slug}'!r} in this workspace"
        raise GatewayError(Code.SLUG_UNKNOWN, message, faults=(Fault(path, message),) if path else ())
    return virtual_key


def known_provider(id_: str, providers: Mapping[str, ProviderView], path: Path = ()) -> ProviderView:
    """Raises GatewayError 400 naming the provider."""
    provider = providers.get(id_)
    if provider is None:
        message = f"no provider {id_!r} is known here"
        raise GatewayError(Code.PROVIDER_UNKNOWN, message, faults=(Fault(path, message),) if path else ())
    return provider


def at_host(target: Target, host: str, *, inline: bool) -> Target:
    """The target at another base URL. Raises GatewayError if that is no URL we call."""
    breaker_key = target.breaker_key and f"{target.breaker_key} {host}"
    return replace(target, place=place_at(target.place, host), inline_host=inline, breaker_key=breaker_key)


def place_at(place: Place, url: str) -> Place:
    try:
        origin, prefix = parse_origin(url)
    except ValueError as error:
        raise GatewayError(Code.CONFIG_INVALID, f"the custom host cannot be called: {error}") from None
    return replace(place, origin=origin, prefix=prefix, template="")


def place_of(row: ProviderRow) -> Place:
    """A provider row, compiled. Raises ValueError if its base URL is none we call."""
    templated = TEMPLATE_FIELD.search(row.base_url) is not None
    scheme, host, port, prefix = base_url.parse_template(row.base_url)
    renamed = tuple(row.renamed.items())
    quirks = Quirks(row.developer_role, renamed, row.refused, row.ignored, row.ignored_in_messages)
    return Place(
        provider=row.id,
        origin=Origin(scheme, host, port),
        prefix=prefix,
        auth_header=row.auth_header.encode("ascii"),
        auth_prefix=row.auth_prefix.encode("ascii"),
        stream_usage=row.stream_usage,
        limit_name=row.limit_name,
        cache_hints=row.cache_hints,
        doors=frozenset(Door(door) for door in row.doors),
        headers=tuple(
            (name.encode("ascii"), f"{name}: {value}\r\n".encode("ascii")) for name, value in row.headers.items()
        ),
        quirks=None if quirks == NO_QUIRKS else quirks,
        template=row.base_url if templated else "",
        trust=trust((row.ca_certificates or "").encode(), None),
    )
