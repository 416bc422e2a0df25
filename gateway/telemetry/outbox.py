"""What the agent owes the control plane: batches, immutable, on disk until they are acknowledged (GHS/1 17).

SQLite, each commit fsynced (WAL, synchronous = FULL). Less would not do: a commit that a power cut took back would make
a second batch of frames whose first one was acknowledged, and both would count. A batch, the cursors into the segments
it was made from and the drops it tells are one transaction, so wherever the process dies a frame is in one batch.

A stream is a range of batches: those after its `base`, up to the next stream's. A batch's number in it is its id less
the base, so the rest of a stream gets a new name, and numbers from 1, by one row. What was sent under a name and a
number keeps both. Each life of the process opens streams of its own: should the disk have lost what a former life
wrote, a number it had used would be acknowledged unseen.

One process has the file at a time. Damage is noticed by SQLite and by each payload's hash: what can be read is taken
over (`salvage.py`), the rest is counted by the tally that stands beside it.
"""

import errno
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import orjson
import structlog

from gateway.sqlite_damage import is_damage, primary_code
from gateway.telemetry import salvage, tally
from gateway.telemetry.ballast import Ballast
from gateway.telemetry.tally import Tally
from shared.clock import Clock
from shared.protocol import batch
from shared.protocol.batch import Head
from shared.protocol.canonical import INTEGER_MAX
from shared.protocol.drop import Drop

FILE = "outbox.sqlite3"
DAMAGED = "outbox_damaged"
FULL = "spool_full"

BUSY_S = 1.0
FREE_PAGES_MAX = 4_096
"""16 MiB of free pages are kept for the batches to come; beyond, they go back to the disk where that is cheap."""
VACUUM_PAGES = 2_048
SPARED_MAX = 32
"""Streams, the oldest ones, whose first batch is not dropped."""
UNTOLD_MAX = batch.DROPS_MAX // 2
"""Drops that waited and are told by one batch; the other half is for those it brings itself."""

_END = 2**62
_FAULTS = (sqlite3.Error, OSError, ValueError, TypeError)
"""The last two: of a value in the file that nobody wrote."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS batch (
    id INTEGER PRIMARY KEY AUTOINCREMENT, hash TEXT NOT NULL, bytes INTEGER NOT NULL, records INTEGER NOT NULL,
    drops TEXT NOT NULL, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, made_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS payload (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS stream (base INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS cursor (segment TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS untold (
    id INTEGER PRIMARY KEY AUTOINCREMENT, reason TEXT NOT NULL, count INTEGER NOT NULL,
    from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS dropped (reason TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
"""

T = TypeVar("T")


class OutboxUnavailable(Exception):
    """It cannot be used just now, and nothing of what was asked was done."""


@dataclass(frozen=True, slots=True)
class Made:
    """A batch that is to be kept."""

    payload: bytes
    records: int
    drops: tuple[Drop, ...]
    """All that the payload tells."""
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class Untold:
    """A drop that no batch tells yet."""

    id: int
    drop: Drop


