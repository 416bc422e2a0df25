"""A worker's running requests in a memory-mapped table of fixed slots: what a killed worker leaves behind.

    GHSLOTS1 | slots, 4 bytes | padding to 64 bytes | slots of 192 bytes:
    used, 1 byte | flags, 1 | lengths of workspace and API key, 1 each | id, 16 | door, 28 | workspace, 72 | API key, 72

The pages belong to the file, not to the process: what was written is there after `kill -9`. `used` is written last and
cleared first, so a slot that is in use is whole.
"""

import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = "slots"
SUFFIX = ".slots"

_MAGIC = b"GHSLOTS1"
_HEAD = struct.Struct("<8sI")
_HEAD_BYTES = 64
_SLOT_BYTES = 192
_BEGIN = struct.Struct("<BBB16s28s")
"""From the second byte of a slot: flags, both lengths, id, door."""
_NAMES = struct.Struct("<BBB")
_WORKSPACE_AT = 48
_API_KEY_AT = 120
_NAME_BYTES_MAX = 72
_ANONYMOUS = 1


@dataclass(frozen=True, slots=True)
class Left:
    """A request that was under way."""

    id: str
    door: str
    workspace: str | None
    api_key: str | None
    is_anonymous: bool


class SlotTable:
    """One worker's. Made anew at its start: what the one before left must have been read (`recover.py`)."""

    __slots__ = ("_free", "_map", "full_count")

    def __init__(self, path: Path, count: int) -> None:
        """Raises OSError."""
        fresh = path.with_suffix(".new")
        size = _HEAD_BYTES + count * _SLOT_BYTES
        descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            # The room is taken now: a full disk later would kill the worker at its next write to the map.
            os.posix_fallocate(descriptor, 0, size)
            self._map = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        _HEAD.pack_into(self._map, 0, _MAGIC, count)
        fresh.replace(path)
        self._free = list(range(count - 1, -1, -1))
        self.full_count = 0
        """Requests that found no slot; a kill would leave no trace of them."""

    def take(self, id_: str, door: str) -> int | None:
        """Mark a request. None if every slot is in use."""
        if not self._free:
            self.full_count += 1
            return None
        slot = self._free.pop()
        at = _HEAD_BYTES + slot * _SLOT_BYTES
        _BEGIN.pack_into(self._map, at + 1, 0, 0, 0, bytes.fromhex(id_[3:]), door.encode())
        self._map[at] = 1
        return slot

    def name(self, slot: int, workspace: str, api_key: str, *, is_anonymous: bool) -> None:
        """Mark whose it is. A name too long for a slot is left out."""
        at = _HEAD_BYTES + slot * _SLOT_BYTES
        of_workspace, of_key = workspace.encode()[:_NAME_BYTES_MAX], api_key.encode()[:_NAME_BYTES_MAX]
        table = self._map
        table[at + _WORKSPACE_AT : at + _WORKSPACE_AT + len(of_workspace)] = of_workspace
        table[at + _API_KEY_AT : at + _API_KEY_AT + len(of_key)] = of_key
        # Last: until then the slot says that it does not know.
        _NAMES.pack_into(table, at + 1, _ANONYMOUS if is_anonymous else 0, len(of_workspace), len(of_key))

    def give_back(self, slot: int) -> None:
        self._map[_HEAD_BYTES + slot * _SLOT_BYTES] = 0
        self._free.append(slot)

    def close(self) -> None:
        self._map.close()


def path_of(state_dir: Path, worker: str) -> Path:
    return state_dir / FOLDER / f"{worker}{SUFFIX}"


def tables(state_dir: Path) -> list[Path]:
    """Every worker's table, those of former starts too. Raises OSError."""
    folder = state_dir / FOLDER
    return sorted(folder.glob(f"*{SUFFIX}")) if folder.exists() else []


def left(path: Path) -> list[Left]:
    """The requests that a table holds, as its worker left them; none for a file that is no table. Raises OSError."""
    data = path.read_bytes()
    return [_left(data, at) for at in _used(data)]


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
    flags, of_workspace, of_key, id_, door = _BEGIN.unpack_from(data, at + 1)
    workspace = data[at + _WORKSPACE_AT : at + _WORKSPACE_AT + of_workspace].decode("ascii", "replace")
    api_key = data[at + _API_KEY_AT : at + _API_KEY_AT + of_key].decode("ascii", "replace")
    return Left(
        id=f"lg_{id_.hex()}",
        door=door.rstrip(b"\0").decode("ascii", "replace"),
        workspace=workspace or None,
        api_key=api_key or None,
        is_anonymous=bool(flags & _ANONYMOUS),
    )
