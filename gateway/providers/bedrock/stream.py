"""ConverseStream's frames as the chunks of a chat (pure)."""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.providers.base import BrokenAnswer, Call, StreamFailure
from gateway.providers.bedrock.answer import FINISH, answer_id, counted, model_of
from gateway.providers.bedrock.errors import chat_error_body, status_of
from gateway.providers.bedrock.event_stream import Frame, FrameBroken, FrameReader
from gateway.providers.body import word
from gateway.providers.chat_answer import DONE, Chunks, block_more, thought_more, tool_begun, tool_more
from gateway.providers.chat_stream import TranslatedStream
from gateway.providers.estimate import text_length


class ConverseStream(TranslatedStream):
    """A StreamReader."""

    __slots__ = ("_calls", "_chunks", "_frames", "_silent", "_stopped")

    def __init__(self, call: Call, *, asks_usage: bool) -> None:
        super().__init__(call, asks_usage=asks_usage)
        self._frames = FrameReader()
        self._chunks = Chunks(call, answer_id(call), model_of(call))
        self._calls: dict[int, int] = {}
        """Which of the tool calls a block is."""
        self._silent: set[int] = set()
        """Tool calls' blocks of whose arguments nothing has come."""
        self._stopped = False

    def feed(self, data: bytes) -> bytes:
        try:
            frames = self._frames.feed(data)
        except FrameBroken as error:
            raise BrokenAnswer(f"its stream cannot be read: {error}") from None
        return b"".join([self._chunk(frame) for frame in frames])

    def end(self) -> bytes:
        if self.complete or self.failed:
            return b""
        if self._stopped and self._frames.is_between_frames:
            return self._finish()  # Some models' streams tell no usage.
        raise BrokenAnswer("its stream ended before it was complete")

    def _chunk(self, frame: Frame) -> bytes:
        if self.complete or self.failed:
            return b""
        try:
            said = orjson.loads(frame.payload or b"{}")
        except orjson.JSONDecodeError:
            raise BrokenAnswer("a frame of its stream is not JSON") from None
        if not isinstance(said, dict):
            raise BrokenAnswer("a frame of its stream is not a JSON object")
        headers = frame.headers
        if headers.get(":message-type") in ("exception", "error"):
            return self._fail(headers, said)
        match headers.get(":event-type"):
            case "contentBlockDelta":
                return self._delta(_index(said), said.get("delta"))
            case "contentBlockStart":
                return self._start(_index(said), said.get("start"))
            case "contentBlockStop":
                return self._stop(_index(said))
            case "messageStart":
                return self._say({"role": "assistant", "content": ""})
            case "messageStop":
                self.begun = self._stopped = True
                return self._chunks.finish(FINISH.get(word(said.get("stopReason")), "stop"))
            case "metadata":
                self._usage = counted(said)
                return self._finish()
        return b""

    def _finish(self) -> bytes:
        self.complete = True
        return (self._chunks.usage(self.usage) if self._asks_usage else b"") + DONE

    def _start(self, index: int, start: Any) -> bytes:
        self.begun = True
        match start:
            case {"toolUse": {"toolUseId": str(id_), "name": str(name)}}:
                place = self._calls[index] = len(self._calls)
                self._silent.add(index)
                self._bytes += len(name)
                return self._say(tool_begun(place, id_, name))
            case {"toolUse": _}:
                raise BrokenAnswer("it calls a tool without a name")
            case dict():
                return self._say(block_more(index, start)) if start else b""
        raise BrokenAnswer("a block of its stream is none")

    def _delta(self, index: int, delta: Any) -> bytes:
        self.begun = True
        match delta:
            case {"text": str(text)}:
                self._bytes += text_length(text)
                return self._say({"content": text})
            case {"toolUse": {"input": str(piece)}} if index in self._calls:
                if not piece:
                    return b""
                self._silent.discard(index)
                self._bytes += text_length(piece)
                return self._say(tool_more(self._calls[index], piece))
            case {"reasoningContent": {"text": str(thought)}}:
                self._bytes += text_length(thought)
                return self._say(thought_more(index, thought))
            case {"reasoningContent": {"signature": str(signature)}}:
                return self._say(block_more(index, {"signature": signature}))
            case {"reasoningContent": {"redactedContent": str(sealed)}}:
                return self._say(block_more(index, {"type": "redacted_thinking", "data": sealed}))
            case {"toolUse": _} | {"reasoningContent": _}:
                raise BrokenAnswer("a delta of its stream is none")
            case dict():
                return self._say(block_more(index, delta))
        raise BrokenAnswer("a delta of its stream is none")

    def _stop(self, index: int) -> bytes:
        if index not in self._silent:
            return b""
        self._silent.discard(index)
        # A tool without arguments: clients parse them all the same.
        return self._say(tool_more(self._calls[index], "{}"))

    def _fail(self, headers: Mapping[str, str], said: Mapping[str, Any]) -> bytes:
        kind = headers.get(":exception-type") or headers.get(":error-code") or "unknown"
        message = word(said.get("message")) or headers.get(":error-message") or "its stream ended with an error"
        body = orjson.dumps(chat_error_body(kind, message))
        self.failure = StreamFailure(status_of(kind), body)
        return b"data: %b\n\n" % body

    def _say(self, delta: dict[str, Any]) -> bytes:
        return self._chunks.delta(delta)


def _index(said: Mapping[str, Any]) -> int:
    index = said.get("contentBlockIndex")
    if not isinstance(index, int):
        raise BrokenAnswer("a frame of its stream names no block")
    return index
