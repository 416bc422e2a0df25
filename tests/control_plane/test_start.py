"""`python -m control_plane --role all`, started wrongly: one line says what to mend, never a traceback or a secret."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from control_plane.app import FIRST_RUN_FILE, _offer_first_run, plane
from control_plane.kms.local import LocalKms
from control_plane.settings import Settings
from shared.crypto.secret import Secret
from tests.fixtures.disk import small_disk

ROOT = Path(__file__).parents[2]
HANG_S = 60


async def start(state_dir: Path, **settings: str) -> tuple[int, str]:
    """Exit code, and the only line it said of a fault. (What it says to the first owner goes elsewhere.)"""
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "control_plane", "--role", "all"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "GATEHOUSE_STATE_DIR": str(state_dir), **settings},
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert "MARKER" not in ended.stdout + ended.stderr
    (line,) = ended.stderr.splitlines()
    return ended.returncode, line


@pytest.fixture
async def started_before(migrated_url: str, tmp_path: Path) -> Path:
    """The state folder of a control plane that has been up on this database."""
    folder = tmp_path / "first"
    async with plane(Settings(postgres_url=migrated_url, state_dir=folder)):  # type: ignore[arg-type]
        return folder


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "GATEHOUSE_POSTGRES_URL: wanted, and not set; docs/settings.md says what it is"),
        ({"GATEHOUSE_KMS": "aws:MARKER"}, "GATEHOUSE_KMS: "),
        ({"GATEHOUSE_PUBLIC_URL": "house.test"}, "GATEHOUSE_PUBLIC_URL: "),
        ({"GATEHOUSE_DRAIN_S": "-1"}, "GATEHOUSE_DRAIN_S: "),
        ({"GATEHOUSE_HOST": ""}, "GATEHOUSE_HOST: an address to listen on is wanted"),
        ({"GATEHOUSE_METRICS_HOST": ""}, "GATEHOUSE_METRICS_HOST: an address to listen on is wanted"),
        ({"GATEHOUSE_STATE_DIR": ""}, "GATEHOUSE_STATE_DIR: a folder is wanted"),
        (
            {"GATEHOUSE_CLICKHOUSE_URL": "clickhouse://u:MARKER@h/gatehouse"},
            "GATEHOUSE_CLICKHOUSE_URL: not of the form",
        ),
        ({"GATEHOUSE_CLICKHOUSE_URL": "http://u:pass/MARKER@h:1/db"}, "GATEHOUSE_CLICKHOUSE_URL: not of the form"),
        ({"GATEHOUSE_CLICKHOUSE_URL": "http://u:MARKER@h:1/a b"}, "GATEHOUSE_CLICKHOUSE_URL: not of the form"),
        ({"GATEHOUSE_CLICKHOUSE_URL": "http://u:MARKER@h:1/db?verify=no"}, "GATEHOUSE_CLICKHOUSE_URL: not of the form"),
    ],
)
async def test_a_wrong_setting_is_named(settings: dict[str, str], said: str, tmp_path: Path) -> None:
    somewhere = {} if not settings else {"GATEHOUSE_POSTGRES_URL": "postgresql://role:MARKER@127.0.0.1:1/name"}
    code, line = await start(tmp_path, **somewhere, **settings)
    assert code == 2
    assert line.startswith(said)


async def test_a_database_that_is_away_is_told_without_its_password(tmp_path: Path) -> None:
    code, line = await start(tmp_path, GATEHOUSE_POSTGRES_URL="postgresql://role:MARKER@127.0.0.1:1/name")
    assert code == 1
    assert line.startswith("the control plane cannot start: GATEHOUSE_POSTGRES_URL: the database cannot be reached (")
    assert line.endswith(" Connection refused)")


@pytest.mark.parametrize("url", ["postgres", "mysql://role:MARKER@127.0.0.1/name", "postgresql://role:MA#RKER@[::1/n"])
async def test_an_address_that_is_none_of_a_database_is_named_by_its_setting(url: str, tmp_path: Path) -> None:
    code, line = await start(tmp_path, GATEHOUSE_POSTGRES_URL=url)
    assert code == 1
    assert "GATEHOUSE_POSTGRES_URL: the database's address is not of the form postgresql://" in line


async def test_a_certificate_that_nothing_is_there_to_check_by_is_told(tmp_path: Path) -> None:
    url = "postgresql://role:MARKER@127.0.0.1:1/name?sslmode=verify-full"
    code, line = await start(tmp_path, GATEHOUSE_POSTGRES_URL=url, HOME=str(tmp_path))
    assert code == 1
    assert "GATEHOUSE_POSTGRES_URL: the database's certificate cannot be checked: add sslrootcert=FILE" in line


async def test_a_database_that_refuses_is_named_by_its_setting(database_url: str, tmp_path: Path) -> None:
    code, line = await start(tmp_path, GATEHOUSE_POSTGRES_URL=database_url.replace("/test_", "/none_"))
    assert code == 1
    assert line.startswith("the control plane cannot start: GATEHOUSE_POSTGRES_URL: the database refuses: ")


async def test_a_state_folder_that_is_none_is_named(migrated_url: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    code, line = await start(file, GATEHOUSE_POSTGRES_URL=migrated_url)
    assert code == 1
    assert f"GATEHOUSE_STATE_DIR, {file}, cannot be used" in line


@pytest.mark.parametrize("name", ["kms.json", "signing.key"])
async def test_a_damaged_key_file_is_named_and_left_alone(name: str, migrated_url: str, started_before: Path) -> None:
    (started_before / name).write_text("MARKER")
    code, line = await start(started_before, GATEHOUSE_POSTGRES_URL=migrated_url)
    assert code == 1
    assert str(started_before / name) in line
    assert (started_before / name).read_text() == "MARKER"


@pytest.mark.usefixtures("started_before")
async def test_a_state_folder_of_another_database_is_refused(migrated_url: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    await LocalKms(other / "kms.json").wrap(Secret(b"k" * 32), {})
    code, line = await start(other, GATEHOUSE_POSTGRES_URL=migrated_url)
    assert code == 1
    assert f"{other / 'kms.json'} does not unwrap it" in line


async def test_a_kms_file_that_is_gone_is_asked_for_and_none_is_made_in_its_place(
    migrated_url: str, started_before: Path
) -> None:
    """A fresh one opens nothing, and would go into the next backup in the place of the one that does."""
    (started_before / "kms.json").unlink()
    code, line = await start(started_before, GATEHOUSE_POSTGRES_URL=migrated_url)
    assert code == 1
    assert f"{started_before / 'kms.json'} is not there" in line
    assert not (started_before / "kms.json").exists()


async def test_a_signing_key_that_is_gone_is_asked_for_while_nodes_trust_it(
    migrated_url: str, started_before: Path
) -> None:
    key = started_before / "signing.key"
    key.unlink()
    connection = await asyncpg.connect(migrated_url)
    await connection.execute("select set_config('gatehouse.scope', 'instance', false)")
    await connection.execute(
        "insert into organisation (id, name, hash_key_sealed, hash_key_version) values ('org_1', 'One', '', 1)"
    )
    await connection.execute(
        "insert into gateway (id, organisation, name, created_by) values ('gw_1', 'org_1', 'One', 'test')"
    )
    await connection.execute(
        "insert into node (id, organisation, gateway, sign, open) values ('nd_1', 'org_1', 'gw_1', $1, $1)", b"k" * 32
    )
    code, line = await start(started_before, GATEHOUSE_POSTGRES_URL=migrated_url)
    assert code == 1
    assert f"{key} is not there, and the nodes of this database (1) trust no other key: put it back" in line
    assert not key.exists()
    await connection.execute("update node set revoked_at = now()")
    await connection.close()
    async with plane(Settings(postgres_url=migrated_url, state_dir=started_before)):  # type: ignore[arg-type]
        assert key.exists()


async def test_a_state_folder_that_only_holds_the_keys_may_be_read_only(migrated_url: str, tmp_path: Path) -> None:
    """As a secret is that an orchestrator mounts."""
    with small_disk(tmp_path / "disk", 1024 * 1024) as disk:
        settings = Settings(postgres_url=migrated_url, state_dir=disk.path)  # type: ignore[arg-type]
        async with plane(settings) as parts:
            file = disk.path / FIRST_RUN_FILE
            await _offer_first_run(parts.first_run, file)
            async with parts.database.instance() as connection:
                await connection.execute(
                    "insert into account (id, email, name, password_hash) values ('u', 'a@b.c', 'A', '')"
                )
            await _offer_first_run(parts.first_run, file)
            assert not file.exists()
        disk.read_only(True)
        async with plane(settings) as parts:
            await _offer_first_run(parts.first_run, file)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


async def test_a_port_that_is_taken_is_named(migrated_url: str, started_before: Path, taken_port: int) -> None:
    given = {"GATEHOUSE_POSTGRES_URL": migrated_url, "GATEHOUSE_PORT": str(taken_port)}
    code, line = await start(started_before, **given)
    assert code == 1
    assert f"port {taken_port} of 127.0.0.1 cannot be had" in line


@pytest.mark.parametrize(
    ("settings", "url", "endpoints"),
    [
        ({}, "http://127.0.0.1:8080", ["http://127.0.0.1:8080"]),
        ({"host": "::1"}, "http://[::1]:8080", ["http://[::1]:8080"]),
        ({"host": "0.0.0.0"}, "http://0.0.0.0:8080", []),
        ({"host": "::"}, "http://[::]:8080", []),
        ({"host": "0.0.0.0", "public_url": "https://house.test"}, "https://house.test", ["https://house.test"]),
    ],
)
def test_nodes_keep_no_address_that_means_their_own_machine(
    settings: dict[str, str], url: str, endpoints: list[str]
) -> None:
    made = Settings(postgres_url="postgresql://role@127.0.0.1/name", **settings)  # type: ignore[arg-type]
    assert (made.url, made.endpoints) == (url, endpoints)
