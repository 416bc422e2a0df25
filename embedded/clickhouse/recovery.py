"""What a kill in the middle of an insert leaves behind, put right before the engine opens the folder.

The engine writes a part's deduplication record first, and then moves the part to its place. Killed between the two, it
would take the same insert, when it is repeated, for one that is there already, and its rows would be lost. So records
of parts that never came to their place are taken back, in the engine's own words for a part that was dropped.
"""

import re
from collections.abc import Iterator
from pathlib import Path

TAIL_BYTES = 256 * 1024
"""Of the newest records. A table has one such part at most: record and move are one step under its lock."""
ADDED, DROPPED = b"1", b"2"

_PART = re.compile(r"(?P<partition>[^_]+)_(?P<first>\d+)_(?P<last>\d+)_\d+(_\d+)?")
_LOG = re.compile(r"deduplication_log_(\d+)\.txt")


def take_back_lost_parts(data: Path) -> list[str]:
    """Their names. `data` is nobody's at the moment."""
    found = []
    # The tables of ordinary databases, and those of databases that name tables by what they are called.
    for folder in (*data.glob("store/*/*/deduplication_logs"), *data.glob("data/*/*/deduplication_logs")):
        found += _take_back(folder)
    return found


def _take_back(folder: Path) -> list[str]:
    numbered = ((_LOG.fullmatch(path.name), path) for path in folder.iterdir())
    logs = [path for _, path in sorted((int(match[1]), path) for match, path in numbered if match)]
    if not logs:
        return []
    _cut_torn_line(logs[-1])
    there = [part for path in folder.parent.iterdir() if (part := _PART.fullmatch(path.name))]
    lost = {
        part: record
        for part, record in _added(logs[-2:]).items()
        if (match := _PART.fullmatch(part)) and not any(_holds(other, match) for other in there)
    }
    if lost:
        with logs[-1].open("ab") as log:
            log.writelines(b"\t".join((DROPPED, part.encode(), record)) + b"\n" for part, record in lost.items())
    return list(lost)


def _added(logs: list[Path]) -> dict[str, bytes]:
    """By part, the records of the newest that were not taken back."""
    records: dict[str, bytes] = {}
    for line in _lines(logs):
        operation, _, rest = line.partition(b"\t")
        part, _, record = rest.partition(b"\t")
        if operation == ADDED:
            records[part.decode()] = record
        elif operation == DROPPED:
            records.pop(part.decode(), None)
    return records


def _lines(logs: list[Path]) -> Iterator[bytes]:
    for path in logs:
        with path.open("rb") as log:
            if (size := path.stat().st_size) > TAIL_BYTES:
                log.seek(size - TAIL_BYTES)
                log.readline()
            yield from log.read().splitlines()


def _cut_torn_line(log: Path) -> None:
    """A record that was not written whole is none, and the next one must not be glued to it."""
    text = log.read_bytes()
    if text and not text.endswith(b"\n"):
        log.write_bytes(text[: text.rfind(b"\n") + 1])


def _holds(part: re.Match[str], other: re.Match[str]) -> bool:
    """Whether `part` is `other`, or was merged from it."""
    return (
        part["partition"] == other["partition"]
        and int(part["first"]) <= int(other["first"])
        and int(part["last"]) >= int(other["last"])
    )
