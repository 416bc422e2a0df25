"""`python -m embedded` as a newcomer uses it, with the real parts."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import asyncpg
import pytest

from embedded import postgres, postgres_programs, smoke
from embedded.own_stack import own_stack
from embedded.ports import LOOPBACK, POSTGRES
from embedded.state import MADE_BY, ROOM_BYTES_MIN, StateFolder
from shared.crypto.secret import Secret
from tests.fixtures.disk import small_disk
from tests.fixtures.markers import is_in, shapes_of

ROOT = Path(__file__).parents[2]
HANG_S = 120
PARTS = ["clickhouse", "redis", "postgres", "simulator", "control_plane", "gateway"]
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
    def run(self) -> dict[str, Any]:
        run: dict[str, Any] = json.loads((self.folder / "run.json").read_text())
        return run

    @property
    def processes(self) -> dict[str, int]:
        return {row["part"]: row["pid"] for row in json.loads((self.folder / "parts.json").read_text())}


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Commands]:
    commands = Commands(tmp_path / "state")
    yield commands
    commands("down")


def ask(url: str, path: str, body: object = None, *, key: str = "", method: str | None = None) -> tuple[int, Any]:
    """Status and body of a request with a bearer key."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    request = Request(url + path, data, headers if key else {"content-type": "application/json"}, method=method)
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=HANG_S) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except HTTPError as refusal:
        with refusal:
            return refusal.code, json.loads(refusal.read())


def rows(run: Mapping[str, Any], path: str) -> list[dict[str, Any]]:
    status, page = ask(run["control_plane_url"], path, key=run["admin_key"])
    assert status == 200, page
    found: list[dict[str, Any]] = page["data"]
    return found


def works(run: Mapping[str, Any], model: str = "sim-chat") -> bool:
    """Whether a call by the stack's key gets through, its default config naming the target."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    return ask(run["gateway_url"], "/v1/chat/completions", body, key=run["api_key"])[0] == 200


def ask_ready(url: str) -> bool:
    try:
        return ask(url, "/readyz")[0] == 200
    except OSError:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def files_with(folder: Path, secret: bytes) -> set[str]:
    """Names of the files that hold the secret, as it is or encoded."""
    shapes = shapes_of(secret)
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.name for path in files if any(shape in path.read_bytes() for shape in shapes)}


async def every_column(embedded: Commands) -> bytes:
    """What every table but the catalogue's holds, as PostgreSQL itself reads it."""
    port = POSTGRES + int(embedded.run["control_plane_url"].rpartition(":")[2]) - 8080
    password = Secret((embedded.folder / "secrets" / "postgres_superuser").read_bytes())
    connection = await asyncpg.connect(
        host=LOOPBACK, port=port, user=postgres.SUPERUSER, password=password.reveal_text(), database=postgres.NAME
    )
    try:
        tables = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
        found = []
        for table in {row["tablename"] for row in tables} - {"model", "price"}:
            of_catalogue = " where shard = 'global'" if table in ("resource", "change") else " where false"
            found += await connection.fetch(
                f"select row::text as text from {table} row except all select row::text from {table} row{of_catalogue}"
            )
    finally:
        await connection.close()
    return "\n".join(row["text"] for row in found).encode()


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_up_ends_with_a_curl_that_works_and_down_leaves_nothing(
    embedded: Commands, gone: Callable[[int], bool]
) -> None:
    said = embedded.up()
    assert said.returncode == 0, said.stdout
    assert sorted(re.findall(r"^(\w+) … ready \(", said.stdout, re.MULTILINE)) == sorted(PARTS)
    assert list(embedded.processes) == PARTS
    run = embedded.run
    assert list(run) == [
        *("control_plane_url", "gateway_url", "owner", "api_key", "admin_key", "workspace", "simulator_url")
    ]
    for told in (run["control_plane_url"], run["owner"]["email"], run["owner"]["password"], run["admin_key"]):
        assert told in said.stdout
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

    status, models = ask(run["gateway_url"], "/v1/models", key=run["api_key"])
    assert (status, [model["id"] for model in models["data"]]) == (200, ["sim-chat", "sim-embed"])
    assert ask(run["control_plane_url"], "/api/v1/login", run["owner"])[0] == 200
    assert [row["slug"] for row in rows(run, "/api/v1/workspaces")] == [run["workspace"]]
    (gateway,) = rows(run, "/api/v1/gateways")
    assert (gateway["name"], gateway["nodes"], gateway["nodes_connected"]) == ("local", 1, 1)

    processes = embedded.processes
    down = embedded("down")
    assert (down.returncode, down.stdout) == (0, "stopped\n")
    assert all(gone(pid) for pid in processes.values())
    assert not (embedded.folder / "run.json").exists()
    again = embedded("down")
    assert again.returncode == 0
    assert "nothing is running" in again.stdout


