"""Admin paths at the gateway's door: told where they are, or forwarded as they came and no further than that."""

from typing import Any

import orjson
import pytest

from gateway.upstream.errors import ConnectFailed, Cut
from shared.paths import ADMIN_NOUNS
from tests.fakes.front import ADMIN_URL, error, opened
from tests.fakes.upstream import answers
from tests.fixtures.wire import Reply, Wire, request

ADMIN_KEY = {"authorization": "Bearer gha_x"}
SAID = b'{"data": []}'


async def ask(door: Any, method: str, target: str, headers: dict[str, str], body: Any = None) -> Reply:
    async with await Wire.open(door.port) as wire:
        await wire.send(request(method, target, headers, body))
        return await wire.reply()


async def test_where_it_is_not_forwarded_the_answer_says_where_the_admin_api_is() -> None:
    async with opened() as door:
        said = error(await ask(door, "POST", "/v1/configs?x=1", ADMIN_KEY, {}), 404, "admin_api_elsewhere")
        assert f"/v1/configs belongs to the admin API, which the control plane serves at {ADMIN_URL}" in said["message"]
        assert door.client.requests == []


@pytest.mark.parametrize("noun", sorted(ADMIN_NOUNS))
async def test_every_admin_noun_is_forwarded_if_the_operator_wants_it(noun: str) -> None:
    async with opened(answers(200, SAID), forwards=True) as door:
        assert (await ask(door, "GET", f"/v1/{noun}", ADMIN_KEY)).body == SAID
        assert door.client.requests[0].head.target == f"/v1/{noun}"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_a_forwarded_request_keeps_method_path_query_body_and_key_and_nothing_else(method: str) -> None:
    sent = {**ADMIN_KEY, "cookie": "session=1", "x-forwarded-for": "1.2.3.4", "accept": "application/json"}
    body = None if method in ("GET", "DELETE") else {"name": "x"}
    told = {"set-cookie": "session=2", "x-gatehouse-request-id": "rq_1", "location": "https://elsewhere.test"}
    async with opened(answers(201, SAID, headers=told), forwards=True) as door:
        reply = await ask(door, method, "/v1/configs/a?page=2&x=%20", sent, body)
        (asked,) = door.client.requests
        assert (asked.origin.scheme, asked.origin.host, asked.origin.port) == ("https", "control.test", 8443)
        assert (asked.head.method, asked.head.target) == (method, "/v1/configs/a?page=2&x=%20")
        assert asked.body == (b"" if body is None else orjson.dumps(body).replace(b":", b": "))
        names = {line.partition(b":")[0] for line in asked.head.headers.splitlines()}
        assert names == {b"authorization", b"accept"} | ({b"content-type"} if body else set())
        assert (reply.status, reply.body) == (201, SAID)
        assert reply.headers["x-gatehouse-request-id"] == "rq_1"
        assert reply.headers["x-portkey-request-id"].startswith("lg_")
        assert not {"set-cookie", "location"} & set(reply.headers)


async def test_a_request_may_be_as_large_as_any_other() -> None:
    body = b'"' + b"x" * 2_000_000 + b'"'
    async with opened(answers(200, SAID), forwards=True, body_bytes_max=len(body)) as door:
        assert (await ask(door, "POST", "/v1/configs", ADMIN_KEY, body)).body == SAID
        assert door.client.requests[0].body == body
        error(await ask(door, "POST", "/v1/configs", ADMIN_KEY, body + b" "), 413, "body_too_large")


@pytest.mark.parametrize("status", [302, 400, 401, 404, 409, 500])
async def test_what_the_control_plane_says_is_said_as_it_is(status: int) -> None:
    async with opened(answers(status, SAID, content_type="application/problem+json"), forwards=True) as door:
        reply = await ask(door, "GET", "/v1/configs", ADMIN_KEY)
        assert (reply.status, reply.body) == (status, SAID)
        assert reply.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("half", [None, b"x"])
async def test_a_control_plane_that_is_away_is_502(half: bytes | None) -> None:
    failure = ConnectFailed("scripted") if half is None else answers(200, half, Cut("scripted"))
    async with opened(failure, forwards=True) as door:
        error(await ask(door, "GET", "/v1/configs", ADMIN_KEY), 502, "upstream_unreachable")


@pytest.mark.parametrize(
    "path", ["/v1/configs/../../api/v1/x", "/v1/configs/%2e%2e/x", "/v1//configs", "/v1/%63onfigs/"]
)
async def test_a_path_that_could_be_read_in_two_ways_is_not_forwarded(path: str) -> None:
    async with opened(forwards=True) as door:
        error(await ask(door, "GET", path, ADMIN_KEY), 404, "admin_api_elsewhere")
        assert door.client.requests == []


async def test_a_header_that_cannot_be_sent_on_is_the_callers_mistake() -> None:
    async with opened(forwards=True) as door:
        data = request("GET", "/v1/configs", {"accept": "a\x01b"})
        async with await Wire.open(door.port) as wire:
            await wire.send(data)
            assert (await wire.reply()).status == 400
