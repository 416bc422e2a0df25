"""The client of the control plane's API: lists come whole; a refusal says what was refused and not what was sent."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from embedded.api_client import ApiClient, ApiError, connected

SECRET = "marker-never-told-5c"
ROWS = [{"n": n} for n in range(5)]


async def rows(request: web.Request) -> web.Response:
    """Two at a time."""
    begin = int(request.query.get("cursor", "0"))
    cursor = str(begin + 2) if begin + 2 < len(ROWS) else None
    assert request.query["filter"] == "slug:a"
    return web.json_response({"data": ROWS[begin : begin + 2], "next_cursor": cursor})


async def refuse(_: web.Request) -> web.Response:
    problem = {"status": 409, "code": "in_use", "detail": "something names it"}
    return web.json_response(problem, status=409, content_type="application/problem+json")


async def page(_: web.Request) -> web.Response:
    return web.Response(status=502, text="<html>", content_type="text/html")


async def nothing(_: web.Request) -> web.Response:
    return web.Response(status=404, text="{}")


async def empty(_: web.Request) -> web.Response:
    return web.Response(status=204)


async def cookie(request: web.Request) -> web.Response:
    response = web.json_response({"seen": request.cookies.get("session"), "tag": request.headers.get("x-tag")})
    response.set_cookie("session", "s1")
    return response


async def cut(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.close()
    await asyncio.sleep(0)
    return web.Response()


@pytest.fixture
async def api() -> AsyncIterator[ApiClient]:
    application = web.Application()
    application.router.add_get("/rows", rows)
    application.router.add_get("/nothing", nothing)
    application.router.add_get("/page", page)
    application.router.add_get("/cookie", cookie)
    application.router.add_post("/refuse", refuse)
    application.router.add_post("/cut", cut)
    application.router.add_delete("/empty", empty)
    async with TestServer(application) as server, connected(str(server.make_url("/"))) as client:
        yield client


async def test_a_list_comes_whole(api: ApiClient) -> None:
    assert [row async for row in api.rows("/rows", filter="slug:a")] == ROWS


async def test_a_refusal_names_the_request_and_the_reason(api: ApiClient) -> None:
    with pytest.raises(ApiError) as refused:
        await api.post("/refuse", {"api_key": SECRET})
    assert (str(refused.value), refused.value.status, refused.value.code) == (
        "POST /refuse: 409 something names it",
        409,
        "in_use",
    )


async def test_what_is_no_problem_document_is_told_by_its_status(api: ApiClient) -> None:
    with pytest.raises(ApiError, match=r"^GET /page: status 502$"):
        await api.get("/page")
    with pytest.raises(ApiError, match=r"^GET /page: status 502$"):
        await api.found("/page")


async def test_what_is_not_there_is_none(api: ApiClient) -> None:
    assert await api.found("/nothing") is None


async def test_an_answer_without_a_body_is_empty(api: ApiClient) -> None:
    await api.delete("/empty")


async def test_a_broken_connection_is_told_without_what_was_sent(api: ApiClient) -> None:
    with pytest.raises(ApiError, match=r"^POST /cut: no answer") as broken:
        await api.sending({"authorization": SECRET}).post("/cut", {"api_key": SECRET})
    assert broken.value.status == 0
    assert SECRET not in f"{broken.value!r} {api.sending({'authorization': SECRET})!r}"


async def test_cookies_and_headers_stay_with_a_client(api: ApiClient) -> None:
    assert await api.get("/cookie") == {"seen": None, "tag": None}
    assert await api.sending({"x-tag": "t"}).get("/cookie") == {"seen": "s1", "tag": "t"}
    assert await api.get("/cookie") == {"seen": "s1", "tag": None}
