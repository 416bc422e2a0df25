"""Resources that no gateway can use, put where the API never lets them: each harms itself, and shows in the API."""

from collections.abc import AsyncIterator, Iterable
from enum import StrEnum
from typing import Any

import pytest
import pytest_asyncio
from pydantic import ConfigDict

from chaos.instance import InstanceEdits, instance_edits
from chaos.stack import Stack, chat
from control_plane.snapshots.change import CHANNEL
from shared.models.noun import Kind, Noun
from shared.protocol.envelope import SEALED_BYTES_MAX
from tests.fixtures.wire import Reply, call

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Anything(Noun):
    """A resource's body as it should never be."""

    model_config = ConfigDict(extra="allow")


class NewerKind(StrEnum):
    PROMPT = "prompt"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edits(planes: Stack) -> AsyncIterator[InstanceEdits]:
    async with instance_edits(planes) as edits:
        yield edits


@pytest.fixture
def shard(planes: Stack) -> str:
    return f"ws:{planes.workspaces[0].id}"


async def a_call(stack: Stack, **headers: str) -> Reply:
    own = {"authorization": f"Bearer {stack.workspaces[0].api_key}", **headers}
    return await call(stack.nodes[0].port, "/v1/chat/completions", chat(), own)


async def refusals(stack: Stack) -> dict[str, tuple[str, str]]:
    """Of the node, as the gateways API shows them: kind and code by id."""
    health = (await stack.node_view(stack.nodes[0]))["health"]
    return {row["id"]: (row["kind"], row["code"]) for row in health["refused"]}


async def until_refused(stack: Stack, ids: Iterable[str]) -> dict[str, tuple[str, str]]:
    wanted = set(ids)

    async def told() -> bool:
        return wanted <= (await refusals(stack)).keys()

    await stack.nodes[0].program.until(told)
    return await refusals(stack)


async def assert_the_rest_goes_on(stack: Stack) -> None:
    """Calls work, and an edit made now comes into effect."""
    assert (await a_call(stack)).status == 200
    workspace = stack.workspaces[0]
    made = await stack.api.post(f"{workspace.path}/api-keys", {"name": "Later", "default_config": "default"})
    await stack.at_rest()
    assert (await a_call(stack, authorization=f"Bearer {made['key']}")).status == 200


def config(stack: Stack, id_: str, **fields: Any) -> Anything:
    given = {"workspace": stack.workspaces[0].id, "slug": id_, "name": id_, "body": {"virtual_key": "simulator"}}
    return Anything(id=id_, **{**given, **fields})


async def test_a_resource_of_the_wrong_shape_harms_itself(planes: Stack, edits: InstanceEdits, shard: str) -> None:
    wrong = [
        config(planes, "pc_text", body="not an object"),
        config(planes, "pc_missing", workspace=None),
        config(planes, "pc_unknown", body={"strategy": {"mode": "made up"}, "targets": []}),
    ]
    await edits.put(planes.organisation, shard, Kind.CONFIG, wrong)
    told = await until_refused(planes, [noun.id for noun in wrong])
    assert {told[noun.id][0] for noun in wrong} == {"config"}
    assert (await a_call(planes, **{"x-portkey-config": "pc_text"})).status == 400
    await assert_the_rest_goes_on(planes)


async def test_a_reference_to_what_is_not_there_harms_itself(planes: Stack, edits: InstanceEdits, shard: str) -> None:
    (credential,) = await planes.sql("select credential_travelling from virtual_key limit 1")
    dangling = Anything(
        id="vk_dangling",
        workspace=planes.workspaces[0].id,
        slug="dangling",
        name="Dangling",
        provider="nobody",
        credential=credential["credential_travelling"].hex(),
    )
    await edits.put(planes.organisation, shard, Kind.VIRTUAL_KEY, [dangling])
    await edits.put(
        planes.organisation, shard, Kind.CONFIG, [config(planes, "pc_dangling", body={"virtual_key": "no"})]
    )
    told = await until_refused(planes, ["vk_dangling", "pc_dangling"])
    assert told["vk_dangling"] == ("virtual_key", "provider_unknown")
    assert told["pc_dangling"] == ("config", "slug_unknown")
    assert (await a_call(planes, **{"x-portkey-config": "pc_dangling"})).status == 400
    await assert_the_rest_goes_on(planes)


async def test_a_kind_from_a_newer_control_plane_is_kept_and_not_read(
    planes: Stack, edits: InstanceEdits, shard: str
) -> None:
    newer: Any = NewerKind.PROMPT
    await edits.put(planes.organisation, shard, newer, [Anything(id="pp_newer", text="From the future")])
    await planes.at_rest()
    assert "pp_newer" not in await refusals(planes)
    await assert_the_rest_goes_on(planes)


async def test_the_last_good_version_serves_on(planes: Stack, edits: InstanceEdits, shard: str) -> None:
    await edits.put(planes.organisation, shard, Kind.CONFIG, [config(planes, "pc_good")])
    await planes.at_rest()
    assert (await a_call(planes, **{"x-portkey-config": "pc_good"})).status == 200
    await edits.put(planes.organisation, shard, Kind.CONFIG, [config(planes, "pc_good", body=17)])
    await until_refused(planes, ["pc_good"])
    assert (await a_call(planes, **{"x-portkey-config": "pc_good"})).status == 200


async def test_a_refusal_that_was_mended_is_gone(planes: Stack, edits: InstanceEdits, shard: str) -> None:
    await edits.put(planes.organisation, shard, Kind.CONFIG, [config(planes, "pc_mended", body=17)])
    await until_refused(planes, ["pc_mended"])
    await edits.put(planes.organisation, shard, Kind.CONFIG, [config(planes, "pc_mended")])

    async def gone() -> bool:
        return "pc_mended" not in await refusals(planes)

    await planes.nodes[0].program.until(gone)
    assert (await a_call(planes, **{"x-portkey-config": "pc_mended"})).status == 200


@pytest.mark.parametrize(
    ("id_", "sealed"),
    [
        ("pc_garbage", b"not an envelope"),
        ("pc_empty", b""),
        ("pc_huge", b"GHE1" + bytes(SEALED_BYTES_MAX)),
    ],
)
async def test_bytes_that_do_not_open_harm_themselves(planes: Stack, shard: str, id_: str, sealed: bytes) -> None:
    await planes.sql(
        "with head as (update shard_head set revision = revision + 1 where shard = $1"
        " returning shard, organisation, revision),"
        " changed as (insert into change (shard, organisation, revision, kind, id)"
        " select shard, organisation, revision, 'config', $2 from head)"
        " insert into resource (shard, organisation, kind, id, revision, schema_version, key_epoch, sealed, hash)"
        " select shard, organisation, 'config', $2, revision, 1, 1, $3, encode(sha256($3), 'hex') from head",
        shard,
        id_,
        sealed,
    )
    await planes.sql("select pg_notify($1, $2)", CHANNEL, shard)
    told = await until_refused(planes, [id_])
    assert told[id_][0] == "config"
    await assert_the_rest_goes_on(planes)
