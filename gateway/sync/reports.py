"""What each worker says of the state it serves: a small file of its own that the agent reads (GHS/1 13.3, 13.4)."""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from shared.protocol.heartbeat import TEXT_CHARS_MAX, Applied, RefusedResource
from shared.protocol.lease import Lease
from shared.protocol.wire import Count, Name, WirePart

FOLDER = "workers"


class Report(WirePart):
    worker: Name
    lease: Count | None
    """Sequence of the lease in use."""
    refusal: Name | None
    """Why the newest state as a whole is not served; None: it is."""
    applied: list[Applied]
    refused: list[RefusedResource]


def serving(worker: str, lease: Lease, refused: Iterable[Mapping[str, Any]]) -> Report:
    """Of a worker that serves by this lease; `refused` as `view/` says them: with `code` and `detail`."""
    return Report(
        worker=worker,
        lease=lease.sequence,
        refusal=None,
        applied=[Applied(shard=entry.shard, epoch=entry.epoch, revision=entry.revision) for entry in lease.vector],
        refused=[
            RefusedResource.model_validate({**entry, "path": entry["detail"][:TEXT_CHARS_MAX]}) for entry in refused
        ],
    )


def clear(state_dir: Path) -> None:
    """Forget the workers of the last start; before any worker begins. Raises OSError."""
    folder = state_dir / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    for path in folder.iterdir():
        path.unlink(missing_ok=True)


def write(state_dir: Path, report: Report) -> None:
    """Replace the worker's last report. What cannot be written is not told: a worker also serves with a full disk."""
    path = state_dir / FOLDER / f"{report.worker}.json"
    fresh = path.with_suffix(".new")
    with suppress(OSError):
        fresh.write_bytes(orjson.dumps(report.model_dump(mode="json")))
        fresh.replace(path)


def signature(state_dir: Path) -> tuple[tuple[str, int, int], ...]:
    """Changes whenever a report does."""
    with suppress(OSError), os.scandir(state_dir / FOLDER) as entries:
        return tuple(sorted((e.name, e.inode(), e.stat().st_mtime_ns) for e in entries if e.name.endswith(".json")))
    return ()


def read(state_dir: Path) -> list[Report]:
    """Every worker's last report that can be read."""
    reports = []
    for name, _, _ in signature(state_dir):
        with suppress(OSError, orjson.JSONDecodeError, ValidationError):
            reports.append(Report.model_validate(orjson.loads((state_dir / FOLDER / name).read_bytes())))
    return reports


def applied_by_all(reports: Sequence[Report]) -> list[Applied]:
    """Up to where every worker serves each shard; a shard that one of them does not have is left out."""
    places = [{entry.shard: (entry.epoch, entry.revision) for entry in report.applied} for report in reports]
    if not places:
        return []
    shared = set(places[0]).intersection(*places)
    lowest = {shard: min(of_worker[shard] for of_worker in places) for shard in sorted(shared)}
    return [Applied(shard=shard, epoch=epoch, revision=revision) for shard, (epoch, revision) in lowest.items()]


def refused_by_any(reports: Iterable[Report]) -> list[RefusedResource]:
    """Each refusal once, however many workers say it."""
    each = {
        (entry.shard, entry.kind, entry.id, entry.revision, entry.code): entry
        for report in reports
        for entry in report.refused
    }
    return [each[key] for key in sorted(each)]
