"""A chat's stream as the events of a response (pure)."""

from collections.abc import Mapping
from typing import Any

from gateway.dialects.responses.answer import INCOMPLETE, begun, ended, id_of, item, item_id, logprob, opened, part
from gateway.dialects.said import Block, Kind, Move, Said, Step
from gateway.dialects.translated_stream import framed
from gateway.providers.base import Usage
from gateway.providers.body import word

_WORDS = {
    Kind.THOUGHT: ("reasoning_text", "text"),
    Kind.TEXT: ("output_text", "text"),
    Kind.REFUSAL: ("refusal", "refusal"),
    Kind.FUNCTION: ("function_call_arguments", "arguments"),
    Kind.CUSTOM: ("custom_tool_call_input", "input"),
}
"""Of each kind: what its events are called, and the field that holds all of it at its end."""
_IN_PARTS = (Kind.THOUGHT, Kind.TEXT, Kind.REFUSAL)


class ResponseEvents:
    """Turns what a chat says into `response.created`, … `response.completed`, numbered one by one."""

    def __init__(self, asked: Mapping[str, Any]) -> None:
        self._asked = asked
        self._said = Said()
        self._number = 0

    def take(self, chunk: Mapping[str, Any]) -> bytes:
        steps = self._said.take(chunk)
        if not self._said.is_headed:
            return b""
        return self._begin() + b"".join([self._step(step) for step in steps])

    def end(self, usage: Usage) -> bytes:
        events = self._begin() + b"".join([self._step(step) for step in self._said.end()])
        response = ended(self._said, usage, self._asked)
        return events + self._event(f"response.{response['status']}", response=response)

    def failure(self, error: Mapping[str, Any], status: int) -> bytes:  # noqa: ARG002 - the dialect tells none here
        detail = error.get("error")
        told = detail if isinstance(detail, Mapping) else {"message": word(detail)}
        code = word(told.get("code")) or word(told.get("type")) or None
        return self._event("error", code=code, message=word(told.get("message")), param=told.get("param"))

    def _begin(self) -> bytes:
        if self._number:
            return b""
        response = begun(self._said, self._asked)
        return self._event("response.created", response=response) + self._event(
            "response.in_progress", response=response
        )

    def _step(self, step: Step) -> bytes:
        block = step.block
        match step.move:
            case Move.START:
                return self._start(block)
            case Move.MORE if block.kind is Kind.SEALED_THOUGHT:
                return b""  # It is told whole, with its end.
            case Move.MORE:
                logprobs = {"logprobs": [_logprob(entry) for entry in step.logprobs]} if _has_logprobs(block) else {}
                return self._event(
                    f"response.{_WORDS[block.kind][0]}.delta", **self._at(block), delta=step.text, **logprobs
                )
        return self._stop(block)

    def _start(self, block: Block) -> bytes:
        added = self._event("response.output_item.added", output_index=block.index, item=opened(block, self._id))
        if block.kind not in _IN_PARTS:
            return added
        empty = part(Block(block.kind, block.index))
        return added + self._event("response.content_part.added", **self._at(block), part=empty)

    def _stop(self, block: Block) -> bytes:
        done = b""
        if block.kind in _WORDS:
            name, field = _WORDS[block.kind]
            whole: dict[str, Any] = {field: block.text}
            if _has_logprobs(block):
                whole["logprobs"] = [_logprob(entry) for entry in block.logprobs]
            done = self._event(f"response.{name}.done", **self._at(block), **whole)
        if block.kind in _IN_PARTS:
            done += self._event("response.content_part.done", **self._at(block), part=part(block))
        is_cut = block is self._said.blocks[-1] and self._said.finish in INCOMPLETE
        ended_item = item(block, self._id, "incomplete" if is_cut else "completed")
        return done + self._event("response.output_item.done", output_index=block.index, item=ended_item)

    @property
    def _id(self) -> str:
        return id_of(self._said)

    def _at(self, block: Block) -> dict[str, Any]:
        at: dict[str, Any] = {"item_id": item_id(block, self._id), "output_index": block.index}
        return {**at, "content_index": 0} if block.kind in _IN_PARTS else at

    def _event(self, type_: str, **fields: Any) -> bytes:
        number = self._number
        self._number += 1
        return framed({"type": type_, "sequence_number": number, **fields})


def _has_logprobs(block: Block) -> bool:
    return block.kind is Kind.TEXT


def _logprob(entry: Any) -> dict[str, Any]:
    """Events tell no bytes. Raises BrokenAnswer."""
    whole = logprob(entry)
    bare, *rivals = [{name: one[name] for name in ("token", "logprob")} for one in (whole, *whole["top_logprobs"])]
    return {**bare, "top_logprobs": rivals}
