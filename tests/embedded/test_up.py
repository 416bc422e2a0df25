"""`python -m embedded` as a newcomer uses it, with the real parts."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from embedded import smoke
from embedded.own_stack import own_stack

HANG_S = 120
MARKER = "sk-marker-7f3a91c2"
BARE = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}


class Commands:
    """`python -m embedded VERB` in a state folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, verb: str, *options: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "embedded", verb, "--state-dir", str(self.folder), *options]
        return subprocess.run(
            command,
            env=BARE | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=HANG_S,
        )

    def up(self, *options: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return self("up", "--background", "--port-offset", "free", *options, **environment)

    @property
    def run(self) -> dict[str, str]:
        run: dict[str, str] = json.loads((self.folder / "run.json").read_text())
        return run

    @property
    def processes(self) -> dict[str, int]:
        return {row["part"]: row["pid"] for row in json.loads((self.folder / "parts.json").read_text())}


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Commands]:
    commands = Commands(tmp_path / "state")
    yield commands
    commands("down")


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_up_ends_with_a_curl_that_works_and_down_leaves_nothing(
    embedded: Commands, gone: Callable[[int], bool]
) -> None:
    said = embedded.up()
    assert said.returncode == 0, said.stdout
    assert [part for part in ("redis", "simulator", "gateway") if f"{part} … ready (" in said.stdout] == list(
        embedded.processes
    )
    assert set(embedded.run) == {"gateway_url", "simulator_url", "api_key", "workspace"}
    assert (embedded.folder / "run.json").stat().st_mode & 0o777 == 0o600
    assert all(path.stat().st_mode & 0o077 == 0 for path in (embedded.folder / "secrets").iterdir())

    curl = re.search(r"^  curl .*?\n\n", said.stdout, re.DOTALL | re.MULTILINE)
    assert curl is not None
    answer = subprocess.run(["bash", "-c", curl[0]], capture_output=True, text=True, check=True, timeout=HANG_S)
    assert json.loads(answer.stdout)["choices"][0]["message"]["content"].endswith("You said: Hello")
    python = re.search(r"^  from openai .*?\n\n", said.stdout, re.DOTALL | re.MULTILINE)
    assert python is not None
    program = "".join(line.removeprefix("  ") for line in python[0].splitlines(keepends=True))
    spoken = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=HANG_S)
    assert "You said: Hello" in spoken.stdout

    processes = embedded.processes
    down = embedded("down")
    assert (down.returncode, down.stdout) == (0, "stopped\n")
    assert all(gone(pid) for pid in processes.values())
    assert not (embedded.folder / "run.json").exists()
    again = embedded("down")
    assert again.returncode == 0
    assert "nothing is running" in again.stdout


def test_second_up_in_a_folder_is_refused_and_the_first_goes_on(embedded: Commands) -> None:
    assert embedded.up().returncode == 0
    first = embedded.run
    refused = embedded.up()
    assert refused.returncode == 1
    assert refused.stdout == f"already running in {embedded.folder}; stop it with ./scripts/down\n"
    assert embedded.run == first
    assert smoke.call(first, "simulator", "sim-chat")[0] == 200


def test_taken_port_is_one_line_that_names_it(embedded: Commands, tmp_path: Path) -> None:
    assert embedded.up().returncode == 0
    port = embedded.run["gateway_url"].rpartition(":")[2]
    other = Commands(tmp_path / "other")
    refused = other("up", "--background", "--port-offset", str(int(port) - 8787))
    assert refused.returncode == 1
    assert refused.stdout.startswith(f"port {port} (gateway) is taken by process {embedded.processes['gateway']} (")
    assert refused.stdout.count("\n") == 1


def test_killed_supervisor_takes_its_parts_along_and_the_next_start_has_the_same_key(
    embedded: Commands, gone: Callable[[int], bool]
) -> None:
    assert embedded.up().returncode == 0
    before, processes = embedded.run, embedded.processes
    os.kill(parent_of(processes["gateway"]), signal.SIGKILL)
    assert all(gone(pid) for pid in processes.values())
    assert (embedded.folder / "run.json").exists()

    assert embedded.up().returncode == 0
    assert embedded.run["api_key"] == before["api_key"]
    assert smoke.call(embedded.run, "simulator", "sim-chat")[0] == 200


def test_provider_key_comes_and_goes_with_the_environment_and_is_never_told(embedded: Commands) -> None:
    said = embedded.up(OPENAI_API_KEY=MARKER, GEMINI_API_KEY=MARKER)
    assert 'OPENAI_API_KEY found: virtual key "openai" made of it\n' in said.stdout
    assert "GEMINI_API_KEY found: this version does not serve" in said.stdout
    assert MARKER not in said.stdout
    readable = [path for path in embedded.folder.rglob("*") if path.is_file() and MARKER in path.read_text("latin-1")]
    assert readable == [embedded.folder / "local.toml"]
    for pid in embedded.processes.values():
        assert MARKER.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
    embedded("down")

    assert "OPENAI_API_KEY" not in embedded.up("--no-import-env", OPENAI_API_KEY=MARKER).stdout
    status, answer = smoke.call(embedded.run, "openai", "gpt-4o-mini")
    assert status == 400
    assert "openai" in answer
    assert MARKER not in (embedded.folder / "local.toml").read_text()


def test_given_redis_takes_the_place_of_our_own_and_the_gateway_waits_for_neither(embedded: Commands) -> None:
    said = embedded.up(GATEHOUSE_REDIS_URL="redis://:never-told@127.0.0.1:1/0")
    assert said.returncode == 0, said.stdout
    assert list(embedded.processes) == ["simulator", "gateway"]
    assert "never-told" not in said.stdout
    assert smoke.call(embedded.run, "simulator", "sim-chat")[0] == 200


def test_part_that_cannot_start_is_named_with_its_log_and_nothing_stays(embedded: Commands) -> None:
    failed = embedded.up(GATEHOUSE_WORKERS="many")
    assert failed.returncode == 1
    assert "gateway ended with code" in failed.stdout
    assert "  | GATEHOUSE_WORKERS: " in failed.stdout
    assert not (embedded.folder / "run.json").exists()
    assert not (embedded.folder / "parts.json").exists()


def test_interrupt_stops_a_stack_in_the_foreground(tmp_path: Path, gone: Callable[[int], bool]) -> None:
    command = [sys.executable, "-m", "embedded", "up", "--state-dir", str(tmp_path), "--port-offset", "free"]
    with subprocess.Popen(command, env=BARE, stdout=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        for line in up.stdout:
            if line.startswith("  stop"):
                break
        processes = Commands(tmp_path).processes
        up.send_signal(signal.SIGINT)
        assert up.stdout.read().endswith("stopping\nstopped\n")
        assert up.wait(HANG_S) == 0
    assert len(processes) == 3
    assert all(gone(pid) for pid in processes.values())


def test_own_stack_serves_with_redis_held_and_is_gone_afterwards(gone: Callable[[int], bool]) -> None:
    with own_stack(BARE) as stack:
        processes = Commands(stack.state_dir).processes
        stack.tell("hold", "redis")
        assert gone(processes["redis"])
        assert smoke.call(stack.run, "simulator", "sim-chat")[0] == 200
        assert smoke.call(stack.run, "simulator", "sim-error-503")[0] == 503
        stack.tell("release", "redis")
    assert all(gone(pid) for pid in processes.values())
    assert not stack.state_dir.exists()


def test_smoke_without_a_key_calls_nobody_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert smoke.main({"ANTHROPIC_API_KEY": MARKER}) == 0
    assert capsys.readouterr().out == "no provider key in the environment: no real provider was called\n"
