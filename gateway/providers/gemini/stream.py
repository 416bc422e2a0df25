"""The stream of a generated content as the chunks of a chat (pure). It has no last word: it ends, or it was cut."""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.providers.base import BrokenAnswer, Call, StreamFailure, Usage
from gateway.providers.body import word
from gateway.providers.chat_answer import DONE, Chunks, block_more, thought_more
from gateway.providers.chat_stream import TranslatedEvents
from gateway.providers.estimate import settled, so_far, text_length
from gateway.providers.gemini.answer import Bit, finish_of, named, read
from gateway.providers.retry_info import first
from gateway.providers.signatures import GOOGLE, marked

_UNKNOWN_STATUS = 502


class ContentStream(TranslatedEvents):
    """A StreamReader."""

    __slots__ = ("_blocks", "_calls", "_chunks", "_finish", "_id", "_own", "_signed")

    def __init__(self, call: Call, *, asks_usage: bool) -> None:
        super().__init__(call, asks_usage=asks_usage)
        self._chunks: Chunks | None = None
        self._id = ""
        self._calls = 0
        self._blocks = 0
        self._signed = False
        self._finish = ""
        self._own: dict[str, Any] = {}

    @property
    def usage(self) -> Usage:
        said = self._usage
        if said is None or self._finish:
            return settled(said, self._call, self._bytes)
        return so_far(said, self._call, self._bytes)  # Told with each bit, before what the bit says is counted.

    def end(self) -> bytes:
        rest = self._rest()
        if self.failed:
            return rest
        if not self._finish or self._chunks is None:
            raise BrokenAnswer("its stream ended before it was complete")
        self.complete = True
        last = self._chunks.finish(finish_of(self._finish, calls=self._calls > 0), **self._own)
        return rest + last + (self._chunks.usage(self.usage) if self._asks_usage else b"") + DONE

    def _unwrapped(self, said: Any) -> Any:
        return first(said)

    def _chunk(self, said: Mapping[str, Any]) -> bytes:
        if said.get("error"):
            return self._fail(said["error"])
        bit = read(said)
        self._usage = bit.usage or self._usage
        self._own |= bit.own
        self._finish = bit.finish or self._finish
        return self._say(bit)

    def _say(self, bit: Bit) -> bytes:
        chunks, made = self._chunks, []
        if chunks is None:
            self._id = bit.id or self._call.id
            chunks = self._chunks = Chunks(self._call, bit.id, bit.model or str(self._call.body.get("model")))
            made.append(chunks.delta({"role": "assistant", "content": ""}))
        if thought := "".join(bit.thoughts):
            made.append(chunks.delta(thought_more(0, thought)))
        if bit.signature and not self._signed:
            self._signed = True
            made.append(chunks.delta(block_more(0, {"signature": marked(bit.signature, GOOGLE)})))
        text = "".join(bit.texts)
        if text or bit.logprobs is not None:
            made.append(chunks.delta({"content": text}, bit.logprobs))
        for call in bit.calls:
            made.append(chunks.delta({"tool_calls": [{"index": self._calls, **named(call, self._id, self._calls)}]}))
            self._calls += 1
            self._bytes += sum([text_length(call["function"][word]) for word in ("name", "arguments")])
        for block in bit.blocks:
            self._blocks += 1  # The thought is the first.
            made.append(chunks.delta(block_more(self._blocks, block)))
        self._bytes += text_length(thought) + text_length(text)
        self.begun = self.begun or bool(thought or text or bit.calls or bit.blocks or bit.finish)
        return b"".join(made)

    def _fail(self, error: Any) -> bytes:
        detail = error if isinstance(error, dict) else {"message": word(error) or "its stream ended with an error"}
        body = orjson.dumps({"error": detail})
        code = detail.get("code")
        self.failure = StreamFailure(code if isinstance(code, int) and 400 <= code <= 599 else _UNKNOWN_STATUS, body)
        return b"data: %b\n\n" % body
