"""What passes through: a provider's own paths, whatever they speak. Only what was used is read along (pure)."""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.providers.anthropic.usage import CACHED, counted
from gateway.providers.base import (
    BrokenAnswer,
    Call,
    Door,
    Passage,
    Place,
    Provider,
    ProviderKey,
    ReadsEach,
    StreamFailure,
    Translated,
    Untranslatable,
    Usage,
    address,
    request_headers,
)
from gateway.providers.body import dumped
from gateway.providers.openai.errors import status_of
from gateway.providers.openai.usage import in_tier, usage_said
from gateway.upstream.events import EventSplitter, EventTooLarge, data_of
from shared.models.credential import AddressedKeyForm, Form

_NOTHING_KNOWN = Usage()


class Passed:
    """A Dialect (`providers/base.py`): every provider is taken to speak it where it has the path."""

    def between(self, provider: Provider, place: Place) -> Provider:  # noqa: ARG002
        return AsItCame(provider)

    def speaks(self, place: Place) -> bool:  # noqa: ARG002
        return True

    def error(self, body: Mapping[str, Any], status: int) -> dict[str, Any]:  # noqa: ARG002
        return dict(body)

    def user(self, body: Mapping[str, Any]) -> Any:
        return body.get("user")


class AsItCame(Provider):
    """Method, path, query and body go on, the path behind the provider's base URL."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def request(
        self, call: Call, place: Place, key: ProviderKey | None, overrides: Mapping[str, Any], model: str
    ) -> Translated:
        passage = call.passage
        assert passage is not None, "nothing else passes through"
        if isinstance(key, Form) and not isinstance(key, AddressedKeyForm):
            raise Untranslatable(
                f"nothing passes through to {place.provider}, whose credential is more than one header",
                unsupported=True,
            )
        origin, prefix = address(place, key)
        body, skip = _body(call, passage, overrides, model)
        return Translated(
            target=prefix + passage.path.removeprefix("/v1") + passage.query,
            headers=request_headers(call, place, key),
            body=body,
            origin=origin,
            method=passage.method,
            skip=skip,
        )

    def answer(self, call: Call, body: bytes) -> tuple[bytes, Usage]:
        """Whatever the body is. Its usage is unknown where it does not say it in a way that we know."""
        return body, _usage_in(body, call) or _NOTHING_KNOWN

    def stream(self, call: Call) -> "PassedStream":
        return PassedStream(call)

    def error(self, provider: str, status: int, headers: Mapping[str, str], body: bytes) -> bytes:
        return self._provider.error(provider, status, headers, body)


class PassedStream(ReadsEach):
    """A StreamReader: whole events pass as they came. The body's end is the stream's."""

    __slots__ = ("_call", "_events", "begun", "complete", "failure", "usage")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._events = EventSplitter()
        self.usage = _NOTHING_KNOWN
        self.begun = False
        self.complete = False
        self.failure: StreamFailure | None = None

    @property
    def failed(self) -> bool:
        return self.failure is not None

    def feed(self, data: bytes) -> bytes:
        try:
            events = self._events.feed(data)
        except EventTooLarge:
            raise BrokenAnswer("one event of its stream is too large") from None
        return self._seen(events)

    def end(self) -> bytes:
        return self._seen(self._events.finish()) + self._events.pending

    def error_event(self, body: Mapping[str, Any], status: int) -> bytes:  # noqa: ARG002 - told in the body alone
        return b"event: error\ndata: %b\n\n" % orjson.dumps(body)

    def _seen(self, events: list[bytes]) -> bytes:
        for event in events:
            data = data_of(event)
            if data is None:
                continue
            if b'"error"' in data:
                self._fail(data)
            self.begun = self.begun or not self.failed
            if b'"usage"' in data:
                self.usage = _usage_in(data, self._call) or self.usage
        return b"".join(events)

    def _fail(self, data: bytes) -> None:
        said = _object(data)
        error = said.get("error")
        if isinstance(error, dict | str) and error:
            self.failure = StreamFailure(status_of(error), data)
        elif said.get("type") == "error":
            self.failure = StreamFailure(status_of(said), orjson.dumps({"error": said}))


def _body(call: Call, passage: Passage, overrides: Mapping[str, Any], model: str) -> tuple[bytes, int]:
    """The body, or of an upload the bytes that take the place of so many of its first ones."""
    if call.form is not None:
        changes = {**overrides} if passage.runs_model else {}
        if model:
            changes["model"] = model
        fields = call.form.fields
        return call.form.changed({name: value for name, value in changes.items() if fields.get(name) != value})
    if not call.is_object:
        return call.raw, 0
    changes = dict(overrides)
    if model and call.body.get("model") != model:
        changes["model"] = model
    return (dumped({**call.body, **changes}) if changes else call.raw), 0


def _usage_in(data: bytes, call: Call) -> Usage | None:
    if call.door is Door.BATCHES:
        return None  # What it says is what was used so far, and the work is still to be done.
    said = _object(data)
    holder = said.get("response")
    holder = holder if isinstance(holder, dict) else said
    usage = holder.get("usage")
    if isinstance(usage, dict) and any(name in usage for name in CACHED):
        return counted(None, usage, is_end=True)  # In the words of Messages, whose input is without what was cached.
    return in_tier(usage_said(usage, call.door), holder.get("service_tier"))


def _object(data: bytes) -> dict[str, Any]:
    try:
        said = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}


PASSED = Passed()
