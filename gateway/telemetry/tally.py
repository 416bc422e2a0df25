"""What the outbox held last, in a small file beside it: by this, what a damaged outbox lost is known and counted.

Written after each commit, so it is never ahead of the outbox. It is read only where the outbox cannot be.
"""

import os
from contextlib import suppress
from pathlib import Path

import orjson
from pydantic import ValidationError

from shared.protocol.wire import Count, WirePart

FILE = "outbox.tally.json"


class Tally(WirePart):
    last: Count
    """Id of the newest batch ever made."""
    records: Count
    """In batches that wait."""
    oldest_ms: Count
    """When the oldest of them began; 0: none waits."""
    at_ms: Count
    cursors: dict[str, Count]
    """How far each segment is in batches."""


def write(state_dir: Path, tally: Tally) -> None:
    """Replace the last one. Not fsynced: it is a help, and what it helps with comes once in a disk's life."""
    path = state_dir / FILE
    fresh = path.with_suffix(".new")
    with suppress(OSError):
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(tally.model_dump(mode="json")))
        fresh.replace(path)


def read(state_dir: Path) -> Tally | None:
    with suppress(OSError, orjson.JSONDecodeError, ValidationError):
        return Tally.model_validate(orjson.loads((state_dir / FILE).read_bytes()))
    return None
