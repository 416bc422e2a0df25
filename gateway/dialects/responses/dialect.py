"""The responses dialect as one thing (pure)."""

from collections.abc import Callable, Mapping
from typing import Any

from gateway.dialects.chat import Asked
from gateway.dialects.responses import answer, items, request
from gateway.dialects.responses.stream import ResponseEvents
from gateway.dialects.responses.watch import ResponsesWatch
from gateway.providers.base import Call, Door, Place, Usage


class Responses:
    door = Door.RESPONSES
    path = "/responses"
    fields = request.FIELDS
    names = request.NAMES

    def to_chat(self, body: Mapping[str, Any], place: Place) -> Asked:
        return request.to_chat(body, place)

    def without_marked(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return items.without_marked(body)

    def own_answer(self, chat: Call) -> dict[str, Any] | None:  # noqa: ARG002
        return None

    def answer(self, chat: Mapping[str, Any], usage: Usage, asked: Mapping[str, Any]) -> dict[str, Any]:
        return answer.response(chat, usage, asked)

    def events(self, asked: Mapping[str, Any], tokens_read: Callable[[], int]) -> ResponseEvents:  # noqa: ARG002
        return ResponseEvents(asked)

    def error(self, body: Mapping[str, Any], status: int) -> dict[str, Any]:  # noqa: ARG002
        return dict(body)  # The same shape as a chat's.

    def watch(self) -> ResponsesWatch:
        return ResponsesWatch()

    def user(self, body: Mapping[str, Any]) -> Any:
        return body.get("user")
