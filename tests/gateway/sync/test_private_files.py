"""Files of the node's own: private, whole, and nothing left beside them."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.sync import private_files
from tests.fixtures.disk import no_writes


def test_a_file_is_replaced_whole_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"older and longer")
    path.chmod(0o644)
    private_files.write(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_what_was_there_and_no_draft(tmp_path: Path) -> None:
    folder = tmp_path / "in_the_way"
    (folder / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="in_the_way"):
        private_files.write(folder, b"new")
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("write", [private_files.write, private_files.write_once])
def test_a_disk_that_takes_nothing_is_left_no_draft(write: Callable[[Path, bytes], None], tmp_path: Path) -> None:
    """Some are tried again each second for as long as the disk is full."""
    with no_writes(), pytest.raises(OSError, match="too large"):
        write(tmp_path / "file", b"new")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_is_not_made_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    private_files.write_once(path, b"first")
    private_files.write_once(path, b"second")
    assert path.read_bytes() == b"first"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
