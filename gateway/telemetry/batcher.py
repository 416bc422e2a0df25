"""The agent's eye on the spool: reads what workers wrote, keeps it in batches, removes segments that are all in some.

Each look is one blocking call, for a thread; the loop that makes them is `run`. Nothing here can stop a call to a
model: while the outbox takes nothing, segments stay where they are, and what workers cannot write they count.
"""

import asyncio
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from gateway.telemetry import batches, segments, tails
from gateway.telemetry.ballast import Ballast
from gateway.telemetry.batches import Draft, Watch
from gateway.telemetry.outbox import Made, Outbox, OutboxUnavailable
from gateway.telemetry.segments import Segment
from gateway.telemetry.tails import Tail
from shared.clock import Clock
from shared.models.record import FIELDS
from shared.protocol import batch

LOOK_S = 0.25
UNTOLD_LOOK_S = 1.0
"""How often it is looked whether there are drops that no record came along with."""
SLICES_MAX = 8
"""Of one segment in one look, so that others have their turn."""
AHEAD_MAX = 3
"""More batches than that wait to be sent: segments of a time when nobody read can wait too, where they are. So what is
written now is not behind a day that was written before."""
OLD_MAX = 4
"""Of such segments, begun in one look."""
ROOM_SHARE_LEFT = 0.95
"""Of the bytes that may wait, once the oldest had to go: so that it is not done for each batch anew."""


Observer = Callable[[tuple[str, ...]], Watch | None]
"""Whom to tell of records with these fields. He hears of each once, in the batcher's thread."""


@dataclass(frozen=True, slots=True)
class Room:
    """What batches that wait may take up."""

    bytes_max: int
    disk_share_max: float

    def bytes_of(self, folder: Path) -> int:
        return min(self.bytes_max, int(shutil.disk_usage(folder).total * self.disk_share_max))


