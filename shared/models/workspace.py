"""The workspace: where keys, configs and virtual keys live, and what calls in it may do."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.models.noun import Noun, Slug


class ModelAlias(BaseModel):
    """A name callers use, and what stands behind it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    virtual_key: Slug
    model: str = Field(min_length=1, max_length=300)


class InlineRules(BaseModel):
    """What a caller may bring along in a request; None on a key means: as the workspace says."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    keys: bool | None = None
    configs: bool | None = None
    hosts: bool | None = None


class Workspace(Noun):
    slug: Slug
    name: str
    default_config: Slug | None = None
    allowed_providers: tuple[str, ...] | None = None
    """Provider ids calls may go to; None: all."""
    inline: InlineRules = InlineRules(keys=True, configs=True, hosts=True)
    model_aliases: dict[str, ModelAlias] = {}
    metadata_keys: tuple[str, ...] = ()
    """Names of request metadata whose values may leave with the record."""
    record_mode: Literal["standard", "anonymous"] = "standard"
