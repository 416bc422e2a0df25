"""What a chat says, in order: thoughts, text, tool calls; from its chunks, or from a whole answer as from one chunk.

Other dialects want one block after another, each begun, continued and ended. A chat may go on with several tool calls
in turns. So one block is live at a time; what comes for those behind it waits until the live one is known to be over.
"""

from collections.abc import Iterator, Mapping
from enum import Enum, auto
from hashlib import sha256
from typing import Any

import msgspec
import orjson

from gateway.providers.base import BrokenAnswer

SAID_BYTES_MAX = 64 * 1024 * 1024
"""Of one answer: it is kept, because some dialects end with all of it once more."""
LOOKS_MAX = 64
"""How often it is looked whether an unfinished tool call has become whole, before its end is left to the stream's."""


class Kind(Enum):
    THOUGHT = auto()
    SEALED_THOUGHT = auto()
    """One that only its provider can read."""
    TEXT = auto()
    REFUSAL = auto()
    FUNCTION = auto()
    CUSTOM = auto()
    """A tool whose input is plain text."""


_CALLS = (Kind.FUNCTION, Kind.CUSTOM)


class Block(msgspec.Struct):
    kind: Kind
    index: int
    """Its place among the blocks."""
    call_id: str = ""
    name: str = ""
    pieces: list[str] = msgspec.field(default_factory=list)
    signature: str = ""
    """By which its provider knows a thought again; whole when the block ends."""
    logprobs: list[Any] = msgspec.field(default_factory=list)
    told_pieces: int = 0
    told_logprobs: int = 0

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class Move(Enum):
    START = auto()
    MORE = auto()
    STOP = auto()


class Step(msgspec.Struct, frozen=True):
    move: Move
    block: Block
    text: str = ""
    logprobs: tuple[Any, ...] = ()


class Said:
    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.finish: str | None = None
        self.stop: str | None = None
        """The stop sequence that was met, where the host says which."""
        self.head: Mapping[str, Any] = {}
        """The first chunk that has an id: id, model, created."""
        self.is_headed = False
        """No later chunk is: there was one, or something was told without."""
        self.service_tier: str | None = None
        self._calls: dict[int, Block] = {}
        self._live = 0
        self._started = False
        self._bytes = 0
        self._looks = 0

    def take(self, chunk: Mapping[str, Any], *, whole: bool = False) -> list[Step]:
        """A chunk of a stream, or a whole answer. Raises BrokenAnswer."""
        if not self.is_headed:
            self.head, self.is_headed = chunk, bool(chunk.get("id"))
        if isinstance(tier := chunk.get("service_tier"), str):
            self.service_tier = tier
        choices = chunk.get("choices")
        choice = _first(choices) if isinstance(choices, list) else None
        if choice is None:
            return []
        if isinstance(reason := choice.get("finish_reason"), str):
            self.finish = reason
        if isinstance(stop := choice.get("stop_reason"), str):
            self.stop = stop
        # Some hosts put both into either.
        named, other = ("message", "delta") if whole else ("delta", "message")
        said = choice.get(named)
        if not isinstance(said, Mapping):
            said = choice.get(other)
        if not isinstance(said, Mapping):
            return []
        logprobs = choice.get("logprobs")
        self._take(said, logprobs if isinstance(logprobs, Mapping) else {})
        steps = [*self._advance()]
        self.is_headed = self.is_headed or bool(steps)
        return steps

    def end(self) -> list[Step]:
        """Nothing more comes. Raises BrokenAnswer."""
        steps: list[Step] = []
        while self._live < len(self.blocks):
            block = self.blocks[self._live]
            if block.kind in _CALLS and not block.name:
                raise BrokenAnswer("it calls a tool without a name")
            steps += [*self._tell(block), Step(Move.STOP, block)]
            self._pass()
        return steps

    def _take(self, said: Mapping[str, Any], logprobs: Mapping[str, Any]) -> None:
        for kind, text, signature in _thoughts(said):
            if not (text or signature):  # Some hosts say so beside each word of the answer.
                continue
            block = self._last_or_new(kind)
            self._grow(block, text)
            block.signature += signature
        content = said.get("content")
        if isinstance(content, list):
            for kind, text in _parts(content):
                self._grow(self._last_or_new(kind), text)
        elif isinstance(content, str) and content:
            block = self._last_or_new(Kind.TEXT)
            self._grow(block, content)
            if isinstance(told := logprobs.get("content"), list):
                block.logprobs += told
        if isinstance(refusal := said.get("refusal"), str) and refusal:
            self._grow(self._last_or_new(Kind.REFUSAL), refusal)
        calls = said.get("tool_calls")
        for place, call in enumerate(calls if isinstance(calls, list) else ()):
            if isinstance(call, Mapping):
                self._call(call, place)

    def _call(self, call: Mapping[str, Any], place: int) -> None:
        index, call_id = call.get("index"), call.get("id")
        if index is None:
            index = place
        kind = Kind.CUSTOM if isinstance(call.get("custom"), Mapping) else Kind.FUNCTION
        detail = call.get("custom" if kind is Kind.CUSTOM else "function")
        if not isinstance(index, int) or not isinstance(detail, Mapping):
            raise BrokenAnswer("it calls a tool in a way that is none")
        block = self._calls.get(index)
        name, said = detail.get("name"), detail.get("input" if kind is Kind.CUSTOM else "arguments")
        # Some hosts give every call the same index; another id is another call.
        if block is None or (isinstance(call_id, str) and call_id and block.call_id not in ("", call_id)):
            block = self._calls[index] = self._new(kind)
        elif name and said and block.name and not call_id and self._is_whole(block):
            block = self._calls[index] = self._new(kind)  # And no ids: behind a whole object nothing can follow.
        if isinstance(call_id, str) and not block.call_id:
            block.call_id = call_id
        if isinstance(name, str) and not block.name:
            block.name = name
        if isinstance(said, Mapping):  # Some hosts send the object itself.
            try:
                said = orjson.dumps(said).decode()
            except orjson.JSONEncodeError:  # orjson reads deeper than it writes.
                raise BrokenAnswer("it calls a tool with arguments that are nested too deep") from None
        self._grow(block, said if isinstance(said, str) else "")

    def _last_or_new(self, kind: Kind) -> Block:
        last = self.blocks[-1] if self.blocks else None
        if last is None or last.kind is not kind or kind is Kind.SEALED_THOUGHT or last.signature:
            return self._new(kind)
        return last

    def _new(self, kind: Kind) -> Block:
        block = Block(kind, len(self.blocks))
        self.blocks.append(block)
        return block

    def _grow(self, block: Block, text: str) -> None:
        if not text:
            return
        self._bytes += len(text)
        if self._bytes > SAID_BYTES_MAX:
            raise BrokenAnswer("it says more than this gateway translates")
        block.pieces.append(text)

    def _advance(self) -> Iterator[Step]:
        while self._live < len(self.blocks):
            block = self.blocks[self._live]
            yield from self._tell(block)
            if self._live + 1 == len(self.blocks) or not self._is_whole(block):
                return
            yield Step(Move.STOP, block)
            self._pass()

    def _tell(self, block: Block) -> Iterator[Step]:
        """What of the live block has not been told."""
        if block.kind in _CALLS and not block.name:
            return
        if not self._started:
            self._started = True
            yield Step(Move.START, block)
        if block.told_pieces < len(block.pieces):
            text = "".join(block.pieces[block.told_pieces :])
            logprobs = tuple(block.logprobs[block.told_logprobs :])
            block.told_pieces, block.told_logprobs = len(block.pieces), len(block.logprobs)
            yield Step(Move.MORE, block, text, logprobs)

    def _pass(self) -> None:
        self._live += 1
        self._started = False
        self._looks = 0

    def _is_whole(self, block: Block) -> bool:
        if block.kind not in _CALLS:
            return True
        if block.kind is Kind.CUSTOM or not block.name or self._looks >= LOOKS_MAX:
            return False
        self._looks += 1
        try:
            orjson.loads(block.text)
        except orjson.JSONDecodeError:
            return False
        return True


