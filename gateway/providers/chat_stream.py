"""What streams of other dialects have in common on their way to the chunks of a chat (pure)."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import orjson

from gateway.providers.base import BrokenAnswer, Call, ReadsEach, StreamFailure, Usage
from gateway.providers.estimate import settled
from gateway.upstream.events import EVENTS, EventTooLarge, Framing


class TranslatedStream(ReadsEach):
    """The state of a StreamReader (`base.py`); `feed` and `end` are its dialect's."""

    __slots__ = ("_asks_usage", "_bytes", "_call", "_usage", "begun", "complete", "failure")

    def __init__(self, call: Call, *, asks_usage: bool) -> None:
        self._call = call
        self._asks_usage = asks_usage
        """The caller wants the chunk that tells the usage."""
        self._usage: Usage | None = None
        self._bytes = 0
        """Of content that has passed."""
        self.begun = False
        self.complete = False
        self.failure: StreamFailure | None = None

    @property
    def failed(self) -> bool:
        return self.failure is not None

    @property
    def usage(self) -> Usage:
        return settled(self._usage, self._call, self._bytes)

    def error_event(self, body: Mapping[str, Any], status: int) -> bytes:  # noqa: ARG002 - told in the body alone
        return b"data: %b\n\n" % orjson.dumps(body)


class TranslatedEvents(TranslatedStream, ABC):
    """A stream of events, each a JSON object."""

    __slots__ = ("_events",)

    framing: ClassVar[Framing] = EVENTS

    def __init__(self, call: Call, *, asks_usage: bool) -> None:
        super().__init__(call, asks_usage=asks_usage)
        self._events = self.framing.splitter()

    def feed(self, data: bytes) -> bytes:
        try:
            events = self._events.feed(data)
        except EventTooLarge:
            raise BrokenAnswer("one event of its stream is too large") from None
        return b"".join([self._read(event) for event in events])

    def end(self) -> bytes:
        rest = self._rest()
        if self.complete or self.failed:
            return rest
        raise BrokenAnswer("its stream ended before it was complete")

    @abstractmethod
    def _chunk(self, said: Mapping[str, Any]) -> bytes:
        """An event as chunks. Raises BrokenAnswer."""

    def _rest(self) -> bytes:
        """What an event that nothing follows becomes."""
        return b"".join([self._read(event) for event in self._events.finish()])

    def _unwrapped(self, said: Any) -> Any:
        """The event's object, where a host puts it into something."""
        return said

    def _read(self, event: bytes) -> bytes:
        data = self.framing.data_of(event)
        if data is None or self.complete or self.failed:
            return b""
        try:
            said = self._unwrapped(orjson.loads(data))
        except orjson.JSONDecodeError:
            raise BrokenAnswer("an event of its stream is not JSON") from None
        if not isinstance(said, dict):
            raise BrokenAnswer("an event of its stream is not a JSON object")
        try:
            return self._chunk(said)
        except orjson.JSONEncodeError:  # orjson reads deeper than it writes.
            raise BrokenAnswer("its stream is nested too deep to be translated") from None
