"""Gateways and the tokens that let nodes in."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from pydantic import ValidationError

from control_plane.data_keys import Sealed
from control_plane.errors import Forbidden, Invalid, NotFound
from control_plane.gateways.api import GatewayCreate, Gateways, GatewayUpdate, GatewayView
from control_plane.gateways.tokens import EnrolmentTokens
from control_plane.snapshots.change import CHANNEL
from control_plane.snapshots.gateway_keys import GatewayKeys
from control_plane.sync import store as sync
from shared.crypto import sign
from shared.protocol.enrolment import parse_token
from shared.protocol.node import NodePublic, node_id
from shared.protocol.resource import organisation_shard
from tests.fixtures.control_plane import Plane

FINGERPRINT = "sha256:" + "5a" * 32
URL = "https://house.test"
WAIT_S = 10.0
"""A hang guard."""


@pytest.fixture
def gateways(plane: Plane) -> Gateways:
    return Gateways(plane.database, plane.changes, GatewayKeys(plane.data_keys, plane.shard_keys), plane.ids)


@pytest.fixture
async def tokens(plane: Plane) -> EnrolmentTokens:
    await plane.enter_owner()
    return EnrolmentTokens(plane.database, plane.changes, plane.ids, fingerprint=FINGERPRINT, public_url=URL)


async def made(gateways: Gateways, plane: Plane, name: str = "Frankfurt", **fields: Any) -> GatewayView:
    return await gateways.create(plane.call(GatewayCreate.model_validate({"name": name, **fields})))


def new_node() -> NodePublic:
    public = sign.public_key(sign.new_key())
    return NodePublic(node=node_id(public), sign=public, open=b"o" * 32)


async def enrol(plane: Plane, text: str, node: NodePublic) -> bool:
    """Use a token up as the sync does."""
    async with plane.database.instance() as connection:
        row = await sync.use_token(connection, parse_token(text).hash, node.sign)
        if row is None:
            return False
        return await sync.enrol_node(connection, row["organisation"], row["gateway"], node)


async def test_who_was_removed_while_their_request_was_on_its_way_makes_no_token(
    gateways: Gateways, tokens: EnrolmentTokens, plane: Plane
) -> None:
    gateway = await made(gateways, plane)
    async with plane.database.instance() as connection:
        await connection.execute("delete from member where account = $1", plane.owner.id)
    with pytest.raises(Forbidden, match="changed just now"):
        await tokens.create(plane.call(gateway=gateway.id))
    assert (await tokens.list(plane.call(gateway=gateway.id))).data == ()


async def test_a_gateway_has_its_data_plane_key_from_the_start(gateways: Gateways, plane: Plane) -> None:
    view = await made(gateways, plane)
    assert (view.workspaces, view.nodes, view.nodes_connected, view.seen_at) == (None, 0, 0, None)
    async with plane.database.tenant(plane.organisation) as connection:
        rows = await connection.fetch(
            "select epoch, key_version, key_sealed from data_plane_key where gateway = $1", view.id
        )
        assert [row["epoch"] for row in rows] == [1]
        key = await plane.data_keys.open(
            connection,
            plane.organisation,
            "data_plane_key.key",
            f"{view.id}#1",
            Sealed(rows[0]["key_version"], rows[0]["key_sealed"]),
        )
    assert len(key.reveal()) == 32


async def test_a_gateway_serves_workspaces_that_are_there(gateways: Gateways, plane: Plane) -> None:
    other = await plane.in_another_workspace("other")
    stranger = await plane.in_another_organisation()
    with pytest.raises(Invalid) as refused:
        await made(gateways, plane, workspaces=[plane.workspace, stranger.workspace])
    assert (refused.value.code, refused.value.pointer) == ("workspace_unknown", "/workspaces/1")
    view = await made(gateways, plane, workspaces=[plane.workspace, plane.workspace])
    assert view.workspaces == (plane.workspace,)
    changed = await gateways.update(plane.call(GatewayUpdate(workspaces=(other.workspace,)), gateway=view.id))
    assert (changed.name, changed.workspaces) == ("Frankfurt", (other.workspace,))
    renamed = await gateways.update(plane.call(GatewayUpdate(name="Paris"), gateway=view.id))
    assert (renamed.name, renamed.workspaces) == ("Paris", (other.workspace,))
    everything = GatewayUpdate.model_validate({"workspaces": None, "name": None})
    assert (await gateways.update(plane.call(everything, gateway=view.id))).workspaces is None
    with pytest.raises(ValidationError):
        GatewayUpdate(workspaces=())


async def test_waiting_nodes_are_woken_when_their_workspaces_change(
    gateways: Gateways, plane: Plane, migrated_url: str
) -> None:
    view = await made(gateways, plane)
    heard: asyncio.Queue[object] = asyncio.Queue()
    listener = await asyncpg.connect(migrated_url)
    try:
        await listener.add_listener(CHANNEL, lambda *call: heard.put_nowait(call[3]))
        await gateways.update(plane.call(GatewayUpdate(workspaces=(plane.workspace,)), gateway=view.id))
        async with asyncio.timeout(WAIT_S):
            assert await heard.get() == organisation_shard(plane.organisation)
    finally:
        await listener.close()


async def test_gateways_are_listed_and_deleted_with_their_nodes(
    gateways: Gateways, tokens: EnrolmentTokens, plane: Plane
) -> None:
    first, second = await made(gateways, plane, "One"), await made(gateways, plane, "Two")
    token = await tokens.create(plane.call(gateway=first.id))
    assert await enrol(plane, token.token, new_node())
    page = await gateways.list(plane.call(query={"sort": "name"}))
    assert [(view.name, view.nodes) for view in page.data] == [("One", 1), ("Two", 0)]
    await gateways.delete(plane.call(gateway=first.id))
    assert [view.id for view in (await gateways.list(plane.call())).data] == [second.id]
    async with plane.database.instance() as connection:
        for table in ("node", "enrolment_token"):
            assert await connection.fetchval(f"select count(*) from {table}") == 0
    assert [entry["action"] for entry in await plane.audit() if entry["kind"] == "gateway"] == [
        "gateways.create",
        "gateways.create",
        "gateways.delete",
    ]


async def test_another_organisation_sees_neither_gateway_nor_tokens(
    gateways: Gateways, tokens: EnrolmentTokens, plane: Plane
) -> None:
    view = await made(gateways, plane)
    stranger = await plane.in_another_organisation()
    assert (await gateways.list(stranger.call())).data == ()
    for attempt in (
        gateways.read(stranger.call(gateway=view.id)),
        gateways.update(stranger.call(GatewayUpdate(name="Mine"), gateway=view.id)),
        gateways.delete(stranger.call(gateway=view.id)),
        tokens.create(stranger.call(gateway=view.id)),
        tokens.list(stranger.call(gateway=view.id)),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert (await gateways.read(plane.call(gateway=view.id))).name == "Frankfurt"


async def test_a_token_is_shown_once_with_all_that_a_node_needs(
    gateways: Gateways, tokens: EnrolmentTokens, plane: Plane
) -> None:
    gateway = await made(gateways, plane)
    created = await tokens.create(plane.call(gateway=gateway.id))
    assert parse_token(created.token).fingerprint == created.fingerprint == FINGERPRINT
    assert created.environment == {
        "GATEHOUSE_CONTROL_PLANE_URL": URL,
        "GATEHOUSE_ENROLMENT_TOKEN": created.token,
    }
    assert created.expires_at - created.created_at == timedelta(hours=1)
    secret = parse_token(created.token).secret.reveal_text()
    listed = await tokens.list(plane.call(gateway=gateway.id))
    async with plane.database.instance() as connection:
        rows = [await connection.fetch(f"select t::text from {table} as t") for table in ("enrolment_token", "audit")]
    for text in (repr(created), repr(listed), str(rows)):
        assert created.id in text
        assert secret not in text


async def test_a_token_says_what_became_of_it(gateways: Gateways, tokens: EnrolmentTokens, plane: Plane) -> None:
    gateway = await made(gateways, plane)
    unused, used, stolen, expired = [await tokens.create(plane.call(gateway=gateway.id)) for _ in range(4)]
    node = new_node()
    assert await enrol(plane, used.token, node)
    assert await enrol(plane, stolen.token, new_node())
    async with plane.database.tenant(plane.organisation) as connection:
        await sync.mark_used_again(connection, plane.organisation, stolen.id)
        await connection.execute("update enrolment_token set expires_at = now() where id = $1", expired.id)
    page = await tokens.list(plane.call(gateway=gateway.id))
    assert {view.id: view.state for view in page.data} == {
        unused.id: "unused",
        used.id: "used",
        stolen.id: "used_again",
        expired.id: "expired",
    }
    assert {view.node for view in page.data if view.id == used.id} == {node.node}
    found = await tokens.list(plane.call(query={"filter": "state:used_again"}, gateway=gateway.id))
    assert [view.id for view in found.data] == [stolen.id]


async def test_a_gateway_says_where_callers_reach_it(gateways: Gateways, plane: Plane) -> None:
    view = await made(gateways, plane, url="https://gateway.internal:8787/")
    assert view.url == "https://gateway.internal:8787"
    renamed = await gateways.update(plane.call(GatewayUpdate(name="Berlin"), gateway=view.id))
    assert (renamed.name, renamed.url) == ("Berlin", view.url)
    untold = await gateways.update(plane.call(GatewayUpdate(url=None), gateway=view.id))
    assert untold.url is None


@pytest.mark.parametrize(
    "url",
    [
        "gateway.internal",
        "javascript:alert(1)",
        "https://user@gateway.internal",
        "https://g/v1",
        f"https://{'g' * 300}",
    ],
)
async def test_where_callers_reach_a_gateway_is_an_origin(url: str) -> None:
    with pytest.raises(ValidationError):
        GatewayCreate.model_validate({"name": "Frankfurt", "url": url})
