"""What a message says of itself where its provider speaks the dialect (pure)."""

from collections.abc import Mapping
from typing import Any

from gateway.providers.anthropic.usage import counted
from gateway.providers.base import Usage
from gateway.providers.estimate import text_length


class MessagesWatch:
    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.content_bytes = 0
        self.begun = False
        self.ended = False
        self.goes_on = False

    def see(self, event: Mapping[str, Any]) -> bool:
        match event.get("type"):
            case "message_start":
                message = event.get("message")
                usage = message.get("usage") if isinstance(message, Mapping) else None
                self.usage = counted(self.usage, usage, is_end=False)
            case "content_block_delta":
                self.begun = True
                self._measure(event.get("delta"))
                return True
            case "content_block_start":
                self.begun = True
                self._measure(event.get("delta"))
            case "message_delta":
                self.begun = True
                self.usage = counted(self.usage, event.get("usage"), is_end=True)
            case "message_stop":
                self.ended = True
        return False

    def see_whole(self, answer: Mapping[str, Any]) -> None:
        content = answer.get("content")
        for block in content if isinstance(content, list) else ():
            self._measure(block)
        if "input_tokens" in answer:  # How long a request is, and nothing else.
            self.usage = Usage(input_tokens=0, output_tokens=0)
        self.usage = counted(self.usage, answer.get("usage"), is_end=True)

    def _measure(self, said: Any) -> None:
        if isinstance(said, Mapping):
            self.content_bytes += sum(text_length(said.get(name)) for name in ("text", "thinking", "partial_json"))
