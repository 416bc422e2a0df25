"""What becomes of a killed worker's requests: each one that it left without a record gets one, `aborted`.

Run by the supervisor, which is plain code without a loop. A worker writes the records of all requests that end in one
turn of its loop and clears their slots in one go, so a slot still in use belongs to a request without a record; but for
those of one turn, if the worker was killed between the two. Its last segments tell.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import orjson
import structlog

from gateway.pipeline.record import Row, aborted_row
from gateway.sync import private_files
from gateway.telemetry import segments, slots
from gateway.telemetry.segments import Kind, Segment
from gateway.telemetry.slots import Left
from gateway.telemetry.spool import next_number
from shared.models.record import FIELDS

LOOKED_AT = 2
"""How many of a worker's last segments are searched for its last records: the newest may have just begun."""
LATE = ".late"
"""Behind a worker's name: of segments that are written when it has a successor. A newer one of its own would say that
nobody writes to the successor's any more, and the agent would take that away."""

log = structlog.get_logger("telemetry.recover")


class Recovery:
    """Turns what workers left into records. What cannot be written now is kept and tried again."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._folder = state_dir / segments.FOLDER
        self._waiting: dict[str, list[Row]] = {}
        """By what their segment is to be named after."""

    @property
    def waits(self) -> bool:
        """Records are kept in memory, since the disk took nothing."""
        return bool(self._waiting)

    def everybody(self) -> None:
        """Of every worker of a former start; before any worker begins. Raises OSError if the folder cannot be used."""
        for folder in (slots.FOLDER, segments.FOLDER):
            (self._state_dir / folder).mkdir(mode=0o700, exist_ok=True)
        for path in slots.tables(self._state_dir):
            self.ended(path.stem)

    def ended(self, worker: str) -> None:
        """This worker is dead: nobody writes to its table or its segments."""
        path = slots.path_of(self._state_dir, worker)
        try:
            left = slots.left(path)
            told = _told(self._folder, worker) if left else frozenset()
        except FileNotFoundError:
            return  # It never began, or was asked about before.
        except OSError as error:
            log.error("slots_unreadable", worker=worker, detail=error.strerror)  # noqa: TRY400 - the disk's fault
            return
        self.retry()
        told |= {_chance_of(str(row[0])) for row in self._waiting.get(worker + LATE, ())}
        rows = [_row(request) for request in left if _chance_of(request.id) not in told]
        if rows:
            log.warning("requests_aborted", worker=worker, count=len(rows))
            if not self._written(worker, rows):
                self._waiting.setdefault(worker + LATE, []).extend(rows)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:  # Who it holds is told or waits, so it may be read again.
            log.error("slots_not_removed", worker=worker, detail=error.strerror)  # noqa: TRY400 - as above

    def retry(self) -> None:
        """Write what waits."""
        for name, rows in list(self._waiting.items()):
            if self._written(name, rows):
                del self._waiting[name]
                log.info("aborted_written", worker=name, count=len(rows))

    def _written(self, name: str, rows: Sequence[Row]) -> bool:
        try:
            _write(self._folder, Segment(name, next_number(self._folder, name)), rows)
        except OSError as error:
            if name not in self._waiting:  # What waits is tried each second, and was told of.
                log.error("aborted_not_written", worker=name, detail=error.strerror)  # noqa: TRY400 - as above
            return False
        return True


def _told(folder: Path, worker: str) -> frozenset[str]:
    """Of the worker's last records what in their ids is chance. Raises OSError."""
    listed = segments.listed(folder)
    own, late = ([segment for segment in listed if segment.worker == name] for name in (worker, worker + LATE))
    told: set[str] = set()
    for segment in (*own[-LOOKED_AT:], *late[-LOOKED_AT:]):
        with suppress(FileNotFoundError):  # The agent took it away just now: a newer one has the last records.
            frames = segments.iterate(folder, segment)
            told |= {_chance_of(orjson.loads(frame.payload)[0]) for frame in frames if frame.kind == Kind.RECORD}
    return frozenset(told)


def _chance_of(id_: str) -> str:
    """The 80 random bits of a request's id; an anonymous record's id has another time in front."""
    return id_[15:]


def _row(left: Left) -> Row:
    return aborted_row(left.id, left.door, left.workspace, left.api_key, is_anonymous=left.is_anonymous)


def _write(folder: Path, segment: Segment, rows: Sequence[Row]) -> None:
    """A whole segment, or none. Raises OSError."""
    frames = b"".join(segments.frame(Kind.RECORD, orjson.dumps(row)) for row in rows)
    private_files.write(folder / segment.name, segments.head(FIELDS) + frames)
