"""What a response says of itself where its provider speaks the dialect (pure)."""

from collections.abc import Mapping
from typing import Any

from gateway.providers.base import Door, Usage
from gateway.providers.estimate import text_length
from gateway.providers.openai.usage import in_tier, usage_said

_LAST = frozenset(("response.completed", "response.incomplete", "response.failed", "response.cancelled"))
_BEFORE = frozenset(("response.created", "response.in_progress", "response.queued", "response.failed", "error"))
"""What says nothing of the answer itself."""
_DELTA = ".delta"
"""How the types of events end that add to what is said."""
_UNDER_WAY = ("queued", "in_progress")
_NOTHING: Mapping[str, Any] = {}


class ResponsesWatch:
    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.content_bytes = 0
        self.begun = False
        self.ended = False
        self.goes_on = False

    def see(self, event: Mapping[str, Any]) -> bool:
        type_ = event.get("type")
        if not isinstance(type_, str) or type_ not in _BEFORE:
            self.begun = True
        delta, response = event.get("delta"), event.get("response")
        if isinstance(delta, str):
            self.content_bytes += text_length(delta)
        if not isinstance(response, Mapping):
            if isinstance(delta, str) and isinstance(type_, str) and type_.endswith(_DELTA):
                return True
            response = _NOTHING
        if isinstance(type_, str) and type_ in _LAST:
            self.ended, self.goes_on = True, False
            self._count(response)
        elif response.get("background") is True:
            self.goes_on = True
        return False

    def see_whole(self, answer: Mapping[str, Any]) -> None:
        output = answer.get("output")
        for item in output if isinstance(output, list) else ():
            self._measure(item)
        self.goes_on = answer.get("status") in _UNDER_WAY
        self._count(answer)

    def _measure(self, item: Any) -> None:
        if not isinstance(item, Mapping):
            return
        self.content_bytes += sum(text_length(item.get(name)) for name in ("arguments", "input"))
        content = item.get("content")
        for part in content if isinstance(content, list) else ():
            if isinstance(part, Mapping):
                self.content_bytes += sum(text_length(part.get(name)) for name in ("text", "refusal"))

    def _count(self, response: Mapping[str, Any]) -> None:
        self.usage = in_tier(usage_said(response.get("usage"), Door.RESPONSES), response.get("service_tier"))
