"""Files of the control plane's own: whole, and nothing left beside them."""

import threading
from pathlib import Path

import pytest

from control_plane.snapshots import files
from tests.fixtures.disk import no_writes


def test_a_disk_that_takes_nothing_is_left_no_draft(tmp_path: Path) -> None:
    with no_writes(), pytest.raises(OSError, match="too large"):
        files.write_whole(tmp_path / "state", b"new", files.PRIVATE)
    with no_writes(), pytest.raises(OSError, match="too large"):
        files.read_or_make(tmp_path / "key", lambda: b"new")
    assert list(tmp_path.iterdir()) == []


def test_a_key_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "key"
    assert files.read_or_make(path, lambda: b"first") == b"first"
    assert files.read_or_make(path, lambda: b"second") == b"first"
    assert list(path.parent.iterdir()) == [path]


def test_a_second_writer_waits_for_the_first(tmp_path: Path) -> None:
    path, begun, said = tmp_path / "folder" / "state", threading.Event(), []

    def second() -> None:
        begun.set()
        with files.one_at_a_time(path):
            said.append("second")

    other = threading.Thread(target=second)
    with files.one_at_a_time(path):
        other.start()
        begun.wait()
        other.join(0.2)
        assert other.is_alive()
        said.append("first")
    other.join(20)
    assert said == ["first", "second"]
