"""A caller's key. Only its keyed hash travels; the key itself was shown once."""

from typing import Literal, get_args

from pydantic import Field

from shared.models.noun import Id, Noun, Slug
from shared.models.workspace import InlineRules

Scope = Literal["completions.write", "explain"]
"""What a key may be allowed to do: call models, and ask where a call would go."""
SCOPES: tuple[Scope, ...] = get_args(Scope)


class ApiKey(Noun):
    workspace: Id
    name: str
    hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Hex of HMAC-SHA256(organisation's hash key, the key's text)."""
    scopes: tuple[str, ...] = ("completions.write",)
    default_config: Slug | None = None
    models: tuple[str, ...] | None = None
    """Model names the key may use, `*` at an end matching any rest; None: all."""
    inline: InlineRules = InlineRules()
    expires_at_ms: int | None = None
    revoked: bool = False
