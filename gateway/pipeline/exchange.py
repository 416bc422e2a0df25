"""One request's life: what came, what was decided, what was spent. And where its answer goes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gateway.providers.base import Call, Door, Usage
from gateway.view.view import Caller

Headers = list[tuple[str, str]]
"""Names in lower case."""


class Answer(Protocol):
    """Where an answer is written; each server lane has its own. Backpressure is the await."""

    async def head(self, status: int, headers: Headers, length: int | None) -> None:
        """Once, first. `length` None: as many chunks as come."""
        ...

    async def chunk(self, data: bytes) -> None: ...

    async def end(self) -> None:
        """The proper end, also after an error event."""
        ...


@dataclass(slots=True)
class Exchange:
    """`headers` looks names up without regard to case."""

    id: str
    door: Door
    headers: Mapping[str, str]
    body: bytes
    started_s: float
    caller: Caller | None = None
    call: Call | None = None
    attempts: int = 0
    status: int | None = None
    error_code: str | None = None
    provider: str | None = None
    target_path: str | None = None
    usage: Usage | None = None
    bytes_out: int = 0
    whole: bool = field(default=False)
    """The answer reached its proper end."""

    @property
    def trace_id(self) -> str:
        """The caller's, where it brought a fit one; else the request's own id."""
        given = own_header(self.headers, "trace-id")
        return given if given is not None and len(given) <= 128 and given.isascii() and given.isprintable() else self.id


def own_header(headers: Mapping[str, str], word: str) -> str | None:
    """`x-portkey-<word>`, or our own name for the same."""
    return headers.get("x-portkey-" + word) or headers.get("x-gatehouse-" + word)
