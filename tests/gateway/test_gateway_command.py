"""`python -m gateway`, started wrongly: one line that names what to mend, never a traceback or a secret."""

import fcntl
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import structlog

from gateway import app
from gateway.app import HOLD
from gateway.settings import Settings
from gateway.sync import identity, node_keys
from gateway.telemetry import slots
from gateway.telemetry.slots import SlotTable
from tests.fixtures.disk import small_disk

ROOT = Path(__file__).parents[2]
HANG_S = 60
ON_A_FILE = {"GATEHOUSE_SNAPSHOT": "snapshot.json", "GATEHOUSE_SIGNING_FINGERPRINT": "sha256:" + "0" * 64}


def start(state_dir: Path, **settings: str) -> tuple[int, str]:
    """Exit code, and what it said."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GATEHOUSE_")}
    ended = subprocess.run(
        [sys.executable, "-m", "gateway"],
        cwd=ROOT,
        env={**inherited, "GATEHOUSE_STATE_DIR": str(state_dir), **settings},
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert ended.stdout == ""
    return ended.returncode, ended.stderr.rstrip("\n")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"GATEHOUSE_PORT": "0"}, "GATEHOUSE_PORT: "),
        ({"GATEHOUSE_CONTROL_PLANE_URL": "house:8080"}, "GATEHOUSE_CONTROL_PLANE_URL: a scheme, a host and a port"),
        ({"GATEHOUSE_REDIS_URL": "localhost:6379"}, "GATEHOUSE_REDIS_URL: not of the form redis://"),
        ({"GATEHOUSE_REDIS_URL": "redis://:pass/MARKER@cache:6379/0"}, "GATEHOUSE_REDIS_URL: not of the form redis://"),
        ({"GATEHOUSE_REDIS_URL": "REDIS://cache:6379/0"}, "GATEHOUSE_REDIS_URL: not of the form redis://"),
        ({"GATEHOUSE_REDIS_URL": "redis://:12#MARKER@cache:6379/0"}, "GATEHOUSE_REDIS_URL: not of the form redis://"),
        ({"GATEHOUSE_REDIS_URL": "redis://:MARKER@cache:6379/0?foo=bar"}, "GATEHOUSE_REDIS_URL: what follows its ? is"),
        ({"GATEHOUSE_REDIS_URL": "redis://:MARKER@cache:6379?db=x"}, "GATEHOUSE_REDIS_URL: what follows its ? is"),
        (
            {"GATEHOUSE_REDIS_URL": "redis://:MARKER@cache:6379?decode_responses=true"},
            "GATEHOUSE_REDIS_URL: what follows its ? is",
        ),
        ({"GATEHOUSE_REDIS_URL": "redis://:MARKER@cache:6379?retry=3"}, "GATEHOUSE_REDIS_URL: what follows its ? is"),
        ({"GATEHOUSE_RUNNING_REQUESTS_MAX": "100000000"}, "GATEHOUSE_RUNNING_REQUESTS_MAX: "),
        ({"GATEHOUSE_HOST": ""}, "GATEHOUSE_HOST: an address to listen on is wanted"),
        ({"GATEHOUSE_METRICS_HOST": " "}, "GATEHOUSE_METRICS_HOST: an address to listen on is wanted"),
        ({"GATEHOUSE_UPSTREAM_ALLOW_CIDRS": "10.0.0.1/8"}, "GATEHOUSE_UPSTREAM_ALLOW_CIDRS: networks are wanted"),
        ({"GATEHOUSE_SNAPSHOT": "snapshot.json"}, "GATEHOUSE_SNAPSHOT and GATEHOUSE_SIGNING_FINGERPRINT are set"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, str], said: str, tmp_path: Path) -> None:
    code, line = start(tmp_path, **settings)
    assert (code, line.count("\n")) == (2, 0)
    assert line.startswith(said)
    assert "MARKER" not in line
    assert list(tmp_path.iterdir()) == []


def test_an_empty_state_folder_is_not_the_one_that_the_gateway_is_begun_in() -> None:
    code, line = start(Path(), GATEHOUSE_STATE_DIR="")
    assert (code, line) == (2, "GATEHOUSE_STATE_DIR: a folder is wanted")


def test_a_redis_that_wants_certificates_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "rediss://:secret@cache:6380/2?ssl_cert_reqs=required&ssl_ca_certs=/etc/ca.pem&health_check_interval=30"
    monkeypatch.setenv("GATEHOUSE_REDIS_URL", url)
    settings = Settings()
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == url


def test_what_stands_around_a_value_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets come from files that end with a line break."""
    for name, value in {
        "ENROLMENT_TOKEN": "ghe_x.y\n",
        "REDIS_URL": " redis://cache:6379/0\r\n",
        "LOG_LEVEL": "debug\n",
        "ADMIN_FORWARD": "true ",
        "STATE_DIR": "/var/lib/gatehouse\n",
        "HTTPS_PROXY": "http://gate:word@proxy:3128\n",
    }.items():
        monkeypatch.setenv(f"GATEHOUSE_{name}", value)
    settings = Settings()
    assert settings.enrolment_token is not None
    assert settings.redis_url is not None
    assert settings.https_proxy is not None
    assert settings.enrolment_token.get_secret_value() == "ghe_x.y"
    assert settings.redis_url.get_secret_value() == "redis://cache:6379/0"
    assert (settings.log_level, settings.admin_forward) == ("debug", True)
    assert settings.state_dir == Path("/var/lib/gatehouse")
    assert settings.https_proxy.get_secret_value() == "http://gate:word@proxy:3128"


