"""Which target a call goes to (pure): the original's four ways with its precedence, then a bare model name.

1. a config in the header, 2. a virtual key in the header, 3. a provider in the header (`@slug`, or bare with the
caller's own key), 4. `@slug/model` in the body, 5. a bare model name: the workspace's alias, else the only virtual key
that lists it, else the key's default config. A config without targets joins what the other ways name.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import orjson

from gateway.errors import Code, Fault, GatewayError
from gateway.pipeline.authenticate import provider_key
from gateway.pipeline.exchange import own_header
from gateway.providers.base import Call
from gateway.view.plan import Names, at_host, compile_route, known, known_provider, known_virtual_key, target_of
from gateway.view.route import Fallback, Route, Target, targets_of
from gateway.view.view import Caller, ConfigEntry
from shared.models.config import ConfigBody, ConfigError, parse_config

_JSON_BEGINS = ("{", "[", '"')
"""What begins so is meant as JSON: it is never repeated in an error, since a key may stand in it."""


class Way(StrEnum):
    """How the target was named; the word in the record."""

    CONFIG = "config"
    INLINE_CONFIG = "inline_config"
    VIRTUAL_KEY = "virtual_key"
    PROVIDER = "provider"
    MODEL = "model"
    ALIAS = "alias"
    LISTING = "listing"
    DEFAULT_CONFIG = "default_config"


@dataclass(slots=True)  # Made for each call: frozen, it would cost four times as much to make.
class Resolved:
    route: Route
    way: Way
    config: ConfigEntry | None
    """The saved config that applied, whether it named the target or joined it."""


@dataclass(slots=True)  # Likewise.
class _Given:
    """A config that applies: its body, its route if it names targets, and the entry of a saved one."""

    body: ConfigBody
    route: Route | None
    entry: ConfigEntry | None = None

    @property
    def inline(self) -> bool:
        return self.entry is None


def resolve(headers: Mapping[str, str], call: Call, caller: Caller) -> Resolved:
    """The route of a call, every target of it allowed. Raises GatewayError 400 or 403 naming what is wrong."""
    _check_requested_model(call, caller)
    default = _default(caller)
    config = _config(headers, caller)
    applied = config
    if config is not None and config.route is not None:
        route, way = config.route, Way.INLINE_CONFIG if config.inline else Way.CONFIG
    else:
        route, way = _named(headers, call, caller, default)
        if way is Way.DEFAULT_CONFIG:
            applied = default
        joining = config if config is not None else default
        if joining is not None and joining.route is None:
            route, applied = _joined(route, joining), joining
    host = own_header(headers, "custom-host")
    if host is not None:
        route = _map(route, lambda target: at_host(target, host, inline=True))
    if config is not None and (default is None or config.body is not default.body):
        _check_chosen_models(config, caller)
    for target in targets_of(route):
        _check_allowed(target, call, caller)
    return Resolved(route, way, applied.entry if applied is not None else None)


def effective_model(target: Target, call: Call) -> str:
    """The model that goes to the provider, without the `@slug/` of the target's own virtual key.

    Raises GatewayError 400 if none is named anywhere.
    """
    model: str | None = (target.overrides or {}).get("model") or target.model or call.body.get("model")
    if model is not None and model.startswith("@"):
        model = model.removeprefix(f"@{target.virtual_key}/")
    if not model:
        raise GatewayError(Code.MODEL_MISSING, "name a `model`", param="/model")
    return model


def _config(headers: Mapping[str, str], caller: Caller) -> _Given | None:
    text = own_header(headers, "config")
    if text is None:
        return None
    if text.lstrip()[:1] not in _JSON_BEGINS:
        entry = caller.workspace.configs.get(text.strip())
        if entry is None:
            raise GatewayError(
                Code.SLUG_UNKNOWN, f"no config {text.strip()!r} in this workspace", param="x-portkey-config"
            )
        return _Given(entry.body, entry.route, entry)
    if not caller.inline_configs:
        raise GatewayError(
            Code.INLINE_CONFIG_BLOCKED,
            "this workspace takes saved configs only; save the config and name its slug",
            param="x-portkey-config",
        )
    return _inline(text, caller)


def _inline(text: str, caller: Caller) -> _Given:
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise GatewayError(
            Code.CONFIG_INVALID,
            f"the config in the header is not JSON: {error.msg} at line {error.lineno}, column {error.colno}",
            param="x-portkey-config",
        ) from None
    try:
        body = parse_config(data)
    except ConfigError as error:
        raise GatewayError(
            Code.CONFIG_INVALID,
            f"the config cannot work: {error}",
            param="x-portkey-config",
            faults=tuple(Fault(path, message) for path, message in error.faults),
        ) from None
    names = Names(caller.workspace.virtual_keys, caller.workspace.providers, inline=True)
    return _Given(body, compile_route(body, names) if body.names_a_target else None)


def _default(caller: Caller) -> _Given | None:
    """The config of the caller's key, else of its workspace."""
    if caller.default_config is None:
        return None
    entry = caller.workspace.configs.get(caller.default_config)
    if entry is None:
        raise GatewayError(Code.SLUG_UNKNOWN, f"this key's default config {caller.default_config!r} is not in use here")
    return _Given(entry.body, entry.route, entry)


def _joined(route: Route, config: _Given) -> Route:
    """A config without targets laid over the route that the other ways named."""
    body, inline = config.body, config.inline
    if body.override_params is None and body.custom_host is None:
        return route

    def join(target: Target) -> Target:
        overrides = {**(target.overrides or {}), **(body.override_params or {})}
        target = replace(target, overrides=overrides or None)
        return target if body.custom_host is None else at_host(target, body.custom_host, inline=inline)

    return _map(route, join)


