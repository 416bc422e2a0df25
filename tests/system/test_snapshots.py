"""What the control plane says, true and false: edits are live on every worker, and a lie changes nothing."""

import asyncio
import copy
import json
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from shared.protocol.lease import SignedLease, parse
from shared.protocol.wire import from_base64, from_base64url, to_base64, to_base64url
from tests.fixtures.stack import Stack, chat, running_stack
from tests.fixtures.wire import Reply, Wire, request
from tests.system.load import under_load
from tests.system.test_callers_mistakes import assert_refused

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose snapshot is edited, and put right again after each test."""
    with running_stack(tmp_path_factory.mktemp("edited")) as running:
        yield running


@pytest.fixture(autouse=True)
async def put_right(edited: Stack) -> AsyncIterator[None]:
    content = copy.deepcopy(edited.content)
    yield
    if edited.content != content or not newest_is_in_place(edited):
        edited.content = content
        await publish(edited)


def newest_is_in_place(stack: Stack) -> bool:
    try:
        return sequence_of(stack.snapshot.read_bytes()) == stack.sequence
    except (FileNotFoundError, ValueError):
        return False


async def publish(stack: Stack) -> None:
    """The snapshot of the content now there, served by every worker."""
    await asyncio.to_thread(stack.publish)
    await stack.wait_for_sequence(stack.sequence)


async def on_every_worker(stack: Stack, body: Any = None, key: str = "caller", **headers: str) -> list[Reply]:
    """The same call to each worker."""
    headers = {"authorization": f"Bearer {stack.keys[key]}", **headers}
    async with stack.one_connection_per_worker() as connections:
        assert len(connections) == 2
        return [await wire.post(CHAT, body or chat(), headers) for wire in connections.values()]


# Lies

Change = Callable[[bytes], bytes]


def flip(data: bytes, place: int) -> bytes:
    """One bit changed."""
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def bit(place: int) -> Change:
    """One bit of the document itself; from its end if `place` is negative."""
    return lambda data: flip(data, place % len(data))


def bit_of(*path: str | int, read: Change = bytes, write: Change = bytes) -> Change:
    """One bit in the middle of the text at `path`, or of what `read` makes of it."""

    def change(data: bytes) -> bytes:
        value = json.loads(data)
        for step in path:
            value = value[step]
        text = str(value).encode()
        before, found, after = data.rpartition(text)  # The last one: a name also stands in the keys, further up.
        assert found
        inner = read(text)
        return before + write(flip(inner, len(inner) // 2)) + after

    return change


def bit_of_base64(*path: str | int) -> Change:
    return bit_of(*path, read=lambda text: from_base64(text.decode()), write=lambda raw: to_base64(raw).encode())


def bit_of_base64url(*path: str | int) -> Change:
    return bit_of(*path, read=lambda text: from_base64url(text.decode()), write=lambda raw: to_base64url(raw).encode())


def bit_of_the_revision(data: bytes) -> bytes:
    """The last shard's; what follows the last epoch of a shard."""
    return flip(data, data.index(b'"revision":', data.rindex(b'"epoch":')) + len(b'"revision":'))


REGIONS: dict[str, tuple[Change, set[str]]] = {
    "first byte": (bit(0), {"malformed"}),
    "last byte": (bit(-1), {"malformed"}),
    "protocol": (bit_of("protocol"), {"protocol"}),
    "lease": (bit_of_base64url("lease", "payload"), {"lease_signature"}),
    "signature": (bit_of_base64url("lease", "signature"), {"lease_signature"}),
    "public key": (bit_of_base64url("lease", "public_key"), {"lease_key"}),
    "data-plane key": (bit_of_base64("key_chain", "data_plane_keys", 0, "sealed"), {"key_chain_mismatch"}),
    "shard key": (bit_of_base64("key_chain", "shard_keys", 1, "sealed"), {"key_chain_mismatch"}),
    "resource": (bit_of_base64("shards", 2, "resources", 0, "sealed"), {"digest_mismatch"}),
    "last resource": (bit_of_base64("shards", -1, "resources", -1, "sealed"), {"digest_mismatch"}),
    "resource's id": (bit_of("shards", -1, "resources", 0, "id"), {"digest_mismatch"}),
    "shard's name": (bit_of("shards", -1, "shard"), {"digest_mismatch"}),
    "shard's revision": (bit_of_the_revision, {"digest_mismatch"}),
}


