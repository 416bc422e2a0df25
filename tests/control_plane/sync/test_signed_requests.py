"""Signed requests: what is forged, late, changed or sent twice is refused by name, and leaves no trace."""

import asyncio
from collections.abc import AsyncIterator, Callable
from random import Random

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from control_plane.sync.api import SyncApi
from control_plane.telemetry.clickhouse import ClickHouse
from control_plane.telemetry.ingest import Ingest
from control_plane.web.api import Api
from control_plane.web.bodies import STRANGERS_BYTES_MAX
from shared.crypto import sign
from shared.protocol import request
from shared.protocol.batch import PATH as RECORDS_PATH
from shared.protocol.enrolment import PATH as ENROL_PATH
from shared.protocol.heartbeat import HEARTBEAT_PATH, WATCH_PATH
from tests.fixtures.sync import NobodyElse, SyncNode, SyncPlane

MINUTE_MS = 60_000
Headers = dict[str, str]


def body_of(node: SyncNode) -> bytes:
    return node.heartbeat().model_dump_json().encode()


@pytest.fixture
async def node(sync_plane: SyncPlane) -> SyncNode:
    return await sync_plane.new_node()


def _without(name: str) -> Callable[[Headers], Headers]:
    return lambda headers: {key: value for key, value in headers.items() if key != name}


def _with(name: str, value: str) -> Callable[[Headers], Headers]:
    return lambda headers: {**headers, name: value}


CHANGED: dict[str, tuple[str, Callable[[Headers], Headers]]] = {
    "no node": ("signature_malformed", _without(request.NODE)),
    "no time": ("signature_malformed", _without(request.TIME)),
    "no nonce": ("signature_malformed", _without(request.NONCE)),
    "no signature": ("signature_malformed", _without(request.SIGNATURE)),
    "time that is none": ("signature_malformed", _with(request.TIME, "-1")),
    "time with zeros": ("signature_malformed", lambda h: {**h, request.TIME: "0" + h[request.TIME]}),
    "short nonce": ("signature_malformed", _with(request.NONCE, "AAAA")),
    "another nonce": ("signature_wrong", _with(request.NONCE, "AAAAAAAAAAAAAAAAAAAAAA==")),
    "another time": ("signature_wrong", lambda h: {**h, request.TIME: str(int(h[request.TIME]) + 1)}),
    "nobody": ("node_unknown", _with(request.NODE, "nd_nobody")),
}


@pytest.mark.parametrize("change", CHANGED)
async def test_changed_headers_are_refused(node: SyncNode, change: str) -> None:
    """GHS/1 12.1, 12.2."""
    expected, act = CHANGED[change]
    body = body_of(node)
    status, told = await node.send(HEARTBEAT_PATH, body, act(node.stamp(HEARTBEAT_PATH, body)))
    assert (status, orjson.loads(told)["code"]) == (401, expected)
    (row,) = await node.house.rows("select seen_at from node")
    assert row["seen_at"] is None


async def test_what_was_signed_for_one_thing_does_for_no_other(node: SyncNode) -> None:
    """GHS/1 12.1: path and body."""
    body = body_of(node)
    stamp = node.stamp(HEARTBEAT_PATH, body)
    for path, sent in ((WATCH_PATH, body), (HEARTBEAT_PATH, body + b" ")):
        status, told = await node.send(path, sent, stamp)
        assert (status, orjson.loads(told)["code"]) == (401, "signature_wrong")


async def test_another_nodes_key_does_not_do(node: SyncNode) -> None:
    """GHS/1 12.2."""
    other = await node.house.new_node()
    body = body_of(node)
    forged = {**other.stamp(HEARTBEAT_PATH, body), request.NODE: node.keys.node}
    status, told = await node.send(HEARTBEAT_PATH, body, forged)
    assert (status, orjson.loads(told)["code"]) == (401, "signature_wrong")


@pytest.mark.parametrize(("late_ms", "status"), [(0, 200), (5 * MINUTE_MS, 200), (-5 * MINUTE_MS, 200)])
async def test_a_clock_that_is_a_little_off_is_good_enough(node: SyncNode, late_ms: int, status: int) -> None:
    """GHS/1 12.2."""
    body = body_of(node)
    assert (await node.send(HEARTBEAT_PATH, body, node.stamp(HEARTBEAT_PATH, body, late_ms=late_ms)))[0] == status


@pytest.mark.parametrize("late_ms", [5 * MINUTE_MS + 1, -5 * MINUTE_MS - 1])
async def test_a_request_of_another_time_is_refused(node: SyncNode, late_ms: int) -> None:
    """GHS/1 12.2."""
    body = body_of(node)
    status, told = await node.send(HEARTBEAT_PATH, body, node.stamp(HEARTBEAT_PATH, body, late_ms=late_ms))
    assert (status, orjson.loads(told)["code"]) == (401, "signature_time")


