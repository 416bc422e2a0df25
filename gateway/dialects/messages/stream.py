"""A chat's stream as the events of a message (pure)."""

from collections.abc import Callable, Mapping
from typing import Any

from gateway.dialects.messages.answer import counts, head, id_of, stopped
from gateway.dialects.messages.errors import error_body
from gateway.dialects.said import Block, Kind, Move, Said, Step
from gateway.dialects.translated_stream import framed
from gateway.providers.base import BrokenAnswer, Usage
from gateway.providers.signatures import UNSIGNED


class MessageEvents:
    """Turns what a chat says into `message_start`, `content_block_…`, `message_delta`, `message_stop`."""

    def __init__(self, asked: Mapping[str, Any], tokens_read: Callable[[], int]) -> None:
        self._asked = asked
        self._tokens_read = tokens_read
        self._said = Said()
        self._begun = False

    def take(self, chunk: Mapping[str, Any]) -> bytes:
        steps = self._said.take(chunk)
        if not self._said.is_headed:
            return b""
        return self._begin() + b"".join([self._event(step) for step in steps])

    def end(self, usage: Usage) -> bytes:
        events = self._begin() + b"".join([self._event(step) for step in self._said.end()])
        delta = {"type": "message_delta", "delta": stopped(self._said, self._asked), "usage": counts(usage)}
        return events + framed(delta) + framed({"type": "message_stop"})

    def failure(self, error: Mapping[str, Any], status: int) -> bytes:
        return framed(error_body(error, status))

    def _begin(self) -> bytes:
        """How much was read is an estimate here: a chat tells it at its end, as the last event then does."""
        if self._begun:
            return b""
        self._begun = True
        usage = counts(Usage(input_tokens=self._tokens_read(), output_tokens=0))
        begun = {**head(self._said, self._asked), "content": [], "stop_reason": None, "stop_sequence": None}
        return framed({"type": "message_start", "message": {**begun, "usage": usage}})

    def _event(self, step: Step) -> bytes:
        block = step.block
        match step.move:
            case Move.START:
                opened = self._opened(block)
                return framed({"type": "content_block_start", "index": block.index, "content_block": opened})
            case Move.MORE if block.kind is Kind.SEALED_THOUGHT:
                return b""  # It came whole, with its start.
            case Move.MORE:
                return framed({"type": "content_block_delta", "index": block.index, "delta": _delta(step)})
        signature = b""
        if block.kind is Kind.THOUGHT:
            delta = {"type": "signature_delta", "signature": block.signature or UNSIGNED}
            signature = framed({"type": "content_block_delta", "index": block.index, "delta": delta})
        return signature + framed({"type": "content_block_stop", "index": block.index})

    def _opened(self, block: Block) -> dict[str, Any]:
        match block.kind:
            case Kind.THOUGHT:
                return {"type": "thinking", "thinking": "", "signature": ""}
            case Kind.SEALED_THOUGHT:
                return {"type": "redacted_thinking", "data": block.text}
            case Kind.FUNCTION:
                return {"type": "tool_use", "id": id_of(block, self._said), "name": block.name, "input": {}}
            case Kind.CUSTOM:
                raise BrokenAnswer("it calls a tool that it was not given")
        return {"type": "text", "text": ""}


def _delta(step: Step) -> dict[str, Any]:
    match step.block.kind:
        case Kind.THOUGHT:
            return {"type": "thinking_delta", "thinking": step.text}
        case Kind.FUNCTION:
            return {"type": "input_json_delta", "partial_json": step.text}
    return {"type": "text_delta", "text": step.text}