def test_every_wrong_setting_has_its_line(tmp_path: Path) -> None:
    code, lines = start(tmp_path, GATEHOUSE_WORKERS="many", GATEHOUSE_TOTAL_S="-1")
    assert code == 2
    assert [line.partition(":")[0] for line in lines.splitlines()] == ["GATEHOUSE_WORKERS", "GATEHOUSE_TOTAL_S"]


def test_a_node_that_is_not_enrolled_is_told_how_it_can_be(tmp_path: Path) -> None:
    code, line = start(tmp_path)
    assert (code, line.count("\n")) == (1, 0)
    assert "GATEHOUSE_CONTROL_PLANE_URL" in line
    assert "GATEHOUSE_ENROLMENT_TOKEN" in line


def test_a_system_that_allows_fewer_connections_than_calls_may_need_is_told_of(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    code, lines = start(tmp_path, GATEHOUSE_RUNNING_REQUESTS_MAX=str(before[1]))
    told, _ = lines.splitlines()
    assert code == 1
    line = orjson.loads(told)
    assert (line["event"], line["limit"], line["wanted"]) == ("open_files_few", before[1], 2 * before[1])
    assert "ulimit -n" in line["detail"]


def test_an_enrolled_node_that_does_not_know_where_its_control_plane_is_says_so(tmp_path: Path) -> None:
    identity.save(tmp_path, identity.Identity("gw_1", "org_1", "sha256:" + "0" * 64, ()))
    code, line = start(tmp_path)
    assert (code, line.count("\n")) == (1, 0)
    assert "set GATEHOUSE_CONTROL_PLANE_URL" in line


def test_a_mistyped_token_is_told_before_anybody_is_asked(tmp_path: Path) -> None:
    given = {"GATEHOUSE_CONTROL_PLANE_URL": "http://127.0.0.1:1", "GATEHOUSE_ENROLMENT_TOKEN": "ghe_MARKER"}
    code, line = start(tmp_path, **given)
    assert (code, line.count("\n")) == (1, 0)
    assert "not an enrolment token" in line
    assert "MARKER" not in line


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_that_is_taken_is_named(tmp_path: Path, taken_port: int) -> None:
    code, line = start(tmp_path, GATEHOUSE_PORT=str(taken_port), **ON_A_FILE)
    assert (code, line.count("\n")) == (1, 0)
    assert f"port {taken_port} of 127.0.0.1 cannot be had" in line


def test_a_state_folder_of_a_gateway_that_runs_is_named_and_left_alone(tmp_path: Path) -> None:
    table = slots.path_of(tmp_path, "worker-0")
    table.parent.mkdir()
    SlotTable(table, 1).take("lg_" + "0" * 32, "chat")
    briefly = {"GATEHOUSE_DRAIN_S": "0.1", "GATEHOUSE_SHIP_DRAIN_S": "0.1"}
    with (tmp_path / HOLD).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        code, lines = start(tmp_path, **briefly, **ON_A_FILE)
    waits, line = lines.splitlines()
    assert orjson.loads(waits)["event"] == "state_folder_held"
    assert code == 1
    assert f"{tmp_path} is another gateway's" in line
    assert len(slots.left(table)) == 1


def test_a_disk_that_takes_nothing_does_not_keep_a_gateway_from_its_start(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64 * 1024) as disk:
        disk.read_only(True)
        with structlog.testing.capture_logs() as logs:
            app._hold(Settings(state_dir=disk.path))
    assert [line["event"] for line in logs] == ["state_folder_not_held"]


def test_a_state_folder_that_is_none_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    code, line = start(file, **ON_A_FILE)
    assert (code, line.count("\n")) == (1, 0)
    assert f"GATEHOUSE_STATE_DIR, {file}, cannot be used" in line


@pytest.mark.parametrize("name", [node_keys.PRIVATE_FILE, identity.FILE])
def test_a_damaged_file_is_named_and_left_alone(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("MARKER")
    code, line = start(tmp_path)
    assert (code, line.count("\n")) == (1, 0)
    assert f"{tmp_path / name} is damaged" in line
    assert "MARKER" not in line
    assert (tmp_path / name).read_text() == "MARKER"
