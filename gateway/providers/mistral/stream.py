"""Mistral's stream as the chunks of a chat (pure): OpenAI's events, with deltas worded as whole answers are."""

from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from gateway.providers.base import BrokenAnswer, Call, Door, StreamFailure
from gateway.providers.body import word
from gateway.providers.chat_answer import DONE, usage_body
from gateway.providers.chat_stream import TranslatedEvents
from gateway.providers.estimate import text_length
from gateway.providers.mistral.answer import FAILED, FINISH, GIVEN_UP, Content, function_of, id_of
from gateway.providers.mistral.errors import failure_in
from gateway.providers.openai.usage import usage_of
from gateway.upstream.events import data_of

_UNKNOWN_STATUS = 502


class _Called(msgspec.Struct):
    id: str
    number: Any
    """As the provider counts."""
    silent: bool
    """Nothing of its arguments has come."""


class CompletionStream(TranslatedEvents):
    """A StreamReader."""

    __slots__ = ("_calls", "_finished", "_head", "_id")

    def __init__(self, call: Call, *, asks_usage: bool) -> None:
        super().__init__(call, asks_usage=asks_usage)
        self._id = ""
        self._head = b""
        """How every chunk of the stream begins."""
        self._calls: dict[int, list[_Called]] = {}
        """Of each choice that has begun."""
        self._finished: set[int] = set()
        """Choices whose reason to end has come."""

    def end(self) -> bytes:
        rest = self._rest()
        if self.complete or self.failed:
            return rest
        # Where the last event is left out, a finish reason of each choice says that nothing is missing.
        wanted = self._call.body.get("n")
        if not isinstance(wanted, int) or len(self._finished) >= wanted:
            return rest + self._last()
        raise BrokenAnswer("its stream ended before it was complete")

    def _read(self, event: bytes) -> bytes:
        if b"[DONE]" in event and data_of(event) == b"[DONE]" and not (self.complete or self.failed):
            return self._last()
        return super()._read(event)

    def _last(self) -> bytes:
        if not self._finished or self._finished != self._calls.keys():
            raise BrokenAnswer("its stream ended before it was complete")
        self.complete = True
        if not self._asks_usage:
            return DONE
        return b'%b,"choices":[],"usage":%b}\n\n%b' % (self._head, orjson.dumps(usage_body(self.usage)), DONE)

    def _chunk(self, said: Mapping[str, Any]) -> bytes:
        if (failure := failure_in(said)) is not None:
            return self._fail(failure)
        self._usage = usage_of(said.get("usage"), Door.CHAT) or self._usage
        choices = said.get("choices")
        if not isinstance(choices, list) or not choices:
            return b""
        if not self._head:
            self._id = word(said.get("id")) or self._call.id
            model = word(said.get("model")) or str(self._call.body.get("model"))
            head = {
                "id": self._id,
                "object": "chat.completion.chunk",
                "created": self._call.created_s,
                "model": model,
            }
            self._head = b"data: " + orjson.dumps(head)[:-1]
        if any(isinstance(choice, dict) and choice.get("finish_reason") == FAILED for choice in choices):
            return self._fail(StreamFailure(_UNKNOWN_STATUS, orjson.dumps({"error": {"message": GIVEN_UP}})))
        try:
            return b'%b,"choices":%b}\n\n' % (self._head, orjson.dumps([self._choice(choice) for choice in choices]))
        except orjson.JSONEncodeError:  # orjson reads deeper than it writes.
            raise BrokenAnswer("its stream is nested too deep to be translated") from None

    def _choice(self, choice: Any) -> dict[str, Any]:
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if not isinstance(delta, dict):
            raise BrokenAnswer("a choice of its stream is none")
        said = self._said(Content(delta.get("content")))
        if isinstance(role := delta.get("role"), str):
            said = {"role": role, "content": "", **said}
        index = choice.get("index") if isinstance(choice.get("index"), int) else 0
        calls = self._called(index, delta.get("tool_calls") or ())
        reason = choice.get("finish_reason")
        if reason is not None:
            self.begun = True
            self._finished.add(index)
            calls += self._empty_calls(index)
            reason = FINISH.get(word(reason), word(reason) or "stop")
        if calls:
            said["tool_calls"] = calls
        return {"index": index, "delta": said, "logprobs": choice.get("logprobs"), "finish_reason": reason}

    def _said(self, content: Content) -> dict[str, Any]:
        said: dict[str, Any] = {}
        blocks: list[dict[str, Any]] = [{"index": 1, "delta": chunk} for chunk in content.own]
        if content.thought or content.signature:
            told = {"thinking": content.thought, "signature": content.signature}
            blocks.insert(0, {"index": 0, "delta": {name: value for name, value in told.items() if value}})
        if content.thought:
            said["reasoning_content"] = content.thought
        if blocks:
            said["content_blocks"] = blocks
        if content.text:
            said["content"] = content.text
        if said:
            self.begun = True
            self._bytes += text_length(content.text) + text_length(content.thought)
        return said

    def _called(self, index: int, calls: Any) -> list[dict[str, Any]]:
        if not isinstance(calls, list | tuple):
            raise BrokenAnswer("a delta of its stream calls what is no tool")
        made = self._calls.setdefault(index, [])
        return [self._call_more(made, call) for call in calls]

    def _call_more(self, made: list[_Called], call: Any) -> dict[str, Any]:
        """Calls mostly come whole. Some hosts number each of them 0, so a new one is known by its name and its id."""
        name, arguments = function_of(call)
        id_, number = id_of(call), call.get("index")
        self.begun = True
        self._bytes += text_length(name) + text_length(arguments)
        same = next((one for one in reversed(made) if one.number == number and id_ in ("", one.id)), None)
        if same is not None and (id_ or not name):
            same.silent = same.silent and not arguments
            return {"index": made.index(same), "function": {"arguments": arguments}}
        if not name:
            raise BrokenAnswer("a delta of its stream belongs to no call")
        begun = _Called(id_ or f"call_{self._id}_{len(made)}", number, not arguments)
        made.append(begun)
        function = {"name": name, "arguments": arguments}
        return {"index": len(made) - 1, "id": begun.id, "type": "function", "function": function}

    def _empty_calls(self, index: int) -> list[dict[str, Any]]:
        """Clients parse arguments that never came all the same."""
        made = self._calls.get(index, ())
        return [{"index": at, "function": {"arguments": "{}"}} for at, call in enumerate(made) if call.silent]

    def _fail(self, failure: StreamFailure) -> bytes:
        self.failure = failure
        return b"data: %b\n\n" % failure.body
