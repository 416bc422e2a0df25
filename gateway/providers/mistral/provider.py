"""The adapter of Mistral's API."""

from collections.abc import Mapping
from typing import Any

from gateway.providers.base import Call, Door, Place, Provider, ProviderKey, Translated, Usage
from gateway.providers.body import caller_wants_usage, json_request, parsed_answer
from gateway.providers.embeddings import no_user
from gateway.providers.mistral.answer import to_chat
from gateway.providers.mistral.embeddings import from_embeddings, to_embeddings
from gateway.providers.mistral.errors import chat_error
from gateway.providers.mistral.request import to_completion
from gateway.providers.mistral.stream import CompletionStream


class Mistral(Provider):
    """Source: https://docs.mistral.ai/api (chat, embeddings)."""

    __slots__ = ()

    def request(
        self, call: Call, place: Place, key: ProviderKey | None, overrides: Mapping[str, Any], model: str
    ) -> Translated:
        body = {**call.body, **overrides, "model": model}
        left_out: frozenset[str]
        if call.door is Door.EMBEDDINGS:
            asked, path = to_embeddings(body), "/embeddings"
            left_out = no_user(body)
        else:
            (asked, left_out), path = to_completion(body), "/chat/completions"
        return json_request(call, place, key, path, asked, left_out)

    def answer(self, call: Call, body: bytes) -> tuple[bytes, Usage]:
        parsed = parsed_answer(body)
        return from_embeddings(call, parsed) if call.door is Door.EMBEDDINGS else to_chat(call, parsed)

    def stream(self, call: Call) -> CompletionStream:
        return CompletionStream(call, asks_usage=caller_wants_usage(call))

    def error(self, provider: str, status: int, headers: Mapping[str, str], body: bytes) -> bytes:
        return chat_error(provider, status, headers.get("content-type", ""), body)
