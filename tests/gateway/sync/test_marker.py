"""No secret rests where it can be read: every place the configuration travels through is searched for markers.

Searched are the raw bytes and what each place's own reader returns, in every form a secret could hide in: as it is,
base64 at each alignment, hex, JSON-escaped, compressed by zlib. A control marker in a visible place must be found, or
the search proves nothing.
"""

import asyncio
import base64
import contextlib
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from gateway.sync import trust
from gateway.sync.agent import Agent
from gateway.sync.disk_store import DiskStore
from gateway.sync.redis_store import RedisStore
from shared.crypto import api_keys
from shared.crypto.secret import Secret
from tests.fixtures.house import GATEWAY, House
from tests.fixtures.redis import RedisServer

CREDENTIAL = "sk-marker-credential-7f1e"
PROMPT = "marker-in-a-config-9a2b"
CONTROL = "marker-in-an-id-c0de"


def forms(secret: bytes) -> Iterator[bytes]:
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for shift in range(3):
        # Base64 of the secret somewhere inside other bytes: without the characters that its neighbours decide.
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(bytes(shift) + secret)[(shift * 8 + 5) // 6 : -4]
    yield "".join(f"\\u{byte:04x}" for byte in secret).encode()


def inside(data: bytes, depth: int = 2) -> Iterator[bytes]:
    """The bytes, and what zlib makes of them from any place where a stream may begin."""
    yield data
    start = data.find(b"\x78") if depth else -1
    while start != -1:
        with contextlib.suppress(zlib.error):
            yield from inside(zlib.decompressobj().decompress(data[start:], 1 << 20), depth - 1)
        start = data.find(b"\x78", start + 1)


def found(secret: bytes, places: dict[str, bytes]) -> set[str]:
    wanted = list(forms(secret))
    return {name for name, data in places.items() for layer in inside(data) if any(form in layer for form in wanted)}


def test_the_search_finds_what_is_there() -> None:
    secret = b"sk-a-secret-to-find"
    hidden = {
        "raw": b"xx" + secret,
        "hex": secret.hex().encode(),
        "base64 0": base64.b64encode(secret + b"abc"),
        "base64 1": base64.b64encode(b"x" + secret + b"abc"),
        "base64 2": base64.b64encode(b"xy" + secret + b"abc"),
        "zlib": b"GHE1" + zlib.compress(b'{"api_key":"' + secret + b'"}'),
        "base64 in zlib": zlib.compress(base64.b64encode(b"ab" + secret + b"cde")),
    }
    assert found(secret, hidden) == hidden.keys()
    assert found(b"sk-not-there-at-all", hidden) == set()


async def test_no_secret_rests_in_redis_on_disk_or_in_the_file(
    house: House, tmp_path: Path, redis_server: RedisServer
) -> None:
    """GHS/1 8.1, 9.2."""
    house.credentials["simulator"] = CREDENTIAL
    house.configs["default"] = {"virtual_key": "simulator", "override_params": {"user": PROMPT}}
    house.configs[CONTROL] = {"virtual_key": "simulator"}
    file = tmp_path / "snapshot.json"
    disk, redis = DiskStore(tmp_path / "c.sqlite", house.clock), RedisStore(redis_server.url, GATEWAY)
    await asyncio.to_thread(file.write_bytes, house.document())
    agent = Agent(
        stores=[disk, redis],
        snapshot_path=file,
        pinned=house.fingerprint,
        gateway=GATEWAY,
        node_keys=house.node_keys,
        clock=house.clock,
    )
    await agent.turn()
    assert agent.status().stores == {"disk": True, "redis": True}
    client: Any = redis._redis
    await client.save()
    keys: list[bytes] = await client.keys("*")
    places = {
        **_files(tmp_path),
        "redis dump": _read(redis_server.dump),
        "redis keys": b"\n".join(keys),
        "redis values": b"\n".join([await client.dump(key) for key in keys]),
        "redis strings": b"\n".join([await client.get(key) for key in keys if await client.type(key) == b"string"]),
        "sealed": b"\n".join(r.sealed for shard in trust.read(_read(file)).shards for r in shard.resources),
        "disk rows": _rows(tmp_path / "c.sqlite"),
    }
    await disk.close()
    await redis.close()
    shards = house.state.shards.values()
    secrets = {
        "credential": CREDENTIAL.encode(),
        "config": PROMPT.encode(),
        "api key": house.api_keys["ak_1"].reveal(),
        "hash key": house.state.hash_key.reveal(),
        "data-plane key": house.state.data_plane_key.reveal(),
        "opening key": house.node_keys.opening.reveal(),
        "signing key": house.signing_key.reveal(),
        **{f"shard key {number}": shard.key.reveal() for number, shard in enumerate(shards)},
        **{f"keyed hash of {name}": _hash(house, key).encode() for name, key in house.api_keys.items()},
    }
    assert {name: found(secret, places) for name, secret in secrets.items()} == {name: set() for name in secrets}
    visible = found(CONTROL.encode(), places)
    assert {"snapshot.json", "disk rows", "redis strings"} <= visible
    assert {"c.sqlite", "c.sqlite-wal"} & visible
    assert len(places["redis dump"]) > 1000


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def _read(path: Path) -> bytes:
    return path.read_bytes()


def _rows(path: Path) -> bytes:
    with sqlite3.connect(path) as db:
        rows = [row for table in ("piece", "pointer", "touched") for row in db.execute(f"SELECT * FROM {table}")]
    db.close()
    return b"\n".join(cell if isinstance(cell, bytes) else str(cell).encode() for row in rows for cell in row)


def _hash(house: House, key: Secret) -> str:
    return api_keys.keyed_hash(house.state.hash_key, key.reveal_text()).hex()


def test_what_the_loops_hold_does_not_print(house: House) -> None:
    """Law 7: a traceback or a log line that shows an object of the sync shows no secret."""
    shown = repr([house.node_keys, house.state, house.content(), house.publish()])
    assert CREDENTIAL not in shown
    assert "sk-simulator" not in shown
    assert orjson.dumps(house.state.sequence).decode() in shown
