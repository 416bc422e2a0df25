"""How much content an answer holds, in bytes: measured event by event, in case the provider never says what it used."""

import re
from typing import Any

import orjson

from gateway.providers.estimate import text_bytes
from gateway.upstream.events import data_of

_MARKS = tuple(
    b'"%b":%b"' % (name, space)
    for name in (b"content", b"reasoning_content", b"reasoning", b"arguments", b"text", b"refusal")
    for space in (b"", b" ")
)
"""How an event begins to say something."""
_STRING = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*')
_BACKSLASH, _LF, _CR = b"\\\n\r"
_BEFORE_A_VALUE = b'":"'
_BEHIND_A_VALUE = (b"}", b",")
_NOTHING_LEARNED = -1
_SLACK_BYTES = 64
"""So much earlier than in the event before, a mark may stand in the next one."""


class ContentMeter:
    """Where the last event said something, the next one mostly does too: most events cost two searches, not a parse."""

    __slots__ = ("_before", "_between", "_from", "_mark", "_same_bytes", "_skip", "_tail", "_until_word", "bytes")

    def __init__(self) -> None:
        self._mark = b"\0"  # Stands in no event: the first one that says something is looked at.
        self._skip = 0
        self._from = 0
        self._before = b""
        """How the event that was learned begins, up to what it says."""
        self._until_word: bytes | None = None
        """What stands behind the end of what it says, up to its last value, if that is a word."""
        self._tail = b""
        """How it ends, from the word's end on; where there is none, from the end of what it says."""
        self._between = b""
        """From there up to what the next one says, if it is the same."""
        self._same_bytes = _NOTHING_LEARNED
        """So long are its beginning and its end; below zero, as nothing is, while none was learned."""
        self.bytes = 0

    def sees_again(self, events: bytes) -> bool:
        """Whether each of them is the event that was learned, but for what it says and a word in its last place. Then
        they have the same fields, so there can be nothing else of note in them, and they have been seen with this.
        """
        inner = events.removeprefix(self._before).removesuffix(self._tail)
        if len(inner) + self._same_bytes != len(events):
            return False
        said, quote, behind = inner.partition(b'"')
        until_word = self._until_word
        if (
            (quote if until_word is None else not behind.removeprefix(until_word).isalnum())
            or _BACKSLASH in said
            or _LF in said
            or _CR in said
            or not said
        ):
            return self._sees_each_again(inner)
        self.bytes += len(said)  # What most come to: one event.
        return True

    def _sees_each_again(self, inner: bytes) -> bool:
        """Where there may be several, or what one says is escaped. `inner`: without beginning and end."""
        until_word, found = self._until_word, 0
        for event in inner.split(self._between):
            said, quote, behind = event.partition(b'"')
            length = len(said)
            if _BACKSLASH in said:
                said, length = escaped(event)
                quote, behind = event[len(said) : len(said) + 1], event[len(said) + 1 :]
            if quote if until_word is None else not behind.removeprefix(until_word).isalnum():
                return False
            if not length or _LF in said or _CR in said:
                return False  # Where it says nothing, it may say it in another place.
            found += length
        self.bytes += found
        return True

    def learn(self, event: bytes) -> None:
        """The next one may be the same again. `event` was seen, is whole, and nothing else of note is in it."""
        at = event.find(self._mark, self._from)
        if at < 0 or not self._skip:
            return
        start = at + self._skip
        said, quote, behind = event[start:].partition(b'"')
        # What ends in a lone CR may not have ended.
        if _BACKSLASH in said or not (behind.startswith(_BEHIND_A_VALUE) and behind.endswith(b"\n")):
            return
        self._before = event[:start]
        self._until_word, tail = up_to_word(behind)
        self._tail = quote + behind if self._until_word is None else tail
        self._between = self._tail + self._before
        self._same_bytes = len(self._between)

    def forget(self) -> None:
        """What was learned."""
        self._same_bytes = _NOTHING_LEARNED

    def see(self, event: bytes) -> None:
        start = event.find(self._mark, self._from)
        if start > 0:
            start += self._skip
            said = event[start : event.find(b'"', start)]
            if said:
                self.bytes += escaped(event[start:])[1] if _BACKSLASH in said else len(said)
                return
        self.look(event, parsed(data_of(event)))

    def look(self, event: bytes, chunk: dict[str, Any]) -> None:
        """As `see`, for an event that was parsed."""
        found = content_bytes(chunk)
        if not found:
            return
        self.bytes += found
        for mark in _MARKS:
            at = event.find(mark)
            if at > 0 and not event.startswith(b'"', at + len(mark)):
                self._mark, self._skip, self._from = mark, len(mark), max(0, at - _SLACK_BYTES)
                self.forget()
                return


def up_to_word(behind: bytes) -> tuple[bytes | None, bytes]:
    """What stands behind the text of an event up to its last value, if that is a word, and what stands behind the word.

    Some hosts put a word of any length there, so that whoever counts bytes does not learn how long the text is.
    """
    until_word, colon, value = behind.rpartition(_BEFORE_A_VALUE)
    word, quote, tail = value.partition(b'"')
    if colon and word.isalnum() and tail.startswith(_BEHIND_A_VALUE):
        return until_word + colon, quote + tail
    return None, b""


def content_bytes(answer: dict[str, Any]) -> int:
    """Of a whole answer, or of one event of a stream."""
    choices = answer.get("choices")
    if not isinstance(choices, list):
        return 0
    return sum(
        [
            text_bytes(choice.get("delta") or choice.get("message") or choice)
            for choice in choices
            if isinstance(choice, dict)
        ]
    )


def says_something(chunk: dict[str, Any]) -> bool:
    """Whether an event says more than that a stream is there: not a ping, who speaks, what a prompt was checked for."""
    choices = chunk.get("choices")
    if not isinstance(choices, list):
        return False
    # Not by `any`: a generator that is not run to its end is ended by an exception.
    return True in [isinstance(choice, dict) and _holds_content(choice) for choice in choices]


def _holds_content(choice: dict[str, Any]) -> bool:
    delta = choice.get("delta")
    if isinstance(delta, dict):
        for name, value in delta.items():
            if value and name != "role":
                return True
    return bool(choice.get("text")) or bool(choice.get("finish_reason"))


def gives_reason(chunk: dict[str, Any]) -> bool:
    """Whether an event says why a choice has ended."""
    choices = chunk.get("choices")
    return isinstance(choices, list) and True in [
        isinstance(choice, dict) and bool(choice.get("finish_reason")) for choice in choices
    ]


def parsed(data: bytes | None) -> dict[str, Any]:
    """Of an event; empty if that is no JSON object."""
    try:
        chunk = orjson.loads(data or b"null")
    except orjson.JSONDecodeError:
        return {}
    return chunk if isinstance(chunk, dict) else {}


def escaped(data: bytes) -> tuple[bytes, int]:
    """The JSON string whose first character `data` begins with, and how many bytes it says; 0 if it is none."""
    found = _STRING.match(data)
    string = found.group() if found else b""
    try:
        text = orjson.loads(b'"%b"' % string)
    except orjson.JSONDecodeError:
        return string, 0
    return string, len(text.encode("utf-8", "surrogatepass"))
