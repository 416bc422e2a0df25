"""Which target a call goes to (pure): the original's four ways with its precedence, then a bare model name.

1. a config in the header, 2. a virtual key in the header, 3. a provider in the header (`@slug`, or bare with the
caller's own key), 4. `@slug/model` in the body, 5. a bare model name: the workspace's alias, else the only virtual key
that lists it, else the key's default config. A config without targets joins what the other ways name.

What the headers say of a call's handling wins over any config. Whether its targets may be used is asked in `allow.py`,
when conditions have been decided.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import orjson
from msgspec.structs import replace

from gateway.errors import Code, Fault, GatewayError
from gateway.pipeline.authenticate import provider_key, require_model
from gateway.pipeline.exchange import own_header
from gateway.pipeline.resolved import Resolved, Way
from gateway.providers.base import Call
from gateway.view.plan import (
    Names,
    at_host,
    compile_route,
    handled,
    handled_so,
    known,
    known_provider,
    known_virtual_key,
    target_of,
)
from gateway.view.route import Handling, Passthrough, Retry, Route, Target, mapped, targets_of
from gateway.view.view import Caller, ConfigEntry
from shared.models.config import ConfigBody, ConfigError, parse_config, slug_in
from shared.models.forward_headers import NAMES_MAX, forwardable
from shared.models.strategy import RETRIED, RETRIES_MAX

TIMEOUT_MS_DIGITS_MAX = 8

_GUARDRAILS = ("default-input-guardrails", "default-output-guardrails")
_HANDLING = frozenset(
    f"x-{whose}-{word}"
    for whose in ("portkey", "gatehouse")
    for word in ("custom-host", "request-timeout", "retry-count", "forward-headers", *_GUARDRAILS)
)
"""Most calls have none of these, and one look is enough to know."""
_JSON_BEGINS = ("{", "[", '"')
"""What begins so is meant as JSON: it is never repeated in an error, since a key may stand in it."""


class _Given(msgspec.Struct):
    """A config that applies: its body, its route if it names targets, and the entry of a saved one."""

    body: ConfigBody
    route: Route | None
    owner: str
    entry: ConfigEntry | None = None

    @property
    def inline(self) -> bool:
        return self.entry is None


def resolve(headers: Mapping[str, str], call: Call, caller: Caller) -> Resolved:
    """What the call may come to. Raises GatewayError 400 or 403 naming what is wrong."""
    model = call.model
    if model is not None:
        require_model(caller, model)
    default = _default(caller)
    config = _config(headers, caller)
    chosen = config is not None and (default is None or config.body is not default.body)
    joined: ConfigBody | None = None
    applied = config
    if config is not None and config.route is not None:
        route, way = config.route, Way.INLINE_CONFIG if config.inline else Way.CONFIG
    else:
        joining = config if config is not None else default
        joining = joining if joining is not None and joining.route is None else None
        route, way = _named(headers, call, caller, default, joining)
        if way is Way.DEFAULT_CONFIG:
            applied = default
        if joining is not None:
            route, applied = _joined(route, joining), joining
            joined = joining.body if chosen else None
        chosen = False
    if not isinstance(route, Target):
        route = _passed_through(route, headers, call, caller)
    route = _with_headers(route, headers, caller)
    return Resolved(route, way, applied.entry if applied is not None else None, chosen, joined)


def effective_model(target: Target, call: Call) -> str:
    """The model that goes to the provider, without the `@slug/` of the target's own virtual key.

    Empty if a request that passes through names none. Raises GatewayError 400 if another one does not.
    """
    if not call.is_object and "model" not in call.body:
        return ""  # Nor can a config put one into it.
    model: str | None = (target.overrides or {}).get("model") or target.model or call.model
    if model is None and target.handling.defaults is not None:
        model = target.handling.defaults.get("model")
    if model is not None and model.startswith("@"):
        model = model.removeprefix(f"@{target.virtual_key}/")
    if not model and call.passage is None:
        raise GatewayError(Code.MODEL_MISSING, "name a `model`", param="/model")
    return model or ""


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
        return _Given(entry.body, entry.route, entry.owner, entry)
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
    names = Names(caller.workspace.virtual_keys, caller.workspace.providers, inline=True, owner=caller.workspace.id)
    return _Given(body, compile_route(body, names) if body.names_a_target else None, names.owner)


def _default(caller: Caller) -> _Given | None:
    """The config of the caller's key, else of its workspace."""
    if caller.default_config is None:
        return None
    entry = caller.workspace.configs.get(caller.default_config)
    if entry is None:
        raise GatewayError(Code.SLUG_UNKNOWN, f"this key's default config {caller.default_config!r} is not in use here")
    return _Given(entry.body, entry.route, entry.owner, entry)


def _joined(route: Route, config: _Given) -> Route:
    """A config without targets laid over the route that the other ways named."""
    body = config.body

    def join(leaf: Target | Passthrough) -> Target | Passthrough:
        overrides = {**(leaf.overrides or {}), **(body.override_params or {})} or None
        handling = handled(body, leaf.handling)
        if isinstance(leaf, Passthrough):
            return replace(leaf, overrides=overrides, handling=handling, host=body.custom_host or leaf.host)
        target = handled_so(replace(leaf, overrides=overrides), handling, config.owner)
        return target if body.custom_host is None else at_host(target, body.custom_host, inline=config.inline)

    return mapped(route, join)


