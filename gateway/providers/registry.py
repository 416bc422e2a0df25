"""The adapters there are, by dialect, and the provider rows that need no sync to be known."""

from importlib import resources

from gateway.providers.anthropic.provider import Anthropic
from gateway.providers.azure.provider import Azure
from gateway.providers.base import Provider
from gateway.providers.bedrock.provider import Bedrock
from gateway.providers.cohere.provider import Cohere
from gateway.providers.gemini.provider import Gemini
from gateway.providers.mistral.provider import Mistral
from gateway.providers.ollama.provider import Ollama
from gateway.providers.openai.provider import OpenAI
from gateway.providers.vertex.provider import Vertex
from shared.models.provider import Provider as ProviderRow
from shared.models.provider import parse_table


def adapters() -> dict[str, Provider]:
    return {
        "openai": OpenAI(),
        "anthropic": Anthropic(),
        "bedrock": Bedrock(),
        "gemini": Gemini(),
        "azure": Azure(),
        "vertex": Vertex(),
        "cohere": Cohere(),
        "mistral": Mistral(),
        "ollama": Ollama(),
    }


def built_in_rows() -> dict[str, ProviderRow]:
    """Rows of `shared/data/providers.toml` by id. A faulty table is a fault of the build and raises ValueError."""
    return parse_table(resources.files("shared.data").joinpath("providers.toml").read_text("utf-8"))