def call_id(block: Block, answer: Any, prefix: str) -> str:
    """The host's own. Some give their calls none: then one that no other answer's calls have, and everybody takes."""
    return block.call_id or f"{prefix}_{sha256(str(answer).encode()).hexdigest()[:24]}_{block.index}"


def _first(choices: list[Any]) -> Mapping[str, Any] | None:
    for choice in choices:
        if isinstance(choice, Mapping) and choice.get("index", 0) == 0:
            return choice
    return None


def _thoughts(said: Mapping[str, Any]) -> Iterator[tuple[Kind, str, str]]:
    """Kind, text and signature of what was thought. Some hosts say it twice, in two fields."""
    blocks = said.get("content_blocks")
    found = False
    for block in blocks if isinstance(blocks, list) else ():
        detail = block.get("delta", block) if isinstance(block, Mapping) else None
        if not isinstance(detail, Mapping):
            continue
        if isinstance(data := detail.get("data"), str) and detail.get("type") == "redacted_thinking":
            found = True
            yield Kind.SEALED_THOUGHT, data, ""
            continue
        thought, signature = detail.get("thinking"), detail.get("signature")
        if isinstance(thought, str) or isinstance(signature, str):
            found = True
            yield (
                Kind.THOUGHT,
                thought if isinstance(thought, str) else "",
                signature if isinstance(signature, str) else "",
            )
    if found:
        return
    words = said.get("reasoning_content") or said.get("reasoning")
    if isinstance(words, str):
        yield Kind.THOUGHT, words, ""


def _parts(content: list[Any]) -> Iterator[tuple[Kind, str]]:
    """Some hosts answer in parts: texts, and thoughts that are lists of texts."""
    for part in content:
        if not isinstance(part, Mapping):
            continue
        thinking, text = part.get("thinking"), part.get("text")
        if isinstance(thinking, list):
            for _, thought in _parts(thinking):
                yield Kind.THOUGHT, thought
        elif isinstance(thinking, str) and thinking:
            yield Kind.THOUGHT, thinking
        elif isinstance(text, str) and text:
            yield Kind.TEXT, text
