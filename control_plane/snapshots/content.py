"""What a gateway shall know, in nouns, before it is sealed; and the proof that nothing in it points nowhere."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

from control_plane.snapshots.errors import BuildError, at
from shared.crypto.secret import Secret
from shared.models.api_key import ApiKey
from shared.models.config import Config, ConfigBody, ConfigError, parse_config, slug_in
from shared.models.model import Model
from shared.models.organisation import Organisation
from shared.models.price import OwnPrice
from shared.models.provider import Provider
from shared.models.virtual_key import VirtualKey
from shared.models.workspace import Workspace

_Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class VirtualKeyDraft:
    noun: VirtualKey
    """Its `credential` is empty until it is sealed."""
    credential: Secret = field(repr=False)
    """The credential's JSON."""


@dataclass(frozen=True, slots=True)
class WorkspaceContent:
    workspace: Workspace
    api_keys: tuple[ApiKey, ...] = ()
    virtual_keys: tuple[VirtualKeyDraft, ...] = ()
    configs: tuple[Config, ...] = ()


@dataclass(frozen=True, slots=True)
class Content:
    gateway: str
    organisation: Organisation
    providers: tuple[Provider, ...]
    models: tuple[Model, ...]
    workspaces: tuple[WorkspaceContent, ...]
    prices: tuple[OwnPrice, ...] = ()
    """The organisation's own."""


def check(content: Content) -> None:
    """Every name is there once and every reference finds what it names. Raises BuildError at the first fault."""
    _unique(((("providers", i, "id"), p.id) for i, p in enumerate(content.providers)))
    _unique(((("models", i, "name"), m.id) for i, m in enumerate(content.models)))
    _unique(((("prices", i, "id"), p.id) for i, p in enumerate(content.prices)))
    _unique(((("prices", i), (p.provider, p.model, p.valid_from)) for i, p in enumerate(content.prices)), show=False)
    _unique(((("workspaces", i, "id"), w.workspace.id) for i, w in enumerate(content.workspaces)))
    _unique(((("workspaces", i, "slug"), w.workspace.slug) for i, w in enumerate(content.workspaces)))
    keys = [
        (("workspaces", i, "api_keys", j), key)
        for i, workspace in enumerate(content.workspaces)
        for j, key in enumerate(workspace.api_keys)
    ]
    _unique((((*path, "id"), key.id) for path, key in keys))
    _unique((((*path, "key"), key.hash) for path, key in keys), show=False)
    for index, workspace in enumerate(content.workspaces):
        _check_workspace(("workspaces", index), workspace)


def _check_workspace(path: _Path, content: WorkspaceContent) -> None:
    _unique((((*path, "virtual_keys", i, "id"), v.noun.id) for i, v in enumerate(content.virtual_keys)))
    _unique((((*path, "virtual_keys", i, "slug"), v.noun.slug) for i, v in enumerate(content.virtual_keys)))
    _unique((((*path, "configs", i, "id"), c.id) for i, c in enumerate(content.configs)))
    _unique((((*path, "configs", i, "slug"), c.slug) for i, c in enumerate(content.configs)))
    virtual_keys = {draft.noun.slug for draft in content.virtual_keys}
    configs = {config.slug for config in content.configs}
    _find((*path, "default_config"), content.workspace.default_config, configs, "config")
    for name, alias in content.workspace.model_aliases.items():
        _find((*path, "model_aliases", name, "virtual_key"), alias.virtual_key, virtual_keys, "virtual key")
    for index, key in enumerate(content.api_keys):
        _find((*path, "api_keys", index, "default_config"), key.default_config, configs, "config")
    for index, config in enumerate(content.configs):
        _check_body((*path, "configs", index, "body"), config, virtual_keys)


def _check_body(path: _Path, config: Config, virtual_keys: set[str]) -> None:
    try:
        body = parse_config(config.body)
    except ConfigError as error:
        inner, message = error.faults[0]
        raise BuildError(at(*path, *inner), message) from None
    _check_node(path, body, virtual_keys)


def _check_node(path: _Path, node: ConfigBody, virtual_keys: set[str], model: Any = None, *, root: bool = True) -> None:
    _find((*path, "virtual_key"), node.virtual_key, virtual_keys, "virtual key")
    if node.provider is not None and node.provider.startswith("@"):
        _find((*path, "provider"), node.provider[1:], virtual_keys, "virtual key")
    model = (node.override_params or {}).get("model", model)
    for index, target in enumerate(node.targets or ()):
        _check_node((*path, "targets", index), target, virtual_keys, model, root=False)
    if not (root or node.targets or node.provider or node.virtual_key or node.passthrough):
        _find((*path, "override_params", "model"), slug_in(model), virtual_keys, "virtual key")


def _find(path: _Path, name: str | None, known: set[str], what: str) -> None:
    if name is None or name in known:
        return
    listed = ", ".join(f'"{other}"' for other in sorted(known)) or "none"
    raise BuildError(at(*path), f'no {what} "{name}" in this workspace (there are: {listed})')


def _unique(named: Iterable[tuple[_Path, Hashable]], *, show: bool = True) -> None:
    seen: dict[Hashable, _Path] = {}
    for path, name in named:
        if name in seen:
            shown = f' "{name}"' if show else ""
            raise BuildError(at(*path), f"the same{shown} as {at(*seen[name])}")
        seen[name] = path
