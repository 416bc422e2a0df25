"""The adapters there are, by dialect, and the provider rows that need no sync to be known."""

import tomllib
from importlib import resources

from gateway.providers.base import Provider
from gateway.providers.openai.provider import OpenAI
from shared.models.provider import Provider as ProviderRow


def adapters() -> dict[str, Provider]:
    return {"openai": OpenAI()}


def built_in_rows() -> dict[str, ProviderRow]:
    """Rows of `openai_compatible/table.toml` by id. A faulty table is a fault of the build and raises at start."""
    text = resources.files("gateway.providers.openai_compatible").joinpath("table.toml").read_text("utf-8")
    return {id_: ProviderRow(id=id_, **row) for id_, row in tomllib.loads(text).items()}
