"""The adapter of the Messages API."""

from collections.abc import Mapping
from typing import Any

from gateway.providers.anthropic.answer import to_chat
from gateway.providers.anthropic.errors import chat_error
from gateway.providers.anthropic.request import to_message
from gateway.providers.anthropic.stream import MessageStream
from gateway.providers.base import (
    Call,
    Place,
    Provider,
    ProviderKey,
    Translated,
    Usage,
)
from gateway.providers.body import caller_wants_usage, json_request, parsed_answer


class Anthropic(Provider):
    """Source: https://docs.anthropic.com/en/api/messages."""

    __slots__ = ()

    def request(
        self, call: Call, place: Place, key: ProviderKey | None, overrides: Mapping[str, Any], model: str
    ) -> Translated:
        asked, left_out = to_message({**call.body, **overrides, "model": model})
        return json_request(call, place, key, "/messages", asked, left_out)

    def answer(self, call: Call, body: bytes) -> tuple[bytes, Usage]:
        return to_chat(call, parsed_answer(body))

    def stream(self, call: Call) -> MessageStream:
        return MessageStream(call, asks_usage=caller_wants_usage(call))

    def error(self, provider: str, status: int, headers: Mapping[str, str], body: bytes) -> bytes:
        return chat_error(provider, status, headers.get("content-type", ""), body)
