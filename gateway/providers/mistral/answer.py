"""A chat's answer in Mistral's words: near OpenAI's, but what is said may be a list of chunks (pure)."""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.providers.base import BrokenAnswer, Call, Door, Usage
from gateway.providers.body import word
from gateway.providers.estimate import settled, text_bytes
from gateway.providers.openai.usage import usage_of
from gateway.providers.signatures import MISTRAL, marked

FINISH = {"model_length": "length"}
"""Reasons to end that a chat words otherwise."""
FAILED = "error"
"""What an answer ends with that was given up."""
GIVEN_UP = "the model gave its answer up"
_NO_ID = (None, "", "null")


def to_chat(call: Call, answer: dict[str, Any]) -> tuple[bytes, Usage]:
    """Raises BrokenAnswer."""
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices:
        raise BrokenAnswer("the answer holds no choices")
    id_ = word(answer.get("id")) or call.id
    said = [_choice(choice, id_) for choice in choices]
    written = sum([text_bytes(choice["message"]) for choice in said])
    usage = settled(usage_of(answer.get("usage"), Door.CHAT), call, written)
    made = {
        "created": call.created_s,
        "model": call.body.get("model"),
        **answer,
        "id": id_,
        "object": "chat.completion",
        "choices": said,
    }
    try:
        return orjson.dumps(made), usage
    except orjson.JSONEncodeError:  # orjson reads deeper than it writes.
        raise BrokenAnswer("the answer is nested too deep to be translated") from None


def _choice(choice: Any, answer: str) -> dict[str, Any]:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise BrokenAnswer("the answer holds a choice that is none")
    reason = choice.get("finish_reason")
    if reason == FAILED:
        raise BrokenAnswer(GIVEN_UP)
    said: dict[str, Any] = {"role": "assistant", **Content(message.get("content")).whole()}
    if calls := message.get("tool_calls"):
        if not isinstance(calls, list):
            raise BrokenAnswer("it calls a tool without a name")
        said["tool_calls"] = [_whole_call(one, f"call_{answer}_{at}") for at, one in enumerate(calls)]
    finish = FINISH.get(word(reason), word(reason) or "stop")
    return {"index": 0, "logprobs": None, **choice, "message": said, "finish_reason": finish}


def _whole_call(call: Any, id_: str) -> dict[str, Any]:
    name, arguments = function_of(call)
    if not name:
        raise BrokenAnswer("it calls a tool without a name")
    return {"id": id_of(call) or id_, "type": "function", "function": {"name": name, "arguments": arguments or "{}"}}


def id_of(call: Mapping[str, Any]) -> str:
    id_ = call.get("id")
    return "" if id_ in _NO_ID else word(id_)


def function_of(call: Any) -> tuple[str, str]:
    """Name and arguments, which may come as an object too. Raises BrokenAnswer."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise BrokenAnswer("it calls a tool that is none")
    name, arguments = function.get("name"), function.get("arguments")
    if isinstance(arguments, dict):
        try:
            arguments = orjson.dumps(arguments).decode()
        except orjson.JSONEncodeError:
            raise BrokenAnswer("the answer is nested too deep to be translated") from None
    return name if isinstance(name, str) else "", arguments if isinstance(arguments, str) else ""


class Content:
    """What a message, or a delta of one, says: texts, thoughts, and chunks that a chat has no words for."""

    __slots__ = ("own", "signature", "text", "thought")

    def __init__(self, content: Any) -> None:
        """Raises BrokenAnswer."""
        self.text: str | None = content if isinstance(content, str) else None
        self.thought = ""
        self.signature = ""
        self.own: list[dict[str, Any]] = []
        """Of sources, for one."""
        if content is None or isinstance(content, str):
            return
        if not isinstance(content, list):
            raise BrokenAnswer("the answer says what is no text")
        for chunk in content:
            self._take(chunk)

    def whole(self) -> dict[str, Any]:
        said: dict[str, Any] = {"content": self.text}
        blocks = list(self.own)
        if self.thought or self.signature:
            thought = {"type": "thinking", "thinking": self.thought}
            blocks.insert(0, {**thought, "signature": self.signature} if self.signature else thought)
            said["reasoning_content"] = self.thought
        return {**said, "content_blocks": blocks} if blocks else said

    def _take(self, chunk: Any) -> None:
        if not isinstance(chunk, dict):
            raise BrokenAnswer("the answer holds a chunk that is none")
        if isinstance(text := chunk.get("text"), str):
            self.text = (self.text or "") + text
        elif "thinking" in chunk:
            self._think(chunk)
        else:
            self.own.append(chunk)

    def _think(self, chunk: Mapping[str, Any]) -> None:
        thinking = chunk["thinking"]
        if isinstance(signature := chunk.get("signature"), str):
            self.signature += marked(signature, MISTRAL) if signature else ""
        if isinstance(thinking, str):
            self.thought += thinking
            return
        for inner in thinking if isinstance(thinking, list) else ():
            if isinstance(inner, dict) and isinstance(text := inner.get("text"), str):
                self.thought += text
            elif isinstance(inner, dict):
                self.own.append(inner)
