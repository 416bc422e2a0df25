"""Cohere's stream as the chunks of a chat (pure)."""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.providers.base import BrokenAnswer, Call, StreamFailure
from gateway.providers.body import word
from gateway.providers.chat_answer import DONE, Chunks, thought_more, tool_begun, tool_more
from gateway.providers.chat_stream import TranslatedEvents
from gateway.providers.cohere.answer import FAILED, FINISH, called, counted
from gateway.providers.estimate import text_length
from gateway.providers.openai.errors import status_of


class ChatStream(TranslatedEvents):
    """A StreamReader."""

    __slots__ = ("_calls", "_chunks", "_citations", "_silent")

    def __init__(self, call: Call, *, asks_usage: bool) -> None:
        super().__init__(call, asks_usage=asks_usage)
        self._chunks: Chunks | None = None
        self._calls: dict[Any, int] = {}
        """Which of the tool calls an index is."""
        self._citations = 0
        self._silent: set[Any] = set()
        """Calls of whose arguments nothing has come."""

    def _chunk(self, said: Mapping[str, Any]) -> bytes:
        delta = said.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        message = delta.get("message")
        message = message if isinstance(message, dict) else {}
        match said.get("type"):
            case "content-delta" | "content-start":
                return self._content(message.get("content"))
            case "tool-plan-delta":
                return self._thought(message.get("tool_plan"))
            case "tool-call-start":
                return self._begin_call(_index(said), message.get("tool_calls"))
            case "tool-call-delta":
                return self._more_of_call(_index(said), message.get("tool_calls"))
            case "tool-call-end" if (index := _index(said)) in self._silent:
                return self._say(tool_more(self._calls[index], "{}"))  # Clients parse them all the same.
            case "citation-start":
                return self._cite(message.get("citations"))
            case "message-start":
                self._chunks = Chunks(self._call, word(said.get("id")), str(self._call.body.get("model")))
                return self._say({"role": "assistant", "content": ""})
            case "message-end":
                return self._last(delta)
            case None if said.get("message") or said.get("error"):
                return self._fail(said.get("error") or said)
        return b""

    def _say(self, delta: dict[str, Any]) -> bytes:
        if self._chunks is None:
            raise BrokenAnswer("its stream does not begin with a message")
        return self._chunks.delta(delta)

    def _content(self, content: Any) -> bytes:
        if not isinstance(content, dict):
            raise BrokenAnswer("a delta of its stream holds nothing")
        if content.get("thinking"):
            return self._thought(content["thinking"])
        text = content.get("text")
        if not text:
            return b""
        self.begun = True
        self._bytes += text_length(text)
        return self._say({"content": text})

    def _thought(self, text: Any) -> bytes:
        if not isinstance(text, str):
            raise BrokenAnswer("a delta of its stream holds no text")
        self.begun = True
        self._bytes += text_length(text)
        return self._say(thought_more(0, text))

    def _cite(self, citation: Any) -> bytes:
        """As in a whole answer; clients that add up chunks want to be told where it belongs."""
        if not isinstance(citation, dict):
            return b""
        told = {**citation, "index": self._citations}
        self._citations += 1
        return self._say({"citations": [told]})

    def _begin_call(self, index: int, call: Any) -> bytes:
        made = called(call)
        self.begun = True
        place = self._calls[index] = len(self._calls)
        function = made["function"]
        if not function["arguments"]:
            self._silent.add(index)
        self._bytes += text_length(function["name"]) + text_length(function["arguments"])
        return self._say(tool_begun(place, made["id"], function["name"], function["arguments"]))

    def _more_of_call(self, index: int, call: Any) -> bytes:
        function = call.get("function") if isinstance(call, dict) else None
        piece = function.get("arguments") if isinstance(function, dict) else None
        if not isinstance(piece, str) or index not in self._calls:
            raise BrokenAnswer("a delta of its stream belongs to no call")
        if not piece:
            return b""
        self._silent.discard(index)
        self._bytes += text_length(piece)
        return self._say(tool_more(self._calls[index], piece))

    def _last(self, delta: Mapping[str, Any]) -> bytes:
        reason = word(delta.get("finish_reason"))
        if reason in FAILED:
            return self._fail(delta.get("error") or f"its stream ended with {reason}")
        self.begun = self.complete = True
        self._usage = counted(delta.get("usage"))
        if self._chunks is None:
            raise BrokenAnswer("its stream does not begin with a message")
        last = self._chunks.finish(FINISH.get(reason, "stop"))
        return last + (self._chunks.usage(self.usage) if self._asks_usage else b"") + DONE

    def _fail(self, error: Any) -> bytes:
        detail = error if isinstance(error, dict) else {"message": word(error) or "its stream ended with an error"}
        body = orjson.dumps({"error": detail})
        self.failure = StreamFailure(status_of(detail), body)
        return b"data: %b\n\n" % body


def _index(said: Mapping[str, Any]) -> int:
    """Which of the calls an event speaks of. Raises BrokenAnswer."""
    index = said.get("index")
    if type(index) is not int:
        raise BrokenAnswer("an event of its stream says of no call which one it is")
    return index
