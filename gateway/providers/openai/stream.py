"""OpenAI's event stream: whole events pass through as they came; usage is read in passing."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from gateway.providers.base import BrokenAnswer, Call, StreamFailure, Usage
from gateway.providers.estimate import settled, so_far
from gateway.providers.openai.content import ContentMeter, gives_reason, parsed, says_something
from gateway.providers.openai.errors import error_in_choices, failure_of, status_of
from gateway.providers.openai.usage import in_tier, usage_alone, usage_of
from gateway.upstream.events import EventSplitter, EventTooLarge, data_of

_DONE = b"data: [DONE]\n\n"


class OpenAIStream:
    """Only whole events leave, so an error event can follow a cut without being glued to half of another."""

    __slots__ = (
        "_call",
        "_drops_usage",
        "_events",
        "_finished",
        "_is_final",
        "_meter",
        "_said",
        "begun",
        "complete",
        "failure",
    )

    def __init__(self, call: Call, *, drops_usage: bool) -> None:
        self._call = call
        self._drops_usage = drops_usage
        """The caller did not ask for the usage-only chunk; we did."""
        self._events = EventSplitter()
        self._finished = False
        self._meter = ContentMeter()
        self._said: Usage | None = None
        self._is_final = False
        """It was said at the stream's end: some hosts say with each event what was used so far, or 0."""
        self.begun = False
        self.failure: StreamFailure | None = None
        self.complete = False

    @property
    def failed(self) -> bool:
        return self.failure is not None

    @property
    def usage(self) -> Usage:
        said = self._said
        if said is None or self._is_final or self.complete:
            return settled(said, self._call, self._meter.bytes)
        return so_far(said, self._call, self._meter.bytes)

    @property
    def sees_again(self) -> Callable[[bytes], bool]:
        return self._meter.sees_again

    def feed(self, data: bytes) -> bytes:
        meter = self._meter
        if meter.sees_again(data):
            return data
        try:
            events = self._events.feed(data)
        except EventTooLarge:
            raise BrokenAnswer("one event of its stream is too large") from None
        several = len(events) > 1
        passing = b"".join([event for event in events if (several and meter.sees_again(event)) or self._passes(event)])
        if not self._events.is_clear:
            meter.forget()  # What comes next is the rest of an event.
        return passing

    def end(self) -> bytes:
        rest = b"".join([event for event in self._events.finish() if self._passes(event)])
        if self.complete or self.failed:
            return rest
        # Some hosts leave out the last blank line, some the last event. A finish reason says that nothing is missing.
        if self._finished or data_of(self._events.pending) == b"[DONE]":
            return rest + _DONE
        raise BrokenAnswer("its stream ended before it was complete")

    def error_event(self, body: Mapping[str, Any], status: int) -> bytes:  # noqa: ARG002 - told in the body alone
        return b"data: %b\n\n" % orjson.dumps(body)

    def _passes(self, event: bytes) -> bool:
        """Whether the event goes to the caller. Most are not parsed."""
        if event == _DONE:  # As it stands most often.
            self.complete = True
            return True
        if event.find(b"data") < 0:
            return True  # A comment, or blank lines.
        meter = self._meter
        finishes = event.find(b'"finish_reason":"') >= 0 or event.find(b'"finish_reason": "') >= 0
        if not finishes and not _stands_out(event):
            if self.begun:
                meter.see(event)
            else:
                chunk = parsed(data_of(event))
                self.begun = says_something(chunk)
                meter.look(event, chunk)
            if self.begun:
                meter.learn(event)
            return True
        data = data_of(event)
        if data == b"[DONE]":
            self.complete = True
            return True
        if (
            not finishes
            and data is not None
            and (event.find(b'"choices":[]') >= 0 or event.find(b'"choices": []') >= 0)
        ):
            alone = usage_alone(data, self._call.door)
            if alone is not None:
                self._said, self._is_final = alone, self._finished
                return not self._drops_usage
        chunk = parsed(data)
        if finishes and not self._finished:
            self._finished = gives_reason(chunk)  # Some hosts say one that is empty until then.
        error = chunk if chunk.get("object") == "error" else chunk.get("error")
        if error and isinstance(error, dict | str):
            self.failure = StreamFailure(status_of(error), data or b"")
        elif isinstance(error := error_in_choices(chunk), dict | str):
            self.failure = failure_of(error)
        if not self.begun:
            self.begun = says_something(chunk)
        usage = chunk.get("usage")
        if usage is None and isinstance(own := chunk.get("x_groq"), dict):  # Where Groq puts it, asked or unasked.
            usage = own.get("usage")
        if usage is not None and (said := usage_of(usage, self._call.door)) is not None:
            self._said, self._is_final = in_tier(said, chunk.get("service_tier")), self._finished
        if chunk.get("choices") == []:
            return not (self._drops_usage and isinstance(usage, dict))
        meter.look(event, chunk)
        return True


def _stands_out(events: bytes) -> bool:
    """Whether there may be more in them than the next bit of content; of nearly all there is not."""
    # Not by `in`: that takes its left side for a number first, and throws an error away each time.
    return (
        events.find(b"[DONE]") >= 0
        or events.find(b'"error"') >= 0
        or events.find(b'"usage":{') >= 0
        or events.find(b'"usage": {') >= 0
    )
