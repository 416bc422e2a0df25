"""The store on the node's own disk: SQLite, every commit fsynced; what a start with everything else away lives on.

Several processes of a node use the file at once. Damage is noticed (by SQLite's own checks; what slips through, by the
hash of every piece): the file is moved aside, an empty one takes its place, and the agent fills it again.
"""

import asyncio
import errno
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import structlog

from gateway.sqlite_damage import is_damage, primary_code
from gateway.sync.store import POINTERS_KEPT, SWEEP_AFTER_S, StoreUnavailable
from shared.clock import Clock

NAME = "disk"
BUSY_S = 5.0
SETTLED_S = 1.0
"""Files that have looked the same for so long show every commit that was made before: their times come in steps of
some milliseconds."""
_BATCH = 500
_NO_ROOM = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL})
_NO_CHANGE = (errno.EROFS, errno.ENOSPC, errno.EDQUOT)
_READ, _WRITE = "BEGIN", "BEGIN IMMEDIATE"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS piece (name TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS touched (name TEXT PRIMARY KEY, at_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pointer (number INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL);
"""

T = TypeVar("T")
Stamp = tuple[tuple[int, int, int], ...]
"""Of the file and its log: inode, length, and when it was written last. None of them is changed by reading."""


class DiskStore:
    """Opens when first used, so one made before a fork is safe in the child. Work happens in threads, one at a time."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._stamp: Stamp | None = None
        self._stamp_since_s = 0.0
        self._pointer: bytes | None = None
        self._is_settled = False
        """While the files are as they are, the pointer is the one that was read."""
        self._log = structlog.get_logger("sync.disk_store")

    @property
    def name(self) -> str:
        return NAME

    async def pointer(self) -> bytes | None:
        # Workers ask several times a second, and to ask a thread costs what runs here up to 5 ms each time
        # (`sys.getswitchinterval`). That nothing was written, the files' own times say.
        stamp, now_s = _stamp(self._path), self._clock.monotonic_s()
        if stamp is None or stamp != self._stamp:
            self._stamp, self._stamp_since_s, self._is_settled = stamp, now_s, False
        elif self._is_settled:
            return self._pointer
        pointer = self._pointer = next(iter(await self._read(lambda db: _pointers(db, 1))), None)
        stands = stamp is not None and stamp == self._stamp
        self._is_settled = stands and now_s - self._stamp_since_s >= SETTLED_S
        return pointer

    async def pointers(self) -> list[bytes]:
        return await self._read(lambda db: _pointers(db, POINTERS_KEPT))

    async def move(self, expected: bytes | None, pointer: bytes) -> bool:
        def act(db: sqlite3.Connection) -> bool:
            if next(iter(_pointers(db, 1)), None) != expected:
                return False
            db.execute("INSERT INTO pointer (body) VALUES (?)", (pointer,))
            db.execute(
                "DELETE FROM pointer WHERE number NOT IN (SELECT number FROM pointer ORDER BY number DESC LIMIT ?)",
                (POINTERS_KEPT,),
            )
            return True

        return await self._write(act)

    async def touch(self, names: Collection[str]) -> set[str]:
        def act(db: sqlite3.Connection) -> set[str]:
            _touch(db, names, self._clock.wall_ms())
            there: set[str] = set()
            for batch in _batches(names):
                there.update(name for (name,) in db.execute(_select("name", batch), batch))
            return set(names) - there

        return await self._write(act) if names else set()

    async def get(self, names: Collection[str]) -> dict[str, bytes]:
        def act(db: sqlite3.Connection) -> dict[str, bytes]:
            found: dict[str, bytes] = {}
            for batch in _batches(names):
                rows = db.execute(_select("name, body", batch), batch)
                found.update((name, body) for name, body in rows if name is not None and isinstance(body, bytes))
            return found

        return await self._read(act) if names else {}

    async def put(self, pieces: Mapping[str, bytes]) -> None:
        def act(db: sqlite3.Connection) -> None:
            _touch(db, pieces, self._clock.wall_ms())
            db.executemany("INSERT OR REPLACE INTO piece (name, body) VALUES (?, ?)", pieces.items())

        if pieces:
            await self._write(act)

    async def sweep(self, keep: Collection[str]) -> int:
        def act(db: sqlite3.Connection) -> int:
            cutoff_ms = self._clock.wall_ms() - SWEEP_AFTER_S * 1000
            old = db.execute("SELECT name FROM touched WHERE at_ms <= ?", (cutoff_ms,))
            gone = [(name,) for (name,) in old if name not in keep]
            removed = db.executemany("DELETE FROM piece WHERE name = ?", gone).rowcount if gone else 0
            db.executemany("DELETE FROM touched WHERE name = ?", gone)
            return removed

        return await self._write(act)

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    async def _read(self, act: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.to_thread(self._transact, _READ, act)

    async def _write(self, act: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.to_thread(self._transact, _WRITE, act)

    def _transact(self, begin: str, act: Callable[[sqlite3.Connection], T]) -> T:
        """`act` in one transaction. Raises StoreUnavailable."""
        with self._lock:
            try:
                db = self._open()
                with _transaction(db, begin):
                    return act(db)
            except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
                self._disconnect()
                if is_damage(error):
                    self._move_aside()
                if begin == _READ and (primary_code(error) in _NO_ROOM or getattr(error, "errno", None) in _NO_CHANGE):
                    with suppress(sqlite3.Error), closing(sqlite3.connect(self._as_it_stands(), uri=True)) as db:
                        return act(db)
                raise StoreUnavailable(NAME, f"{type(error).__name__}: {error}") from error

    def _as_it_stands(self) -> str:
        """How to read it and change nothing, for a disk that takes nothing.

        Closed in order it has no log, and without room to begin one SQLite would not even read; all is in the file
        itself then. What is changed while it is read so fails its hash.
        """
        found = _stamp(self._path)
        immutable = found is None or found[1][1] == 0
        return f"{self._path.absolute().as_uri()}?mode=ro{'&immutable=1' if immutable else ''}"

    def _open(self) -> sqlite3.Connection:
        """The connection to the file that is there now, which may not be the one that was there last time."""
        if self._connection is not None and self._inode == _inode(self._path):
            return self._connection
        self._disconnect()
        with self._file_lock():
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            self._inode = _inode(self._path)
            self._connection = sqlite3.connect(
                self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            (verdict,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                damaged = sqlite3.DatabaseError(str(verdict))
                damaged.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
                raise damaged
            self._connection.executescript(_SCHEMA)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _close(self) -> None:
        with self._lock:
            self._disconnect()

    def _move_aside(self) -> None:
        """Keep the damaged file for whoever wants to look, unless another process was faster. The log goes before the
        file it belongs to: a log left beside a new file could be taken for its own."""
        with self._file_lock():
            if self._inode != _inode(self._path):
                return
            for suffix in ("-wal", "-shm", ""):
                file = self._path.with_name(self._path.name + suffix)
                with suppress(FileNotFoundError):
                    file.replace(file.with_name(f"{self._path.name}.damaged{suffix}"))
        self._log.error("disk_store_damaged", path=str(self._path), kept_as=f"{self._path.name}.damaged")

    @contextmanager
    def _file_lock(self) -> Iterator[None]:
        """One process at a time opens the file or moves it aside."""
        descriptor = os.open(self._path.with_name(self._path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


@contextmanager
def _transaction(db: sqlite3.Connection, begin: str) -> Iterator[None]:
    db.execute(begin)
    try:
        yield
    except BaseException:
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _pointers(db: sqlite3.Connection, count: int) -> list[bytes]:
    rows = db.execute("SELECT body FROM pointer ORDER BY number DESC LIMIT ?", (count,))
    return [body for (body,) in rows if isinstance(body, bytes)]


def _touch(db: sqlite3.Connection, names: Collection[str], now_ms: int) -> None:
    db.executemany("INSERT OR REPLACE INTO touched (name, at_ms) VALUES (?, ?)", [(name, now_ms) for name in names])


def _select(columns: str, batch: list[str]) -> str:
    return f"SELECT {columns} FROM piece WHERE name IN ({','.join('?' * len(batch))})"  # noqa: S608 - no value in it


def _batches(names: Collection[str]) -> Iterator[list[str]]:
    listed = list(names)
    for start in range(0, len(listed), _BATCH):
        yield listed[start : start + _BATCH]


def _stamp(path: Path) -> Stamp | None:
    """None: something of it is not there."""
    try:
        found = [file.stat() for file in (path, path.with_name(path.name + "-wal"))]
    except OSError:
        return None
    return tuple((file.st_ino, file.st_size, file.st_mtime_ns) for file in found)


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0
