"""`local.toml`: what the local stack's one workspace holds, as the snapshot command reads it."""

import json
from collections.abc import Iterable
from typing import Any

from embedded.provider_keys import ProviderKey
from shared.crypto.secret import Secret

GATEWAY = "gw_local"
WORKSPACE = "local"
SIMULATOR = "simulator"
SIMULATOR_MODELS = {"sim-chat": "chat", "sim-embed": "embedding"}


def text(*, simulator_url: str, simulator_key: Secret, api_key: Secret, provider_keys: Iterable[ProviderKey]) -> str:
    """TOML with keys in it: the caller writes it to a private file."""
    virtual_keys = [(SIMULATOR, simulator_key), *((found.provider, found.key) for found in provider_keys)]
    tables = [
        _table("", gateway=GATEWAY),
        _table("[organisation]", id="org_local", name="Local"),
        _table("[[providers]]", id=SIMULATOR, name="Simulator", dialect="openai", base_url=f"{simulator_url}/v1"),
        *(_table("[[models]]", provider=SIMULATOR, name=name, type=type_) for name, type_ in SIMULATOR_MODELS.items()),
        _table("[[workspaces]]", id="ws_local", slug=WORKSPACE, name="Local"),
        _table(
            "[[workspaces.api_keys]]",
            id="key_local",
            name="Made by scripts/up",
            key=api_key.reveal_text(),
            default_config="default",
            scopes=["completions.write", "explain"],
        ),
        *(
            _table(
                "[[workspaces.virtual_keys]]",
                slug=provider,
                name=provider,
                provider=provider,
                credential={"api_key": key.reveal_text()},
            )
            for provider, key in virtual_keys
        ),
        _table("[[workspaces.configs]]", slug="default", name="Default", body={"virtual_key": SIMULATOR}),
    ]
    return "\n".join(tables)


def _table(header: str, **values: Any) -> str:
    rows = [f"{name} = {_value(value)}" for name, value in values.items()]
    return "\n".join([header, *rows] if header else rows) + "\n"


def _value(value: Any) -> str:
    """TOML's strings and lists of strings are JSON's here: no text in this file has a control character."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_value(inner)}" for name, inner in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
