"""A worker's running requests in a memory-mapped table of fixed slots: what a killed worker leaves behind.

    GHSLOTS1 | slots, 4 bytes | padding to 64 bytes | slots of 256 bytes:
    used, 1 byte | padding, 3 | id, 36 | door, 28 | check, 4 | flags, 1 | length of workspace and of API key, 1 each |
    padding, 1 | workspace, 72 | API key, 72

The pages belong to the file, not to the process: what was written is there after `kill -9`. `used` is written last and
cleared first, so a slot that is in use is whole; and whose it is counts only if the check (CRC-32 from the flags on)
says that it was written to its end.
"""

import mmap
import os
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog

FOLDER = "slots"
SUFFIX = ".slots"

_MAGIC = b"GHSLOTS1"
_HEAD = struct.Struct("<8sI")
_HEAD_BYTES = 64
_SLOT_BYTES = 256
_ID_BYTES = 36
_BEGIN = struct.Struct(f"<{_ID_BYTES}s28sIBBB")
"""From `_ID_AT` on: id, door, and nothing known of whose it is."""
_BEGIN_AS_TWO = struct.Struct(f"<{_ID_BYTES}s{_BEGIN.size - _ID_BYTES}s")
"""The same, of which all that follows the id stands ready."""
_OWNER = struct.Struct("<BBBx72s72s")
"""From behind the check on: flags, both lengths, workspace, API key."""
_ID_AT = 4
_CHECK_AT = 68
_OWNER_END = _CHECK_AT + 4 + _OWNER.size
_NAME_BYTES_MAX = 72
_OWNERS_MAX = 10_000
_ANONYMOUS = 1
_TABLE_BYTES_MAX = 64 * 1024 * 1024
"""More than any setting makes."""
_ID = re.compile(r"lg_[0-9a-f]{32}")

log = structlog.get_logger("telemetry.slots")

Owner = tuple[str, str, bool]
"""Workspace, API key, and whether its records are anonymous."""


class Left(msgspec.Struct, frozen=True):
    """A request that was under way."""

    id: str
    door: str
    workspace: str | None
    api_key: str | None
    is_anonymous: bool


class SlotTable:
    """One worker's. Made anew at its start: what the one before left must have been read (`recover.py`)."""

    __slots__ = ("_begins", "_free", "_map", "_owners", "full_count")

    def __init__(self, path: Path, count: int) -> None:
        size = _HEAD_BYTES + count * _SLOT_BYTES
        try:
            self._map = _kept(path, size, count)
        except OSError as error:
            # A full disk stops no call: a kill leaves no trace of those that run here, and that is all.
            log.error("slots_not_kept", path=str(path), detail=error.strerror)  # noqa: TRY400 - the disk's fault
            self._map = mmap.mmap(-1, size)
        self._free = list(range(size - _SLOT_BYTES, _HEAD_BYTES - 1, -_SLOT_BYTES))
        """Where each slot begins that is not in use."""
        self._begins: dict[str, bytes] = {}
        """Door → ready bytes of what follows the id."""
        self._owners: dict[Owner, bytes] = {}
        """Ready bytes of those who called already."""
        self.full_count = 0
        """Requests that found no slot; a kill would leave no trace of them."""

    def take(self, id_: str, door: str) -> int | None:
        """Mark a request; `id_` as `gateway/ids.py` makes them. Where its slot begins; None if every one is in use."""
        try:
            slot = self._free.pop()
        except IndexError:
            self.full_count += 1
            return None
        begin = self._begins.get(door)
        if begin is None:
            begin = self._begins[door] = _BEGIN.pack(b"", door.encode(), 0, 0, 0, 0)[_ID_BYTES:]
        _BEGIN_AS_TWO.pack_into(self._map, slot + _ID_AT, id_.encode(), begin)
        self._map[slot] = 1
        return slot

    def name(self, slot: int, owner: Owner) -> None:
        """Mark whose it is. Of a name too long for a slot the beginning is kept."""
        owned = self._owners.get(owner)
        if owned is None:
            if len(self._owners) >= _OWNERS_MAX:
                self._owners.clear()
            owned = self._owners[owner] = _owned(*owner)
        self._map[slot + _CHECK_AT : slot + _OWNER_END] = owned

    def give_back(self, *slots: int) -> None:
        for slot in slots:
            self._map[slot] = 0
        self._free += slots

    def close(self) -> None:
        self._map.close()


