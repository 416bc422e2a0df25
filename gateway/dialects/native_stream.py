"""A stream of a provider that speaks the dialect itself: events pass as they came, and are read along (pure)."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson

from gateway.dialects.again import Again
from gateway.dialects.translated_stream import Events
from gateway.providers.base import BrokenAnswer, Call, StreamFailure, Usage
from gateway.providers.body import word
from gateway.providers.estimate import settled
from gateway.providers.openai.errors import status_of
from gateway.upstream.events import EventSplitter, EventTooLarge, data_of


class Watch(Protocol):
    """What an answer in the dialect says of itself, whole or event by event."""

    usage: Usage | None
    """As the provider counted it so far."""
    content_bytes: int
    """What of the answer itself has come, in case the provider never counts."""
    begun: bool
    ended: bool
    """The last event has come."""
    goes_on: bool
    """The provider works on, whether or not anybody listens: what it will have used by then, nobody can estimate."""

    def see(self, event: Mapping[str, Any]) -> bool:
        """Whether all it did was to begin, and to add to `content_bytes`."""
        ...

    def see_whole(self, answer: Mapping[str, Any]) -> None: ...


def used(watch: Watch, call: Call) -> Usage:
    """By the call whose answer was watched."""
    if watch.usage is None and watch.goes_on:
        return Usage()
    return settled(watch.usage, call, watch.content_bytes)


class NativeStream:
    """A StreamReader."""

    __slots__ = ("_again", "_call", "_errors", "_events", "_watch", "failure")

    def __init__(self, call: Call, watch: Watch, errors: Events) -> None:
        self._call = call
        self._watch = watch
        self._errors = errors
        self._events = EventSplitter()
        self._again = Again(watch)
        self.failure: StreamFailure | None = None

    @property
    def usage(self) -> Usage:
        return used(self._watch, self._call)

    @property
    def begun(self) -> bool:
        return self._watch.begun

    @property
    def failed(self) -> bool:
        return self.failure is not None

    @property
    def complete(self) -> bool:
        return self._watch.ended

    @property
    def sees_again(self) -> Callable[[bytes], bool]:
        return self._again.sees

    def feed(self, data: bytes) -> bytes:
        again = self._again  # Of `data` as a whole it was asked by whoever feeds.
        try:
            events = self._events.feed(data)
        except EventTooLarge:
            raise BrokenAnswer("one event of its stream is too large") from None
        several = len(events) > 1
        for event in events:
            if not (several and again.sees(event)):
                self._see(event)
        if not self._events.is_clear:
            again.forget()  # What comes next is the rest of an event.
        return b"".join(events)

    def end(self) -> bytes:
        rest = self._events.finish()
        for event in rest:
            self._see(event)
        if self.complete or self.failed:
            return b"".join(rest)
        raise BrokenAnswer("its stream ended before it was complete")

    def error_event(self, body: Mapping[str, Any], status: int) -> bytes:
        return self._errors.failure(body, status)

    def _see(self, event: bytes) -> None:
        data = data_of(event)
        if data is None:
            return
        try:
            said = orjson.loads(data)
        except orjson.JSONDecodeError:
            return
        if not isinstance(said, dict):
            return
        error = _error_in(said)
        if error is not None and self.failure is None:
            self.failure = _failure(error)
        before = self._watch.content_bytes
        if self._watch.see(said):
            self._again.learn(event, self._watch.content_bytes - before)


def failure_in(answer: Mapping[str, Any]) -> StreamFailure | None:
    """Of a whole answer, which may be an error alone or a response that failed."""
    error = _error_in(answer)
    return None if error is None else _failure(error)


def _failure(error: Mapping[str, Any]) -> StreamFailure:
    try:
        return StreamFailure(_status(error), orjson.dumps({"error": error}))
    except orjson.JSONEncodeError:  # orjson reads deeper than it writes.
        return StreamFailure(_status(error), b"{}")


def _error_in(said: Mapping[str, Any]) -> dict[str, Any] | None:
    """An error event's error, in whichever of its shapes."""
    response = said.get("response")
    holder = response if said.get("type") == "response.failed" and isinstance(response, Mapping) else said
    error = holder.get("error")
    if isinstance(error, dict) and error:
        return error
    if said.get("type") == "error":
        return {name: said.get(name) for name in ("message", "code", "param")}
    return None


def _status(error: Mapping[str, Any]) -> int:
    words = (word(error.get(name)) for name in ("type", "code"))
    return next((_STATUSES[told] for told in words if told in _STATUSES), status_of(error))


_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "api_error": 500,
    "server_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
    **dict.fromkeys(
        "invalid_prompt bio_policy misalignment_policy_violation invalid_image invalid_image_format "
        "invalid_base64_image invalid_image_url image_too_large image_too_small image_parse_error "
        "image_content_policy_violation invalid_image_mode image_file_too_large unsupported_image_media_type "
        "empty_image_file failed_to_download_image image_file_not_found".split(),
        400,
    ),
}
"""The dialects' own words; of responses that failed, those that say it was the caller's doing."""
