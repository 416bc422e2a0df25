"""What an adapter joins the corpus with: its wire, written as its provider writes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.providers.base import Place, Provider, ProviderKey
from tests.conformance.corpus.said import Said


class Embeddings(Protocol):
    model: str
    cannot: Mapping[str, str]
    """Case → the pointer by which it is refused."""

    def validate(self, sent: dict[str, Any]) -> None: ...

    def answer(self, sent: dict[str, Any]) -> bytes:
        """Vectors of three numbers, as many as were asked for, of seven tokens in all."""
        ...


class Answers(Protocol):
    """The provider's side, as simple as its documentation puts it."""

    def validate(self, sent: dict[str, Any]) -> None:
        """Raises for a request that the provider's official SDK has no words for."""
        ...

    def whole(self, said: Said) -> bytes: ...

    def frames(self, said: Said, cut: int = 3) -> list[bytes]:
        """A stream's frames, texts cut into pieces of so many characters."""
        ...

    def at_once(self, said: Said) -> list[bytes] | None:
        """A stream's frames, one of which holds the text and every call; None: no frame of this dialect can."""
        ...

    def error(self, kind: str, why: str) -> tuple[int, Mapping[str, str], bytes] | None:
        """An answer that says why; None: the provider does not fail so."""
        ...

    def error_frame(self, why: str) -> bytes:
        """Overloaded, in the middle of a stream."""
        ...

    def back(self, sent: dict[str, Any]) -> dict[str, Any]:
        """The chat that a request stands for, read without the adapter."""
        ...


@dataclass(frozen=True)
class Wire:
    name: str
    """The dialect."""
    adapter: Provider
    place: Place
    key: ProviderKey | None
    answers: Answers
    model: str = "model-1"
    cannot: Mapping[str, str] = field(default_factory=dict)
    """Request case → the pointer by which it is refused."""
    left_out: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Request case → what the caller is told was left out."""
    unsaid: frozenset[str] = frozenset()
    """Answer cases that this dialect cannot say."""
    reads_requests: bool = True
    """False: requests pass as they came, right or wrong."""
    ends: Mapping[str, str] = field(default_factory=dict)
    """The provider's words for why an answer ended → a chat's."""
    line_ends: tuple[bytes, ...] = (b"\n", b"\r\n", b"\r")
    """Of its frames; none where they are no text."""
    overloaded: int = 529
    """What its error frame comes to."""
    limited_s: float | None = None
    """When its rate limit's body says to come back; None: it says so in the head, if at all."""
    embeddings: Embeddings | None = None
    stream_type: str = "text/event-stream"
    mark: str = ""
    """What its signatures of thoughts begin with for callers."""
    own_call_ids: bool = False
    """Calls of tools are given ids of its own form: which result is of which call is all that they say."""
    blanks: bool = True
    """It takes texts of nothing but white space."""
    one_text: bool = False
    """A message is one text and pictures beside it, without an order among them."""
