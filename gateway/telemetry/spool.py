"""A worker's end of the spool: records go to its own segment, all that end in one turn of the loop in one `write()`.

Nothing here waits for a disk, and nothing stops a call. While the disk is full or read-only, records are held in
memory and written as soon as it can be written again; what does not fit there is counted, by reason, and the count is
written then too.
"""

import errno
import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path

import orjson
import structlog

from gateway.telemetry import segments
from gateway.telemetry.segments import Kind, Segment, frame
from shared.clock import Clock
from shared.protocol.drop import Drop

SEGMENT_BYTES_MAX = 4 * 1024 * 1024
HELD_BYTES_MAX = 32 * 1024 * 1024
"""Of one worker, in memory."""
FLUSH_FRAMES_MAX = 500
"""Written at once of what was held: calls go on beside it."""
RETRY_S = 1.0
"""How often a disk that took nothing is tried again."""
FOLDER_BYTES_MAX = 8 * 1024 * 1024 * 1024
"""Of all segments, should no agent take them away."""

_RECORD = int(Kind.RECORD)
"""A member of an enumeration takes longer to find than its frame to make."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

log = structlog.get_logger("telemetry.spool")


class Spool:
    """Not for two threads. Its segments are named after the worker, and numbered on from those that are there."""

    def __init__(
        self,
        folder: Path,
        worker: str,
        fields: Sequence[str],
        clock: Clock,
        *,
        segment_bytes_max: int = SEGMENT_BYTES_MAX,
        held_bytes_max: int = HELD_BYTES_MAX,
        folder_bytes_max: int = FOLDER_BYTES_MAX,
    ) -> None:
        self._folder = folder
        self._worker = worker
        self._head = segments.head(fields)
        self._clock = clock
        self._segment_bytes_max = segment_bytes_max
        self._held_bytes_max = held_bytes_max
        self._folder_bytes_max = folder_bytes_max
        self._number = next_number(folder, worker)
        self._segment = Segment(worker, self._number)
        """The one that is written to, where there is a file."""
        self._file: int | None = None
        self._size = 0
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._why = ""
        """What keeps records from the disk; empty: nothing."""
        self._retry_due_s = 0.0
        self._dropped: dict[str, Drop] = {}
        self._open()

    def write(self, *payloads: bytes) -> None:
        """Keep these records: on the disk, else in memory, else in the count of those that were lost."""
        frames = [frame(_RECORD, payload) for payload in payloads]
        written = 0
        if self._why or self._held or self._dropped:
            waits = bool(self._why) and self._clock.monotonic_s() < self._retry_due_s
            if not waits and self._flushed():
                written = self._append(*frames)
        else:
            written = self._append(*frames)
        for data in frames[written:]:
            self._hold(data)

    def flush(self, frames_max: int = FLUSH_FRAMES_MAX) -> bool:
        """Try to write some of what is held; whether nothing is any more."""
        for _ in range(min(frames_max, len(self._held))):
            if not self._append(self._held[0]):
                return False
            self._held_bytes -= len(self._held.popleft())
        for reason, drop in list(self._dropped.items()):
            if not self._append(frame(Kind.DROP, orjson.dumps(drop.model_dump(mode="json")))):
                return False
            del self._dropped[reason]
        return not self._held

    def follow(self) -> None:
        """Begin another segment if somebody removed the one that is written to: nobody would read what goes there."""
        if self._file is not None and self._is_removed(self._file):
            log.error("segment_removed", worker=self._worker)
            self._close_segment()
            self._open()

    def _is_removed(self, file: int) -> bool:
        try:
            # The second question is for file systems that count no links.
            return os.fstat(file).st_nlink == 0 and not (self._folder / self._segment.name).exists()
        except OSError:
            return False

    @property
    def holds(self) -> bool:
        """Something waits in memory for the disk."""
        return bool(self._held or self._dropped)

    def close(self) -> None:
        """What is still held is lost with the process; it is tried once more."""
        self.flush(len(self._held))
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _flushed(self) -> bool:
        return not self.holds or self.flush()

    def _append(self, *frames: bytes) -> int:
        """How many of them, from the first on, stand in the file."""
        file = self._file
        if file is None or self._size >= self._segment_bytes_max:
            self._open()
            file = self._file
            if file is None:
                return 0
        data = b"".join(frames)
        try:
            written = os.write(file, data)
        except OSError as error:
            self._failed("disk_full" if error.errno in _FULL else "disk_error", error.strerror or "")
            return 0
        if written != len(data):
            # The rest did not fit. Half a frame goes, so that nobody takes it for a lost record, and is written anew,
            # whole, elsewhere. The whole ones stay: the agent may have read them already.
            whole = sum(end <= written for end in accumulate(map(len, frames)))
            with suppress(OSError):
                os.ftruncate(file, os.fstat(file).st_size - written + sum(map(len, frames[:whole])))
            self._close_segment()
            self._failed("disk_full", "only a part of it could be written")
            return whole
        self._size += written
        if self._why:
            log.info("spool_writes_again", worker=self._worker)
            self._why = ""
        return len(frames)

    def _open(self) -> None:
        """Begin a segment. If that cannot be done, the one before goes on; if there is none, records are held."""
        if self._is_over_its_share():
            self._close_segment()
            self._failed("spool_full", f"segments of more than {self._folder_bytes_max} bytes wait to be shipped")
            return
        segment = Segment(self._worker, self._number)
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            file = _begun(self._folder / segment.name, self._folder / f"{self._worker}.new", self._head)
        except OSError as error:
            self._failed("disk_full" if error.errno in _FULL else "disk_error", error.strerror or "")
            self._size = 0  # The old one goes on for as long again.
            return
        self._number += 1
        self._close_segment()
        self._segment, self._file, self._size = segment, file, len(self._head)

    def _is_over_its_share(self) -> bool:
        total = 0
        try:
            with os.scandir(self._folder) as entries:
                total = sum(entry.stat().st_size for entry in entries)
        except OSError:
            return False  # Opening the segment will say what is wrong.
        return total > self._folder_bytes_max

    def _close_segment(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _failed(self, why: str, detail: str) -> None:
        if not self._why:
            log.error("spool_not_written", worker=self._worker, why=why, detail=detail)
        self._why = why
        self._retry_due_s = self._clock.monotonic_s() + RETRY_S

    def _hold(self, data: bytes) -> None:
        if self._held_bytes + len(data) <= self._held_bytes_max:
            self._held.append(data)
            self._held_bytes += len(data)
            return
        now_ms = self._clock.wall_ms()
        before = self._dropped.get(self._why)
        self._dropped[self._why] = Drop(
            reason=self._why,
            count=1 + (before.count if before is not None else 0),
            from_ms=min(before.from_ms, now_ms) if before is not None else now_ms,
            to_ms=max(before.to_ms, now_ms) if before is not None else now_ms,
        )


def _begun(path: Path, fresh: Path, head: bytes) -> int:
    """A segment with its head, to append to. It has its name last: that says of the one before it that nobody writes to
    it any more, and the agent takes that away. Raises OSError."""
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    try:
        if os.write(file, head) != len(head):
            raise OSError(errno.ENOSPC, "only a part of its head could be written")
        if path.exists():
            raise FileExistsError(errno.EEXIST, "there is one of its name")
        fresh.rename(path)
    except OSError:
        os.close(file)
        with suppress(OSError):
            fresh.unlink()
        raise
    return file


def next_number(folder: Path, worker: str) -> int:
    """The number of the worker's next segment; 1 where the folder cannot be read."""
    try:
        return max((segment.number for segment in segments.listed(folder) if segment.worker == worker), default=0) + 1
    except OSError:
        return 1
