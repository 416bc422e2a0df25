"""Who serves which `/v1` path: one table for both planes (design section 5)."""

from enum import StrEnum

ADMIN_NOUNS = frozenset(
    "api-keys virtual-keys configs prompts labels collections guardrails integrations providers policies admin scim "
    "secret-references audit-logs analytics model-configs mcp-integrations mcp-servers logs feedback".split()
)
"""First segments after `/v1/` that the control plane owns. They never pass through to a provider."""


class Server(StrEnum):
    GATEWAY = "gateway"
    CONTROL_PLANE = "control_plane"
    PROVIDER = "provider"


GATEWAY_PATHS = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/models"})


def who_serves(path: str) -> Server:
    """Which plane answers `path`; PROVIDER is what would pass through when a target is named."""
    if path in GATEWAY_PATHS or path.startswith("/v1/models/"):
        return Server.GATEWAY
    first = path.removeprefix("/v1/").split("/", 1)[0]
    if path.startswith("/v1/") and first in ADMIN_NOUNS:
        return Server.CONTROL_PLANE
    return Server.PROVIDER
