"""No secret and no content in Redis, in the disk copy, in the snapshot, in logs or in errors (design section 9)."""

import asyncio
import base64
import gzip
import json
import re
import secrets
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.fixtures.markers import is_in
from tests.fixtures.stack import GATEWAY_ID, Stack, chat, running_stack
from tests.fixtures.wire import Reply, Wire, call, look, request

CHAT = "/v1/chat/completions"
INLINE_KEY = "sk-inline-" + secrets.token_hex(16)
WRONG_KEY = "gh_" + secrets.token_hex(24)
PROMPT = "prompt " + secrets.token_hex(16)
ANSWERED = "You said: " + PROMPT
"""What the simulator makes of the prompt."""
SLUG = "slug-" + secrets.token_hex(8)
"""A control: nobody's secret, and named in an error."""


@pytest.mark.parametrize("shell", ["as it is", "base64", "url-safe base64", "hex", "json", "percent", "zlib", "gzip"])
@pytest.mark.parametrize("offset", range(4))
@pytest.mark.parametrize(
    "secret", [b"gh_" + b"k" * 49, b'sk-\xc3\xa9"\\\x00\xff' + bytes(range(24))], ids=["text", "bytes"]
)
def test_search_finds_a_secret_in_every_shape(shell: str, offset: int, secret: bytes) -> None:
    inside = b"." * offset + secret + b"tail"
    shapes = {
        "as it is": inside,
        "base64": base64.b64encode(inside),
        "url-safe base64": base64.urlsafe_b64encode(inside).rstrip(b"="),
        "hex": inside.hex().encode(),
        "json": json.dumps(inside.decode("latin-1")).encode(),
        "percent": "".join(f"%{byte:02X}" for byte in inside).encode(),
        "zlib": zlib.compress(inside),
        "gzip": gzip.compress(inside),
    }
    shape = shapes[shell]
    for data in (shape, b'{"a":"' + shape + b'"}', base64.b64encode(b"x" + shape), zlib.compress(b"xx" + shape)):
        assert is_in(secret, data)
    assert not is_in(secrets.token_bytes(len(secret)), shape)


