"""One request's life: what came, what was decided, what was spent. And where its answer goes."""

from collections.abc import Callable, Iterable, Mapping, Sized
from typing import Protocol

import msgspec

from gateway.errors import GatewayError
from gateway.pipeline.choose import Why
from gateway.pipeline.known import Known
from gateway.pipeline.metadata import Labels, Metadata, read_labels
from gateway.providers.base import Call, Door, Passage, Usage
from gateway.providers.estimate import let_texts_go
from gateway.upstream.upload import Upload
from gateway.view.route import Target
from gateway.view.view import Caller, ConfigEntry, ConfigView

Headers = list[tuple[str, str]]
"""Names in lower case."""


def lines(headers: Iterable[tuple[str, str]]) -> bytes:
    """As they are written, each with its break. Raises ValueError for a header that would make two of itself."""
    told = [*map(": ".join, headers)]
    run_on = "".join(told)
    if "\n" in run_on or "\r" in run_on:
        raise ValueError("a header's name or value holds a line break")
    told.append("")
    return "\r\n".join(told).encode("utf-8", "surrogateescape")


class Answer(Protocol):
    """Where an answer is written; each server lane has its own.

    What is written goes out without waiting; False says that the caller takes no more for now: wait for `drained`
    before the next. To write what ends an answer needs no wait.
    """

    def head(self, status: int, headers: bytes, length: int | None) -> bool:
        """Once, first. `headers`: whole lines. `length` None: as many chunks as come. It goes out with the first of
        them, or with `drained`.
        """
        ...

    def passes(self) -> Callable[[bytes], bool] | None:
        """As `put`, for what is in chunks already, framed as we do. None: it cannot go out so, or no head has yet."""
        ...

    def put(self, data: bytes) -> bool:
        """A chunk."""
        ...

    def end(self, last: bytes = b"") -> bool:
        """The proper end, also after an error event, and the chunk before it, if there is one."""
        ...

    async def drained(self) -> None:
        """Until the caller takes more."""
        ...

    def cut(self) -> None:
        """In the place of the proper end: whoever reads it sees that it is not whole."""
        ...


class Attempt(msgspec.Struct):
    """One call to a provider."""

    target: Target
    model: str
    began_s: float
    ended_s: float | None = None
    """When its answer was there: the whole of it, or a stream's first event; else when it failed."""
    status: int | None = None
    error: str | None = None
    """The gateway's error code, where the provider did not answer well."""
    sent: bool = True
    """The provider may have seen it, and may charge for it."""
    retry_after_s: float | None = None
    """The provider's own word on when to come back, from its answer's head or body."""


class Exchange(msgspec.Struct):
    """`headers` looks names up without regard to case."""

    id: str
    door: Door
    headers: Mapping[str, str]
    body: bytes
    started_s: float
    passage: Passage | None = None
    """Where it passes through to; None: the gateway reads it itself."""
    upload: Upload | None = None
    """Its body, if that is still coming; `body` is then empty."""
    known: Known | None = None
    """None: its head is like no other."""
    slot: int | None = None
    """Where it stands in the worker's table of running requests; None: nowhere."""
    received_s: float | None = None
    """When its body was there."""
    view: ConfigView | None = None
    caller: Caller | None = None
    call: Call | None = None
    labels: Labels | None = None
    """None: nobody has asked for them."""
    way: str | None = None
    """How its target was named."""
    config: ConfigEntry | None = None
    """The saved config that applied."""
    why: Why | None = None
    """What led on in its config; None: nothing had to be decided."""
    attempts: list[Attempt] = []
    cache: str = "disabled"
    """What the cache said, for the last target tried; the word in records."""
    cached: Attempt | None = None
    """The one that nobody had to make, since its answer was kept."""
    idempotency: str | None = None
    """What came of its idempotency key; the word in the answer's head. None: it has none, or none that counts."""
    fallbacks: int = 0
    """Targets given up before the last one tried."""
    retries: int = 0
    """Attempts that repeated one to the same target."""
    retry_told: int = 0
    """`x-portkey-retry-attempt-count`: which retry of the last target answered; -1: none was left, or wanted."""
    paused_s: float = 0.0
    """Between attempts, for the provider's sake."""
    due_s: float | None = None
    """When every attempt must have ended; None: none has begun."""
    notes: Headers | None = None
    """What the answer's head says of how it came about, beyond what every answer says."""
    status: int | None = None
    error: str | None = None
    usage: Usage | None = None
    first_byte_s: float | None = None
    bytes_out: int = 0
    ending: str | None = None
    """As in the record; None: it has not ended, or the caller left."""
    recorded: bool = False
    let_go_bytes: int = 0
    """Of its body, which is no longer kept."""

    def let_go(self) -> None:
        """Nothing is tried any more: what was sent need not be in memory as long as a stream takes."""
        if self.call is not None and self.call.dialect is None:
            self.let_go_bytes, self.body = len(self.body), b""
            let_texts_go(self.call)

    def told(self) -> Labels:
        labels = self.labels
        if labels is not None:
            return labels
        known = self.known
        if known is None:
            labels = self.labels = read_labels(self.headers)
            return labels
        labels = known.labels
        if labels is None:
            labels = known.labels = read_labels(self.headers)
        self.labels = labels
        return labels

    def told_metadata(self) -> Metadata:
        return self.told().metadata

    @property
    def answered(self) -> Attempt | None:
        """The last one made, or the one whose answer was kept. None: nobody was asked."""
        return self.cached or (self.attempts[-1] if self.attempts else None)

    @property
    def trace_id(self) -> str:
        """The caller's, where it brought a fit one; else the request's own id."""
        return self.told().echo or self.id

    def refused(self, error: GatewayError, bytes_out: int) -> None:
        """It ends with an answer of the gateway's own making."""
        self.status = error.row.status
        self.error = error.code.value
        self.bytes_out = bytes_out
        self.ending = "refused"


class Records(Protocol):
    """Where every request is counted (design law 4)."""

    def begin(self, exchange: Exchange) -> None:
        """Mark that it is there, before anything else is done for it."""
        ...

    def name(self, exchange: Exchange) -> None:
        """Mark whose it is, as soon as that is known."""
        ...

    def end(self, exchange: Exchange) -> None:
        """Make its record, which is written by the end of this turn. Whoever calls after the first does nothing."""
        ...

    @property
    def waiting(self) -> Sized:
        """The same object at all times; empty: there is nothing to write."""
        ...

    def write(self) -> None:
        """Write what has ended, before the last bytes of its answers go out."""
        ...


_SPELLINGS: dict[str, tuple[str, str]] = {}
"""Word → both names of its header. Names that are made for each call are hashed for each call."""


def own_header(headers: Mapping[str, str], word: str) -> str | None:
    """`x-portkey-<word>`, or our own name for the same."""
    names = _SPELLINGS.get(word)
    if names is None:
        names = _SPELLINGS[word] = (f"x-portkey-{word}", f"x-gatehouse-{word}")
    return headers.get(names[0]) or headers.get(names[1])


def own_flag(headers: Mapping[str, str], word: str) -> bool | None:
    """A header of ours that is true or false, in whatever case: the original's documents write `True`, its client
    `true`. None: it says neither.
    """
    value = own_header(headers, word)
    return None if value is None else _FLAGS.get(value.strip().lower())


_FLAGS = {"true": True, "false": False}