def _passed_through(route: Route, headers: Mapping[str, str], call: Call, caller: Caller) -> Route:
    """The route with the target that the request names wherever the config passes that on to it."""
    named: Target | None = None

    def fill(leaf: Target | Passthrough) -> Target | Passthrough:
        nonlocal named
        if isinstance(leaf, Target):
            return leaf
        if named is None:
            found, _ = _named(headers, call, caller, None, None)
            assert isinstance(found, Target), "without a default config, whatever is named is one target"
            named = found
        target = handled_so(
            replace(named, path=leaf.path, overrides=leaf.overrides), leaf.handling, caller.workspace.id
        )
        return target if leaf.host is None else at_host(target, leaf.host, inline=leaf.inline)

    return mapped(route, fill)


def _with_headers(route: Route, headers: Mapping[str, str], caller: Caller) -> Route:
    """The route as the headers want it handled: their host, their timeout, their retries."""
    if _HANDLING.isdisjoint(headers):
        return route
    for word in _GUARDRAILS:
        if own_header(headers, word) is not None:
            name = f"x-portkey-{word}"
            message = f"`{name}` asks for guardrails, which this version does not have; remove it"
            raise GatewayError(Code.HEADER_INVALID, message, param=name)
    host = own_header(headers, "custom-host")
    timeout = own_header(headers, "request-timeout")
    retries = own_header(headers, "retry-count")
    forwarded = own_header(headers, "forward-headers")
    if host is not None:
        at = host
        route = mapped(route, lambda leaf: at_host(leaf, at, inline=True) if isinstance(leaf, Target) else leaf)
    if timeout is None and retries is None and forwarded is None:
        return route
    given: dict[str, Any] = {}
    if timeout is not None:
        given["timeout_ms"] = _number(timeout, "x-portkey-request-timeout", 1)
    if forwarded is not None:
        given["forward_headers"] = _forwarded(forwarded, caller)
    retry = None if retries is None else _retry(_number(retries, "x-portkey-retry-count", 0))

    def handle(leaf: Target | Passthrough) -> Target | Passthrough:
        handling: Handling = replace(leaf.handling, **given)
        if retry is not None and handling.retry is None:  # It is the older word; a config's own is more exact.
            handling = replace(handling, retry=retry)
        return replace(leaf, handling=handling)

    return mapped(route, handle)


def _number(text: str, name: str, least: int) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdecimal() and len(text) <= TIMEOUT_MS_DIGITS_MAX and int(text) >= least):
        message = f"`{name}` is a whole number from {least} up, of at most {TIMEOUT_MS_DIGITS_MAX} digits"
        raise GatewayError(Code.HEADER_INVALID, message, param=name)
    return int(text)


def _retry(attempts: int) -> Retry | None:
    return Retry(min(attempts, RETRIES_MAX), frozenset(RETRIED)) if attempts else None


def _forwarded(text: str, caller: Caller) -> tuple[str, ...]:
    name = "x-portkey-forward-headers"
    if not caller.inline_configs:
        message = "this workspace takes saved configs only; name the headers to forward in one"
        raise GatewayError(Code.INLINE_FORWARD_HEADERS_BLOCKED, message, param=name)
    names = [part for part in text.split(",") if part.strip()]
    if len(names) > NAMES_MAX:
        raise GatewayError(Code.HEADER_INVALID, f"`{name}` names more than {NAMES_MAX} headers", param=name)
    try:
        return tuple(dict.fromkeys(map(forwardable, names)))
    except ValueError as error:
        raise GatewayError(Code.HEADER_INVALID, f"`{name}`: {error}", param=name) from None


def _named(
    headers: Mapping[str, str], call: Call, caller: Caller, default: _Given | None, joining: _Given | None
) -> tuple[Route, Way]:
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
        own_host = own_header(headers, "custom-host") or (joining is not None and joining.body.custom_host)
        if key is None and not own_host and found.credential_form != "optional_api_key":
            raise GatewayError(
                Code.PROVIDER_KEY_MISSING,
                f"the provider {provider!r} was named without a key of it: send the provider's own key in "
                "`Authorization` and your Gatehouse key in `x-portkey-api-key`, or name a saved one as `@slug`",
                param="x-portkey-provider",
            )
        credential = None if key is None else known(key)
        return Target("config", found.place, found.adapter, credential, own_key=True), Way.PROVIDER
    model = _model(call, joining)
    if isinstance(model, str) and model.startswith("@"):
        slug, slash, rest = model[1:].partition("/")
        if not slash or not rest:
            raise GatewayError(Code.BODY_INVALID, f"`model` {model!r} lacks the model: `@slug/model`", param="/model")
        return target_of(known_virtual_key(slug, workspace.virtual_keys)), Way.MODEL
    return _bare(model, caller, default)


def _model(call: Call, joining: _Given | None) -> Any:
    """The model that names a target: the one a config puts in its place if that says where, else the caller's."""
    override = (joining.body.override_params or {}).get("model") if joining is not None else None
    if slug_in(override):
        return override
    return call.model


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
