"""`python -m control_plane`: one line when it worked, one line when it did not, never a traceback or a secret."""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest

from control_plane.__main__ import main
from control_plane.snapshots import state
from gateway.sync import node_keys, trust
from gateway.sync.opener import unlock
from shared.clock import FakeClock, SystemClock
from shared.crypto import api_keys
from shared.protocol import lease as leases

ROOT = Path(__file__).parents[2]
TOML = """
gateway = "gw_local"
[organisation]
id = "org_local"
name = "Local"
[[workspaces]]
id = "ws_local"
slug = "local"
name = "Local"
[[workspaces.api_keys]]
id = "ak_1"
name = "first"
key = "{key}"
[[workspaces.virtual_keys]]
slug = "openai"
name = "OpenAI"
provider = "openai"
credential = {{ api_key = "sk-MARKER" }}
"""


class Desk:
    """A folder with everything the command needs."""

    def __init__(self, folder: Path) -> None:
        self.node_keys = node_keys.load_or_make(folder / "gateway")
        self.toml = folder / "local.toml"
        self.toml.write_text(TOML.format(key=api_keys.new_api_key().reveal_text()))
        self.signing_key = folder / "house" / "signing.key"
        self.state = folder / "house" / "state"
        self.output = folder / "snapshot.json"
        self.arguments = [
            "snapshot",
            str(self.toml),
            *("--node", str(folder / "gateway" / node_keys.PUBLIC_FILE)),
            *("--signing-key", str(self.signing_key)),
            *("--state", str(self.state)),
            *("--output", str(self.output)),
        ]

    def run(self, *more: str) -> int:
        return main([*self.arguments, *more], FakeClock())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_what_it_makes_a_gateway_takes(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.run() == 0
    line = capsys.readouterr().out
    assert line.startswith("snapshot 1 for gw_local: global@1.0 org:org_local@1.1 ws:ws_local@1.1, signed by sha256:")
    assert main(["fingerprint", "--signing-key", str(desk.signing_key)], FakeClock()) == 0
    fingerprint = capsys.readouterr().out.strip()
    assert line.strip().endswith(fingerprint)
    verified = trust.accept(
        trust.read(desk.output.read_bytes()),
        pinned_fingerprint=fingerprint,
        gateway="gw_local",
        have=None,
        now_ms=FakeClock().wall_ms(),
    )
    opener = unlock(verified.snapshot.key_chain, verified.lease, desk.node_keys)
    bodies = [orjson.loads(opener.open(r)) for shard in verified.snapshot.shards for r in shard.resources]
    assert {"org_local", "ws_local", "ak_1", "ws_local/openai"} == {body["id"] for body in bodies}


def test_what_is_private_is_private(desk: Desk) -> None:
    desk.run()
    for path in (desk.signing_key, desk.state):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(desk.state.parent.stat().st_mode) == 0o700
    assert b"MARKER" not in desk.output.read_bytes()
    assert b"MARKER" not in desk.state.read_bytes()


def test_the_fingerprint_can_be_asked_before_anything_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """GHS/1 6.4: the gateway is started with it, before there is a snapshot."""
    key = tmp_path / "house" / "signing.key"
    for _ in range(2):
        assert main(["fingerprint", "--signing-key", str(key)], FakeClock()) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == second
    assert first.startswith("sha256:")
    assert len(first) == 71


def test_the_lease_lasts_as_long_as_was_asked(desk: Desk) -> None:
    desk.run("--lease-hours", "1.5")
    lease = leases.parse(trust.read(desk.output.read_bytes()).lease.payload)
    assert lease.expires_at_ms - lease.issued_at_ms == 5_400_000


def test_every_fault_is_one_line_and_exit_2(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    good = desk.toml.read_text()
    assert desk.run() == 0
    before = desk.output.read_bytes()
    capsys.readouterr()

    def refused() -> str:
        assert desk.run() == 2
        out, error = capsys.readouterr()
        assert out == ""
        assert error.count("\n") == 1
        assert "MARKER" not in error
        assert desk.output.read_bytes() == before
        return error

    desk.toml.write_text(good.replace('slug = "openai"', 'slug = "open ai"'))
    assert "workspaces[0].virtual_keys[0].slug: " in refused()
    desk.toml.unlink()
    assert "local.toml" in refused()
    desk.toml.write_text(good.replace("gw_local", "gw_other"))
    assert "gw_local" in refused()
    desk.toml.write_text(good)
    for path, content in ((desk.state, b"{}"), (desk.signing_key, b"short\n"), (desk.signing_key, b"\xff")):
        kept = path.read_bytes()
        path.write_bytes(content)
        assert path.name in refused()
        path.write_bytes(kept)
    assert desk.run() == 0


def test_a_node_file_that_is_none_is_named(desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    assert desk.run("--node", str(bad)) == 2
    assert "bad.json" in capsys.readouterr().err


@pytest.mark.parametrize("hours", ["0", "-1", "nan", "x", "100000"])
def test_a_lease_without_sense_is_refused(desk: Desk, hours: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        desk.run("--lease-hours", hours)
    assert stopped.value.code == 2


def test_several_builders_at_once_take_turns(desk: Desk) -> None:
    """GHS/1 6.2: each sequence is used once, and state and output belong together at the end."""

    def build(_: int) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "control_plane", *desk.arguments],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        assert done.stderr == ""
        return done.stdout

    with ThreadPoolExecutor(4) as pool:
        lines = list(pool.map(build, range(4)))
    assert sorted(line.split()[1] for line in lines) == ["1", "2", "3", "4"]
    assert len({line.split()[-1] for line in lines}) == 1, "one signing key was made"
    remembered = state.load(desk.state)
    assert remembered is not None
    assert remembered.sequence == 4
    assert leases.parse(trust.read(desk.output.read_bytes()).lease.payload).sequence == 4


def test_the_real_clock_counts_from_1970() -> None:
    """What the command puts into a lease is what a gateway compares with."""
    assert SystemClock().wall_ms() > 1_700_000_000_000


def test_the_description_of_the_api_is_printed_without_a_database(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "control_plane", "openapi"]
    done = subprocess.run(command, cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, check=True)
    document = orjson.loads(done.stdout)
    assert "/api/v1/workspaces/{workspace}/configs" in document["paths"]
    assert list(tmp_path.iterdir()) == []