def put(stack: Stack, snapshot: bytes) -> None:
    """Where the gateway looks, all at once."""
    draft = stack.folder / "draft.json"
    draft.write_bytes(snapshot)
    draft.replace(stack.snapshot)


async def assert_lie_changes_nothing(stack: Stack, lie: bytes, codes: set[str]) -> None:
    """The file is refused with one of the codes, and every worker goes on with what it had."""
    held = max(reply.json()["sequence"] for reply in (await stack.readiness()).values())
    said = len(stack.logs("sync_refused"))
    put(stack, lie)
    line = await stack.wait_for_log("sync_refused", after=said, source="file")
    assert line["code"] in codes, line
    assert line["level"] == "warning"
    assert {reply.json()["sequence"] for reply in (await stack.readiness()).values()} == {held}
    assert [reply.status for reply in await on_every_worker(stack)] == [200, 200]


async def newer(stack: Stack, **how: Any) -> bytes:
    """A good snapshot that the gateway has not seen yet, and that a worker would be seen to have taken."""
    output = stack.folder / "newer.json"
    stack.sequence = await asyncio.to_thread(stack.build, output, **how)
    return output.read_bytes()


@pytest.mark.parametrize(("change", "codes"), REGIONS.values(), ids=REGIONS)
async def test_one_bit_changed_is_refused_by_name_and_the_true_one_is_taken(
    edited: Stack, change: Change, codes: set[str]
) -> None:
    true = await newer(edited)
    await assert_lie_changes_nothing(edited, change(true), codes)
    put(edited, true)
    await edited.wait_for_sequence(edited.sequence)