@pytest.fixture(scope="module")
def talkative(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that logs all it can, and through which everything below has gone."""
    with running_stack(
        tmp_path_factory.mktemp("talkative"), log_level="debug", first_byte_s=0.5, plain_answer_s=0.5
    ) as stack:
        yield stack


@pytest.fixture(scope="module")
def spoken(talkative: Stack) -> list[Reply]:
    """Every answer to calls of every kind, good and bad."""
    return asyncio.run(speak(talkative))


async def speak(stack: Stack) -> list[Reply]:
    own = stack.authorization
    inline = {"provider": "simulator", "api_key": INLINE_KEY}
    headers: list[Mapping[str, str]] = [
        own,
        {"authorization": f"Bearer {WRONG_KEY}"},
        {"authorization": f"Bearer {INLINE_KEY}"},
        {**own, "x-portkey-api-key": WRONG_KEY},
        {**own, "x-portkey-config": json.dumps(inline)},
        {**own, "x-portkey-config": json.dumps({**inline, "custom_host": f"http://x:{INLINE_KEY}@example.org"})},
        {**own, "x-portkey-config": json.dumps({**inline, "made_up": INLINE_KEY})},
        {**own, "x-portkey-config": json.dumps({"provider": SLUG, "api_key": [INLINE_KEY]})},
        {**own, "x-portkey-config": json.dumps(inline)[:-1]},
        {
            "x-portkey-api-key": stack.api_key,
            "x-portkey-provider": "simulator",
            "authorization": f"Bearer {INLINE_KEY}",
        },
        {"x-portkey-api-key": stack.api_key, "x-portkey-provider": "closed", "x-api-key": INLINE_KEY},
        {"x-portkey-api-key": stack.keys["strict"], "x-portkey-provider": "simulator", "x-api-key": INLINE_KEY},
        {"authorization": f"Bearer {stack.keys['revoked']}"},
        {"authorization": f"Bearer {stack.keys['unscoped']}"},
    ]
    replies = [await stack.call(chat(PROMPT), headers=fields) for fields in headers]
    models = [
        "sim-error-500",
        "sim-html-502",
        "sim-badjson",
        "sim-cut-0",
        "sim-silent",
        "@refused/sim-chat",
        "@closed/x",
    ]
    bodies = [chat(PROMPT, model=model, stream=stream) for model in (*models, f"@{SLUG}/x") for stream in (False, True)]
    replies += [await stack.call(body) for body in bodies]
    replies.append(await stack.call(chat(PROMPT, model="sim-cut-3", stream=True)))
    replies.append(await stack.call(json.dumps(chat(PROMPT))[:-1].encode()))
    replies.append(await look(stack.port, "/v1/models", own))
    replies.append(await look(stack.port, "/readyz"))
    replies.append(await call(stack.port, "/v1/embeddings", {"model": "sim-embed", "input": PROMPT}, own))
    async with await Wire.open(stack.port) as wire:
        await wire.send(b"GET / HTTP/9\r\nauthorization: Bearer " + stack.api_key.encode() + b"\r\n\r\n")
        replies.append(await wire.reply())
    async with await Wire.open(stack.port) as wire:  # One who leaves.
        await wire.send(request("POST", CHAT, own, chat(PROMPT, model="sim-drip-50-long-500", stream=True)))
        await wire.head()
    await break_everything(stack)
    return replies


async def break_everything(stack: Stack) -> None:
    """Whatever could make a traceback: Redis gone, files false and gone, processes killed, a credential of no use."""
    stack.workspace["virtual_keys"].append(
        {**stack.workspace["virtual_keys"][0], "slug": "bare", "credential": {"x": "y"}}
    )
    stack.publish()
    await stack.wait_for_sequence(stack.sequence)
    await stack.call(chat(PROMPT, model="@bare/sim-chat"))
    whole = stack.snapshot.read_bytes()
    stack.snapshot.write_bytes(whole[:-200])
    await stack.wait_for_log("sync_refused", source="file")
    stack.hold_redis()
    await stack.wait_for_log("sync_store_away", store="redis")
    await stack.call(chat(PROMPT))
    await stack.release_redis()
    await stack.wait_for_log("sync_store_back", store="redis")
    stack.snapshot.write_bytes(whole)
    await stack.restart_gateway()
    await stack.call(chat(PROMPT))
    await stack.wait_until_in_redis(stack.sequence)


@pytest.fixture(scope="module")
def hidden(talkative: Stack) -> dict[str, bytes]:
    """Every secret there is, by name, read from where it may be."""
    builder = json.loads((talkative.folder / "builder.state").read_bytes())
    node = json.loads((talkative.state_dir / "node.key.json").read_bytes())
    encoded = {
        "hash key": builder["hash_key"],
        "data-plane key": builder["data_plane_key"],
        **{f"shard key of {name}": shard["key"] for name, shard in builder["shards"].items()},
        "node's signing key": node["sign"],
        "node's opening key": node["open"],
        "control plane's signing key": talkative.signing_key.read_text().strip(),
    }
    plain = {
        "provider's key": talkative.simulator_key,
        "provider key that is refused": "sk-not-the-simulator's",
        "Redis' password": talkative.redis_password,
        "inline provider key": INLINE_KEY,
        "wrong key": WRONG_KEY,
        **{f"API key {name}": key for name, key in talkative.keys.items()},
    }
    raw = {name: base64.b64decode(text) for name, text in encoded.items()}
    assert {len(key) for key in raw.values()} == {32}
    return {**raw, **{name: text.encode() for name, text in plain.items()}}


def test_search_finds_each_secret_where_it_may_be(talkative: Stack, hidden: dict[str, bytes]) -> None:
    files = ("builder.state", "builder.toml", "signing.key", "gateway/node.key.json", "redis/redis.conf")
    may_be = b"\n".join((talkative.folder / name).read_bytes() for name in files)
    brought_along = {"inline provider key", "wrong key"}
    assert [name for name, secret in hidden.items() if not is_in(secret, may_be) and name not in brought_along] == []


@pytest.fixture(scope="module")
def content() -> dict[str, bytes]:
    """What callers say and models answer."""
    return {"prompt": PROMPT.encode(), "answer": ANSWERED.encode()}


def assert_absent(wanted: Mapping[str, bytes], places: Mapping[str, bytes]) -> None:
    found = [
        f"{name} in {place}" for place, data in places.items() for name, secret in wanted.items() if is_in(secret, data)
    ]
    assert found == []


async def redis_pieces(stack: Stack) -> dict[str, bytes]:
    """Each key with its value, read by its own command, and the files Redis writes."""
    pieces: dict[str, bytes] = {}
    async with Redis(port=stack.redis_port, password=stack.redis_password) as client:
        reader: Any = client
        for key in await reader.keys("*"):
            match await reader.type(key):
                case b"string":
                    values = [await reader.get(key)]
                case b"list":
                    values = await reader.lrange(key, 0, -1)
                case b"zset":
                    values = await reader.zrange(key, 0, -1)
                case other:
                    raise AssertionError(f"no reader for {other}")
            pieces[f"Redis {key.decode()}"] = b"\n".join([key, *values])
        await reader.config_set("rdbcompression", "no")
        await reader.save()
    files = {path.name: path.read_bytes() for path in stack.redis_dir.iterdir() if path.suffix != ".conf"}
    assert {"dump.rdb", "appendonly.aof"} <= set(files)
    return {**pieces, **files}


async def test_redis_holds_no_secret_and_no_content(
    talkative: Stack, spoken: list[Reply], hidden: dict[str, bytes], content: dict[str, bytes]
) -> None:
    pieces = await redis_pieces(talkative)
    assert len(pieces) > 10
    everything = b"\n".join(pieces.values())
    for control in (GATEWAY_ID.encode(), b"ws:ws_test", b"key_caller"):  # Ids are to be seen, in names and manifests.
        assert is_in(control, everything)
        assert is_in(control, pieces["dump.rdb"])
        assert is_in(control, pieces["appendonly.aof"])
    assert_absent({**hidden, **content}, pieces)


def disk_pieces(stack: Stack) -> dict[str, bytes]:
    """Each row by SQL, and the raw files."""
    pieces = {path.name: path.read_bytes() for path in stack.disk_copy}
    with sqlite3.connect(f"file:{stack.disk_copy[0]}?mode=ro", uri=True) as db:
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for number, row in enumerate(db.execute(f'SELECT * FROM "{table}"')):
                values = [value if isinstance(value, bytes) else str(value).encode() for value in row]
                pieces[f"{table} row {number}"] = b"\n".join(values)
    db.close()
    return pieces


def test_disk_copy_and_snapshot_hold_no_secret_and_no_content(
    talkative: Stack, spoken: list[Reply], hidden: dict[str, bytes], content: dict[str, bytes]
) -> None:
    pieces = {**disk_pieces(talkative), "snapshot": talkative.snapshot.read_bytes()}
    assert len(pieces) > 10
    for control in (b"ws:ws_test", b"key_caller"):
        assert is_in(control, b"\n".join(pieces.values()))
        assert is_in(control, pieces["snapshot"])
    assert_absent({**hidden, **content}, pieces)


def test_node_private_keys_are_for_their_owner_alone(talkative: Stack) -> None:
    private = [path for path in talkative.state_dir.iterdir() if path.name != "node.public.json"]
    assert {path.name for path in private} >= {"node.key.json", "configuration.sqlite3"}
    assert [path.name for path in private if path.stat().st_mode & 0o077] == []
    assert talkative.state_dir.stat().st_mode & 0o077 == 0


def test_logs_hold_no_secret_and_no_content(
    talkative: Stack, spoken: list[Reply], hidden: dict[str, bytes], content: dict[str, bytes]
) -> None:
    events = {line["event"] for line in talkative.logs()}
    assert events >= {"request_recorded", "sync_accepted", "sync_refused", "sync_store_away"}  # It did log.
    text = talkative.log_text().encode()
    for control in (b"key_caller", spoken[0].headers["x-portkey-request-id"].encode()):
        assert is_in(control, text)
    assert_absent({**hidden, **content}, {"gateway.log": text})


def test_errors_and_headers_of_answers_hold_no_secret(spoken: list[Reply], hidden: dict[str, bytes]) -> None:
    assert sum(reply.status >= 400 for reply in spoken) > 20
    answers = {
        f"answer {number}": b"\n".join([*(f"{n}: {v}".encode() for n, v in reply.headers.items()), reply.body])
        for number, reply in enumerate(spoken)
    }
    assert any(is_in(SLUG.encode(), answer) for answer in answers.values())
    assert_absent(hidden, answers)


def test_process_list_shows_no_secret(talkative: Stack, hidden: dict[str, bytes]) -> None:
    assert talkative.gateway is not None
    pids = [talkative.gateway.pid, *talkative.workers().values(), talkative.agent]
    lines = {f"process {pid}": Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids}
    assert all(is_in(b"--role", line) for line in lines.values())
    assert_absent(hidden, lines)


def test_a_process_that_dies_leaves_none_of_its_memory_on_a_disk(talkative: Stack) -> None:
    assert talkative.gateway is not None
    for pid in (talkative.gateway.pid, *talkative.workers().values(), talkative.agent):
        (limit,) = re.findall(
            r"^Max core file size +(\S+) +(\S+)", Path(f"/proc/{pid}/limits").read_text(), re.MULTILINE
        )
        assert limit in (("1", "1"), ("0", "0"))
