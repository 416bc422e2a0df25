"""The adapter of the Gemini API."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from gateway.providers.base import (
    Call,
    Door,
    Place,
    Provider,
    ProviderKey,
    Translated,
    Usage,
)
from gateway.providers.body import caller_wants_usage, json_request, parsed_answer
from gateway.providers.embeddings import no_user
from gateway.providers.gemini.answer import to_chat
from gateway.providers.gemini.embeddings import from_batch, to_batch
from gateway.providers.gemini.errors import chat_error
from gateway.providers.gemini.request import to_content
from gateway.providers.gemini.stream import ContentStream
from gateway.providers.retry_info import retry_after_s


class Gemini(Provider):
    """Source: https://ai.google.dev/api."""

    __slots__ = ()

    def request(
        self, call: Call, place: Place, key: ProviderKey | None, overrides: Mapping[str, Any], model: str
    ) -> Translated:
        body = {**call.body, **overrides}
        model = model.removeprefix("models/")
        if call.door is Door.EMBEDDINGS:
            asked, left_out = to_batch(body, model), no_user(body)
        else:
            asked, left_out = to_content(body, model)
        return json_request(call, place, key, f"/models/{quote(model, safe='')}:{method(call)}", asked, left_out)

    def answer(self, call: Call, body: bytes) -> tuple[bytes, Usage]:
        parsed = parsed_answer(body)
        return from_batch(call, parsed) if call.door is Door.EMBEDDINGS else to_chat(call, parsed)

    def stream(self, call: Call) -> ContentStream:
        return ContentStream(call, asks_usage=caller_wants_usage(call))

    def error(self, provider: str, status: int, headers: Mapping[str, str], body: bytes) -> bytes:
        return chat_error(provider, status, headers.get("content-type", ""), body)

    def retry_after_s(self, body: bytes) -> float | None:
        return retry_after_s(body)


def method(call: Call) -> str:
    if call.door is Door.EMBEDDINGS:
        return "batchEmbedContents"
    return "streamGenerateContent?alt=sse" if call.stream else "generateContent"
