"""An answer as it is kept: its head in one line of JSON, then the bytes that the caller got."""

import msgspec
import orjson


class Entry(msgspec.Struct, frozen=True):
    """A whole answer, or all events of a stream, in the dialect of its door."""

    status: int
    content_type: str
    is_stream: bool
    notes: tuple[tuple[str, str], ...]
    """Headers of ours that say how it came about."""
    made_ms: int
    """When it was whole: ms since 1970."""
    body: bytes

    def is_fresh(self, max_age_s: int, now_ms: int) -> bool:
        return now_ms - self.made_ms < max_age_s * 1_000

    @property
    def size(self) -> int:
        return len(self.body)


def written(entry: Entry) -> bytes:
    head = [entry.status, entry.content_type, entry.is_stream, entry.notes, entry.made_ms]
    return orjson.dumps(head) + b"\n" + entry.body


def read(data: bytes) -> Entry | None:
    """None for what no `written` made."""
    head, line, body = data.partition(b"\n")
    try:
        status, content_type, is_stream, notes, made_ms = orjson.loads(head)
        notes = tuple((str(name), str(value)) for name, value in notes)
    except (ValueError, TypeError):
        return None
    return Entry(int(status), str(content_type), bool(is_stream), notes, int(made_ms), body) if line else None
