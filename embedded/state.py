"""The state folder: where each thing lies, private files written whole, secrets made once, and the lock."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared.crypto.secret import Secret

MADE_BY = "Made by scripts/up"
"""Name of what the stack itself makes in the control plane, by which it knows its own again."""


class AlreadyRunning(Exception):
    """Another supervisor holds this state folder."""


MIB = 1024 * 1024
ROOM_BYTES_MIN = 200 * MIB
"""Free for a first start, which takes half of it: without it, parts would fail one by one for reasons of their own."""


class FolderUnfit(Exception):
    """The state folder cannot be made or written, or its disk has too little room. The text names it."""


@dataclass(frozen=True, slots=True)
class StateFolder:
    """Paths below one folder, which is 0700. Nothing here is made before `prepare`."""

    root: Path

    def prepare(self) -> None:
        """Raises FolderUnfit."""
        is_new = not self.secrets.exists()
        for folder in (
            self.root,
            self.logs,
            self.secrets,
            self.clickhouse,
            self.redis,
            self.gateway,
            self.control_plane,
        ):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                folder.chmod(0o700)
            except OSError as error:
                raise FolderUnfit(f"{folder} cannot be a state folder: {error.strerror}; see --state-dir") from error
        free = shutil.disk_usage(self.root).free
        if is_new and free < ROOM_BYTES_MIN:
            self.secrets.rmdir()  # So that the next start is the first one again.
            raise FolderUnfit(
                f"the disk of {self.root} has {free // MIB} MiB free, and a first start wants {ROOM_BYTES_MIN // MIB}; "
                "make room, or see --state-dir"
            )

    def rotate_logs(self) -> None:
        """Begin new logs; those of the run before are kept as `<name>.log.1`."""
        for log in self.logs.glob("*.log"):
            log.replace(log.with_name(log.name + ".1"))

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def clickhouse(self) -> Path:
        return self.root / "clickhouse"

    @property
    def redis(self) -> Path:
        return self.root / "redis"

    @property
    def postgres(self) -> Path:
        """Made by its first start, as whoever it runs as."""
        return self.root / "postgres"

    @property
    def gateway(self) -> Path:
        return self.root / "gateway"

    @property
    def control_plane(self) -> Path:
        return self.root / "control_plane"

    @property
    def run_json(self) -> Path:
        """Addresses and keys, there only while everything is ready."""
        return self.root / "run.json"

    @property
    def parts_json(self) -> Path:
        """The processes now running, for whoever cleans up after a supervisor that was killed."""
        return self.root / "parts.json"

    @property
    def control_socket(self) -> Path:
        return self.root / "control.sock"

    @contextmanager
    def locked(self, *, wait: bool = False) -> Iterator[None]:
        """Hold the folder; if another does, `wait` for it or raise AlreadyRunning.

        The kernel frees it when this process ends, however it ends.
        """
        with (self.root / "lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise AlreadyRunning(f"already running in {self.root}; stop it with ./scripts/down") from None
            yield


def write_private(path: Path, data: bytes) -> None:
    """The whole file or the one before, readable by its owner alone."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def made_once(path: Path, make: Callable[[], Secret]) -> Secret:
    """The secret in `path`, made at the first start and kept across the others."""
    if not path.exists():
        write_private(path, make().reveal())
    return Secret(path.read_bytes())


def kept(path: Path) -> Secret | None:
    """The secret in `path`; None if there is no such file."""
    return Secret(path.read_bytes()) if path.exists() else None
