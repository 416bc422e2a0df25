"""What a message says of itself where its provider speaks the dialect (pure)."""

from collections.abc import Mapping
from typing import Any

from gateway.providers.base import Usage
from gateway.providers.estimate import text_length
from gateway.providers.openai.usage import count


class MessagesWatch:
    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.content_bytes = 0
        self.begun = False
        self.ended = False

    def see(self, event: Mapping[str, Any]) -> None:
        match event.get("type"):
            case "message_start":
                message = event.get("message")
                self._count(message.get("usage") if isinstance(message, Mapping) else None, is_end=False)
            case "content_block_start" | "content_block_delta":
                self.begun = True
                self._measure(event.get("delta"))
            case "message_delta":
                self.begun = True
                self._count(event.get("usage"), is_end=True)
            case "message_stop":
                self.ended = True

    def see_whole(self, answer: Mapping[str, Any]) -> None:
        content = answer.get("content")
        for block in content if isinstance(content, list) else ():
            self._measure(block)
        if "input_tokens" in answer:  # How long a request is, and nothing else.
            self.usage = Usage(input_tokens=0, output_tokens=0)
        self._count(answer.get("usage"), is_end=True)

    def _measure(self, said: Any) -> None:
        if isinstance(said, Mapping):
            self.content_bytes += sum(text_length(said.get(name)) for name in ("text", "thinking", "partial_json"))

    def _count(self, usage: Any, *, is_end: bool) -> None:
        """Input is told at the start, and once more at the end by some; output is told at the end."""
        if not isinstance(usage, Mapping):
            return
        before = self.usage or Usage()
        read, written = count(usage.get("cache_read_input_tokens")), count(usage.get("cache_creation_input_tokens"))
        fresh, output = count(usage.get("input_tokens")), count(usage.get("output_tokens"))
        details = usage.get("output_tokens_details")
        thought = count(details.get("thinking_tokens")) if isinstance(details, Mapping) else None
        self.usage = Usage(
            input_tokens=before.input_tokens if fresh is None else fresh + (read or 0) + (written or 0),
            output_tokens=output if is_end and output is not None else before.output_tokens,
            cache_read_tokens=before.cache_read_tokens if read is None else read,
            cache_write_tokens=before.cache_write_tokens if written is None else written,
            reasoning_tokens=before.reasoning_tokens if thought is None else thought,
        )
