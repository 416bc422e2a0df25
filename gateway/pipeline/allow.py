"""Whether a call may go where it is about to go (pure): API key, workspace and virtual key each have a say."""

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.errors import Code, GatewayError
from gateway.pipeline.authenticate import require_model
from gateway.pipeline.resolve import effective_model
from gateway.pipeline.resolved import Resolved
from gateway.providers.base import Call
from gateway.view.route import Route, Target, targets_of
from gateway.view.view import Caller


def allow(route: Route, resolved: Resolved, call: Call, caller: Caller) -> None:
    """Every target that the call may come to is allowed. Raises GatewayError 400 or 403 naming what is not."""
    if caller.models is not None:
        for model in _chosen_models(route, resolved):
            require_model(caller, model)
    for target in targets_of(route):
        _check_target(target, call, caller)


def _chosen_models(route: Route, resolved: Resolved) -> Iterator[str]:
    """The models that a config puts in the request's place, where the caller chose the config.

    In a default config they are the administrator's choice, as are those behind an alias.
    """
    if resolved.joined is not None:
        yield from _models(resolved.joined.override_params, resolved.joined.default_params)
    if resolved.chosen:
        for target in targets_of(route):
            yield from _models(target.overrides, target.handling.defaults)


def _models(*parameters: Mapping[str, Any] | None) -> Iterator[str]:
    for given in parameters:
        if given is not None and "model" in given:
            yield given["model"]


def _check_target(target: Target, call: Call, caller: Caller) -> None:
    """Whether key, workspace and virtual key let the target be used. Raises GatewayError."""
    provider = target.place.provider
    model = effective_model(target, call)
    allowed = caller.workspace.allowed_providers
    if allowed is not None and provider not in allowed:
        raise GatewayError(Code.PROVIDER_FORBIDDEN, f"this workspace may not call the provider {provider!r}")
    if not model and (target.models is not None or caller.models is not None):
        _allow_unnamed(target, call, caller)
    elif target.models is not None and model not in target.models:
        message = f"the virtual key @{target.virtual_key} may not use the model {model!r}"
        raise GatewayError(Code.MODEL_FORBIDDEN, message, param="/model")
    if target.own_key and not caller.inline_keys:
        raise GatewayError(
            Code.INLINE_PROVIDER_BLOCKED, "this workspace takes saved provider keys only; name a virtual key"
        )
    if target.inline_host:
        _allow_host(target, caller)
    if call.door not in target.place.doors and (call.dialect is None or not call.dialect.speaks(target.place)):
        raise GatewayError(Code.DOOR_UNSUPPORTED, f"the provider {provider!r} does not offer {call.door.value}")
    if call.passage is not None and not target.adapter.passes:
        raise GatewayError(Code.DOOR_UNSUPPORTED, f"nothing passes through to the provider {provider!r}")


def _allow_unnamed(target: Target, call: Call, caller: Caller) -> None:
    """A request that names no model, where only some may be used."""
    if call.passage is None or not call.passage.runs_model:
        return
    whose = "this API key" if caller.models is not None else f"the virtual key @{target.virtual_key}"
    message = (
        f"{whose} may use certain models only, and none is named where this gateway can check it: as `model` in a body "
        "of JSON, or in a form before its file"
    )
    raise GatewayError(Code.MODEL_FORBIDDEN, message, param="/model")


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
