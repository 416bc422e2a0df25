"""The stream of a generated content as the chunks of a chat (pure). It has no last word: it ends, or it was cut."""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.providers.base import BrokenAnswer, Call, StreamFailure, Usage
from gateway.providers.chat_answer import DONE, Chunks, block_more, thought_more
from gateway.providers.estimate import settled, text_length
from gateway.providers.gemini.answer import Bit, finish_of, named, read
from gateway.providers.gemini.errors import first
from gateway.upstream.events import EventSplitter, EventTooLarge, data_of

_UNKNOWN_STATUS = 502


class ContentStream:
    """A StreamReader."""

    __slots__ = (
        "_asks_usage",
        "_blocks",
        "_bytes",
        "_call",
        "_calls",
        "_chunks",
        "_events",
        "_finish",
        "_id",
        "_own",
        "_signed",
        "_usage",
        "begun",
        "complete",
        "failure",
    )

    def __init__(self, call: Call, *, asks_usage: bool) -> None:
        self._call = call
        self._asks_usage = asks_usage
        """The caller wants the chunk that tells the usage."""
        self._events = EventSplitter()
        self._chunks: Chunks | None = None
        self._id = ""
        self._calls = 0
        self._blocks = 0
        self._signed = False
        self._finish = ""
        self._own: dict[str, Any] = {}
        self._usage: Usage | None = None
        self._bytes = 0
        self.begun = False
        self.complete = False
        self.failure: StreamFailure | None = None

    @property
    def failed(self) -> bool:
        return self.failure is not None

    @property
    def usage(self) -> Usage:
        said = self._usage
        if said is not None and not self._finish:
            # Told with each bit, and then before what the bit says is counted: only the input is final.
            said = Usage(input_tokens=said.input_tokens, cache_read_tokens=said.cache_read_tokens)
        return settled(said, self._call, self._bytes)

    def feed(self, data: bytes) -> bytes:
        try:
            events = self._events.feed(data)
        except EventTooLarge:
            raise BrokenAnswer("one event of its stream is too large") from None
        return b"".join([self._chunk(event) for event in events])

    def end(self) -> bytes:
        rest = b"".join([self._chunk(event) for event in self._events.finish()])
        if self.failed:
            return rest
        if not self._finish or self._chunks is None:
            raise BrokenAnswer("its stream ended before it was complete")
        self.complete = True
        last = self._chunks.finish(finish_of(self._finish, calls=self._calls > 0), **self._own)
        return rest + last + (self._chunks.usage(self.usage) if self._asks_usage else b"") + DONE

    def error_event(self, body: Mapping[str, Any], status: int) -> bytes:  # noqa: ARG002 - told in the body alone
        return b"data: %b\n\n" % orjson.dumps(body)

    def _chunk(self, event: bytes) -> bytes:
        data = data_of(event)
        if data is None or self.failed:
            return b""
        try:
            said = orjson.loads(data)
        except orjson.JSONDecodeError:
            raise BrokenAnswer("an event of its stream is not JSON") from None
        said = first(said)
        if not isinstance(said, dict):
            raise BrokenAnswer("an event of its stream is not a JSON object")
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
            self._id = bit.id
            chunks = self._chunks = Chunks(self._call, bit.id, bit.model or str(self._call.body.get("model")))
            made.append(chunks.delta({"role": "assistant", "content": ""}))
        if thought := "".join(bit.thoughts):
            made.append(chunks.delta(thought_more(0, thought)))
        if bit.signature and not self._signed:
            self._signed = True
            made.append(chunks.delta(block_more(0, {"signature": bit.signature})))
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
        detail = error if isinstance(error, dict) else {"message": str(error)}
        body = orjson.dumps({"error": detail})
        code = detail.get("code")
        self.failure = StreamFailure(code if isinstance(code, int) and 400 <= code <= 599 else _UNKNOWN_STATUS, body)
        return b"data: %b\n\n" % body
