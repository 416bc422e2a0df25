"""Who they were when a request began is not who they are when its body is there, and that decides."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from control_plane.auth.authenticator import CSRF_HEADER, SessionsAndAdminKeys
from control_plane.permissions import Principal
from control_plane.web import session_cookie
from control_plane.web.api import Api
from tests.fixtures.people import People


class Noticed(SessionsAndAdminKeys):
    """It says when somebody was let in."""

    def __init__(self, people: People) -> None:
        super().__init__(people.database, None)
        self.came = asyncio.Event()

    async def principal(self, request: web.Request) -> Principal:
        found = await super().principal(request)
        self.came.set()
        return found


class Slow:
    """A request whose body ends when it is told to."""

    def __init__(self, people: People) -> None:
        self._people = people
        self._rest = asyncio.Event()
        self._door = Noticed(people)

    async def send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> int:
        application = web.Application()
        Api(self._door, self._people.ids).add(application, self._people.routes)
        async with (
            TestServer(application, host="127.0.0.1") as server,
            ClientSession() as http,
            http.request(method, server.make_url(path), data=self._slowly(body), headers=headers) as response,
        ):
            return response.status

    async def _slowly(self, body: bytes) -> AsyncIterator[bytes]:
        yield body[:1]
        await self._rest.wait()
        yield body[1:]

    async def let_in(self) -> None:
        await self._door.came.wait()

    def end(self) -> None:
        self._rest.set()


@pytest.mark.parametrize("taken_out", [True, False])
async def test_a_role_that_ended_while_the_body_came_gives_itself_no_more(people: People, taken_out: bool) -> None:
    owner = await people.owner()
    workspace = await people.workspace(owner)
    admin = await people.join(owner, "admin@example.com", workspaces={workspace: "admin"})
    own = f"/api/v1/workspaces/{workspace}/members/{admin.account}"
    headers = {CSRF_HEADER: admin.session["csrf_token"], "cookie": f"{session_cookie.NAME}={admin.token}"}
    slow = Slow(people)
    sent = asyncio.create_task(slow.send("PUT", own, b'{"role": "admin"}', headers))
    await slow.let_in()
    if taken_out:
        await owner.ok("DELETE", own)
    slow.end()
    assert await sent == (404 if taken_out else 200)
    assert (await admin.get(f"/api/v1/workspaces/{workspace}")).status == (404 if taken_out else 200)


async def test_a_key_that_was_revoked_while_the_body_came_does_nothing_more(people: People) -> None:
    owner = await people.owner()
    key = await owner.ok("POST", "/api/v1/admin-keys", {"name": "robot", "scopes": ["workspaces.create"]})
    slow = Slow(people)
    headers = {"authorization": f"Bearer {key['key']}"}
    body = b'{"slug": "late", "name": "Late"}'
    sent = asyncio.create_task(slow.send("POST", "/api/v1/workspaces", body, headers))
    await slow.let_in()
    await owner.ok("DELETE", f"/api/v1/admin-keys/{key['id']}")
    slow.end()
    assert await sent == 401
    assert (await owner.ok("GET", "/api/v1/workspaces?filter=slug:late"))["data"] == []
