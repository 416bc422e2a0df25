"""The messages dialect as one thing, and its smaller sibling that asks how long a request is (pure)."""

from collections.abc import Callable, Mapping
from typing import Any

from gateway.dialects.chat import Asked
from gateway.dialects.messages import answer, content, request
from gateway.dialects.messages.errors import error_body
from gateway.dialects.messages.stream import MessageEvents
from gateway.dialects.messages.watch import MessagesWatch
from gateway.providers.base import Call, Door, Place, Usage
from gateway.providers.estimate import input_tokens


class Messages:
    door = Door.MESSAGES
    path = "/messages"
    fields = request.FIELDS
    names = request.NAMES

    def to_chat(self, body: Mapping[str, Any], place: Place) -> Asked:
        return request.to_chat(body, place)

    def without_marked(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return content.without_marked(body)

    def own_answer(self, chat: Call) -> dict[str, Any] | None:  # noqa: ARG002
        return None

    def answer(self, chat: Mapping[str, Any], usage: Usage, asked: Mapping[str, Any]) -> dict[str, Any]:
        return answer.message(chat, usage, asked)

    def events(self, asked: Mapping[str, Any], tokens_read: Callable[[], int]) -> MessageEvents:
        return MessageEvents(asked, tokens_read)

    def error(self, body: Mapping[str, Any], status: int) -> dict[str, Any]:
        return error_body(body, status)

    def watch(self) -> MessagesWatch:
        return MessagesWatch()

    def user(self, body: Mapping[str, Any]) -> Any:
        metadata = body.get("metadata")
        return metadata.get("user_id") if isinstance(metadata, Mapping) else None


class CountTokens(Messages):
    """Chats have no such question: where nobody can be asked, the answer is an estimate from the texts."""

    path = "/messages/count_tokens"

    def to_chat(self, body: Mapping[str, Any], place: Place) -> Asked:
        return request.to_chat(body, place, counts_only=True)

    def own_answer(self, chat: Call) -> dict[str, Any] | None:
        return {"input_tokens": input_tokens(chat)}