async def test_the_same_request_does_not_count_twice(node: SyncNode) -> None:
    """GHS/1 12.2, 12.3."""
    body = body_of(node)
    stamp = node.stamp(HEARTBEAT_PATH, body)
    assert (await node.send(HEARTBEAT_PATH, body, stamp))[0] == 200
    status, told = await node.send(HEARTBEAT_PATH, body, stamp)
    assert (status, orjson.loads(told)["code"]) == (401, "nonce_used")


async def test_nonces_are_kept_as_long_as_a_replay_could_be_taken(node: SyncNode) -> None:
    """GHS/1 12.3."""
    upkeep = node.house.upkeep
    await node.beat()
    await node.house.rows("update nonce set at = now() - interval '9 minutes 50 seconds' returning node")
    await upkeep.turn(compacting=False)
    assert len(await node.house.rows("select 1 from nonce")) == 1
    await node.house.rows("update nonce set at = now() - interval '10 minutes 1 second' returning node")
    await upkeep.turn(compacting=False)
    assert await node.house.rows("select 1 from nonce") == []


async def test_a_revoked_node_is_told_so(node: SyncNode) -> None:
    """GHS/1 12.2."""
    await node.house.rows("update node set revoked_at = now() returning id")
    status, told = await node.post(HEARTBEAT_PATH, {})
    assert (status, told["code"]) == (401, "node_revoked")


async def test_a_body_that_is_none_is_refused_where_it_is_wrong(node: SyncNode) -> None:
    """GHS/1 12.5."""
    message = node.heartbeat().model_dump(mode="json")
    status, told = await node.post(HEARTBEAT_PATH, {**message, "disk_free_bytes": "much"})
    assert (status, told["code"], told["pointer"]) == (400, "invalid", "/disk_free_bytes")


async def test_a_body_without_end_is_cut_off(node: SyncNode) -> None:
    body = b" " * (4 * 1024 * 1024 + 1)
    status, told = await node.send(HEARTBEAT_PATH, body, node.stamp(HEARTBEAT_PATH, body))
    assert (status, orjson.loads(told)["code"]) == (413, "too_large")


async def test_a_body_that_never_comes_whole_is_cut_off(sync_plane: SyncPlane) -> None:
    """GHS/1 12.4."""
    house = sync_plane
    ingest = Ingest(house.plane.database, ClickHouse(None), house.plane.clock, kept_days=400)
    parts = (house.plane.database, house.authenticator, house.enrolments, house.issuer, house.notices, ingest)
    application = web.Application()
    SyncApi(Api(NobodyElse(), house.plane.ids), *parts, Random(1), body_s_max=0.05).add(application)

    async def forever() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with (
        TestServer(application, host="127.0.0.1") as server,
        house.session.post(server.make_url(HEARTBEAT_PATH), data=forever()) as response,
    ):
        assert (response.status, (await response.json())["code"]) == (408, "body_timeout")


@pytest.mark.parametrize("who", ["nobody", "no header", "revoked"])
@pytest.mark.parametrize("path", [HEARTBEAT_PATH, RECORDS_PATH])
async def test_a_large_body_is_taken_of_enrolled_nodes_only(node: SyncNode, path: str, who: str) -> None:
    """Whoever asked had four megabytes taken for five minutes, on each of as many connections as he liked."""
    stamp = {"nobody": SyncNode(node.house), "revoked": node}.get(who, node).stamp(path, b"")
    if who == "revoked":
        await node.house.rows("update node set revoked_at = now() returning id")
    told = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield bytes(STRANGERS_BYTES_MAX + 1)
        await told.wait()

    headers = {} if who == "no header" else stamp
    url = node.house.url + path
    async with asyncio.timeout(60), node.house.session.post(url, data=endless(), headers=headers) as response:
        code = {"nobody": "node_unknown", "no header": "signature_malformed", "revoked": "node_revoked"}[who]
        assert (response.status, (await response.json())["code"]) == (401, code)
        told.set()


async def test_who_enrols_says_little(node: SyncNode) -> None:
    body = bytes(STRANGERS_BYTES_MAX + 1)
    status, told = await node.send(ENROL_PATH, body, node.stamp(ENROL_PATH, body))
    assert (status, orjson.loads(told)["code"]) == (413, "too_large")


def test_a_signature_is_by_one_key_over_one_request() -> None:
    """GHS/1 12.1."""
    key = sign.new_key()
    stamp = request.read_stamp(
        request.stamp(key, "nd_1", method="POST", path="/a", body=b"{}", time_ms=5, nonce=bytes(16))
    )
    public = sign.public_key(key)
    assert stamp.is_by(public, "POST", "/a", b"{}")
    assert not stamp.is_by(public, "PUT", "/a", b"{}")
    assert not stamp.is_by(public, "POST", "/b", b"{}")
    assert not stamp.is_by(public, "POST", "/a", b"{} ")
    assert not stamp.is_by(sign.public_key(sign.new_key()), "POST", "/a", b"{}")