class Batcher:
    def __init__(self, state_dir: Path, outbox: Outbox, ballast: Ballast, room: Room, clock: Clock, observer: Observer):
        self._state_dir = state_dir
        self._folder = state_dir / segments.FOLDER
        self._outbox = outbox
        self._ballast = ballast
        self._room = room
        self._clock = clock
        self._observer = observer
        self._tails: dict[Segment, Tail] | None = None
        self._draft: Draft | None = None
        """Made, and to be taken by the outbox before anything else is."""
        self._untold_due_s = clock.monotonic_s()
        self._unreadable: set[Segment] = set()
        self._kept = 0
        """How many batches this process made."""
        self._said = ""
        self._lock = threading.Lock()
        self._log = structlog.get_logger("telemetry.batcher")
        self.made = asyncio.Event()
        """Set when there is something new to send."""

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            more = False
            before = self._kept
            try:
                more = await asyncio.to_thread(self.look)
            except Exception:  # noqa: BLE001 - the node's only batcher: what broke this look may not break the next
                self._log.error("batcher_failed", exc_info=True)
            if self._kept != before:
                self.made.set()
            await asyncio.sleep(0 if more else LOOK_S)

    def look(self, *, last: bool = False) -> bool:
        """See what is new, and keep what is due; whether there is more to read at once. `last`: keep all there is."""
        with self._lock:
            try:
                more = self._look(last)
            except (OutboxUnavailable, OSError) as error:
                if str(error) != self._said:
                    self._said = str(error)
                    self._log.error("batches_not_made", detail=str(error))
                return False
            if self._said:
                self._said = ""
                self._log.info("batches_made_again")
            self._ballast.make()
            return more

    def unread_bytes(self) -> int:
        """In segments, and in no batch yet."""
        total = 0
        with suppress(OSError):
            for segment in segments.listed(self._folder):
                tail = (self._tails or {}).get(segment)
                with suppress(OSError):
                    size = (self._folder / segment.name).stat().st_size
                    total += max(0, size - (0 if tail is None else tail.at))
        return total

    def _look(self, last: bool) -> bool:
        if self._draft is not None:
            self._keep(self._draft)
        tails_ = self._follow()
        newest, old = _by_turn(tails_)
        unreadable = [tail for tail in old if tail.segment in self._unreadable]
        old = [tail for tail in old if tail.segment not in self._unreadable]
        has_room = last or self._waiting() <= AHEAD_MAX
        chosen = old if last else old[:OLD_MAX] if has_room else []
        more = has_room and len(chosen) < len(old)
        for tail in (*newest, *chosen, *(unreadable if has_room else ())):
            for _ in range(SLICES_MAX):
                if not self._grow(tail):
                    break
                self._keep_due(tails_, last=False, queued=not has_room)
            else:
                more = True
        self._keep_due(tails_, last=last, queued=not has_room)
        self._tell_drops(last)
        self._remove_finished(tails_)
        self._outbox_room()
        return more

    def _waiting(self) -> int:
        """Batches that are to be sent."""
        return sum(stream.last - stream.first + 1 for stream in self._outbox.streams())

    def _follow(self) -> list[Tail]:
        """Tails of the segments there are now, oldest first."""
        try:
            listed = segments.listed(self._folder)
        except FileNotFoundError:
            listed = []
        if self._tails is None:
            cursors = self._outbox.cursors()
            self._tails = {segment: Tail(segment, at=cursors.get(segment.name, 0)) for segment in listed}
            for tail in self._tails.values():
                self._require_cursor(tail)
            self._forget(cursors.keys() - {segment.name for segment in listed})
        fresh = [segment for segment in listed if segment not in self._tails]
        gone = self._tails.keys() - set(listed)
        highest = {segment.worker: segment.number for segment in listed}  # Listed in ascending order.
        if fresh:
            _settle(self._folder)
        for segment in fresh:
            self._tails[segment] = Tail(segment, at=0)
        if gone:
            self._forget({segment.name for segment in gone})
            for segment in gone:
                del self._tails[segment]
        for segment, tail in self._tails.items():
            tail.sealed = segment.number < highest[segment.worker]
        return sorted(self._tails.values(), key=lambda tail: (tail.segment.number, tail.segment.worker))

    def _require_cursor(self, tail: Tail) -> None:
        """A cursor beyond the file's end is of another file of that name: somebody emptied the folder."""
        with suppress(OSError):
            size = (self._folder / tail.segment.name).stat().st_size
            if tail.at > size:
                self._log.error("segment_is_another", segment=tail.segment.name, cursor=tail.at, size=size)
                tail.at = 0
        tail.read_to = tail.at

    def _grow(self, tail: Tail) -> bool:
        try:
            grown = tails.grow(tail, self._folder, self._clock.monotonic_s())
        except OSError as error:
            if tail.segment not in self._unreadable:
                self._unreadable.add(tail.segment)
                self._log.error("segment_unreadable", segment=tail.segment.name, detail=str(error))
            return False
        self._unreadable.discard(tail.segment)
        return grown

    def _keep_due(self, tails_: Sequence[Tail], *, last: bool, queued: bool) -> None:
        while group := batches.due(tails_, self._clock.monotonic_s(), last=last, queued=queued):
            self._keep(batches.draft(group, self._clock.wall_ms(), self._observer(group[0].fields or ())))

    def _tell_drops(self, last: bool) -> None:
        now_s = self._clock.monotonic_s()
        if last or now_s >= self._untold_due_s:
            self._untold_due_s = now_s + UNTOLD_LOOK_S
            if self._outbox.untold():
                self._keep(Draft(FIELDS))

    def _keep(self, draft: Draft) -> None:
        self._draft = draft
        told = self._outbox.untold()
        drops = [*draft.drops, *(entry.drop for entry in told)]
        first_ms, last_ms = draft.first_ms, draft.last_ms
        if not drops and not draft.rows:
            self._draft = None
            return
        if not draft.rows:
            first_ms, last_ms = min(drop.from_ms for drop in drops), max(drop.to_ms for drop in drops)
        payload = batch.payload(draft.fields, draft.rows, drops) if self._outbox.keeps else b""
        self._outbox.add(Made(payload, len(draft.rows), tuple(drops), first_ms, last_ms), draft.cursors, told)
        self._draft = None
        self._kept += 1
        draft.apply()

    def _remove_finished(self, tails_: Sequence[Tail]) -> None:
        """Their cursors are on disk; after the files are gone for good, the cursors go too."""
        finished = [tail.segment for tail in tails_ if tail.finished]
        if not finished:
            return
        assert self._tails is not None
        gone = []
        for segment in finished:
            with suppress(OSError):
                (self._folder / segment.name).unlink(missing_ok=True)
                gone.append(segment)
        _settle(self._folder)
        self._forget({segment.name for segment in gone})
        for segment in gone:
            del self._tails[segment]

    def _forget(self, names: set[str]) -> None:
        if names:
            self._outbox.forget_cursors(names)

    def _outbox_room(self) -> None:
        lost = self._outbox.make_room(self._room.bytes_of(self._state_dir), ROOM_SHARE_LEFT)
        if lost:
            self._log.error("spool_full", lost=lost)


def _by_turn(tails_: Sequence[Tail]) -> tuple[list[Tail], list[Tail]]:
    """Those that are written to, or were begun; and those that nobody has begun: what was written while nobody read."""
    begun = [tail for tail in tails_ if not tail.sealed or tail.read_to]
    return begun, [tail for tail in tails_ if tail.sealed and not tail.read_to]


def _settle(folder: Path) -> None:
    """What was made or removed in the folder outlives a power cut."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
