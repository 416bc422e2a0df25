"""The adapter of Cohere's v2 API."""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.providers.base import Call, Door, Place, Provider, ProviderKey, Translated, Usage
from gateway.providers.body import caller_wants_usage, json_request, parsed_answer, word
from gateway.providers.cohere.answer import to_chat
from gateway.providers.cohere.embeddings import from_embed, to_embed
from gateway.providers.cohere.request import to_chat_v2
from gateway.providers.cohere.stream import ChatStream
from gateway.providers.embeddings import no_user
from gateway.providers.openai.errors import client_error

_TOO_LONG = "too many tokens"


class Cohere(Provider):
    """Source: https://docs.cohere.com/reference (v2 chat and embed)."""

    __slots__ = ()

    sees_results = False

    def request(
        self, call: Call, place: Place, key: ProviderKey | None, overrides: Mapping[str, Any], model: str
    ) -> Translated:
        body = {**call.body, **overrides, "model": model}
        left_out: frozenset[str] = frozenset()
        if call.door is Door.EMBEDDINGS:
            asked, path = to_embed(body), "/embed"
            left_out = no_user(body)
        else:
            (asked, left_out), path = to_chat_v2(body), "/chat"
        return json_request(call, place, key, path, asked, left_out)

    def answer(self, call: Call, body: bytes) -> tuple[bytes, Usage]:
        parsed = parsed_answer(body)
        return from_embed(call, parsed) if call.door is Door.EMBEDDINGS else to_chat(call, parsed)

    def stream(self, call: Call) -> ChatStream:
        return ChatStream(call, asks_usage=caller_wants_usage(call))

    def error(self, provider: str, status: int, headers: Mapping[str, str], body: bytes) -> bytes:
        return client_error(provider, status, headers.get("content-type", ""), _coded(body))


def _coded(body: bytes) -> bytes:
    try:
        parsed: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    if not isinstance(parsed, dict) or _TOO_LONG not in word(parsed.get("message")):
        return body
    try:
        return orjson.dumps({**parsed, "code": "context_length_exceeded"})
    except orjson.JSONEncodeError:  # orjson reads deeper than it writes.
        return body