def test_commands_of_the_documents_work_as_they_stand_also_beside_another_workspace(
    embedded: Commands, tmp_path: Path
) -> None:
    assert embedded.up().returncode == 0
    another = {"slug": "before-local", "name": "Another"}
    assert (
        ask(embedded.run["control_plane_url"], "/api/v1/workspaces", another, key=embedded.run["admin_key"])[0] == 201
    )
    (tmp_path / ".gatehouse").symlink_to(embedded.folder)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    commands = [
        block
        for name in ("README.md", "docs/explain.md", "docs/idempotency.md", "docs/money.md")
        for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", (ROOT / name).read_text(), re.MULTILINE)
        if re.match(r"\s*(curl|export|of_run)\b", block)
    ]
    assert len(commands) == 6
    script = "\n".join(["set -euxo pipefail", 'curl() { command curl --fail-with-body "$@"; }', *commands])
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=BARE, capture_output=True, text=True, check=False, timeout=HANG_S
    )
    assert done.returncode == 0, done.stdout + done.stderr


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
    port = embedded.run["control_plane_url"].rpartition(":")[2]
    other = Commands(tmp_path / "other")
    refused = other("up", "--background", "--port-offset", str(int(port) - 8080))
    assert refused.returncode == 1
    holder = embedded.processes["control_plane"]
    assert refused.stdout.startswith(f"port {port} (control_plane) is taken by process {holder} (")
    assert refused.stdout.count("\n") == 1


def test_full_disk_is_one_line_that_names_it(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2 * ROOM_BYTES_MIN) as disk:
        commands = Commands(disk.path / "state")
        StateFolder(commands.folder).prepare()
        disk.fill()
        said = commands.up()
    assert said.returncode == 1
    assert said.stdout == f"the disk of {commands.folder} is full; make room, or see --state-dir\n"


def test_killed_supervisor_takes_its_parts_along_and_the_next_start_finds_everything_again(
    embedded: Commands, gone: Callable[[int], bool]
) -> None:
    assert embedded.up().returncode == 0
    before, processes = embedded.run, embedded.processes
    changes = len(rows(before, "/api/v1/audit-logs?limit=200"))
    os.kill(parent_of(processes["gateway"]), signal.SIGKILL)
    assert all(gone(pid) for pid in processes.values())
    assert (embedded.folder / "run.json").exists()

    # Somebody has one of its ports now, so that everything has to move.
    with socket.create_server((LOOPBACK, int(before["simulator_url"].rpartition(":")[2]))):
        assert embedded.up().returncode == 0
    after = embedded.run
    for same in ("owner", "api_key", "admin_key"):
        assert after[same] == before[same]
    assert after["simulator_url"] != before["simulator_url"]
    assert smoke.call(after, "simulator", "sim-chat")[0] == 200
    # The new addresses of simulator, its virtual key and gateway, and nothing else.
    audit = rows(after, "/api/v1/audit-logs?limit=200")
    moved = ["gateways.update", "providers.update", "virtual_keys.update"]
    assert sorted(row["action"] for row in audit[: len(audit) - changes]) == moved
    (gateway,) = rows(after, "/api/v1/gateways")
    assert gateway["nodes"] == 1


def test_database_that_was_lost_is_furnished_anew_and_the_gateway_enrols_again(embedded: Commands) -> None:
    assert embedded.up().returncode == 0
    before = embedded.run
    embedded("down")
    shutil.rmtree(postgres_programs.find(BARE["PATH"], embedded.folder / "postgres").home)

    said = embedded.up()
    assert said.returncode == 0, said.stdout
    assert "starts anew" in said.stdout
    after = embedded.run
    assert after["owner"] == before["owner"]
    assert after["api_key"] != before["api_key"]
    assert works(after)


def test_calls_go_on_while_control_plane_and_database_are_away_and_edits_work_when_they_are_back(
    embedded: Commands,
) -> None:
    assert embedded.up().returncode == 0
    run, processes = embedded.run, embedded.processes
    for part in ("control_plane", "postgres"):
        os.kill(processes[part], signal.SIGKILL)
        assert works(run)
    wait_until(lambda: {"control_plane", "postgres"} <= set(embedded.processes))
    wait_until(lambda: ask_ready(run["control_plane_url"]))

    for part in ("postgres", "control_plane", "gateway"):
        assert embedded("hold", part).returncode == 0
    assert embedded("release", "gateway").returncode == 0
    assert works(run)
    status = embedded("status").stdout.splitlines()
    assert [line.split()[:2] for line in status] == [
        ["clickhouse", "running"],
        ["redis", "running"],
        ["postgres", "held"],
        ["simulator", "running"],
        ["control_plane", "held"],
        ["gateway", "running"],
    ]

    assert embedded("release", "postgres").returncode == 0
    assert embedded("release", "control_plane").returncode == 0
    (workspace,) = rows(run, "/api/v1/workspaces")
    config = f"/api/v1/workspaces/{workspace['id']}/configs/default"
    body = {"body": {"virtual_key": "simulator", "override_params": {"model": "sim-error-503"}}}
    assert ask(run["control_plane_url"], config, body, key=run["admin_key"], method="PATCH")[0] == 200
    wait_until(lambda: not works(run))


