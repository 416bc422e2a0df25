"""Framing: incremental cutters of a byte stream into whole events, and readers of one event.

Server-sent events, and JSON by the line (NDJSON); a `Framing` is either, for whoever reads data and not frames.

A server-sent event is every byte up to and including the blank line that ends it, so the events put together are the
stream, byte for byte, and a stream that needs no translation passes untouched. Blank lines that end nothing are an
event without fields, as many as come together. Lines end in LF, CRLF or CR. Source: WHATWG HTML, 9.2.5 and 9.2.6.
"""

import re
from collections.abc import Callable
from typing import Protocol

import msgspec

EVENT_BYTES_MAX = 8 * 1024 * 1024

_CR = 0x0D
_LF = 0x0A
_BLANK = b"\n\n"
_BOM = b"\xef\xbb\xbf"
# Atomic groups: a CRLF is one line end, and must not be read as two when what follows it is no line end.
_BLANKS = re.compile(rb"(?>\r\n|[\r\n])+")
_BLANK_LINE = re.compile(rb"(?>\r\n|[\r\n])(?>\r\n|[\r\n])")
_BLANK_LINE_BYTES_MAX = 4


class EventTooLarge(ValueError):
    """An event is longer than the limit; the stream cannot be followed any further."""


class Splitter(Protocol):
    """Feed it a stream as it comes, cut anywhere; it gives whole events. One splitter per stream."""

    def feed(self, data: bytes) -> list[bytes]:
        """The events that `data` completes. Raises EventTooLarge; the splitter is of no use after that."""
        ...

    def finish(self) -> list[bytes]:
        """The event, if any, that is whole now that the stream has ended."""
        ...