def _named(headers: Mapping[str, str], call: Call, caller: Caller, default: _Given | None) -> tuple[Route, Way]:
    workspace = caller.workspace
    slug = own_header(headers, "virtual-key")
    if slug is not None:
        virtual_key = known_virtual_key(slug.strip().removeprefix("@"), workspace.virtual_keys)
        return target_of(virtual_key), Way.VIRTUAL_KEY
    provider = own_header(headers, "provider")
    if provider is not None:
        provider = provider.strip()
        if provider.startswith("@"):
            return target_of(known_virtual_key(provider[1:], workspace.virtual_keys)), Way.PROVIDER
        found = known_provider(provider, workspace.providers)
        key = provider_key(headers)
        if key is None:
            raise GatewayError(
                Code.PROVIDER_KEY_MISSING,
                f"the provider {provider!r} was named without a key of it: send the provider's own key in "
                "`Authorization` and your Gatehouse key in `x-portkey-api-key`, or name a saved one as `@slug`",
                param="x-portkey-provider",
            )
        return Target("config", found.place, found.adapter, known(key), own_key=True), Way.PROVIDER
    model = call.body.get("model")
    if isinstance(model, str) and model.startswith("@"):
        slug, slash, rest = model[1:].partition("/")
        if not slash or not rest:
            raise GatewayError(Code.BODY_INVALID, f"`model` {model!r} lacks the model: `@slug/model`", param="/model")
        return target_of(known_virtual_key(slug, workspace.virtual_keys)), Way.MODEL
    return _bare(model, caller, default)


def _bare(model: Any, caller: Caller, default: _Given | None) -> tuple[Route, Way]:
    workspace = caller.workspace
    alias = workspace.aliases.get(model) if isinstance(model, str) else None
    if alias is not None:
        target = target_of(known_virtual_key(alias.virtual_key, workspace.virtual_keys))
        return replace(target, model=alias.model), Way.ALIAS
    listing = workspace.listing.get(model, ()) if isinstance(model, str) else ()
    chosen = default.route if default is not None else None
    # A default config that reaches the very virtual key knows better how to: it may fall back or change the request.
    if len(listing) == 1 and (chosen is None or all(t.virtual_key != listing[0] for t in targets_of(chosen))):
        return target_of(workspace.virtual_keys[listing[0]]), Way.LISTING
    if chosen is not None:
        return chosen, Way.DEFAULT_CONFIG
    if listing:
        candidates = ", ".join(f"@{slug}/{model}" for slug in listing)
        message = f"the model {model!r} can be reached in several ways; name one: {candidates}"
        raise GatewayError(Code.MODEL_AMBIGUOUS, message, param="/model")
    subject = f"nothing in this workspace lists the model {model!r}" if model else "no `model` and no target is named"
    message = f"{subject}; name a target: `@slug/model` as the model, a virtual key, a provider or a config"
    raise GatewayError(Code.TARGET_MISSING, message, param="/model")


def _check_requested_model(call: Call, caller: Caller) -> None:
    model = call.body.get("model")
    if model is not None:
        _check_model(model, caller)


def _check_chosen_models(config: _Given, caller: Caller) -> None:
    """The models that a config puts in the request's place, where the caller chose the config.

    In a default config they are the administrator's choice, as are those behind an alias.
    """
    for overrides in _overrides(config):
        if "model" in overrides:
            _check_model(overrides["model"], caller)


def _overrides(config: _Given) -> Iterator[Mapping[str, Any]]:
    if config.route is None:
        yield config.body.override_params or {}
        return
    for target in targets_of(config.route):
        yield target.overrides or {}


def _check_model(model: str, caller: Caller) -> None:
    if caller.models is None or caller.may_use(model):
        return
    if model.startswith("@") and caller.may_use(model.partition("/")[2]):
        return
    raise GatewayError(Code.MODEL_FORBIDDEN, f"this API key may not use the model {model!r}", param="/model")


def _check_allowed(target: Target, call: Call, caller: Caller) -> None:
    """Whether key, workspace and virtual key let the target be used. Raises GatewayError."""
    provider = target.place.provider
    model = effective_model(target, call)
    allowed = caller.workspace.allowed_providers
    if allowed is not None and provider not in allowed:
        raise GatewayError(Code.PROVIDER_FORBIDDEN, f"this workspace may not call the provider {provider!r}")
    if target.models is not None and model not in target.models:
        message = f"the virtual key @{target.virtual_key} may not use the model {model!r}"
        raise GatewayError(Code.MODEL_FORBIDDEN, message, param="/model")
    if target.own_key and not caller.inline_keys:
        raise GatewayError(
            Code.INLINE_PROVIDER_BLOCKED, "this workspace takes saved provider keys only; name a virtual key"
        )
    if target.inline_host:
        _allow_host(target, caller)
    if call.door not in target.place.doors:
        raise GatewayError(Code.DOOR_UNSUPPORTED, f"the provider {provider!r} does not offer {call.door.value}")


def _allow_host(target: Target, caller: Caller) -> None:
    if not caller.inline_hosts:
        raise GatewayError(
            Code.INLINE_CUSTOM_HOST_BLOCKED, "this workspace takes saved hosts only; put the host into a virtual key"
        )
    if target.credential is not None and not target.own_key:
        # Else whoever may call could have the stored provider key sent to a host of his own.
        owner = f"@{target.virtual_key}" if target.virtual_key is not None else "the config"
        raise GatewayError(
            Code.INLINE_CUSTOM_HOST_BLOCKED,
            f"the stored key of {owner} is not sent to a host that a request names; "
            "save the host in the virtual key or in the config",
        )


def _map(route: Route, change: Callable[[Target], Target]) -> Route:
    if isinstance(route, Fallback):
        return replace(route, routes=tuple(_map(child, change) for child in route.routes))
    return change(route)
