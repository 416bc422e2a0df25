"""Enrolment: a token makes one node one of a gateway's, once, and a stolen one shows."""

import asyncio

import orjson
import pytest

from shared.crypto import sign
from shared.protocol import request
from shared.protocol.enrolment import PATH, EnrolmentError, new_token, read_enrolment
from tests.fixtures.sync import SyncNode, SyncPlane


def code(told: bytes) -> str:
    return str(orjson.loads(told)["code"])


async def test_a_node_learns_what_it_is_and_where_to_go(sync_plane: SyncPlane) -> None:
    """GHS/1 11.3, 11.5."""
    node = SyncNode(sync_plane)
    enrolment = await node.enrol(await sync_plane.new_token())
    assert enrolment.gateway == sync_plane.gateway
    assert enrolment.organisation == sync_plane.plane.organisation
    assert enrolment.endpoints == [sync_plane.url]
    (row,) = await sync_plane.rows("select * from node")
    assert (row["id"], row["sign"], row["open"]) == (
        node.keys.node,
        node.keys.public.sign,
        node.keys.public.open,
    )
    assert [entry["action"] for entry in await sync_plane.plane.audit()].count("gateways.enrol") == 1


async def test_a_lost_answer_is_given_again_byte_for_byte(sync_plane: SyncPlane) -> None:
    """GHS/1 11.3."""
    node, token = SyncNode(sync_plane), await sync_plane.new_token()
    first, second = await node.try_enrol(token), await node.try_enrol(token)
    assert first == second
    assert first[0] == 200


async def test_a_repeat_that_comes_too_late_is_refused(sync_plane: SyncPlane) -> None:
    """GHS/1 11.3."""
    node, token = SyncNode(sync_plane), await sync_plane.new_token()
    await node.enrol(token)
    await sync_plane.rows("update enrolment_token set used_at = now() - interval '11 minutes' returning id")
    status, told = await node.try_enrol(token)
    assert (status, code(told)) == (409, "token_used")
    (row,) = await sync_plane.rows("select used_again_at from enrolment_token")
    assert row["used_again_at"] is None


async def test_a_stolen_token_is_refused_and_shows(sync_plane: SyncPlane) -> None:
    """GHS/1 11.4."""
    owner, thief, token = SyncNode(sync_plane), SyncNode(sync_plane), await sync_plane.new_token()
    await owner.enrol(token)
    status, told = await thief.try_enrol(token)
    assert (status, code(told)) == (409, "token_used")
    (row,) = await sync_plane.rows("select used_again_at, used_by from enrolment_token")
    assert row["used_again_at"] is not None
    assert row["used_by"] == owner.keys.public.sign
    assert [entry["action"] for entry in await sync_plane.plane.audit()][-1] == "gateways.token_used_again"
    assert len(await sync_plane.rows("select id from node")) == 1


async def test_of_many_at_once_one_wins(sync_plane: SyncPlane) -> None:
    """GHS/1 11.2."""
    nodes, token = [SyncNode(sync_plane) for _ in range(20)], await sync_plane.new_token()
    told = await asyncio.gather(*(node.try_enrol(token) for node in nodes))
    assert sorted(status for status, _ in told) == [200] + [409] * 19
    assert len(await sync_plane.rows("select id from node")) == 1


async def test_an_expired_token_and_an_unknown_one_are_refused(sync_plane: SyncPlane) -> None:
    """GHS/1 11.2."""
    node = SyncNode(sync_plane)
    expired = await sync_plane.new_token(life_s=0)
    assert code((await node.try_enrol(expired))[1]) == "token_expired"
    status, told = await node.try_enrol(new_token(sync_plane.fingerprint))
    assert (status, code(told)) == (401, "token_unknown")


async def test_a_key_without_its_private_half_is_not_enrolled(sync_plane: SyncPlane) -> None:
    """GHS/1 11.3: the request is signed by the key it brings."""
    victim, thief, token = SyncNode(sync_plane), SyncNode(sync_plane), await sync_plane.new_token()
    body = victim.enrol_request(token)
    status, told = await thief.send(PATH, body, thief.stamp(PATH, body))
    assert (status, code(told)) == (401, "signature_wrong")
    forged = {**thief.stamp(PATH, body), request.NODE: victim.keys.node}
    assert code((await thief.send(PATH, body, forged))[1]) == "signature_wrong"
    await victim.enrol(token)


async def test_a_node_of_one_gateway_is_not_taken_to_another(sync_plane: SyncPlane) -> None:
    """GHS/1 11.6."""
    node = await sync_plane.new_node()
    token = await sync_plane.new_token(await sync_plane.new_gateway())
    status, told = await node.try_enrol(token)
    assert (status, code(told)) == (409, "node_elsewhere")
    (row,) = await sync_plane.rows("select used_at from enrolment_token where hash = $1", token.hash)
    assert row["used_at"] is None


async def test_an_answer_by_another_control_plane_is_not_believed(sync_plane: SyncPlane) -> None:
    """GHS/1 11.5."""
    node, token = SyncNode(sync_plane), await sync_plane.new_token()
    _, told = await node.try_enrol(token)
    for data, fingerprint, name in (
        (told, sign.fingerprint(sign.public_key(sign.new_key())), node.keys.node),
        (told, token.fingerprint, "nd_other"),
        (told.replace(b'"signature":"', b'"signature":"A', 1), token.fingerprint, node.keys.node),
        (b"<html>", token.fingerprint, node.keys.node),
    ):
        with pytest.raises(EnrolmentError):
            read_enrolment(data, fingerprint=fingerprint, node=name)


async def test_the_token_rests_only_as_its_hash(sync_plane: SyncPlane) -> None:
    """GHS/1 11.2."""
    token = await sync_plane.new_token()
    await SyncNode(sync_plane).enrol(token)
    (row,) = await sync_plane.rows("select to_jsonb(t)::text as text from enrolment_token t")
    assert token.hash.hex() in row["text"]
    assert token.secret.reveal_text() not in row["text"]
    audit = orjson.dumps([{**e, "at": None} for e in await sync_plane.plane.audit()]).decode()
    assert token.secret.reveal_text() not in audit
