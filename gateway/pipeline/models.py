"""The models a key may call (pure): every listed id works as `model`, just as it stands."""

from typing import Any

from gateway.errors import Code, GatewayError
from gateway.view.view import Caller, VirtualKeyView, WorkspaceView


def list_models(caller: Caller) -> dict[str, Any]:
    """OpenAI's list: aliases, names only one virtual key reaches, and `@slug/model` for the others."""
    workspace = caller.workspace
    rows: dict[str, str] = {}
    for alias, target in workspace.aliases.items():
        owner = workspace.virtual_keys.get(target.virtual_key)
        if owner is not None and _reaches(workspace, owner, target.model):
            rows[alias] = owner.place.provider
    for model, slugs in workspace.listing.items():
        for slug in slugs:
            id_ = model if len(slugs) == 1 and model not in workspace.aliases else f"@{slug}/{model}"
            rows.setdefault(id_, workspace.virtual_keys[slug].place.provider)
    data = [_row(id_, rows[id_]) for id_ in sorted(rows) if caller.may_use(id_) or caller.may_use(_bare(id_))]
    return {"object": "list", "data": data}


def one_model(caller: Caller, id_: str) -> dict[str, Any]:
    """Raises GatewayError 404 naming the model."""
    for row in list_models(caller)["data"]:
        if row["id"] == id_:
            found: dict[str, Any] = row
            return found
    raise GatewayError(Code.MODEL_UNKNOWN, f"the model {id_!r} is not among those this API key may call", param="model")


def _reaches(workspace: WorkspaceView, virtual_key: VirtualKeyView, model: str) -> bool:
    allowed = workspace.allowed_providers
    if allowed is not None and virtual_key.place.provider not in allowed:
        return False
    return virtual_key.models is None or model in virtual_key.models


def _bare(id_: str) -> str:
    return id_.partition("/")[2] if id_.startswith("@") else id_


def _row(id_: str, provider: str) -> dict[str, Any]:
    return {"id": id_, "object": "model", "created": 0, "owned_by": provider}
