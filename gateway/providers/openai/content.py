"""How much content an answer holds, in bytes: measured event by event, in case the provider never says what it used."""

import re
from typing import Any

import orjson

from gateway.providers.estimate import text_bytes
from gateway.upstream.events import EVENT_BYTES_MAX, data_of

_MARKS = tuple(
    b'"%b":%b"' % (name, space)
    for name in (b"content", b"reasoning_content", b"reasoning", b"arguments", b"text", b"refusal")
    for space in (b"", b" ")
)
"""How an event begins to say something."""
_STRING = re.compile(rb'(?:[^"\\]|\\.)*')
_BACKSLASH, _LF, _CR = b"\\\n\r"
_BEFORE_A_VALUE = b'":"'
_BEHIND_A_VALUE = (b"}", b",")
_SLACK_BYTES = 64
"""So much earlier than in the event before, a mark may stand in the next one."""


class ContentMeter:
    """Where the last event said something, the next one mostly does too: most events cost two searches, not a parse."""

    __slots__ = ("_before", "_behind", "_from", "_mark", "_skip", "_tail", "_until_value", "bytes")

    def __init__(self) -> None:
        self._mark = b"\0"  # Stands in no event: the first one that says something is looked at.
        self._skip = 0
        self._from = 0
        self._before: bytes | None = None
        """How the event that was learned begins, up to what it says. None: none was."""
        self._behind = b""
        self._until_value: bytes | None = None
        """What stands behind what it says, up to its last value, if that is a word; `_tail` is behind the word."""
        self._tail = b""
        self.bytes = 0

    def sees_again(self, event: bytes) -> bool:
        """Whether it is the event that was learned, but for what it says and a word in its last place. Then it has the
        same fields, so there can be nothing else of note in it, and it has been seen with this.
        """
        before = self._before
        if before is None or not event.startswith(before):
            return False
        said, _, behind = event[len(before) :].partition(b'"')
        if behind != self._behind and not self._differs_in_word(behind):
            return False
        if _BACKSLASH in said or _LF in said or _CR in said or len(event) > EVENT_BYTES_MAX:
            return False
        self.bytes += len(said)
        return bool(said)  # Where it says nothing, it may say it in another place.

    def learn(self, event: bytes) -> None:
        """The next one may be the same again. `event` was seen, is one and whole, and nothing else of note is in it."""
        at = event.find(self._mark, self._from)
        if at < 0 or not self._skip:
            return
        start = at + self._skip
        said, _, behind = event[start:].partition(b'"')
        if _BACKSLASH in said or not behind.startswith(_BEHIND_A_VALUE):
            return
        self._before, self._behind, self._until_value = event[:start], behind, None
        # Some hosts put a word of any length there, so that whoever counts bytes does not learn how long the text is.
        colon = behind.rfind(_BEFORE_A_VALUE)
        if colon < 0:
            return
        value_at = colon + len(_BEFORE_A_VALUE)
        value, _, tail = behind[value_at:].partition(b'"')
        if value.isalnum() and tail.startswith(_BEHIND_A_VALUE):
            self._until_value, self._tail = behind[:value_at], tail

    def forget(self) -> None:
        """What was learned."""
        self._before = None

    def _differs_in_word(self, behind: bytes) -> bool:
        until = self._until_value
        if until is None or not behind.startswith(until):
            return False
        word, _, tail = behind[len(until) :].partition(b'"')
        return tail == self._tail and word.isalnum()

    def see(self, event: bytes) -> None:
        start = event.find(self._mark, self._from)
        if start > 0:
            start += self._skip
            said = event[start : event.find(b'"', start)]
            if said:
                self.bytes += _decoded_bytes(event, start) if _BACKSLASH in said else len(said)
                return
        self._look(event)

    def _look(self, event: bytes) -> None:
        found = content_bytes(parsed(event))
        if not found:
            return
        self.bytes += found
        for mark in _MARKS:
            at = event.find(mark)
            if at > 0 and not event.startswith(b'"', at + len(mark)):
                self._mark, self._skip, self._from = mark, len(mark), max(0, at - _SLACK_BYTES)
                self.forget()
                return


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
    return any(isinstance(choice, dict) and _holds_content(choice) for choice in choices)


def _holds_content(choice: dict[str, Any]) -> bool:
    delta = choice.get("delta")
    said = isinstance(delta, dict) and any(value for name, value in delta.items() if name != "role")
    return said or bool(choice.get("text")) or choice.get("finish_reason") is not None


def parsed(event: bytes) -> dict[str, Any]:
    """An event's data; empty if that is no JSON object."""
    try:
        chunk = orjson.loads(data_of(event) or b"null")
    except orjson.JSONDecodeError:
        return {}
    return chunk if isinstance(chunk, dict) else {}


def _decoded_bytes(event: bytes, start: int) -> int:
    """Of the JSON string whose first character stands at `start`."""
    found = _STRING.match(event, start)
    try:
        text = orjson.loads(b'"%b"' % (found.group() if found else b""))
    except orjson.JSONDecodeError:
        return 0
    return len(text.encode("utf-8", "surrogatepass"))
