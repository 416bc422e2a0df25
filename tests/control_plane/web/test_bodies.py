"""Bodies that are not what their headers say."""

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from control_plane.errors import Invalid, TooLarge
from control_plane.ids import Ids
from control_plane.permissions import ActorKind, Principal
from control_plane.web.api import BODY_S_MAX, BODY_VALUES_MAX, Api, parse_body
from control_plane.web.bodies import STRANGERS_BYTES_MAX
from control_plane.web.route import Body, Call, Route
from shared.clock import FakeClock
from tests.control_plane.web.test_public_routes import Nobody


class Word(Body):
    word: str


class Somebody(Nobody):
    """Lets everybody in."""

    async def principal(self, request: web.Request) -> Principal:
        return Principal(ActorKind.INSTANCE, "tests", request.path)


async def take(call: Call) -> None:
    assert call.parsed(Word).word == "x"


def served(*, body_s_max: float = BODY_S_MAX) -> TestServer:
    application = web.Application()
    route = Route("POST", "/open", "open.create", take, "Open", Word, public=True)
    guarded = Route("POST", "/guarded", "configs.create", take, "Guarded", Word)
    Api(Somebody(), Ids(FakeClock()), body_s_max=body_s_max).add(application, [route, guarded])
    return TestServer(application, host="127.0.0.1")


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_body_that_does_not_decompress_is_its_sender_s_fault(encoding: str) -> None:
    headers = {"content-encoding": encoding}
    async with (
        served() as server,
        ClientSession() as http,
        http.post(server.make_url("/open"), data=b"garbage", headers=headers) as response,
    ):
        assert (response.status, (await response.json())["code"]) == (400, "invalid")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (rb"\u0000", None),
        (rb"a\u0000", None),
        (rb"\\\u0000", None),
        (rb"\\u0000", "\\u0000"),
        (rb"\\\\u0000", "\\\\u0000"),
        (rb"\u00001", None),
    ],
)
def test_a_nul_is_refused_and_what_only_reads_like_one_is_not(written: bytes, read: str | None) -> None:
    body = b'{"word": "%b"}' % written
    if read is None:
        with pytest.raises(Invalid, match="NUL"):
            parse_body(body, Word)
    else:
        assert parse_body(body, Word).word == read


@pytest.mark.parametrize("text", ["0,", "[0],", "[[[0]]],", '{"a":0},', '[{"a":[]},{}],'])
def test_more_values_than_there_is_room_to_find_fault_with_are_too_large(text: str) -> None:
    """Half a million of the wrong type took half a gigabyte, and two seconds in which nobody else was served."""
    per_part = text.count("0") + text.count("[") + text.count("{")
    whole = (text * (300 // per_part))[:-1]
    for more, problem in (("", Invalid), (",0" * per_part, TooLarge)):
        with pytest.raises(problem):
            parse_body(f'{{"word": [{whole}{more}]}}'.encode(), Word, values_max=301)


def test_commas_in_texts_are_no_values() -> None:
    text = "[{," * 200
    assert parse_body(f'{{"word": "{text}"}}'.encode(), Word, values_max=100).word == text


async def test_a_body_with_too_many_values_is_refused_at_the_door() -> None:
    async with (
        served() as server,
        ClientSession() as http,
        http.post(server.make_url("/guarded"), data=b'{"word":[%b0]}' % (b"0," * BODY_VALUES_MAX)) as response,
    ):
        told = await response.json()
        assert (response.status, told["code"], "values" in told["detail"]) == (413, "too_large", True)


async def test_a_stranger_s_body_is_small() -> None:
    """A login takes a few hundred bytes; a megabyte on each of a thousand connections was taken."""
    body = b'{"word":"%b"}' % (b"x" * STRANGERS_BYTES_MAX)
    async with served() as server, ClientSession() as http, http.post(server.make_url("/open"), data=body) as response:
        assert (response.status, (await response.json())["code"]) == (413, "too_large")


async def test_a_body_that_decompresses_is_read() -> None:
    packed = gzip.compress(b'{"word": "x"}')
    async with (
        served() as server,
        ClientSession() as http,
        http.post(server.make_url("/open"), data=packed, headers={"content-encoding": "gzip"}) as response,
    ):
        assert response.status == 204


@pytest.mark.parametrize("comes_whole", [True, False])
async def test_a_body_may_come_slowly_but_not_for_ever(comes_whole: bool) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        for byte in b'{"word":"x"':
            yield bytes([byte])
            await asyncio.sleep(0)
        if not comes_whole:
            await asyncio.Event().wait()
        yield b"}"

    async with (
        served(body_s_max=60.0 if comes_whole else 0.05) as server,
        ClientSession() as http,
        http.post(server.make_url("/open"), data=slowly()) as response,
    ):
        assert response.status == (204 if comes_whole else 408)
        if not comes_whole:
            assert response.headers["connection"] == "close"
            told = await response.json()
            assert (told["code"], "0.05 s" in told["detail"]) == ("body_timeout", True)
