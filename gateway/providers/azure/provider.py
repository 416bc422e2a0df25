"""The adapter of Azure's OpenAI doors: OpenAI's dialect at addresses and with keys of their own."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from gateway.providers.azure.entra import TenantToken
from gateway.providers.base import Call, Exchange, Place, ProviderKey, Translated
from gateway.providers.openai.provider import OpenAI
from shared.crypto.secret import Secret
from shared.models.credential import EntraForm

_ROOT = "/openai"
"""What a resource's paths begin with."""


class Azure(OpenAI):
    """Source: Azure OpenAI in Foundry Models REST API reference (v1, and the versioned one by deployment)."""

    __slots__ = ()

    def exchange(self, key: ProviderKey) -> Exchange | None:
        return TenantToken(key) if isinstance(key, EntraForm) and key.api_key is None else None

    def request(
        self, call: Call, place: Place, key: ProviderKey | None, overrides: Mapping[str, Any], model: str
    ) -> Translated:
        asked = super().request(call, place, key, overrides, model)
        if not place.template or _ROOT not in asked.target:
            return asked  # A host of the caller's own says the whole way, and so does a row of another shape.

        version = None if key is None or isinstance(key, Secret) else key.words().get("api_version")
        path = asked.target.removeprefix(_prefix(asked.target))
        asked.target = f"{_prefix(asked.target)}{_way(model, version)}{path}" + (
            f"?api-version={quote(version, safe='')}" if version else ""
        )
        return asked


def _prefix(target: str) -> str:
    """What the row's base URL ends with: door paths begin behind it."""
    at = target.index(_ROOT) + len(_ROOT)
    return target[:at]


def _way(model: str, version: str | None) -> str:
    """To the newer API, whose bodies name the deployment, or to a deployment of the older one."""
    return "/v1" if version is None else f"/deployments/{quote(model, safe='')}"
