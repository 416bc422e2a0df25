"""The client: what it sends is signed, and whatever comes but a 200 is a failure with a name."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.sync.control_plane_client import CallFailed, ControlPlaneClient
from gateway.upstream.egress import Egress, parse
from shared.clock import FakeClock
from shared.protocol import request
from tests.fixtures.house import new_node_keys
from tests.fixtures.processes import free_ports

PATH = "/sync/v1/heartbeat"
KEYS = new_node_keys()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts a server with one handler; its address."""
    servers: list[TestServer] = []

    async def start(handler: Handler) -> str:
        application = web.Application()
        application.router.add_route("*", "/{rest:.*}", handler)
        server = TestServer(application)
        await server.start_server()
        servers.append(server)
        return str(server.make_url("")).rstrip("/")

    yield start
    for server in servers:
        await server.close()


async def post(*endpoints: str, egress: Egress | None = None) -> bytes:
    client = ControlPlaneClient(endpoints, KEYS, FakeClock(), egress)
    try:
        return (await client.post(PATH, b'{"a": 1}')).body
    finally:
        await client.close()


async def test_a_request_is_signed_by_the_node(serve: Serve) -> None:
    """GHS/1 12.1."""
    seen: list[bool] = []

    async def handle(got: web.Request) -> web.Response:
        stamp = request.read_stamp(got.headers)
        seen.append(stamp.is_by(KEYS.public.sign, "POST", PATH, await got.read()))
        return web.Response(body=b"told")

    assert await post(await serve(handle)) == b"told"
    assert seen == [True]


PAGES = {
    "http_401": (401, b"<html>", None),
    "http_404": (404, b"", None),
    "http_407": (407, b'"a"', None),
    "http_500": (500, b'{"error": "x"}', None),
    "http_204": (204, b"", None),
    "node_revoked": (401, b'{"code": "node_revoked", "detail": "was revoked"}', None),
    "http_302": (302, b"", "/elsewhere"),
}


@pytest.mark.parametrize("code", PAGES)
async def test_what_is_not_200_is_a_failure_with_a_name(serve: Serve, code: str) -> None:
    """GHS/1 12.5: also a redirect, which is not followed."""
    status, body, location = PAGES[code]
    paths: list[str] = []

    async def handle(got: web.Request) -> web.Response:
        paths.append(got.path)
        headers = {} if location is None else {"location": location}
        return web.Response(status=status, body=body, headers=headers)

    with pytest.raises(CallFailed) as failed:
        await post(await serve(handle))
    assert failed.value.code == code
    assert paths == [PATH]


async def test_a_cut_answer_is_none(serve: Serve) -> None:
    async def handle(got: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-length": "100"})
        await response.prepare(got)
        await response.write(b"half")
        assert got.transport is not None
        got.transport.abort()
        return response

    with pytest.raises(CallFailed) as failed:
        await post(await serve(handle))
    assert failed.value.code == "unreachable"


async def test_the_next_endpoint_is_tried_after_one_that_is_away(serve: Serve) -> None:
    """GHS/1 12.6."""

    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=b"told")

    (closed,) = free_ports(1)
    client = ControlPlaneClient([f"http://127.0.0.1:{closed}", await serve(handle)], KEYS, FakeClock())
    with pytest.raises(CallFailed):
        await client.post(PATH, b"{}")
    assert (await client.post(PATH, b"{}")).body == b"told"
    assert (await client.post(PATH, b"{}")).body == b"told"
    await client.close()


@pytest.mark.parametrize("code", [code for code in PAGES if code.startswith("http_")])
async def test_the_next_endpoint_is_tried_after_one_that_answers_with_something_else(serve: Serve, code: str) -> None:
    """GHS/1 12.6: the first has moved, say, and somebody else's page stands there."""
    status, body, location = PAGES[code]

    async def moved(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers={} if location is None else {"location": location})

    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=b"told")

    client = ControlPlaneClient([await serve(moved), await serve(handle)], KEYS, FakeClock())
    try:
        with pytest.raises(CallFailed):
            await client.post(PATH, b"{}")
        assert (await client.post(PATH, b"{}")).body == b"told"
    finally:
        await client.close()


