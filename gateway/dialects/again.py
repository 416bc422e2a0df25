"""Events of a native stream that are like one before but for what they say, their number, and what pads them (pure).

Most of a stream are, and to parse each takes ten times as long as to see that. For chats, whose events have no number,
`gateway/providers/openai/content.py` does the same.
"""

import re
from typing import Protocol

from gateway.providers.openai.content import escaped, up_to_word

_MARKS = tuple(
    b'"%b":%b"' % (name, space) for name in (b"delta", b"text", b"thinking", b"partial_json") for space in (b"", b" ")
)
"""How an event begins to say something."""
_NUMBER = re.compile(rb'"sequence_number": ?([0-9]+),')
_END = b"}\n\n"
_BACKSLASH, _LF, _CR = b"\\\n\r"
_NOTHING_LEARNED = -1


class Measured(Protocol):
    content_bytes: int


class Again:
    """What is seen here adds to `measured` what a parse would add, and would do nothing else."""

    __slots__ = ("_first", "_is_word", "_measured", "_same_bytes", "_second", "_tail", "_until")

    def __init__(self, measured: Measured) -> None:
        self._measured = measured
        self._first = b""
        """How the event that was learned begins: up to its number, or if it has none, up to what it says."""
        self._second: bytes | None = None
        """What stands behind the number's comma, up to what it says."""
        self._until = b""
        """What stands behind what it says, up to what pads it."""
        self._is_word = False
        """A word pads it, as its last value; else blanks do, if anything."""
        self._tail = b""
        self._same_bytes = _NOTHING_LEARNED
        """So long are `_first` and `_tail`; below zero, as nothing is, while none was learned."""

    def sees(self, event: bytes) -> bool:
        """Whether it is one whole event like the one that was learned. Then it has been seen with this."""
        inner = event.removeprefix(self._first).removesuffix(self._tail)
        if len(inner) + self._same_bytes != len(event):
            return False
        second = self._second
        if second is not None:
            number, _, rest = inner.partition(b",")
            inner = rest.removeprefix(second)
            if not number.isdigit() or len(inner) + len(second) != len(rest):
                return False
        said, _, behind = inner.partition(b'"')
        length = len(said)
        if _BACKSLASH in said:
            said, length = escaped(inner)
            behind = inner[len(said) + 1 :]
        # The next event of several would stand in what this one says, or behind that.
        if _LF in said or _CR in said:
            return False
        if not behind.removeprefix(self._until).isalnum() if self._is_word else behind.rstrip(b" ") != self._until:
            return False
        self._measured.content_bytes += length
        return True

    def learn(self, event: bytes, said_bytes: int) -> None:
        """The next one may be the same again. `event` was seen, is whole, and all it did was to say so much."""
        for mark in _MARKS:
            at = event.find(mark)
            if at < 0:
                continue
            start = at + len(mark)
            said, length = escaped(event[start:])
            behind = event[start + len(said) + 1 :]
            if not length or length != said_bytes or not behind.endswith(_END):
                continue
            until_word, tail = up_to_word(behind)
            self._is_word = until_word is not None
            self._until = behind[: -len(_END)].rstrip(b" ") if until_word is None else until_word
            self._tail = _END if until_word is None else tail
            number = _NUMBER.search(event, 0, start)
            self._first = event[: start if number is None else number.start(1)]
            self._second = None if number is None else event[number.end() : start]
            self._same_bytes = len(self._first) + len(self._tail)
            return

    def forget(self) -> None:
        """What was learned."""
        self._same_bytes = _NOTHING_LEARNED
