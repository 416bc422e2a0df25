"""Ollama's stream, a JSON object a line, as the chunks of a chat (pure)."""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.providers.base import Call, StreamFailure
from gateway.providers.body import word
from gateway.providers.chat_answer import DONE, Chunks, thought_more, tool_begun
from gateway.providers.chat_stream import TranslatedEvents
from gateway.providers.estimate import text_length
from gateway.providers.ollama.answer import calls_of, counted, finish_of, logprobs_of, message_of, text_of
from gateway.providers.openai.errors import status_of
from gateway.upstream.events import LINES


class ChatLines(TranslatedEvents):
    """A StreamReader."""

    __slots__ = ("_calls", "_chunks", "_has_begun")

    framing = LINES

    def __init__(self, call: Call, *, asks_usage: bool) -> None:
        super().__init__(call, asks_usage=asks_usage)
        self._chunks = Chunks(call, call.id, str(call.body.get("model")))
        self._has_begun = False
        self._calls = 0

    def _chunk(self, said: Mapping[str, Any]) -> bytes:
        if error := said.get("error"):
            return self._fail(error)
        message = message_of(said)
        chunks = [] if self._has_begun else [self._chunks.delta({"role": "assistant", "content": ""})]
        self._has_begun = True
        if thought := text_of(message, "thinking"):
            self._bytes += text_length(thought)
            chunks.append(self._chunks.delta(thought_more(0, thought)))
        text, likely = text_of(message, "content"), logprobs_of(said)
        if text or likely:
            self._bytes += text_length(text)
            chunks.append(self._chunks.delta({"content": text}, likely))
        for call in calls_of(message, self._call, self._calls):
            function = call["function"]
            self._bytes += text_length(function["name"]) + text_length(function["arguments"])
            chunks.append(
                self._chunks.delta(tool_begun(self._calls, call["id"], function["name"], function["arguments"]))
            )
            self._calls += 1
        self.begun = self.begun or bool(thought or text or self._calls)
        if said.get("done") is True:
            chunks.append(self._last(said))
        return b"".join(chunks)

    def _last(self, said: Mapping[str, Any]) -> bytes:
        self.begun = self.complete = True
        self._usage = counted(said)
        last = self._chunks.finish(finish_of(said, calls=self._calls > 0))
        return last + (self._chunks.usage(self.usage) if self._asks_usage else b"") + DONE

    def _fail(self, error: Any) -> bytes:
        detail = error if isinstance(error, dict) else {"message": word(error) or "its stream ended with an error"}
        body = orjson.dumps({"error": detail})
        self.failure = StreamFailure(status_of(detail), body)
        return b"data: %b\n\n" % body