class EventSplitter:
    """Feed it a stream as it comes, cut anywhere; it gives whole events. One splitter per stream."""

    __slots__ = ("_begun", "_event_bytes_max", "_lf_only", "_pending", "_searched")

    def __init__(self, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self._event_bytes_max = event_bytes_max
        self._pending = bytearray()
        self._searched = 0
        """So many bytes of `_pending` are known to hold no end of an event."""
        self._lf_only = True
        """No CR is in `_pending`. To look through all of it at each feed would cost the square of an event's length."""
        self._begun = False

    @property
    def is_clear(self) -> bool:
        """All that has come was whole events: the next one begins with what comes next."""
        return not self._pending

    @property
    def pending(self) -> bytes:
        """What has come of an event that has not ended. By the standard it counts for nothing if the stream ends."""
        return bytes(self._pending)

    def feed(self, data: bytes) -> list[bytes]:
        """The events that `data` completes. A byte order mark at the stream's start is dropped: it is no event's.

        An event that ends in a lone CR is given with the next byte, since a LF there would belong to it.
        Raises EventTooLarge, also for an event that is not whole yet; the splitter is of no use after that.
        """
        if not self._begun:
            data = self._begin(data)
        if self._is_whole(data):  # The usual case.
            return [event + _BLANK for event in data[:-2].split(_BLANK)]
        self._pending += data
        self._lf_only = self._lf_only and _CR not in data
        return self._cut(at_end=False)

    def _is_whole(self, data: bytes) -> bool:
        """Whether `data` is whole events, and nothing but each of them ends in LF twice: to split it there cuts it."""
        return (
            not self._pending
            and data.endswith(_BLANK)
            and _CR not in data
            and data[0] != _LF
            and data.find(b"\n\n\n") < 0
            and len(data) <= self._event_bytes_max
        )

    def finish(self) -> list[bytes]:
        """The event, if any, that is whole now that the stream has ended: one that ended in a lone CR."""
        return self._cut(at_end=True) if self._pending else []

    def _begin(self, data: bytes) -> bytes:
        """Step over a byte order mark; nothing comes while what is there may still become one."""
        data = self.pending + data
        self._pending.clear()
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._pending += data
            return b""
        self._begun = True
        return data.removeprefix(_BOM)

    def _cut(self, *, at_end: bool) -> list[bytes]:
        pending = self._pending
        end_of_event = _end_by_lf if self._lf_only else _end_by_any
        events: list[bytes] = []
        start = 0
        while end := end_of_event(pending, start, max(start, self._searched)):
            if end == len(pending) and pending[-1] == _CR and not at_end:
                break
            if end - start > self._event_bytes_max:
                break
            events.append(bytes(pending[start:end]))
            start = end
        if (end or len(pending)) - start > self._event_bytes_max:
            raise EventTooLarge(f"an event is longer than {self._event_bytes_max} bytes")
        del pending[:start]
        self._lf_only = self._lf_only or not pending
        self._searched = max(0, len(pending) - _BLANK_LINE_BYTES_MAX + 1)
        return events


class LineSplitter:
    """Cuts at LF: an event is a line. The last one may lack its end. Source: the NDJSON specification, section 3."""

    __slots__ = ("_event_bytes_max", "_pending")

    def __init__(self, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self._event_bytes_max = event_bytes_max
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes. Raises EventTooLarge, also for a line that is not whole yet."""
        # Only what is new is searched: to look through a long line at each feed would cost the square of its length.
        *ends, rest = data.split(b"\n")
        if ends and self._pending:
            ends[0] = bytes(self._pending) + ends[0]
            self._pending.clear()
        self._pending += rest
        if len(self._pending) > self._event_bytes_max or any(len(line) >= self._event_bytes_max for line in ends):
            raise EventTooLarge(f"a line is longer than {self._event_bytes_max} bytes")
        return [line + b"\n" for line in ends]

    def finish(self) -> list[bytes]:
        rest, self._pending = bytes(self._pending), bytearray()
        return [rest] if rest else []


def _end_by_lf(data: bytearray, start: int, search_from: int) -> int:
    """Where the event ends that begins at `start`, in `data` without a CR; 0 if it has not ended."""
    if data.startswith(b"\n", start):
        return _blanks_end(data, start)
    found = data.find(b"\n\n", search_from)
    return found + 2 if found >= 0 else 0


def _end_by_any(data: bytearray, start: int, search_from: int) -> int:
    """As `_end_by_lf`, for all line ends, at a quarter of the speed."""
    if data.startswith((b"\r", b"\n"), start):
        return _blanks_end(data, start)
    found = _BLANK_LINE.search(data, search_from)
    return found.end() if found else 0


def _blanks_end(data: bytearray, start: int) -> int:
    """Of blank lines that end nothing. A CR at the end of `data` is left out: what follows may belong to it."""
    found = _BLANKS.match(data, start)
    assert found is not None
    end = found.end()
    return end - 1 if data[-1] == _CR and end == len(data) > start + 1 else end


def data_of(event: bytes) -> bytes | None:
    """The values of the event's `data` lines, joined by LF; None if it has none and so is never dispatched."""
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2 and _CR not in event:
        return event[6:-2]
    if event.find(b"data") < 0:
        return None
    values = _values(event, b"data")
    return b"\n".join(values) if values else None


def name_of(event: bytes) -> bytes | None:
    """The event's type; None if it names none, which browsers call `message`."""
    if b"event" not in event:
        return None
    values = _values(event, b"event")
    return values[-1] or None if values else None


def _values(event: bytes, field: bytes) -> list[bytes]:
    values = []
    for line in event.splitlines():
        name, _, value = line.partition(b":")
        if name == field:
            values.append(value.removeprefix(b" "))
    return values


def line_of(event: bytes) -> bytes | None:
    """What a line says; None if it is blank."""
    return event.strip(b" \t\r\n") or None


class Framing(msgspec.Struct, frozen=True):
    """How a stream is cut into events, and what an event's data are."""

    splitter: Callable[[], Splitter]
    data_of: Callable[[bytes], bytes | None]
    """None: the event says nothing."""


EVENTS = Framing(EventSplitter, data_of)
LINES = Framing(LineSplitter, line_of)