def _kept(path: Path, size: int, count: int) -> mmap.mmap:
    """The table in its file, empty. Raises OSError."""
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        # The room is taken now: a full disk later would kill the worker at its next write to the map.
        os.posix_fallocate(descriptor, 0, size)
        table = mmap.mmap(descriptor, size)
        _HEAD.pack_into(table, 0, _MAGIC, count)
        fresh.replace(path)
    except OSError:
        with suppress(OSError):
            fresh.unlink()
        raise
    finally:
        os.close(descriptor)
    return table


def path_of(state_dir: Path, worker: str) -> Path:
    return state_dir / FOLDER / f"{worker}{SUFFIX}"


def tables(state_dir: Path) -> list[Path]:
    """Every worker's table, those of former starts too. Raises OSError."""
    folder = state_dir / FOLDER
    return sorted(folder.glob(f"*{SUFFIX}")) if folder.exists() else []


def left(path: Path) -> list[Left]:
    """The requests that a table holds, as its worker left them; none for a file that is no table. A slot whose id is
    none is left out: it was damaged, and no start may fail by it. Raises OSError.
    """
    with path.open("rb") as file:
        data = file.read(_TABLE_BYTES_MAX)
    found = [_left(data, at) for at in _used(data)]
    good = [each for each in found if _ID.fullmatch(each.id)]
    if len(good) < len(found):
        log.error("slots_damaged", path=str(path), count=len(found) - len(good))
    return good


def in_use(state_dir: Path) -> int:
    """How many requests run on this node now, as far as the tables can be read."""
    total = 0
    for path in tables(state_dir):
        try:
            total += sum(1 for _ in _used(path.read_bytes()))
        except OSError:
            continue  # It was replaced at this moment: its worker has just begun.
    return total


def _used(data: bytes) -> Iterator[int]:
    if len(data) < _HEAD_BYTES or data[:8] != _MAGIC:
        return
    (_, count) = _HEAD.unpack_from(data)
    for slot in range(min(count, (len(data) - _HEAD_BYTES) // _SLOT_BYTES)):
        if data[_HEAD_BYTES + slot * _SLOT_BYTES] == 1:
            yield _HEAD_BYTES + slot * _SLOT_BYTES


def _left(data: bytes, at: int) -> Left:
    id_, door, check, *_ = _BEGIN.unpack_from(data, at + _ID_AT)
    owner = data[at + _CHECK_AT + 4 : at + _CHECK_AT + 4 + _OWNER.size]
    flags, of_workspace, of_key, workspace, api_key = _OWNER.unpack(owner)
    known = check == zlib.crc32(owner)
    return Left(
        id=_text(id_),
        door=_text(door),
        workspace=_text(workspace[:of_workspace]) if known else None,
        api_key=_text(api_key[:of_key]) if known else None,
        is_anonymous=known and bool(flags & _ANONYMOUS),
    )


def _owned(workspace: str, api_key: str, is_anonymous: bool) -> bytes:
    of_workspace, of_key = workspace.encode()[:_NAME_BYTES_MAX], api_key.encode()[:_NAME_BYTES_MAX]
    flags = _ANONYMOUS if is_anonymous else 0
    owned = _OWNER.pack(flags, len(of_workspace), len(of_key), of_workspace, of_key)
    return zlib.crc32(owned).to_bytes(4, "little") + owned


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode("ascii", "replace")
