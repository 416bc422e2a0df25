"""No plaintext secret in PostgreSQL, Redis, on disk or in logs, after every road a secret takes has been walked.

Each place is read through its own reader and as raw bytes; a marker that must be visible has to be found there too.
"""

import base64
import re
import secrets
import sqlite3
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import orjson
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from chaos.stack import Stack, chat, standing
from control_plane.data_keys import DataKeys, Sealed
from control_plane.hash_keys import HashKeys
from control_plane.kms.local import LocalKms
from control_plane.snapshots.change import ShardKeys
from embedded.api_client import ApiError, connected
from shared.clock import SystemClock
from tests.fixtures.markers import layers_of, shapes_of
from tests.fixtures.wire import call

pytestmark = pytest.mark.asyncio(loop_scope="module")

VISIBLE = f"visible-{secrets.token_hex(12)}"
"""The control: a name, which nobody has to hide."""
PRIVATE_FILES = set("kms.json signing.key node.key.json redis.conf password simulator.key first-run-code".split())
"""Where a secret has to stand, for its owner alone."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def spoken() -> dict[str, str]:
    """What is said on the way, by name."""
    return {
        "provider's key": f"sk-marker-{secrets.token_hex(20)}",
        "provider's key, replaced": f"sk-marker-{secrets.token_hex(20)}",
        "provider's key, refused": f"sk marker {secrets.token_hex(20)}",
        "provider's key in a config": f"sk-marker-{secrets.token_hex(20)}",
        "password": f"marker password {secrets.token_hex(16)}",
        "wrong password": f"marker password {secrets.token_hex(16)}",
        "admin key that is none": f"gha_{secrets.token_hex(24)}",
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def talkative(
    tmp_path_factory: pytest.TempPathFactory, spoken: dict[str, str]
) -> AsyncIterator[tuple[Stack, dict[str, bytes]]]:
    """Both planes, telling all they can, and every secret that went through them."""
    folder = tmp_path_factory.mktemp("talkative")
    loud = {"log_level": "debug"}
    async with standing(folder, gateway_settings=loud, control_plane_settings=loud) as stack:
        hidden = {name: text.encode() for name, text in spoken.items()}
        hidden |= await walk_every_road(stack, spoken)
        hidden |= await keys_of(stack)
        yield stack, hidden


async def walk_every_road(stack: Stack, spoken: Mapping[str, str]) -> dict[str, bytes]:
    """Good requests and bad ones, restarts and faults. What was handed out on the way."""
    api, path = stack.api, stack.workspaces[0].path
    credential = {"api_key": spoken["provider's key"]}
    body = {"slug": "marked", "name": VISIBLE, "provider": "simulator", "credential": credential}
    await api.post(f"{path}/virtual-keys", body)
    await api.patch(f"{path}/virtual-keys/marked", {"credential": {"api_key": spoken["provider's key, replaced"]}})
    routed = {"provider": "openai", "api_key": spoken["provider's key in a config"]}
    bad_config = {"slug": "bad", "name": "x", "body": routed}
    bad_key = {**body, "slug": "bad", "credential": {"api_key": spoken["provider's key, refused"]}}
    for room, bad in (("configs", bad_config), ("virtual-keys", bad_key), ("virtual-keys", {**bad_key, "made_up": 1})):
        with pytest.raises(ApiError):
            await api.post(f"{path}/{room}", bad)
    made = await api.post(f"{path}/api-keys", {"name": VISIBLE, "default_config": "default"})
    admin = await api.post("/api/v1/admin-keys", {"name": VISIBLE, "scopes": ["configs.list"]})
    invited = await api.post("/api/v1/invitations", {"email": "somebody@example.com"})
    token = invited["path"].removeprefix("/invite/")
    joining = {"token": token, "name": VISIBLE, "password": spoken["password"]}
    login = {"email": "somebody@example.com", "password": spoken["wrong password"]}
    async with connected(stack.control_plane_url) as stranger:
        session = await stranger.post("/api/v1/invitations/accept", joining)
        with pytest.raises(ApiError):
            await stranger.post("/api/v1/login", login)
    with pytest.raises(ApiError):
        await api.sending({"authorization": f"Bearer {spoken['admin key that is none']}"}).get("/api/v1/workspaces")
    owner = await stack.log_in()
    (node,) = stack.nodes
    token_of_node = node.token or ""
    second = await stack.node(node.gateway)
    await second.program.ready()
    await stack.at_rest()
    for model in ("sim-chat", "@marked/sim-chat", "sim-error-500"):
        for key in (made["key"], f"gh_{secrets.token_hex(24)}"):
            await call(node.port, "/v1/chat/completions", chat(model=model), {"authorization": f"Bearer {key}"})
    await break_everything(stack)
    return {
        "API key": made["key"].encode(),
        "API key of the workspace": stack.workspaces[0].api_key.encode(),
        "admin key": admin["key"].encode(),
        "admin key of everything": stack.admin_key.encode(),
        "invitation": token.encode(),
        "CSRF token": session["csrf_token"].encode(),
        "session": owner.cookie.partition("=")[2].encode(),
        "owner's password": stack.password.encode(),
        "enrolment token": token_of_node.partition(".")[0].encode(),
        "simulator's key": stack.simulator_key.reveal(),
        "password of the database": (urlsplit(stack.postgres_url.reveal_text()).password or "").encode(),
        "password of Redis": stack.redis_password.reveal(),
        "password of ClickHouse": stack.clickhouse_password.reveal(),
    }


async def break_everything(stack: Stack) -> None:
    """Whatever could make a traceback."""
    (workspace,) = stack.workspaces
    await stack.postgres.kill()
    with pytest.raises(ApiError):
        await stack.api.post(f"{workspace.path}/api-keys", {"name": VISIBLE})
    await stack.postgres.start()
    await stack.control_plane.kill()
    await stack.control_plane.start()
    await stack.redis.kill()
    await stack.redis.start()
    await stack.nodes[0].program.restart()
    await stack.api.post(f"{workspace.path}/api-keys", {"name": VISIBLE})
    await stack.at_rest()


async def keys_of(stack: Stack) -> dict[str, bytes]:
    """The keys that seal, opened as the control plane opens them, and those in private files."""
    home = stack.folder / "control_plane"
    data_keys = DataKeys(LocalKms(home / "kms.json"), SystemClock())
    found = {}
    connection = await asyncpg.connect(stack.postgres_url.reveal_text())
    try:
        await connection.execute("select set_config('gatehouse.scope', 'instance', false)")
        for owner, version in await connection.fetch("select organisation, version from data_key"):
            found[f"data key of {owner}"] = (await data_keys._key(connection, owner, version)).reveal()
        for (shard,) in await connection.fetch("select shard from shard_head"):
            for epoch, key in (await ShardKeys(data_keys).all(connection, shard)).items():
                found[f"key {epoch} of {shard}"] = key.reveal()
        found["hash key"] = (await HashKeys(data_keys).of(connection, stack.organisation)).reveal()
        for gateway, epoch, sealed, version in await connection.fetch(
            "select gateway, epoch, key_sealed, key_version from data_plane_key"
        ):
            column, row = "data_plane_key.key", f"{gateway}#{epoch}"
            key = await data_keys.open(connection, stack.organisation, column, row, Sealed(version, sealed))
            found[f"data-plane key of {gateway}"] = key.reveal()
    finally:
        await connection.close()
    for node in stack.nodes:
        keys = orjson.loads((node.folder / "node.key.json").read_bytes())
        found |= {f"{node.name}'s key to {name}": base64.b64decode(keys[name]) for name in ("sign", "open")}
    for version in orjson.loads((home / "kms.json").read_bytes())["versions"]:
        found[f"version {version['number']} of the KMS"] = base64.b64decode(version["key"])
    found["control plane's signing key"] = base64.b64decode((home / "signing.key").read_text().strip())
    assert {len(key) for key in found.values()} == {32}
    return found


def seen(hidden: Mapping[str, bytes], places: Mapping[str, bytes], *, unpacked: bool = True) -> list[str]:
    """Which secrets stand in which places; not `unpacked`: only as they are or encoded, where pieces are read apart."""
    shapes = {name: shapes_of(secret) for name, secret in hidden.items()}
    return [
        f"{name} in {place}"
        for place, data in places.items()
        for layer in (layers_of(data) if unpacked else [data])
        for name, of_secret in shapes.items()
        if any(shape in layer for shape in of_secret)
    ]


async def columns(stack: Stack) -> dict[str, bytes]:
    """Every column of every table, read by SQL."""
    connection = await asyncpg.connect(stack.superuser_url.reveal_text())
    try:
        tables = await connection.fetch(
            "select relname from pg_class where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace"
        )
        places = {}
        for (table,) in tables:
            rows = await connection.fetch(f"select * from {table}")
            for column in rows[0].keys() if rows else ():
                values = (row[column] for row in rows)
                places[f"{table}.{column}"] = b"\n".join(v if isinstance(v, bytes) else str(v).encode() for v in values)
        await connection.execute("checkpoint")
    finally:
        await connection.close()
    return places


async def test_postgresql_holds_no_secret(talkative: tuple[Stack, dict[str, bytes]]) -> None:
    stack, hidden = talkative
    by_sql = await columns(stack)
    assert {"config.body", "api_key.hash", "audit.after", "resource.sealed", "shard_key.key_sealed"} <= by_sql.keys()
    assert seen({"control": VISIBLE.encode()}, by_sql)
    assert seen(hidden, by_sql) == []
    files = [path for path in (stack.folder / "postgres" / "data").rglob("*") if path.is_file()]
    raw = {str(path): path.read_bytes() for path in files}
    assert any("pg_wal" in found for found in seen({"control": VISIBLE.encode()}, raw, unpacked=False))
    assert any("base" in found for found in seen({"control": VISIBLE.encode()}, raw, unpacked=False))
    assert seen(hidden, raw, unpacked=False) == []


async def test_redis_holds_no_secret(talkative: tuple[Stack, dict[str, bytes]]) -> None:
    stack, hidden = talkative
    pieces: dict[str, bytes] = {}
    async with Redis(port=stack.ports.redis, password=stack.redis_password.reveal_text()) as client:
        reader: Any = client
        readers = {
            b"string": lambda key: reader.get(key),
            b"list": lambda key: reader.lrange(key, 0, -1),
            b"zset": lambda key: reader.zrange(key, 0, -1),
        }
        for key in await reader.keys("*"):
            value = await readers[await reader.type(key)](key)
            pieces[key.decode()] = b"\n".join([key, *(value if isinstance(value, list) else [value])])
    assert seen({"control": stack.workspaces[0].id.encode()}, pieces)
    assert seen(hidden, pieces) == []


async def test_the_disk_copies_hold_no_secret(talkative: tuple[Stack, dict[str, bytes]]) -> None:
    stack, hidden = talkative
    pieces: dict[str, bytes] = {}
    for node in stack.nodes:
        database = sqlite3.connect(f"file:{node.folder / 'configuration.sqlite3'}?mode=ro", uri=True)
        for name, body in database.execute("SELECT name, body FROM piece").fetchall():
            pieces[f"{node.name} {name}"] = body
        database.close()
    assert seen({"control": stack.workspaces[0].id.encode()}, pieces)
    assert seen(hidden, pieces) == []


async def test_no_file_but_the_private_ones_holds_a_secret(talkative: tuple[Stack, dict[str, bytes]]) -> None:
    """Logs, reports, identities, what Redis writes: whatever lies in the folders of both planes."""
    stack, hidden = talkative
    files = [path for path in stack.folder.rglob("*") if path.is_file() and "postgres" not in path.parts]
    logs = {path.name for path in files if path.suffix == ".log"}
    assert logs >= {"control_plane.log", "node-0.log", "redis.log"}
    stores = (".sqlite3", ".sqlite3-wal", ".aof")
    raw = {str(path): path.read_bytes() for path in files if path.suffix in stores}
    assert len(raw) >= 3
    assert seen(hidden, raw, unpacked=False) == []
    places = {str(path): path.read_bytes() for path in files if path.name not in PRIVATE_FILES and str(path) not in raw}
    places["postgres.log"] = stack.postgres.log.read_bytes()
    told = seen({"control": stack.workspaces[0].id.encode()}, places)
    assert any("node-0.log" in found for found in told)
    assert seen(hidden, places) == []


async def test_private_files_are_for_their_owner_alone(talkative: tuple[Stack, dict[str, bytes]]) -> None:
    stack, hidden = talkative
    private = [path for path in stack.folder.rglob("*") if path.name in PRIVATE_FILES - {"simulator.key"}]
    assert {path.name for path in private} >= {"kms.json", "signing.key", "node.key.json"}
    assert [path for path in private if path.stat().st_mode & 0o077] == []
    # The control of the tests above: what is looked for is where it has to be.
    told = seen(hidden, {path.name: path.read_bytes() for path in private})
    assert {found.rpartition(" in ")[2] for found in told} >= {"kms.json", "signing.key", "node.key.json", "redis.conf"}


async def test_no_command_line_shows_a_secret(talkative: tuple[Stack, dict[str, bytes]]) -> None:
    stack, hidden = talkative
    lines = {name: cmdline(part.pid) for name, part in stack.programs.items()}
    assert seen({"control": b"--role"}, lines)
    assert seen(hidden, lines) == []


async def test_a_control_plane_that_dies_leaves_none_of_its_memory_on_a_disk(
    talkative: tuple[Stack, dict[str, bytes]],
) -> None:
    (limit,) = re.findall(r"^Max core file size +(\S+) +(\S+)", limits(talkative[0].control_plane.pid), re.MULTILINE)
    assert limit in (("1", "1"), ("0", "0"))


def cmdline(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def limits(pid: int) -> str:
    return Path(f"/proc/{pid}/limits").read_text()