async def test_provider_key_comes_and_goes_with_the_environment_and_is_nowhere_in_clear(embedded: Commands) -> None:
    said = embedded.up(OPENAI_API_KEY=MARKER, GEMINI_API_KEY=MARKER)
    assert 'OPENAI_API_KEY found: virtual key "openai" made of it\n' in said.stdout
    assert 'GEMINI_API_KEY found: virtual key "google" made of it\n' in said.stdout
    assert MARKER not in said.stdout
    for pid in embedded.processes.values():
        assert MARKER.encode() not in environment_of(pid)
    run = embedded.run
    secrets = {name: run[name].encode() for name in ("api_key", "admin_key")} | {"provider": MARKER.encode()}
    told = {"api_key": {"run.json", "api_key"}, "admin_key": {"run.json", "admin_key"}, "provider": set()}
    columns = await every_column(embedded)
    assert is_in(MADE_BY.encode(), columns)
    for name, secret in secrets.items():
        assert not is_in(secret, columns)
        assert files_with(embedded.folder, secret) == told[name]
    assert files_with(embedded.folder, MADE_BY.encode())
    embedded("down")
    for name in ("api_key", "admin_key"):
        assert files_with(embedded.folder, secrets[name]) == {name}
    assert files_with(embedded.folder, secrets["provider"]) == set()

    assert "OPENAI_API_KEY" not in embedded.up("--no-import-env", OPENAI_API_KEY=MARKER).stdout
    status, answer = smoke.call(embedded.run, "openai", "gpt-4o-mini")
    assert status == 400
    assert "openai" in answer


def test_given_redis_takes_the_place_of_our_own_and_the_gateway_waits_for_neither(embedded: Commands) -> None:
    said = embedded.up(GATEHOUSE_REDIS_URL="redis://:never-told@127.0.0.1:1/0")
    assert said.returncode == 0, said.stdout
    assert list(embedded.processes) == [part for part in PARTS if part != "redis"]
    assert "never-told" not in said.stdout
    assert smoke.call(embedded.run, "simulator", "sim-chat")[0] == 200


def test_given_database_takes_the_place_of_our_own(database_url: str, embedded: Commands) -> None:
    said = embedded.up(GATEHOUSE_POSTGRES_URL=database_url)
    assert said.returncode == 0, said.stdout
    assert list(embedded.processes) == [part for part in PARTS if part != "postgres"]
    assert database_url not in said.stdout
    assert works(embedded.run)
    assert database_url.encode() in environment_of(embedded.processes["control_plane"])
    assert database_url.encode() not in environment_of(embedded.processes["gateway"])
    embedded("down")


def test_given_clickhouse_takes_the_place_of_our_own_and_one_plane_alone_is_told(embedded: Commands) -> None:
    url = "http://somebody:never-told@127.0.0.1:1/elsewhere"
    said = embedded.up(GATEHOUSE_CLICKHOUSE_URL=url)
    assert said.returncode == 0, said.stdout
    assert list(embedded.processes) == [part for part in PARTS if part != "clickhouse"]
    assert "never-told" not in said.stdout
    assert url.encode() in environment_of(embedded.processes["control_plane"])
    assert b"never-told" not in environment_of(embedded.processes["gateway"])
    assert works(embedded.run)


def test_clickhouse_is_held_killed_and_back_while_calls_go_on(embedded: Commands) -> None:
    assert embedded.up().returncode == 0
    run, first = embedded.run, embedded.processes["clickhouse"]
    os.kill(first, signal.SIGKILL)
    assert works(run)
    wait_until(lambda: embedded.processes.get("clickhouse", first) != first)
    assert embedded("hold", "clickhouse").returncode == 0
    assert "clickhouse" not in embedded.processes
    assert works(run)
    assert ask_ready(run["control_plane_url"])
    assert embedded("release", "clickhouse").returncode == 0
    wait_until(lambda: ask(run["control_plane_url"], "/readyz")[1]["analytics"] == "ready")


def test_database_of_somebody_else_is_left_alone(database_url: str, embedded: Commands, tmp_path: Path) -> None:
    assert embedded.up(GATEHOUSE_POSTGRES_URL=database_url).returncode == 0
    embedded("down")
    shutil.copytree(embedded.folder / "control_plane", tmp_path / "other" / "control_plane")
    refused = Commands(tmp_path / "other").up(GATEHOUSE_POSTGRES_URL=database_url)
    assert refused.returncode == 1
    assert "has an owner already" in refused.stdout.splitlines()[-1]


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
    assert len(processes) == len(PARTS)
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
    assert smoke.main({"NOBODYS_API_KEY": MARKER}) == 0
    assert capsys.readouterr().out == "no provider key in the environment: no real provider was called\n"
