"""What each worker says of the state it serves: a small file of its own that the agent reads (GHS/1 13.3, 13.4)."""

import os
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from gateway.view.refusal import Refusal
from shared.protocol.lease import Lease

FOLDER = "workers"


class Applied(msgspec.Struct, frozen=True):
    """Up to where the worker serves a shard."""

    shard: str
    epoch: int
    revision: int


class Report(msgspec.Struct, frozen=True):
    worker: str
    lease: int | None
    """Sequence of the lease in use."""
    refusal: str | None
    """Why the newest state as a whole is not served; None: it is."""
    applied: list[Applied]
    refused: list[Refusal]


def serving(worker: str, lease: Lease, refused: Iterable[Refusal]) -> Report:
    """Of a worker that serves by this lease."""
    applied = [Applied(entry.shard, entry.epoch, entry.revision) for entry in lease.vector]
    return Report(worker, lease.sequence, None, applied, list(refused))


def clear(state_dir: Path) -> None:
    """Forget the workers of the last start; before any worker begins. What a read-only disk keeps stands.

    Raises OSError if the folder cannot be made or read.
    """
    folder = state_dir / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    for path in folder.iterdir():
        with suppress(OSError):
            path.unlink(missing_ok=True)


def write(state_dir: Path, report: Report) -> bool:
    """Replace the worker's last report. False: the disk did not take it; a worker also serves with a full one."""
    path = state_dir / FOLDER / f"{report.worker}.json"
    fresh = path.with_suffix(".new")
    try:
        fresh.write_bytes(msgspec.json.encode(report))
        fresh.replace(path)
    except OSError:
        return False
    return True


class Teller:
    """A worker's word on what it serves, on the disk as soon as that takes it. Blocks: call it in a thread."""

    __slots__ = ("_lock", "_state_dir", "_waiting")

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._lock = threading.Lock()
        self._waiting: Report | None = None

    @property
    def waits(self) -> bool:
        """The last report is not on the disk; `retry` is to be called."""
        return self._waiting is not None

    def tell(self, report: Report) -> None:
        with self._lock:
            self._waiting = None if write(self._state_dir, report) else report

    def retry(self) -> None:
        with self._lock:
            if self._waiting is not None and write(self._state_dir, self._waiting):
                self._waiting = None


def signature(state_dir: Path) -> tuple[tuple[str, int, int], ...]:
    """Changes whenever a report does."""
    with suppress(OSError), os.scandir(state_dir / FOLDER) as entries:
        return tuple(sorted((e.name, e.inode(), e.stat().st_mtime_ns) for e in entries if e.name.endswith(".json")))
    return ()


def read(state_dir: Path) -> list[Report]:
    """Every worker's last report that can be read."""
    reports = []
    for name, _, _ in signature(state_dir):
        with suppress(OSError, msgspec.DecodeError):
            reports.append(msgspec.json.decode((state_dir / FOLDER / name).read_bytes(), type=Report))
    return reports


def applied_by_all(reports: Sequence[Report]) -> list[Applied]:
    """Up to where every worker serves each shard; a shard that one of them does not have is left out."""
    places = [{entry.shard: (entry.epoch, entry.revision) for entry in report.applied} for report in reports]
    if not places:
        return []
    shared = set(places[0]).intersection(*places)
    lowest = {shard: min(of_worker[shard] for of_worker in places) for shard in sorted(shared)}
    return [Applied(shard, *place) for shard, place in lowest.items()]


def refused_by_any(reports: Iterable[Report]) -> list[Refusal]:
    """Each refusal once, however many workers say it."""
    each = {
        (entry.shard, entry.kind, entry.id, entry.revision, entry.code): entry
        for report in reports
        for entry in report.refused
    }
    return [each[key] for key in sorted(each)]
