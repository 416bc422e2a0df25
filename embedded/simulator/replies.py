"""What a door answers, before it is known how well or badly it will be sent."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from embedded.simulator import errors
from embedded.simulator.wire import DONE, EVENT_STREAM, event

ERROR_EVENT = event(
    errors.error_body("The server had an error while processing your request. Sorry about that!", type_="server_error")
)


@dataclass(frozen=True, slots=True)
class Whole:
    """A body in one piece."""

    body: bytes
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Pieces:
    """A body of bytes whose length is not told beforehand."""

    pieces: Iterator[bytes]
    content_type: str


@dataclass(frozen=True, slots=True)
class Events:
    """A stream: the name, if it has one, and the JSON of each event; and the bytes that end it."""

    events: Iterator[tuple[str | None, bytes]]
    done: bytes = DONE
    error: bytes = ERROR_EVENT
    frame: Callable[[bytes, str | None], bytes] = event
    content_type: str = EVENT_STREAM


Reply = Whole | Pieces | Events


def unnamed(chunks: Iterator[bytes]) -> Events:
    """As chats and completions are streamed."""
    return Events((None, chunk) for chunk in chunks)
