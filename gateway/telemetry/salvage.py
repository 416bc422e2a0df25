"""Reads what can be read of a damaged outbox, row by row; a batch counts as saved if its payload has its hash."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from shared.protocol import batch
from shared.protocol.canonical import INTEGER_MAX
from shared.protocol.drop import Drop

_MAGIC = b"SQLite format 3\0"
_HEAD_BYTES = 100


@dataclass(frozen=True, slots=True)
class SavedBatch:
    payload: bytes
    records: int
    drops: tuple[Drop, ...]
    first_ms: int
    last_ms: int
    made_ms: int


def prepare(damaged: Path) -> None:
    """A file that was cut short gets its length back, empty: SQLite reads nothing of one that is too short."""
    with suppress(OSError), damaged.open("rb+") as file:
        head = file.read(_HEAD_BYTES)
        page_bytes = int.from_bytes(head[16:18])
        pages = int.from_bytes(head[28:32])
        if head.startswith(_MAGIC) and file.seek(0, os.SEEK_END) < pages * page_bytes:
            file.truncate(pages * page_bytes)


def cursors(damaged: Path) -> dict[str, int]:
    return {
        segment: at
        for segment, at in _rows(damaged, "SELECT segment, at FROM cursor")
        if isinstance(segment, str) and _is_count(at)
    }


def untold(damaged: Path) -> Iterator[Drop]:
    for values in _rows(damaged, "SELECT reason, count, from_ms, to_ms FROM untold ORDER BY id"):
        with suppress(ValidationError):
            yield Drop.model_validate(dict(zip(("reason", "count", "from_ms", "to_ms"), values, strict=True)))


def dropped(damaged: Path) -> dict[str, int]:
    """Those that a heartbeat can tell."""
    found = {}
    for reason, count in _rows(damaged, "SELECT reason, count FROM dropped"):
        with suppress(ValidationError):
            found[reason] = Drop(reason=reason, count=count, from_ms=0, to_ms=0).count
    return found


def batches(damaged: Path) -> Iterator[SavedBatch]:
    """In the order in which they were made."""
    # A bad page ends a walk: from both ends, what is on either side of it is found.
    ids = {id_ for way in ("ASC", "DESC") for (id_,) in _rows(damaged, f"SELECT id FROM batch ORDER BY id {way}")}  # noqa: S608 - no value in it
    for id_ in sorted(id_ for id_ in ids if isinstance(id_, int)):
        for row in _rows(
            damaged,
            "SELECT body, hash, records, drops, first_ms, last_ms, made_ms FROM batch JOIN payload USING (id)"
            " WHERE id = ?",
            id_,
        ):
            if (saved := _batch(*row)) is not None:
                yield saved


def _batch(body: Any, hash_: Any, records: Any, drops: Any, *times: Any) -> SavedBatch | None:
    if not isinstance(body, bytes) or batch.payload_hash(body) != hash_:
        return None
    if not all(map(_is_count, (records, *times))):
        return None
    try:
        told = tuple(Drop.model_validate(drop) for drop in orjson.loads(drops))
    except (orjson.JSONDecodeError, ValidationError, TypeError):
        return None
    return SavedBatch(body, records, told, *times)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value <= INTEGER_MAX


def _rows(damaged: Path, query: str, *values: Any) -> Iterator[tuple[Any, ...]]:
    """The rows that come before the query fails, if it does."""
    # In Python's module the second one is an error whose words, of the file's own texts, are no UTF-8.
    with suppress(sqlite3.Error, UnicodeDecodeError), closing(sqlite3.connect(damaged)) as db:
        yield from db.execute(query, values)
