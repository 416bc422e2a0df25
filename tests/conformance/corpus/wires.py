"""Every adapter's wire. A new adapter joins here, and is held to the whole corpus."""

from tests.conformance.corpus import anthropic, azure, bedrock, cohere, gemini, mistral, ollama, openai, vertex
from tests.conformance.corpus.wire import Wire

WIRES: tuple[Wire, ...] = (
    openai.WIRE,
    anthropic.WIRE,
    bedrock.WIRE,
    gemini.WIRE,
    azure.WIRE,
    vertex.WIRE,
    cohere.WIRE,
    mistral.WIRE,
    ollama.WIRE,
)
