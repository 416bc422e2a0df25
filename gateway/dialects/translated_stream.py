"""A chat's stream, read by its provider's own reader, in another dialect's events (pure)."""

from collections.abc import Mapping
from typing import Any, Protocol

import orjson

from gateway.dialects.chat import in_own_names
from gateway.providers.base import BrokenAnswer, ReadsEach, StreamFailure, StreamReader, Usage
from gateway.upstream.events import EventSplitter, data_of


class Events(Protocol):
    """One stream's events in a dialect."""

    def take(self, chunk: dict[str, Any]) -> bytes:
        """Raises BrokenAnswer."""
        ...

    def end(self, usage: Usage) -> bytes:
        """What ends it properly. Raises BrokenAnswer."""
        ...

    def failure(self, error: Mapping[str, Any], status: int) -> bytes:
        """What ends it otherwise; `error` is a body in a chat's shape."""
        ...


class InOwnNames:
    """Events of a chat in which tools have other names than the caller's."""

    __slots__ = ("_events", "_names")

    def __init__(self, events: Events, names: Mapping[str, str]) -> None:
        self._events = events
        self._names = names

    def take(self, chunk: dict[str, Any]) -> bytes:
        return self._events.take(in_own_names(chunk, self._names))

    def end(self, usage: Usage) -> bytes:
        return self._events.end(usage)

    def failure(self, error: Mapping[str, Any], status: int) -> bytes:
        return self._events.failure(error, status)


class TranslatedStream(ReadsEach):
    """A StreamReader. What it reads in its inner one are whole events, which is cheap to cut again."""

    __slots__ = ("_events", "_inner", "_splitter")

    def __init__(self, inner: StreamReader, events: Events) -> None:
        self._inner = inner
        self._events = events
        self._splitter = EventSplitter()

    @property
    def usage(self) -> Usage:
        return self._inner.usage

    @property
    def begun(self) -> bool:
        return self._inner.begun

    @property
    def failure(self) -> StreamFailure | None:
        return self._inner.failure

    @property
    def failed(self) -> bool:
        return self._inner.failed

    @property
    def complete(self) -> bool:
        return self._inner.complete

    def feed(self, data: bytes) -> bytes:
        chat = self._inner.feed(data)
        return b"".join([self._event(event) for event in self._splitter.feed(chat)]) if chat else b""

    def end(self) -> bytes:
        chat = self._inner.end()
        events = [*self._splitter.feed(chat), *self._splitter.finish()]
        rest = b"".join([self._event(event) for event in events])
        return rest if self.failed else rest + self._events.end(self._inner.usage)

    def error_event(self, body: Mapping[str, Any], status: int) -> bytes:
        return self._events.failure(body, status)

    def _event(self, event: bytes) -> bytes:
        data = data_of(event)
        if data is None or data == b"[DONE]":
            return b""
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            raise BrokenAnswer("an event of its stream is not JSON") from None
        if not isinstance(chunk, dict):
            raise BrokenAnswer("an event of its stream is not a JSON object")
        if chunk.get("object") == "error":
            chunk = {"error": chunk}
        error, failure = chunk.get("error"), self._inner.failure
        if error and isinstance(error, dict | str):
            return self._events.failure(chunk, 500 if failure is None else failure.status)
        return self._events.take(chunk)


def framed(event: Mapping[str, Any]) -> bytes:
    """An event whose name is its type. Raises BrokenAnswer."""
    name: str = event["type"]
    try:
        return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(event))
    except orjson.JSONEncodeError:  # orjson reads deeper than it writes.
        raise BrokenAnswer("its stream is nested too deep to be translated") from None