async def test_snapshot_cut_short_is_refused(edited: Stack) -> None:
    true = await newer(edited)
    await assert_lie_changes_nothing(edited, true[: len(true) // 2], {"malformed"})


async def test_empty_file_is_refused(edited: Stack) -> None:
    await assert_lie_changes_nothing(edited, b"", {"malformed"})


async def test_older_snapshot_is_refused(edited: Stack) -> None:
    older = edited.snapshot.read_bytes()
    edited.workspace["api_keys"].pop()
    await publish(edited)
    await assert_lie_changes_nothing(edited, older, {"lease_sequence"})


async def test_snapshot_of_another_signing_key_is_refused(edited: Stack) -> None:
    foreign = await newer(edited, signing_key=edited.folder / "foreign.key")
    await assert_lie_changes_nothing(edited, foreign, {"lease_key"})


async def test_snapshot_for_another_gateway_is_refused(edited: Stack) -> None:
    other = {**edited.content, "gateway": "gw_other"}
    foreign = await newer_elsewhere(edited, other)
    await assert_lie_changes_nothing(edited, foreign, {"audience"})


async def test_same_sequence_with_other_content_is_refused(edited: Stack) -> None:
    """A builder with the true signing key and an old memory counts to a number that was used already."""
    shutil.copy(edited.folder / "builder.state", edited.folder / "forgetful.state")
    await publish(edited)
    foreign = await newer_elsewhere(edited, edited.content, state="forgetful")
    assert sequence_of(foreign) == edited.sequence
    await assert_lie_changes_nothing(edited, foreign, {"lease_conflict"})


async def newer_elsewhere(stack: Stack, content: Any, state: str = "elsewhere") -> bytes:
    output = stack.folder / "elsewhere.json"
    await asyncio.to_thread(stack.build, output, content=content, state=state)
    return output.read_bytes()


def sequence_of(snapshot: bytes) -> int:
    lease = SignedLease.model_validate(json.loads(snapshot)["lease"])
    return parse(lease.payload).sequence


async def test_removed_file_changes_nothing(edited: Stack) -> None:
    edited.snapshot.unlink()
    assert [reply.status for reply in await on_every_worker(edited)] == [200, 200]


# Edits


async def test_revoked_key_is_refused_on_every_worker(edited: Stack) -> None:
    edited.workspace["api_keys"][0]["revoked"] = True
    await publish(edited)
    for reply in await on_every_worker(edited):
        assert_refused(reply, 401, "invalid_api_key")


async def test_removed_key_is_refused_on_every_worker(edited: Stack) -> None:
    edited.workspace["api_keys"] = [row for row in edited.workspace["api_keys"] if row["name"] != "caller"]
    await publish(edited)
    for reply in await on_every_worker(edited):
        assert_refused(reply, 401, "invalid_api_key")


async def test_new_alias_can_be_called_on_every_worker(edited: Stack) -> None:
    for reply in await on_every_worker(edited, chat(model="newest")):
        assert reply.status == 404  # The default config takes any name to the provider, which knows no such model.
    edited.workspace["model_aliases"]["newest"] = {"virtual_key": "other", "model": "sim-chat"}
    await publish(edited)
    replies = await on_every_worker(edited, chat(model="newest"))
    assert [reply.headers["x-portkey-provider"] for reply in replies] == ["other", "other"]
    assert [reply.json()["model"] for reply in replies] == ["sim-chat", "sim-chat"]


async def test_changed_config_is_followed_on_every_worker(edited: Stack) -> None:
    edited.workspace["configs"][0]["body"] = {"provider": "@other", "override_params": {"max_tokens": 1}}
    await publish(edited)
    replies = await on_every_worker(edited, chat(model="sim-slow-1"))
    assert [reply.headers["x-portkey-provider"] for reply in replies] == ["other", "other"]
    assert [reply.json()["usage"]["completion_tokens"] for reply in replies] == [1, 1]


async def test_changed_credential_is_used_on_every_worker(edited: Stack) -> None:
    edited.workspace["virtual_keys"][0]["credential"]["api_key"] = "sk-changed"
    await publish(edited)
    assert [reply.status for reply in await on_every_worker(edited)] == [401, 401]


async def test_running_stream_keeps_the_view_it_began_with(edited: Stack) -> None:
    async with edited.one_connection_per_worker() as connections:
        for wire in connections.values():
            body = chat("x" * 200, model="sim-drip-100-long-40", stream=True)
            await wire.send(request("POST", CHAT, edited.authorization, body))
            assert (await wire.head()).status == 200
            assert await wire.chunk()
        edited.workspace["api_keys"][0]["revoked"] = True
        edited.workspace["virtual_keys"][0]["provider"] = "closed"
        await publish(edited)
        for reply in await on_every_worker(edited):
            assert_refused(reply, 401, "invalid_api_key")
        for wire in connections.values():
            assert (await rest_of(wire)).endswith(b"data: [DONE]\n\n")


async def rest_of(wire: Wire) -> bytes:
    got = b""
    while data := await wire.chunk():
        got += data
    return got


async def test_bad_resource_harms_only_itself(edited: Stack) -> None:
    """A virtual key of a provider this gateway does not know is left out by name; the rest of the edit is live."""
    edited.workspace["virtual_keys"].append({**edited.workspace["virtual_keys"][0], "slug": "odd", "provider": "odd"})
    edited.workspace["model_aliases"]["newest"] = {"virtual_key": "simulator", "model": "sim-chat"}
    await publish(edited)
    assert [reply.status for reply in await on_every_worker(edited, chat(model="newest"))] == [200, 200]
    line = (await edited.wait_for_log("resource_refused", id="ws_test/odd"))["code"]
    assert line == "provider_unknown"
    assert_refused(await edited.call(model="@odd/x"), 400, "slug_unknown")


async def test_many_edits_under_load_cost_no_call(edited: Stack) -> None:
    async with under_load(edited, "sim-chat") as load:
        for number in range(3):
            edited.workspace["model_aliases"][f"alias-{number}"] = {"virtual_key": "simulator", "model": "sim-chat"}
            await asyncio.to_thread(edited.publish)
        await edited.wait_for_sequence(edited.sequence)
        await load.reach(100)
    assert load.failures == []
    for number in range(3):
        assert (await edited.call(model=f"alias-{number}")).status == 200
