"""A route as data: enough to serve it, to guard it and to describe it."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from control_plane.permissions import Principal
from control_plane.web import versions
from shared.crypto.secret import Secret

M = TypeVar("M", bound=BaseModel)


class Body(BaseModel):
    """What callers send: an unknown field is a mistake, and said to be one."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, str_strip_whitespace=True)


class View(BaseModel):
    """What callers get."""

    model_config = ConfigDict(frozen=True)


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request comes from; the ways in ask for it, and no other room."""

    address: str = ""
    session: Secret | None = None
    """The session cookie's token as it was sent, not checked."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request that has been let in: who, where, what. Handlers see nothing of HTTP."""

    request_id: str
    principal: Principal
    path: Mapping[str, str]
    body: BaseModel | None
    query: Mapping[str, str]
    client: Client = field(default_factory=Client)
    last_event: str | None = None
    """The id of the last event that the caller has of this stream, where it comes again."""
    if_match: str | None = None
    """The versions that the caller's edit was made from, as sent."""
    if_none_match: str | None = None
    """`*` where it was made from none, as sent."""

    def require_unchanged(self, updated_at: datetime | None) -> None:
        """Asked of the row that the edit holds; None: there is none. Raises Changed where the edit was made from
        another version.
        """
        versions.require_unchanged(self.if_match, updated_at)
        versions.require_absent(self.if_none_match, updated_at)

    def parsed(self, model: type[M]) -> M:
        """The body as the route's own model."""
        assert isinstance(self.body, model)
        return self.body


@dataclass(frozen=True, slots=True)
class SessionReply:
    """An answer that also gives the browser its session, or takes it away."""

    body: BaseModel | None
    session: Secret | None
    """The new session's token; None ends the cookie."""


@dataclass(frozen=True, slots=True)
class Event:
    """A server-sent event; `id` is what a caller whose connection broke comes again with."""

    name: str
    data: BaseModel
    id: str | None = None


@dataclass(frozen=True, slots=True)
class EventsReply:
    """An answer that goes on: events as they come, to the end of the generator, or until the caller leaves.

    Also until it may not have them any more: who is asking is looked up again with each heartbeat.
    """

    events: AsyncGenerator[Event, None]
    done: Callable[[], None] = lambda: None
    """Called once, when it is over, also where it never began."""


Handler = Callable[[Call], Awaitable[BaseModel | SessionReply | EventsReply | None]]


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str
    """With `{name}` parts; a part called `workspace` is checked against the caller's role in it."""
    action: str
    """As in `permissions.py`; of a public route only its name."""
    handler: Handler
    summary: str
    body: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    """None: 204, nothing to say."""
    status: int = 200
    query: tuple[tuple[str, str], ...] = ()
    """Names and descriptions of query parameters."""
    tag: str = ""
    operation: str = ""
    """Its operation id in the description, where its action is that of several routes."""
    events: tuple[tuple[str, type[BaseModel]], ...] = ()
    """Names of server-sent events and what each holds: the answer is an EventsReply."""
    abandons: bool = False
    """Cancelled when the caller leaves: for questions that cost something, and change nothing."""
    public: bool = False
    """Answers strangers: the handler itself decides who they are, and `Call.principal` is STRANGER."""

    @property
    def versioned(self) -> bool:
        """An edit that takes `If-Match`: its handler calls `Call.require_unchanged`."""
        edits = self.method in ("PATCH", "PUT")
        return edits and self.answer is not None and versions.UPDATED_AT in self.answer.model_fields

    @property
    def makes_or_changes(self) -> bool:
        """One that takes `If-None-Match`, too."""
        return self.versioned and self.method == "PUT"
