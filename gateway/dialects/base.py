"""What a dialect's room offers: pure translation between a chat and what its door speaks."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from gateway.dialects.chat import Asked
from gateway.dialects.native_stream import Watch
from gateway.dialects.translated_stream import Events
from gateway.providers.base import Call, Door, Place, Usage


class Translation(Protocol):
    @property
    def door(self) -> Door:
        """By which a provider's row says that it speaks the dialect itself."""
        ...

    @property
    def path(self) -> str:
        """Where such a provider listens, behind its base URL."""
        ...

    @property
    def fields(self) -> frozenset[str]:
        """The request's own fields. What a config sets beside them is meant for the chat that is asked instead."""
        ...

    @property
    def names(self) -> Mapping[str, tuple[str, ...]]:
        """By what a chat calls it: where a request of this dialect says it; of several, the first that is there."""
        ...

    def to_chat(self, body: Mapping[str, Any], place: Place) -> Asked:
        """The chat that asks the same. Raises Untranslatable naming what no chat can say."""
        ...

    def without_marked(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """What its fields become without the thoughts whose signature bears a mark (`providers/signatures.py`): nobody
        who speaks the dialect himself made them. Empty: it holds none.
        """
        ...

    def own_answer(self, chat: Call) -> dict[str, Any] | None:
        """The answer, where nobody has to be asked for it."""
        ...

    def answer(self, chat: Mapping[str, Any], usage: Usage, asked: Mapping[str, Any]) -> dict[str, Any]:
        """A chat's whole answer to what was `asked`. Raises BrokenAnswer."""
        ...

    def events(self, asked: Mapping[str, Any], tokens_read: Callable[[], int]) -> Events:
        """`tokens_read`: an estimate of what a model is asked to read."""
        ...

    def error(self, body: Mapping[str, Any], status: int) -> dict[str, Any]:
        """An error that is in a chat's shape."""
        ...

    def watch(self) -> Watch:
        """Reads along where a provider speaks the dialect itself."""
        ...

    def user(self, body: Mapping[str, Any]) -> Any:
        """The end user whom a request names, if it does."""
        ...
