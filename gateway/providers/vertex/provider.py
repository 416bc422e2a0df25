"""The adapter of Vertex AI: which publisher a model is of says which dialect is spoken."""

import re
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any
from urllib.parse import quote

import orjson

from gateway.providers.anthropic.answer import to_chat as message_to_chat
from gateway.providers.anthropic.errors import chat_error as message_error
from gateway.providers.anthropic.request import to_message
from gateway.providers.anthropic.stream import MessageStream
from gateway.providers.base import (
    Call,
    Door,
    Exchange,
    Place,
    Provider,
    ProviderKey,
    ReadsEach,
    StreamFailure,
    StreamReader,
    Translated,
    Untranslatable,
    Usage,
    address,
    request_headers,
)
from gateway.providers.body import caller_wants_usage, dumped, parsed_answer
from gateway.providers.embeddings import no_user
from gateway.providers.gemini.answer import to_chat as content_to_chat
from gateway.providers.gemini.errors import chat_error as content_error
from gateway.providers.gemini.provider import method
from gateway.providers.gemini.request import to_content
from gateway.providers.gemini.stream import ContentStream
from gateway.providers.retry_info import retry_after_s
from gateway.providers.vertex.account import ServiceAccount
from gateway.providers.vertex.embeddings import from_predict, to_predict
from gateway.upstream.messages import Origin
from shared.models.credential import CredentialForm, ServiceAccountForm

MESSAGES_VERSION = "vertex-2023-10-16"
_PUBLISHED = re.compile(r"(?:publishers/)?(google|anthropic)(?:\.|/models/|/)(.+)")
_GLOBAL = "global-"
"""How the host of a region begins that has no name of its own."""


class Vertex(Provider):
    """Source: Vertex AI REST API reference (generateContent, rawPredict, predict)."""

    __slots__ = ()

    def prepare(self, form: CredentialForm) -> None:
        if form == "service_account":
            import_module("gateway.providers.vertex.assertion")

    def exchange(self, key: ProviderKey) -> Exchange | None:
        return ServiceAccount(key) if isinstance(key, ServiceAccountForm) else None

    def request(
        self, call: Call, place: Place, key: ProviderKey | None, overrides: Mapping[str, Any], model: str
    ) -> Translated:
        publisher, model = _published(model)
        body = {**call.body, **overrides, "model": model}
        left_out: frozenset[str]
        if call.door is Door.EMBEDDINGS:
            if publisher != "google":
                raise Untranslatable("this publisher's models make no embeddings", "/model", unsupported=True)
            asked, left_out, action = to_predict(body), no_user(body), "predict"
        elif publisher == "google":
            asked, left_out = to_content(body, model)
            action = method(call)
        else:
            asked, left_out = to_message(body)
            del asked["model"]
            asked["anthropic_version"] = MESSAGES_VERSION
            action = "streamRawPredict" if call.stream else "rawPredict"
        origin, prefix = address(place, key)
        return Translated(
            target=f"{prefix}/publishers/{publisher}/models/{quote(model, safe='@')}:{action}",
            origin=_bare(origin),
            headers=request_headers(call, place, key),
            body=dumped(asked),
            left_out=left_out,
        )

    def answer(self, call: Call, body: bytes) -> tuple[bytes, Usage]:
        parsed = parsed_answer(body)
        if call.door is Door.EMBEDDINGS:
            return from_predict(call, parsed)
        return message_to_chat(call, parsed) if parsed.get("type") == "message" else content_to_chat(call, parsed)

    def stream(self, call: Call) -> "EitherStream":
        return EitherStream(call)

    def error(self, provider: str, status: int, headers: Mapping[str, str], body: bytes) -> bytes:
        said = message_error if _is_of_messages(body) else content_error
        return said(provider, status, headers.get("content-type", ""), body)

    def retry_after_s(self, body: bytes) -> float | None:
        return retry_after_s(body)


class EitherStream(ReadsEach):
    """A StreamReader: whose stream it is, its first byte says. Only one of the two names its events."""

    __slots__ = ("_call", "_reader", "_told")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._told = False
        self._reader: StreamReader = ContentStream(call, asks_usage=caller_wants_usage(call))

    @property
    def usage(self) -> Usage:
        return self._reader.usage

    @property
    def begun(self) -> bool:
        return self._reader.begun

    @property
    def failed(self) -> bool:
        return self._reader.failed

    @property
    def failure(self) -> StreamFailure | None:
        return self._reader.failure

    @property
    def complete(self) -> bool:
        return self._reader.complete

    def feed(self, data: bytes) -> bytes:
        if not self._told and (data := data.lstrip(b"\r\n")):
            self._told = True
            if data.startswith(b"e"):
                self._reader = MessageStream(self._call, asks_usage=caller_wants_usage(self._call))
        return self._reader.feed(data) if data else b""

    def end(self) -> bytes:
        return self._reader.end()

    def error_event(self, body: Mapping[str, Any], status: int) -> bytes:
        return self._reader.error_event(body, status)


def _published(model: str) -> tuple[str, str]:
    """Publisher and model. A model that names no publisher is Anthropic's if it is a Claude, else Google's own."""
    if found := _PUBLISHED.fullmatch(model):
        return found[1], found[2]
    return ("anthropic" if model.startswith("claude-") else "google"), model.removeprefix("models/")


def _is_of_messages(body: bytes) -> bool:
    """Whether an error is in the words of Anthropic's models; what Google says itself has a status among its own."""
    try:
        parsed: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    error = parsed.get("error") if isinstance(parsed, dict) else None
    return isinstance(error, dict) and "type" in error and "status" not in error


def _bare(origin: Origin | None) -> Origin | None:
    if origin is None or not origin.host.startswith(_GLOBAL):
        return origin
    return replace(origin, host=origin.host.removeprefix(_GLOBAL))
