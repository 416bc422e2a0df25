"""scripts/setup on machines that lack something: one line that says what to do. What it installs is seen in CI."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
TOOLS = "basename bash cat cksum dirname flock head id sort".split()


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A clone with nothing installed, and a PATH (`bin/`) with the plainest tools alone."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "scripts").mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None, tool
        (tmp_path / "bin" / tool).symlink_to(found)
    for file in ("scripts/setup", "pyproject.toml", "uv.lock"):
        shutil.copy(REPOSITORY / file, tmp_path / file)
    return tmp_path


def program(machine: Path, name: str, text: str) -> None:
    path = machine / "bin" / name
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def bare_python(machine: Path) -> None:
    """A Python as Debian ships it: without ensurepip, here without pip too."""
    for module in ("ensurepip", "pip"):
        (machine / f"{module}.py").write_text(f"raise ImportError('no {module}')\n")
    program(machine, "python3.11", f'PYTHONPATH="{machine}" exec "{sys.executable}" "$@"')


def set_up(machine: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(machine / "scripts" / "setup"), *arguments],
        env={"PATH": str(machine / "bin"), "VIRTUAL_ENV": "/nowhere", "UV_PROJECT_ENVIRONMENT": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd="/",
    )


def test_machine_without_a_fitting_python_is_told_so(machine: Path) -> None:
    program(machine, "python3", "exit 1")
    program(machine, "python3.12", "echo 'shim: not installed' >&2; exit 127")
    done = set_up(machine)
    assert done.returncode == 1
    assert done.stderr.startswith("setup: Python 3.11 or 3.12 is needed")
    assert done.stderr.count("\n") == 1


def test_user_without_ensurepip_gets_the_one_command_to_run(machine: Path) -> None:
    bare_python(machine)
    program(machine, "apt-get", "exit 1")
    program(machine, "id", "echo 1000")
    done = set_up(machine)
    assert done.returncode == 1
    assert done.stderr.endswith("Run this once, then try again: sudo apt-get install -y python3.11-venv\n")


def test_root_without_ensurepip_gets_the_package_installed(machine: Path) -> None:
    bare_python(machine)
    program(machine, "id", "echo 0")
    program(machine, "apt-get", f'echo "apt-get $*" >> "{machine}/asked"; exit 9')
    done = set_up(machine)
    assert done.returncode == 1
    assert "could not install python3.11-venv" in done.stderr
    assert (machine / "asked").read_text() == "apt-get update -qq\n"


def test_machine_without_apt_is_told_what_would_help(machine: Path) -> None:
    bare_python(machine)
    done = set_up(machine)
    assert done.returncode == 1
    assert "Install uv or pip" in done.stderr


@pytest.mark.parametrize(("later_s", "taken"), [("0.7", "python3.12"), ("0.8", "python3.11")])
def test_a_later_python_is_taken_if_it_is_faster_by_a_quarter(machine: Path, later_s: str, taken: str) -> None:
    for name, s in (("python3.11", "1.0"), ("python3.12", later_s)):
        program(machine, name, f'case "$1" in -S) echo {s}; exit;; -m) exit 9;; esac\nexec "{sys.executable}" "$@"')
    done = set_up(machine)
    assert done.returncode == 9
    assert done.stderr.endswith(f"({machine}/bin/{taken})\n")


def test_packages_that_cannot_be_fetched_are_told_with_what_would_help(machine: Path) -> None:
    (machine / ".venv" / "bin").mkdir(parents=True)
    (machine / ".venv" / "bin" / "python").symlink_to(sys.executable)
    program(machine, "uv", 'case "$1" in --version) echo "uv 99.0.0";; *) exit 2;; esac')
    done = set_up(machine, "run")
    assert done.returncode == 1
    assert "run this again when it can" in done.stderr
    assert "set SSL_CERT_FILE to the file of its authority\n" in done.stderr
    assert not (machine / ".venv" / ".setup-done").exists()


@pytest.mark.parametrize("script", ["smoke", "check", "vectors", "build-ui"])
def test_a_script_without_arguments_refuses_them_before_it_does_anything(script: str, machine: Path) -> None:
    shutil.copy(REPOSITORY / "scripts" / script, machine / "scripts" / script)
    path = {"PATH": str(machine / "bin")}
    done = subprocess.run(
        [str(machine / "scripts" / script), "--help"], env=path, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"usage: scripts/{script}\n")


def test_word_it_does_not_know_is_refused(machine: Path) -> None:
    assert set_up(machine, "everything").stderr == "setup: usage: scripts/setup [run]\n"


def test_finished_set_up_needs_nothing(machine: Path) -> None:
    (machine / ".venv" / "bin").mkdir(parents=True)
    (machine / ".venv" / "bin" / "python").symlink_to(sys.executable)
    inputs = b"run\n" + b"".join((machine / name).read_bytes() for name in ("pyproject.toml", "uv.lock"))
    stamp = subprocess.run(["cksum"], input=inputs, capture_output=True, check=True).stdout
    (machine / ".venv" / ".setup-done").write_bytes(stamp)
    done = set_up(machine, "run")
    assert (done.returncode, done.stderr) == (0, "")
