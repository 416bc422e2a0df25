"""The stream of a message as the chunks of a chat (pure)."""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.providers.anthropic.answer import FINISH, stopped_at, written
from gateway.providers.anthropic.usage import counted
from gateway.providers.base import BrokenAnswer, Call, StreamFailure
from gateway.providers.body import word
from gateway.providers.chat_answer import DONE, Chunks, block_more, thought_more, tool_begun, tool_more
from gateway.providers.chat_stream import TranslatedEvents
from gateway.providers.estimate import text_length
from gateway.providers.openai.errors import status_of


class MessageStream(TranslatedEvents):
    """A StreamReader."""

    __slots__ = ("_calls", "_chunks", "_silent")

    def __init__(self, call: Call, *, asks_usage: bool) -> None:
        super().__init__(call, asks_usage=asks_usage)
        self._chunks: Chunks | None = None
        self._calls: dict[int, int] = {}
        """Which of the tool calls a block is."""
        self._silent: set[int] = set()
        """Tool calls' blocks of whose arguments nothing has come."""

    def _chunk(self, said: Mapping[str, Any]) -> bytes:
        match said.get("type"):
            case "content_block_delta":
                return self._delta(_index(said), said.get("delta"))
            case "content_block_start":
                return self._start(_index(said), said.get("content_block"))
            case "content_block_stop":
                return self._stop(_index(said))
            case "message_start":
                return self._begin(said.get("message"))
            case "message_delta":
                return self._last(said)
            case "message_stop":
                self.complete = True
                return (self._said.usage(self.usage) if self._asks_usage else b"") + DONE
            case "error":
                return self._fail(said)
        return b""

    @property
    def _said(self) -> Chunks:
        if self._chunks is None:
            raise BrokenAnswer("its stream does not begin with a message")
        return self._chunks

    def _begin(self, message: Any) -> bytes:
        if not isinstance(message, Mapping):
            raise BrokenAnswer("its stream begins with a message that is none")
        model = word(message.get("model")) or str(self._call.body.get("model"))
        self._chunks = Chunks(self._call, word(message.get("id")), model)
        self._usage = counted(None, message.get("usage"), is_end=False)
        return self._chunks.delta({"role": "assistant", "content": ""})

    def _start(self, index: int, block: Any) -> bytes:
        if not isinstance(block, Mapping):
            raise BrokenAnswer("a block of its stream is none")
        self.begun = True
        match block.get("type"):
            case "text":
                return self._say({"content": _text(block, "text")}) if block.get("text") else b""
            case "thinking":
                thought = block.get("thinking")
                return self._say(thought_more(index, thought)) if isinstance(thought, str) and thought else b""
            case "tool_use":
                return self._start_call(index, block)
        return self._say(block_more(index, dict(block)))

    def _start_call(self, index: int, block: Mapping[str, Any]) -> bytes:
        id_, name, input_ = block.get("id"), block.get("name"), block.get("input")
        if not isinstance(id_, str) or not isinstance(name, str):
            raise BrokenAnswer("it calls a tool without a name")
        place = self._calls[index] = len(self._calls)
        self._bytes += len(name)
        if input_:  # Some hosts of this dialect send it at once.
            return self._say(tool_begun(place, id_, name, written(input_)))
        self._silent.add(index)
        return self._say(tool_begun(place, id_, name))

    def _delta(self, index: int, delta: Any) -> bytes:
        if not isinstance(delta, Mapping):
            raise BrokenAnswer("a delta of its stream is none")
        self.begun = True
        match delta.get("type"):
            case "text_delta":
                text = _text(delta, "text")
                self._bytes += text_length(text)
                return self._say({"content": text})
            case "input_json_delta" if index in self._calls:
                piece = _text(delta, "partial_json")
                if not piece:
                    return b""
                self._silent.discard(index)
                self._bytes += text_length(piece)
                return self._say(tool_more(self._calls[index], piece))
            case "thinking_delta":
                thought = _text(delta, "thinking")
                self._bytes += text_length(thought)
                return self._say(thought_more(index, thought))
            case "signature_delta":
                return self._say(block_more(index, {"signature": _text(delta, "signature")}))
        return self._say(block_more(index, dict(delta)))

    def _stop(self, index: int) -> bytes:
        if index not in self._silent:
            return b""
        self._silent.discard(index)
        return self._say(
            tool_more(self._calls[index], "{}")
        )  # A tool without arguments: clients parse them all the same.

    def _last(self, said: Mapping[str, Any]) -> bytes:
        self.begun = True
        self._usage = counted(self._usage, said.get("usage"), is_end=True)
        delta = said.get("delta")
        reason = delta.get("stop_reason") if isinstance(delta, Mapping) else None
        if not isinstance(delta, Mapping) or not isinstance(reason, str):
            return b""
        return self._said.finish(FINISH.get(reason, "stop"), **stopped_at(delta.get("stop_sequence")))

    def _fail(self, said: Mapping[str, Any]) -> bytes:
        error = said.get("error")
        detail = error if isinstance(error, dict) else {"message": word(error) or "its stream ended with an error"}
        try:
            body = orjson.dumps({"error": detail})
        except orjson.JSONEncodeError:  # orjson reads deeper than it writes.
            raise BrokenAnswer("its stream ended with an error that cannot be read") from None
        self.failure = StreamFailure(status_of(detail), body)
        return b"data: %b\n\n" % body

    def _say(self, delta: dict[str, Any]) -> bytes:
        return self._said.delta(delta)


def _index(said: Mapping[str, Any]) -> int:
    index = said.get("index")
    if not isinstance(index, int):
        raise BrokenAnswer("an event of its stream names no block")
    return index


def _text(delta: Mapping[str, Any], name: str) -> str:
    text = delta.get(name)
    if not isinstance(text, str):
        raise BrokenAnswer("a delta of its stream holds no text")
    return text