REFUSALS = {
    "unavailable": 503,
    "kms_unavailable": 503,
    "too_many_requests": 429,
    "body_timeout": 408,
    "signature_time": 401,
    "nonce_used": 401,
    "node_unknown": 401,
    "node_revoked": 401,
    "protocol": 409,
    "somebody_elses": 400,
}
STAYS = {
    "invalid": 400,
    "too_large": 413,
    "batch_gap": 409,
    "batch_conflict": 422,
    "analytics_unavailable": 503,
}


async def asked_after_a_refusal(serve: Serve, code: str, status: int) -> list[str]:
    """Which of two endpoints got each of two requests, the first of which refuses by that code."""
    asked: list[str] = []

    async def refuse(_: web.Request) -> web.Response:
        asked.append("first")
        return web.json_response({"code": code, "detail": "not now"}, status=status)

    async def handle(_: web.Request) -> web.Response:
        asked.append("second")
        return web.Response(body=b"told")

    client = ControlPlaneClient([await serve(refuse), await serve(handle)], KEYS, FakeClock())
    try:
        for _ in range(2):
            with suppress(CallFailed):
                await client.post(PATH, b"{}")
    finally:
        await client.close()
    return asked


@pytest.mark.parametrize("code", REFUSALS)
async def test_the_next_endpoint_is_tried_after_one_that_refuses_the_node(serve: Serve, code: str) -> None:
    """GHS/1 12.6: one that goes down says so by a code; another control plane's does not know the node."""
    assert await asked_after_a_refusal(serve, code, REFUSALS[code]) == ["first", "second"]


@pytest.mark.parametrize("code", STAYS)
async def test_an_endpoint_that_refuses_a_body_is_not_left(serve: Serve, code: str) -> None:
    """GHS/1 12.6: the next one would say the same, and may be away."""
    assert await asked_after_a_refusal(serve, code, STAYS[code]) == ["first", "first"]


async def test_an_endpoint_is_left_once_for_all_that_it_told_so_far(serve: Serve) -> None:
    """GHS/1 12.6: a heartbeat and a watch that it answered with rubbish do not lead past the next one."""
    urls: list[str] = []
    for word in (b"rubbish", b"told", b"never asked"):

        async def handle(_: web.Request, word: bytes = word) -> web.Response:
            return web.Response(body=word)

        urls.append(await serve(handle))
    client = ControlPlaneClient(urls, KEYS, FakeClock())
    told = await asyncio.gather(*(client.post(PATH, b"{}") for _ in range(2)))
    for each in told:
        assert each.body == b"rubbish"
        client.leave(each)
    assert (await client.post(PATH, b"{}")).body == b"told"
    await client.close()


async def test_no_two_requests_have_one_nonce(serve: Serve) -> None:
    """GHS/1 12.1."""
    nonces: list[str] = []

    async def handle(got: web.Request) -> web.Response:
        nonces.append(got.headers[request.NONCE])
        return web.Response()

    client = ControlPlaneClient([await serve(handle)], KEYS, FakeClock())
    await asyncio.gather(*(client.post(PATH, b"{}") for _ in range(20)))
    await client.close()
    assert len(set(nonces)) == 20


async def test_https_goes_to_the_egress_proxy_and_is_a_failure_where_that_does_not_open_the_way() -> None:
    asked: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        with pytest.raises(CallFailed) as failed:
            await post("https://control.example:8443", egress=parse(f"http://gate:secret-word@127.0.0.1:{port}", ""))
    assert failed.value.code == "unreachable"
    assert "secret-word" not in str(failed.value)
    (head,) = asked
    assert head.startswith(b"CONNECT control.example:8443 HTTP/1.1\r\n")
    assert b"Basic Z2F0ZTpzZWNyZXQtd29yZA==" in head


async def test_http_does_not_go_to_the_egress_proxy(serve: Serve) -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=b"told")

    nobody = parse("http://127.0.0.1:1", "")
    assert await post(await serve(handle), egress=nobody) == b"told"
