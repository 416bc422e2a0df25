"""The adapter of OpenAI's dialect, for OpenAI itself and every host that speaks it."""

from collections.abc import Mapping
from typing import Any

from gateway.providers.base import (
    Call,
    Door,
    Heads,
    Place,
    PlaceWords,
    Provider,
    ProviderKey,
    Translated,
    Usage,
    address,
    request_headers,
)
from gateway.providers.body import caller_wants_usage, dumped, parsed_answer
from gateway.providers.estimate import settled
from gateway.providers.openai.content import content_bytes
from gateway.providers.openai.errors import client_error
from gateway.providers.openai.quirks import fitted
from gateway.providers.openai.stream import OpenAIStream
from gateway.providers.openai.usage import usage_read
from gateway.providers.retry_info import retry_after_s
from gateway.upstream.messages import Deadlines, RequestHead, UpstreamRequest
from shared.crypto.secret import Secret

_PATHS = {Door.CHAT: "/chat/completions", Door.COMPLETIONS: "/completions", Door.EMBEDDINGS: "/embeddings"}
_NO_OVERRIDES: Mapping[str, Any] = {}
_NOTHING: frozenset[str] = frozenset()


class OpenAI(Provider):
    """Source: https://platform.openai.com/docs/api-reference (chat, completions, embeddings)."""

    __slots__ = ()

    sees_results = False
    reads_lists = False

    def request(
        self, call: Call, place: Place, key: ProviderKey | None, overrides: Mapping[str, Any], model: str
    ) -> Translated:
        body, left_out = _changed(call, place, overrides, model), _NOTHING
        if place.quirks is not None:
            body, left_out = fitted(body, place.quirks)
        origin, prefix = address(place, key)
        return Translated(
            target=prefix + _PATHS[call.door],
            origin=origin,
            headers=request_headers(call, place, key),
            body=call.raw if body is call.body else dumped(body),
            left_out=left_out,
        )

    def plain_request(
        self, call: Call, place: Place, key: ProviderKey | None, model: str, deadlines: Deadlines, heads: Heads
    ) -> UpstreamRequest | None:
        place_words = place.plain_words
        if (place_words is None and (place_words := _unspoken(call, place)) is None) or type(self) is not OpenAI:
            return None  # Whoever speaks the dialect with an accent of its own has its own `request`.
        door, stream = call.door, call.stream
        words = (door, stream, call.forwarded, place_words)
        head = heads.kept.get(words)
        if head is None and not (key is None or isinstance(key, Secret)):
            return None
        body, few = call.raw, call.few
        adds_usage = stream and place.stream_usage and not caller_wants_usage(call)
        if adds_usage or (call.body.get("model") if few is None else few.model) != model:
            changed = _changed(call, place, _NO_OVERRIDES, model)
            body = call.raw if changed is call.body else dumped(changed)
        if head is None:
            head = RequestHead("POST", place.prefix + _PATHS[door], request_headers(call, place, key))
            heads.made(words, head)
        return UpstreamRequest(place.origin, head, body, deadlines)

    def answer(self, call: Call, body: bytes) -> tuple[bytes, Usage]:
        said = usage_read(body, call.door)
        if said is None or said.input_tokens is None or said.output_tokens is None:
            said = settled(said, call, content_bytes(parsed_answer(body)))
        return body, said

    def stream(self, call: Call) -> OpenAIStream:
        return OpenAIStream(call, drops_usage=not caller_wants_usage(call))

    def error(self, provider: str, status: int, headers: Mapping[str, str], body: bytes) -> bytes:
        return client_error(provider, status, headers.get("content-type", ""), body)

    def retry_after_s(self, body: bytes) -> float | None:
        """Hosts that are Google's say it in this dialect's bodies as in their own."""
        return retry_after_s(body)


def _unspoken(call: Call, place: Place) -> PlaceWords | None:
    """The words of a place that has nothing to say to this body: it holds no name of what would be left out of it."""
    if place.unspoken is None:
        return None
    words, names = place.unspoken
    return None if any(name in call.raw for name in names) else words


def _changed(call: Call, place: Place, overrides: Mapping[str, Any], model: str) -> Mapping[str, Any]:
    """The call's body as it goes to the place; the very same where nothing is changed."""
    changes = dict(overrides)
    if call.body.get("model") != model:
        changes["model"] = model
    if call.stream and place.stream_usage and not caller_wants_usage(call):
        options = changes.get("stream_options", call.body.get("stream_options"))
        changes["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return {**call.body, **changes} if changes else call.body
