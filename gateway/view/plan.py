"""From a checked config to a route (pure). The same code compiles stored configs and those a caller brings along."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.errors import Code, Fault, GatewayError
from gateway.providers.base import Door, Place
from gateway.upstream.messages import parse_origin
from gateway.view.route import Credential, Fallback, Route, Target
from gateway.view.view import ProviderView, VirtualKeyView
from shared.crypto.secret import Secret
from shared.models.config import ConfigBody, Mode
from shared.models.provider import Provider as ProviderRow

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Names:
    """What a config may refer to, and whether the caller brought it along."""

    virtual_keys: Mapping[str, VirtualKeyView]
    providers: Mapping[str, ProviderView]
    inline: bool


def compile_route(body: ConfigBody, names: Names) -> Route:
    """The route of a config that names targets. Raises GatewayError naming what it refers to and does not find."""
    return _compile(body, names, "config", (), {}, None)


def _compile(
    body: ConfigBody, names: Names, name: str, path: Path, inherited: Mapping[str, Any], host: str | None
) -> Route:
    overrides = {**inherited, **(body.override_params or {})}
    host = body.custom_host or host
    if body.targets is None:
        target = replace(_target(body, names, path), path=name, overrides=overrides or None)
        return target if host is None else at_host(target, host, inline=names.inline)

    routes = tuple(
        _compile(target, names, f"{name}.targets[{index}]", (*path, "targets", index), overrides, host)
        for index, target in enumerate(body.targets)
    )
    if body.strategy is None or body.strategy.mode is Mode.SINGLE:
        return routes[0]
    codes = body.strategy.on_status_codes
    return Fallback(routes, None if codes is None else frozenset(codes))


def _target(body: ConfigBody, names: Names, path: Path) -> Target:
    if body.virtual_key is not None:
        return target_of(known_virtual_key(body.virtual_key, names.virtual_keys, (*path, "virtual_key")))
    if body.provider is None:
        message = "name a `provider` or a `virtual_key` here"
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
    return Credential(lambda: key)


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
    return replace(target, place=place_at(target.place, host), inline_host=inline)


def place_at(place: Place, base_url: str) -> Place:
    try:
        origin, prefix = parse_origin(base_url)
    except ValueError as error:
        raise GatewayError(Code.CONFIG_INVALID, f"the custom host cannot be called: {error}") from None
    return replace(place, origin=origin, prefix=prefix.rstrip("/"))


def place_of(row: ProviderRow) -> Place:
    """A provider row, compiled. Raises ValueError if its base URL is none we call."""
    origin, prefix = parse_origin(row.base_url)
    return Place(
        provider=row.id,
        origin=origin,
        prefix=prefix.rstrip("/"),
        auth_header=row.auth_header.encode("ascii"),
        auth_prefix=row.auth_prefix.encode("ascii"),
        stream_usage=row.stream_usage,
        doors=frozenset(Door(door) for door in row.doors),
    )
