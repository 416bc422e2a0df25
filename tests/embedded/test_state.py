"""The state folder: private, written whole, locked by one."""

import subprocess
import sys
from pathlib import Path

import pytest

from embedded.state import MIB, ROOM_BYTES_MIN, AlreadyRunning, FolderUnfit, StateFolder, made_once, write_private
from shared.crypto.secret import Secret
from tests.fixtures.disk import small_disk


def test_folders_are_private_also_if_they_were_not(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o755)
    state = StateFolder(tmp_path / "state")
    state.prepare()
    for folder in (state.root, state.logs, state.secrets, state.redis, state.gateway, state.control_plane):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FolderUnfit, match=f"^{tmp_path / 'file'} cannot be a state folder: "):
        StateFolder(tmp_path / "file").prepare()


def test_a_disk_with_too_little_room_for_a_first_start_is_told_and_a_later_start_needs_less(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", ROOM_BYTES_MIN) as disk:
        state = StateFolder(disk.path / "state")
        disk.fill(leave=MIB)
        for _ in range(2):
            with pytest.raises(
                FolderUnfit, match=f"^the disk of {state.root} has 1 MiB free, and a first start wants 200"
            ):
                state.prepare()
        disk.resize(2 * ROOM_BYTES_MIN)
        state.prepare()
        disk.fill(leave=MIB)
        state.prepare()


def test_secret_is_made_once_and_kept_private(tmp_path: Path) -> None:
    path = tmp_path / "key"
    assert made_once(path, lambda: Secret("first")).reveal_text() == "first"
    assert made_once(path, lambda: Secret("second")).reveal_text() == "first"
    assert path.stat().st_mode & 0o777 == 0o600


def test_write_that_fails_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_private(path, b"old")
    with pytest.raises(TypeError):
        write_private(path, None)  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_second_supervisor_is_refused_until_the_first_has_ended(state: StateFolder) -> None:
    hold = (
        f"import fcntl, sys; file = open({str(state.root / 'lock')!r}, 'w')\n"
        "fcntl.flock(file, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(AlreadyRunning, match="already running in"), state.locked():
            pytest.fail("two hold the folder")
        other.kill()
    with state.locked():
        pass


def test_logs_of_the_run_before_are_kept_once(state: StateFolder) -> None:
    for text in ("one", "two"):
        (state.logs / "redis.log").write_text(text)
        state.rotate_logs()
    assert [path.name for path in state.logs.iterdir()] == ["redis.log.1"]
    assert (state.logs / "redis.log.1").read_text() == "two"
