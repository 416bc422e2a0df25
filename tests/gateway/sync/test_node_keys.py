"""The node's keys: made once, by whoever is first, and private."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from gateway.sync.node_keys import PRIVATE_FILE, PUBLIC_FILE, NodeKeysError, load_or_make
from shared.crypto import hpke, sign
from shared.crypto.secret import Secret
from shared.protocol.node import NodePublic


def test_keys_are_made_at_the_first_start_and_kept(tmp_path: Path) -> None:
    """GHS/1 5.1."""
    first = load_or_make(tmp_path / "state")
    again = load_or_make(tmp_path / "state")
    assert again.node == first.node
    assert again.signing.matches(first.signing.reveal())
    assert again.opening.matches(first.opening.reveal())
    assert load_or_make(tmp_path / "other").node != first.node


def test_only_the_user_can_read_them(tmp_path: Path) -> None:
    """GHS/1 5.1."""
    load_or_make(tmp_path / "state")
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").iterdir()} == {
        PRIVATE_FILE: 0o600,
        PUBLIC_FILE: 0o600,
    }


def test_what_is_handed_over_fits_the_keys_and_holds_nothing_else(tmp_path: Path) -> None:
    """GHS/1 5.1."""
    keys = load_or_make(tmp_path)
    text = (tmp_path / PUBLIC_FILE).read_text()
    public = NodePublic.model_validate_json(text)
    assert public == keys.public
    assert public.node == "nd_" + sign.fingerprint(public.sign).removeprefix("sha256:")[:20]
    assert sign.verify(public.sign, b"message", sign.sign(keys.signing, b"message"))
    assert hpke.open_(keys.opening, b"info", hpke.seal(public.open, b"info", Secret(b"key"))).matches(b"key")
    private = (tmp_path / PRIVATE_FILE).read_text()
    assert all(secret not in text for secret in private.split('"') if len(secret) == 44)


def test_processes_that_start_at_once_get_the_same_keys(tmp_path: Path) -> None:
    for attempt in range(20):
        barrier = Barrier(8)

        def start(folder: Path, barrier: Barrier = barrier) -> str:
            barrier.wait()
            return load_or_make(folder).node

        with ThreadPoolExecutor(8) as pool:
            nodes = set(pool.map(start, [tmp_path / str(attempt)] * 8))
        assert len(nodes) == 1
        assert {path.name for path in (tmp_path / str(attempt)).iterdir()} == {PRIVATE_FILE, PUBLIC_FILE}


@pytest.mark.parametrize("content", [b"", b"{}", b'{"sign":"AA==","open":"AA=="}', b"\x00" * 100])
def test_a_damaged_private_file_is_never_replaced(tmp_path: Path, content: bytes) -> None:
    load_or_make(tmp_path)
    (tmp_path / PRIVATE_FILE).write_bytes(content)
    with pytest.raises(NodeKeysError):
        load_or_make(tmp_path)
    assert (tmp_path / PRIVATE_FILE).read_bytes() == content


def test_a_lost_public_file_comes_back(tmp_path: Path) -> None:
    load_or_make(tmp_path)
    before = (tmp_path / PUBLIC_FILE).read_bytes()
    (tmp_path / PUBLIC_FILE).unlink()
    load_or_make(tmp_path)
    assert (tmp_path / PUBLIC_FILE).read_bytes() == before
