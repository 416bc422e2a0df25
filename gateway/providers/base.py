"""What a provider's room offers: pure translation between our dialect and the provider's. No I/O, no await."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from gateway.upstream.messages import Origin
from shared.crypto.secret import Secret

USER_AGENT = b"user-agent: gatehouse\r\n"
"""The line that says who calls; a config can have the caller's own go on in its place."""


_PLAIN = b"content-type: application/json\r\naccept: application/json\r\n" + USER_AGENT
_STREAM = b"content-type: application/json\r\naccept: text/event-stream\r\n" + USER_AGENT


class Door(StrEnum):
    """What a path speaks; the word in records (`shared/paths.py`)."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    MESSAGES = "messages"
    COUNT_TOKENS = "count_tokens"
    RESPONSES = "responses"


@dataclass(slots=True)  # Made for each call: frozen, it would cost four times as much to make.
class Call:
    """What the caller asks for, parsed once. `body` belongs to every target: nobody changes it."""

    door: Door
    raw: bytes
    body: Mapping[str, Any]
    stream: bool
    forwarded: bytes = b""
    """Allowed request headers, as a ready block."""
    dialect: "Dialect | None" = None
    """What its door speaks, if that is neither chat nor one of its siblings in OpenAI's own shapes."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a provider is and how it wants its key: the provider row, compiled."""

    provider: str
    origin: Origin
    prefix: str
    auth_header: bytes
    auth_prefix: bytes
    stream_usage: bool
    doors: frozenset[str]
    limit_name: str = "max_tokens"
    """What the host calls the most tokens that a chat's answer may have."""
    cache_hints: bool = False
    """Whether parts of a chat may carry advice on what the host should keep in its cache."""


@dataclass(slots=True)  # Made for each call: frozen, it would cost four times as much to make.
class Usage:
    """Tokens as the provider counted them; None is unknown, never 0.

    Input includes cached and audio ones, output includes reasoning and audio ones, whatever the provider's own way is.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    estimated: bool = False
    """From bytes seen: the provider did not say (`estimate.py`)."""
    batch: bool = False


@dataclass(slots=True)  # Made for each call: frozen, it would cost four times as much to make.
class Translated:
    """A request in the provider's dialect."""

    target: str
    headers: bytes
    body: bytes
    answer: bytes | None = None
    """The answer itself, where nobody has to be asked for it."""
    left_out: frozenset[str] = frozenset()
    """Advice in the request that this provider cannot be given. It changes no answer; the caller is told."""


class Untranslatable(ValueError):
    """A request that cannot be said in the provider's dialect. Holds no content."""

    def __init__(self, message: str, pointer: str = "", *, unsupported: bool = False) -> None:
        super().__init__(message)
        self.pointer = pointer
        """Where in the body."""
        self.unsupported = unsupported
        """It is right in its own dialect."""


class BrokenAnswer(ValueError):
    """A 2xx answer that is not what the dialect says. Holds no content."""


@dataclass(frozen=True, slots=True)
class StreamFailure:
    """A provider's error event as the answer it would have been, had it come before the stream began."""

    status: int
    body: bytes
    """JSON, in the provider's dialect."""


class StreamReader(Protocol):
    """One stream's translation, fed with bytes as they come."""

    @property
    def usage(self) -> Usage:
        """Of the stream so far: as the provider counted it, else estimated from what passed (`estimate.py`)."""
        ...

    @property
    def begun(self) -> bool:
        """Something of the answer itself has come: text, a tool call, an end. Until then it can still be taken back."""
        ...

    @property
    def failed(self) -> bool:
        """The provider itself ended the stream with an error event, which is among the events returned."""
        ...

    @property
    def failure(self) -> "StreamFailure | None":
        """What a provider's error event says; None while none came."""
        ...

    @property
    def complete(self) -> bool:
        """The stream's last word has been read; what follows does not matter."""
        ...

    def feed(self, data: bytes) -> bytes:
        """Whole events in our dialect, ready to send; `b""` while an event is incomplete. Raises BrokenAnswer."""
        ...

    def end(self) -> bytes:
        """What is still to be sent now that the body has properly ended. Raises BrokenAnswer if more had to come."""
        ...

    def error_event(self, body: Mapping[str, Any], status: int) -> bytes:
        """An error body as the event that ends a stream which cannot go on."""
        ...


class Provider(Protocol):
    """An adapter: one for each dialect."""

    def request(
        self, call: Call, place: Place, key: Secret | None, overrides: Mapping[str, Any], model: str
    ) -> Translated:
        """Raises Untranslatable."""
        ...

    def answer(self, call: Call, body: bytes) -> tuple[bytes, Usage]:
        """A whole 2xx body in our dialect, and what it used: as the provider counted it, else estimated from it.

        Raises BrokenAnswer.
        """
        ...

    def stream(self, call: Call) -> StreamReader: ...

    def error(self, provider: str, status: int, content_type: str, body: bytes) -> bytes:
        """A provider's error in our shape (reference/portkey.md 2.6)."""
        ...


class Dialect(Protocol):
    """What a door speaks that is no chat (`gateway/dialects/`)."""

    def between(self, provider: Provider, place: Place) -> Provider:
        """What speaks with a provider for one call of the door: its answers and errors are the dialect's."""
        ...

    def speaks(self, place: Place) -> bool:
        """Whether a provider can be spoken with at all."""
        ...

    def error(self, body: Mapping[str, Any], status: int) -> dict[str, Any]:
        """An error body that is in a chat's shape."""
        ...

    def user(self, body: Mapping[str, Any]) -> Any:
        """The end user whom a request names, if it does."""
        ...


def request_headers(call: Call, place: Place, key: Secret | None) -> bytes:
    """What is said to a provider of a call with a body of JSON, its key among it."""
    headers = (_STREAM if call.stream else _PLAIN) + call.forwarded
    if key is not None:
        headers += b"%b: %b%b\r\n" % (place.auth_header, place.auth_prefix, key.reveal())
    return headers
