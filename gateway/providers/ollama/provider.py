"""The adapter of Ollama's own API."""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.providers.base import (
    EVENT_STREAM,
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
from gateway.providers.ollama.answer import to_chat
from gateway.providers.ollama.embeddings import from_embed, to_embed
from gateway.providers.ollama.request import to_api_chat
from gateway.providers.ollama.stream import ChatLines
from gateway.providers.openai.errors import client_error

LINES_TYPE = "application/x-ndjson"
_TOO_LONG = "exceeds the context length"


class Ollama(Provider):
    """Source: https://docs.ollama.com/api (chat, embed)."""

    stream_type = LINES_TYPE
    sees_results = False

    def request(
        self, call: Call, place: Place, key: ProviderKey | None, overrides: Mapping[str, Any], model: str
    ) -> Translated:
        body = {**call.body, **overrides, "model": model}
        left_out: frozenset[str]
        if call.door is Door.EMBEDDINGS:
            asked, path = to_embed(body), "/api/embed"
            left_out = no_user(body)
        else:
            (asked, left_out), path = to_api_chat(body), "/api/chat"
        said = json_request(call, place, key, path, asked, left_out)
        if call.stream:
            said.headers = said.headers.replace(EVENT_STREAM.encode(), LINES_TYPE.encode(), 1)
        return said

    def answer(self, call: Call, body: bytes) -> tuple[bytes, Usage]:
        parsed = parsed_answer(body)
        return from_embed(call, parsed) if call.door is Door.EMBEDDINGS else to_chat(call, parsed)

    def stream(self, call: Call) -> ChatLines:
        return ChatLines(call, asks_usage=caller_wants_usage(call))

    def error(self, provider: str, status: int, headers: Mapping[str, str], body: bytes) -> bytes:
        return client_error(provider, status, headers.get("content-type", ""), _coded(body))


def _coded(body: bytes) -> bytes:
    try:
        parsed: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    message = parsed.get("error") if isinstance(parsed, dict) else None
    if not isinstance(message, str) or _TOO_LONG not in message:
        return body
    return orjson.dumps({"error": {"message": message, "code": "context_length_exceeded"}})