@dataclass(frozen=True, slots=True)
class Stream:
    """One that has batches that wait: all ids from `first` to `last`."""

    base: int
    first: int
    last: int
    live: bool
    """New batches go to it."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A batch on its way."""

    id: int
    head: Head
    payload: bytes
    records: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is not acknowledged."""

    records: int
    bytes: int
    oldest_ms: int | None
    """When the oldest record of it began; None: nothing waits."""


class Outbox:
    """Opens when first used. Blocks: call it in a thread. Every method may raise OutboxUnavailable."""

    def __init__(
        self, state_dir: Path, ballast: Ballast, clock: Clock, new_stream: Callable[[], str], *, keep: bool
    ) -> None:
        """`new_stream`: 16 random hex digits. `keep`: False where there is nobody to send to: only cursors move."""
        self._folder = state_dir
        self._path = state_dir / FILE
        self._ballast = ballast
        self._clock = clock
        self._new_stream = new_stream
        self.keeps = keep
        """Whether it keeps payloads."""
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        self._inode = 0
        self._live: int | None = None
        """Base of the stream that new batches go to; None: the next one opens it."""
        self._done: set[int] = set()
        """Acknowledged, and not removed yet: the disk would not take it."""
        self._newest = self._records = self._bytes = 0
        self._log = structlog.get_logger("telemetry.outbox")

    # What comes in.

    def cursors(self) -> dict[str, int]:
        """How far each segment is in batches, by its file's name."""
        return self._read(lambda db: dict(db.execute("SELECT segment, at FROM cursor")))

    def forget_cursors(self, names: Iterable[str]) -> None:
        """Of segments whose files are gone for good."""
        self._write(lambda db: db.executemany("DELETE FROM cursor WHERE segment = ?", [(name,) for name in names]))

    def untold(self) -> list[Untold]:
        """Drops for the next batch to tell, oldest first."""

        def act(db: sqlite3.Connection) -> list[Untold]:
            rows = db.execute("SELECT id, reason, count, from_ms, to_ms FROM untold ORDER BY id LIMIT ?", (UNTOLD_MAX,))
            return [Untold(id_, _drop(*rest)) for id_, *rest in rows]

        return self._read(act)

    def add(self, made: Made, cursors: Mapping[str, int], told: Sequence[Untold]) -> None:
        """Keep a batch, with the cursors behind it. `told`: those of its drops that waited here."""
        fresh = list(made.drops)
        for entry in told:
            fresh.remove(entry.drop)

        def act(db: sqlite3.Connection) -> None:
            if self.keeps:
                if self._live is None:
                    self._live = _last(db)
                    _name(db, self._live, self._new_stream())
                self._insert(db, made, self._clock.wall_ms())
            db.executemany("DELETE FROM untold WHERE id = ?", [(entry.id,) for entry in told])
            db.executemany("INSERT OR REPLACE INTO cursor (segment, at) VALUES (?, ?)", cursors.items())
            for drop in fresh:
                _count(db, drop.reason, drop.count)

        self._write(act)

    # What goes out.

    def streams(self) -> list[Stream]:
        """Those in which something waits, oldest first."""
        return self._read(self._streams)

    def take(self, stream: Stream) -> Parcel | None:
        """The batch whose turn it is; None if it is damaged, and dropped."""

        def look(db: sqlite3.Connection) -> tuple[Head, str, int, bytes | None] | None:
            found = db.execute(
                "SELECT name, hash, records, body FROM stream, batch LEFT JOIN payload USING (id)"
                " WHERE base = ? AND id = ?",
                (stream.base, stream.first),
            ).fetchone()
            return None if found is None else (Head(stream=found[0], seq=stream.first - stream.base), *found[1:])

        def lose(db: sqlite3.Connection) -> None:
            self._drop(db, stream.first, DAMAGED)
            self._close_gap(db, stream.first)

        with self._lock:
            row = self._read(look)
            if row is None:
                return None
            head, hash_, records, body = row
            if not isinstance(body, bytes) or batch.payload_hash(body) != hash_:
                self._log.error("batch_damaged", records=records)
                self._write(lose)
                return None
            return Parcel(stream.first, head, body, records)

    def forget(self, id_: int) -> None:
        """A batch that is acknowledged. This process does not send it again, whether or not the disk takes that."""

        def act(db: sqlite3.Connection) -> None:
            for number in sorted(self._done):
                self._remove(db, number)
            _sweep_streams(db, self._live)

        with self._lock:
            self._done.add(id_)
            self._write(act)
            self._done.clear()

    def renew(self) -> None:
        """The next batch opens a new stream, to be sent beside what waits."""
        with self._lock:
            self._live = None

    def restream(self, id_: int) -> None:
        """From this batch on, the rest of its stream goes under a new name."""

        def act(db: sqlite3.Connection) -> None:
            self._rename_from(db, id_)
            _sweep_streams(db, self._live)

        self._write(act)

    def set_aside(self, id_: int) -> None:
        """A batch that is refused becomes a stream of its own, so that those behind it get on."""

        def act(db: sqlite3.Connection) -> None:
            self._rename_from(db, id_)
            # Where another stream begins behind it, that one's numbers go on under its own name.
            if db.execute("SELECT 1 FROM stream WHERE base = ?", (id_,)).fetchone() is None:
                self._rename_from(db, id_ + 1)

        self._write(act)

    # What is lost.

    def make_room(self, bytes_max: int, share_left: float) -> int:
        """If more than `bytes_max` wait, drop the oldest until a share of it is left; how many records that were.

        The first of a stream may have been sent, and then it may count already: it is spared. Room that is not needed
        any more goes back to the disk here too, a part at each call.
        """

        def act(db: sqlite3.Connection) -> int:
            lost = 0
            last: int | None = None
            streams = self._streams(db)
            spared = {stream.first for stream in [*streams[:SPARED_MAX], *streams[-1:]]} | self._done
            for id_, records in db.execute("SELECT id, records FROM batch ORDER BY id").fetchall():
                if self._bytes <= bytes_max * share_left:
                    break
                if id_ not in spared:
                    self._drop(db, id_, FULL)
                    lost += records
                    last = id_
            if last is not None:
                self._close_gap(db, last)
            return lost

        with self._lock:
            lost = self._write(act) if self._bytes > bytes_max else 0
            self._give_back()
            return lost

    def waiting(self) -> Waiting:
        with self._soon():
            oldest_ms = self._read(_oldest_ms)
            return Waiting(self._records, self._bytes, oldest_ms)

    def dropped(self) -> dict[str, int]:
        """Records lost at this node, by reason, since its outbox was made."""

        def act(db: sqlite3.Connection) -> dict[str, int]:
            told = [_drop(reason, count, 0, 0) for reason, count in db.execute("SELECT reason, count FROM dropped")]
            return {drop.reason: drop.count for drop in told}

        return self._read(act)

    def close(self) -> None:
        """For good: whoever began before, in a thread that nobody waits for any more, does not open it again."""
        with self._lock:
            self._closed = True
            self._disconnect()

    # Rows.

    def _streams(self, db: sqlite3.Connection) -> list[Stream]:
        found = []
        for base, end in _ranges(db):
            first, last = db.execute(
                "SELECT min(id), max(id) FROM batch WHERE id > ? AND id <= ?", (base, end)
            ).fetchone()
            while first in self._done:
                first += 1  # There is no gap within a stream.
            if first is not None and first <= last:
                found.append(Stream(base, first, last, base == self._live))
        return found

    def _insert(self, db: sqlite3.Connection, made: Made, made_ms: int) -> None:
        drops = orjson.dumps([drop.model_dump(mode="json") for drop in made.drops]).decode()
        hash_ = batch.payload_hash(made.payload)
        values = (hash_, len(made.payload), made.records, drops, made.first_ms, made.last_ms, made_ms)
        id_ = db.execute(
            "INSERT INTO batch (hash, bytes, records, drops, first_ms, last_ms, made_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
            values,
        ).lastrowid
        db.execute("INSERT INTO payload (id, body) VALUES (?, ?)", (id_, made.payload))
        self._records += made.records
        self._bytes += len(made.payload)

    def _remove(self, db: sqlite3.Connection, id_: int) -> None:
        for records, size in db.execute("SELECT records, bytes FROM batch WHERE id = ?", (id_,)).fetchall():
            db.execute("DELETE FROM payload WHERE id = ?", (id_,))
            db.execute("DELETE FROM batch WHERE id = ?", (id_,))
            self._records -= records
            self._bytes -= size

    def _drop(self, db: sqlite3.Connection, id_: int, reason: str) -> None:
        """Remove a batch. What it held is a drop to tell, and what it would have told is so still."""
        records, drops, first_ms, last_ms = db.execute(
            "SELECT records, drops, first_ms, last_ms FROM batch WHERE id = ?", (id_,)
        ).fetchone()
        for drop in orjson.loads(drops):
            _keep_untold(db, Drop.model_validate(drop))
        if records:
            _keep_untold(db, Drop(reason=reason, count=records, from_ms=first_ms, to_ms=last_ms))
            _count(db, reason, records)
        self._remove(db, id_)

    def _close_gap(self, db: sqlite3.Connection, last: int) -> None:
        """Batches up to this one were dropped: what is left of its stream needs other numbers."""
        if db.execute("SELECT 1 FROM stream WHERE base = ?", (last,)).fetchone() is None:
            self._rename_from(db, last + 1)
        _sweep_streams(db, self._live)

    def _rename_from(self, db: sqlite3.Connection, id_: int) -> None:
        """Batches from this id on, up to the end of its stream, are a stream of a new name."""
        (base,) = db.execute("SELECT max(base) FROM stream WHERE base < ?", (id_,)).fetchone()
        if id_ <= _last(db):
            _name(db, id_ - 1, self._new_stream())
            if base == self._live:
                self._live = id_ - 1
        elif base == self._live:
            # Nothing is behind it yet, and what comes must not go on behind a gap.
            self._live = None

    # The file.

    def _read(self, act: Callable[[sqlite3.Connection], T]) -> T:
        return self._transact("BEGIN", act)

    def _write(self, act: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            told = self._transact("BEGIN IMMEDIATE", act)
            self._note()
            return told

    def _transact(self, begin: str, act: Callable[[sqlite3.Connection], T]) -> T:
        with self._soon():
            try:
                return self._try(begin, act)
            except _FAULTS as error:
                if not (_is_full(error) and self._ballast.give_back()):
                    raise OutboxUnavailable(f"{type(error).__name__}: {error}") from error
            self._log.error("disk_full", ballast_given_back=True)
            try:
                return self._try(begin, act)
            except _FAULTS as error:
                raise OutboxUnavailable(f"{type(error).__name__}: {error}") from error

    @contextmanager
    def _soon(self) -> Iterator[None]:
        """The lock, unless somebody has it for long: a heartbeat does not wait for a large file to be checked."""
        if not self._lock.acquire(timeout=BUSY_S):
            raise OutboxUnavailable("it is being checked")
        try:
            if self._closed:
                raise OutboxUnavailable("it is closed")
            yield
        finally:
            self._lock.release()

    def _try(self, begin: str, act: Callable[[sqlite3.Connection], T]) -> T:
        before = self._live, self._records, self._bytes
        try:
            db = self._open()
            before = self._live, self._records, self._bytes
            with _transaction(db, begin):
                return act(db)
        except _FAULTS as error:
            self._live, self._records, self._bytes = before
            if is_damage(error):
                self._move_aside()
            raise

    def _open(self) -> sqlite3.Connection:
        """The connection to the file that is there now. Checks a file it sees for the first time."""
        if self._connection is not None and self._inode == _inode(self._path):
            return self._connection
        self._disconnect()
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        self._inode = _inode(self._path)
        db = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA secure_delete = OFF")  # Some builds have it on: twice the writes, and nothing is secret.
            (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise _damaged(str(verdict))
            db.executescript(_SCHEMA)
            self._take_over(db)
        except BaseException:
            db.close()
            raise
        self._connection = db
        return db

    def _take_over(self, db: sqlite3.Connection) -> None:
        """Take stock of the file, and bring in what a damaged one before it, or the tally, still knows."""
        told = tally.read(self._folder)
        aside = self._aside()
        mark = _inode(aside) % 2**31
        (done,) = db.execute("PRAGMA user_version").fetchone()
        went_back = told is not None and told.last > _last(db)
        if (mark and mark != done) or went_back:
            with_batches = [True, False]  # Where the disk has no room for them, they are lost, and the rest is not.
            while with_batches:
                try:
                    with _transaction(db, "BEGIN IMMEDIATE"):
                        lost = self._mend(db, told, aside if mark and mark != done else None, with_batches.pop(0))
                        db.execute(f"PRAGMA user_version = {mark}")
                    break
                except sqlite3.Error as error:
                    if not (_is_full(error) and with_batches):
                        raise
            self._log.error("outbox_mended", lost=lost, damaged=str(aside) if mark else None)
        if mark:
            _rename_all(aside, self._path.with_name(self._path.name + ".damaged"))
        self._live = None
        self._done.clear()
        records, size = db.execute("SELECT coalesce(sum(records), 0), coalesce(sum(bytes), 0) FROM batch").fetchone()
        self._records, self._bytes = _count_of(records), _count_of(size)

    def _mend(self, db: sqlite3.Connection, told: Tally | None, damaged: Path | None, with_batches: bool) -> int:
        """How many records are lost for good: by the tally, or one, if even that is not to be had."""
        now_ms = self._clock.wall_ms()
        newest = max(_last(db), self._newest, 0 if told is None else told.last)
        # No id comes twice, so whoever still speaks of one of before speaks of nothing.
        db.execute("DELETE FROM sqlite_sequence WHERE name = 'batch'")
        db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('batch', ?)", (newest,))
        cursors = [{}, {}] if told is None else [told.cursors, {}]
        if damaged is not None:
            salvage.prepare(damaged)
            cursors[1] = salvage.cursors(damaged)
            for drop in salvage.untold(damaged):
                _keep_untold(db, drop)
            for reason, count in salvage.dropped(damaged).items():
                _count(db, reason, count)
            if with_batches:
                _name(db, newest, self._new_stream())
                for saved in salvage.batches(damaged):
                    made = Made(saved.payload, saved.records, saved.drops, saved.first_ms, saved.last_ms)
                    self._insert(db, made, saved.made_ms)
        for segment, at in (pair for known in cursors for pair in known.items()):
            db.execute(
                "INSERT INTO cursor (segment, at) VALUES (?, ?) ON CONFLICT DO UPDATE SET at = max(at, excluded.at)",
                (segment, at),
            )
        (records,) = db.execute("SELECT coalesce(sum(records), 0) FROM batch").fetchone()
        lost = 1 if told is None else max(0, told.records - records)
        if lost:
            from_ms = now_ms if told is None else min(told.oldest_ms or now_ms, now_ms)
            _keep_untold(db, Drop(reason=DAMAGED, count=lost, from_ms=from_ms, to_ms=now_ms))
            _count(db, DAMAGED, lost)
        return int(lost)

    def _note(self) -> None:
        """Bring the tally up to date."""

        def act(db: sqlite3.Connection) -> Tally:
            self._newest = _last(db)
            return Tally(
                last=self._newest,
                records=self._records,
                oldest_ms=_oldest_ms(db) or 0,
                at_ms=self._clock.wall_ms(),
                cursors=dict(db.execute("SELECT segment, at FROM cursor")),
            )

        with suppress(OutboxUnavailable):
            tally.write(self._folder, self._read(act))

    def _give_back(self) -> None:
        """Free pages to the disk. Only where few pages have to move for that: else it would cost what it saves."""
        if self._connection is None:
            return
        with suppress(sqlite3.Error):
            (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
            (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
            if free > FREE_PAGES_MAX and free * 2 > pages:
                # As a script: `execute` would take a single step of it, which is one page.
                self._connection.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")

    def _move_aside(self) -> None:
        """What is in the damaged file is taken over when the next one is opened."""
        if self._inode != _inode(self._path):
            return
        self._disconnect()
        _rename_all(self._path, self._aside())
        self._log.error("outbox_damaged", path=str(self._path))

    def _aside(self) -> Path:
        return self._path.with_name(self._path.name + ".salvage")

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


@contextmanager
def _transaction(db: sqlite3.Connection, begin: str) -> Iterator[None]:
    db.execute(begin)
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def _ranges(db: sqlite3.Connection) -> list[tuple[int, int]]:
    """Each stream's base and its end."""
    bases = [base for (base,) in db.execute("SELECT base FROM stream ORDER BY base")]
    return list(zip(bases, [*bases, _END][1:], strict=True))


def _name(db: sqlite3.Connection, base: int, name: str) -> None:
    db.execute(
        "INSERT INTO stream (base, name) VALUES (?, ?) ON CONFLICT (base) DO UPDATE SET name = excluded.name",
        (base, name),
    )


def _sweep_streams(db: sqlite3.Connection, live: int | None) -> None:
    """Forget those that came to their end. The last one is kept: its range is the one that grows."""
    for base, end in _ranges(db)[:-1]:
        there = db.execute("SELECT 1 FROM batch WHERE id > ? AND id <= ? LIMIT 1", (base, end)).fetchone()
        if there is None and base != live:
            db.execute("DELETE FROM stream WHERE base = ?", (base,))


def _last(db: sqlite3.Connection) -> int:
    """Id of the newest batch there ever was."""
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'batch'").fetchone()
    return 0 if row is None else _count_of(row[0])


def _oldest_ms(db: sqlite3.Connection) -> int | None:
    row = db.execute("SELECT first_ms FROM batch ORDER BY id LIMIT 1").fetchone()
    return None if row is None else _count_of(row[0])


def _count_of(value: object) -> int:
    """Raises ValueError for what is none: nobody wrote that."""
    if not isinstance(value, int) or not 0 <= value <= INTEGER_MAX:
        raise ValueError("a number that cannot be")
    return value


def _drop(reason: str, count: int, from_ms: int, to_ms: int) -> Drop:
    return Drop(reason=reason, count=count, from_ms=from_ms, to_ms=to_ms)


def _keep_untold(db: sqlite3.Connection, drop: Drop) -> None:
    db.execute(
        "INSERT INTO untold (reason, count, from_ms, to_ms) VALUES (?, ?, ?, ?)",
        (drop.reason, drop.count, drop.from_ms, drop.to_ms),
    )


def _count(db: sqlite3.Connection, reason: str, count: int) -> None:
    db.execute(
        "INSERT INTO dropped (reason, count) VALUES (?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
        (reason, count),
    )


def _is_full(error: Exception) -> bool:
    return primary_code(error) == sqlite3.SQLITE_FULL or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)


def _damaged(verdict: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(verdict)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _rename_all(path: Path, to: Path) -> None:
    """A database and its log; the log first: left beside a new file, it could be taken for its own."""
    for suffix in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).replace(to.with_name(to.name + suffix))


def _inode(path: Path) -> int:
    """0: there is no such file."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0
