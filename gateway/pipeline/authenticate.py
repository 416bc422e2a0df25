"""Who is calling (pure): what begins with `gh_` is ours wherever it stands, everything else is a provider's key."""

from collections.abc import Mapping

from gateway.errors import Code, GatewayError
from gateway.pipeline.known import Known
from gateway.view.view import Caller, ConfigView
from shared.crypto.secret import Secret
from shared.models.virtual_key import fits_a_header

_OURS = "gh_"
_STAY_HERE = ("gh_", "gha_", "ghe_")
"""Callers' keys, admin keys, enrolment tokens: none of them is a provider's, whatever header it stands in."""
_PROVIDER_HEADERS = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
_HEADERS = ("x-portkey-api-key", "x-gatehouse-api-key", *_PROVIDER_HEADERS)


def authenticate(headers: Mapping[str, str], view: ConfigView, now_ms: int, known: Known | None = None) -> Caller:
    """The caller of the one key of ours in `headers`. Raises GatewayError 401, or 400 where two differ."""
    keyed_hash = view.keyed_hash
    if known is not None and known.hashed_by is keyed_hash:
        api_key_hash = known.api_key_hash
    else:
        api_key_hash = keyed_hash(_our_key(headers))
        if known is not None:
            known.hashed_by, known.api_key_hash = keyed_hash, api_key_hash
    caller = view.callers.get(api_key_hash)
    if caller is None or caller.revoked:
        message = "this Gatehouse API key is not valid here; check how it is written"
        raise GatewayError(Code.API_KEY_INVALID, message)
    if caller.expires_at_ms is not None and now_ms >= caller.expires_at_ms:
        raise GatewayError(Code.API_KEY_EXPIRED, "this Gatehouse API key has expired; ask for a new one")
    return caller


def require_scope(caller: Caller, scope: str) -> None:
    if scope not in caller.scopes:
        raise GatewayError(Code.SCOPE_MISSING, f"this API key lacks the scope `{scope}`")


def require_model(caller: Caller, model: str) -> None:
    if caller.models is None or caller.may_use(model):
        return
    if model.startswith("@") and caller.may_use(model.partition("/")[2]):
        return
    raise GatewayError(Code.MODEL_FORBIDDEN, f"this API key may not use the model {model!r}", param="/model")


def provider_key(headers: Mapping[str, str]) -> Secret | None:
    """The caller's own provider key, if one stands in a provider's header. Raises GatewayError 400 if it is none."""
    for name in _PROVIDER_HEADERS:
        value = headers.get(name)
        if value is None or is_ours(value) or not (bare := _bare(value)):
            continue
        key = Secret(bare.encode("utf-8", "surrogateescape"))
        if not fits_a_header(key):
            message = f"the provider's key in `{name}` is not visible ASCII"
            raise GatewayError(Code.HEADER_INVALID, message, param=name)
        return key
    return None


def is_ours(value: str) -> bool:
    """Whether a header's value holds a key or token of ours, which never leaves."""
    return _bare(value).startswith(_STAY_HERE)


def _our_key(headers: Mapping[str, str]) -> str:
    found: str | None = None
    for name in _HEADERS:
        value = headers.get(name)
        if value is None or not (bare := _bare(value)).startswith(_OURS):
            continue
        if found is not None and bare != found:
            message = "two different Gatehouse API keys came with this request; send one"
            raise GatewayError(Code.API_KEYS_CONFLICT, message)
        found = bare
    if found is None:
        raise GatewayError(
            Code.API_KEY_MISSING,
            "no Gatehouse API key came with this request: send `Authorization: Bearer gh_…` or `x-portkey-api-key`",
        )
    return found


def _bare(value: str) -> str:
    """The key in a header's value: its last word, so that ours is known as ours behind any scheme and any blank."""
    words = value.split()
    return words[-1] if words and words[-1].lower() != "bearer" else ""
