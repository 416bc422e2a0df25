"""A workspace's settings, as stored, as sent, and as gateways are told."""

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StringConstraints

from control_plane.web.route import Body
from shared.models.noun import Slug
from shared.models.workspace import InlineRules, ModelAlias

ALIASES_MAX = 1_000
Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Alias(Body):
    virtual_key: Slug
    model: Text


class Inline(Body):
    """What a request may bring along. False also binds every key of the workspace."""

    keys: StrictBool = True
    configs: StrictBool = True
    hosts: StrictBool = True


class WorkspaceSettings(Body):
    default_config: Slug | None = None
    allowed_providers: Annotated[tuple[Text, ...], Field(max_length=200)] | None = None
    """Ids of providers that calls may go to; None: all."""
    inline: Inline = Inline()
    model_aliases: dict[Text, Alias] = Field(default={}, max_length=ALIASES_MAX)
    metadata_keys: Annotated[tuple[Text, ...], Field(max_length=100)] = ()
    """Names of request metadata whose values may leave with the record."""
    record_mode: Literal["standard", "anonymous"] = "standard"

    def inline_rules(self) -> InlineRules:
        return InlineRules(**self.inline.model_dump())

    def aliases(self) -> dict[str, ModelAlias]:
        return {name: ModelAlias(**alias.model_dump()) for name, alias in self.model_aliases.items()}
